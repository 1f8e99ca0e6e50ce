/*
 * norm_isa.c - the passes of batch normalisation over a stretch of rows.
 *
 * All are bound by memory: rows are walked as they lie, and what is kept for each column (sums,
 * factors) stays in the first-level cache. Sums take four rows at a time, so that they are loaded
 * and stored once for four, and rounded less.
 */
#include "kernels/cpu/norm.h"
#include "kernels/cpu/vec.h"

enum { AT_ONCE = 4 };

/* -- statistics ---------------------------------------------------------------------------- */

INLINE void sums_step(float *sum, const float *x, const float *first, size_t rows, size_t w,
                      size_t n)
{
    vec k = vec_load(first, n), s = { 0 }, q = { 0 };
    for (size_t i = 0; i < rows; i++) {
        vec d = vec_load(x + i * w, n) - k;
        s += d;
        q += d * d;
    }
    vec_store(sum, vec_load(sum, n) + s, n);
    vec_store(sum + w, vec_load(sum + w, n) + q, n);
}

INLINE void sums_rows(float *sum, const float *x, const float *first, size_t rows, size_t w)
{
    size_t j = 0;
    for (; j + LANES <= w; j += LANES)
        sums_step(sum + j, x + j, first + j, rows, w, LANES);
    if (j < w)
        sums_step(sum + j, x + j, first + j, rows, w, w - j);
}

static void sums(float *sum, const float *x, size_t rows, size_t w)
{
    const float *first = x;
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (; rows >= AT_ONCE; rows -= AT_ONCE, x += AT_ONCE * w)
        sums_rows(sum, x, first, AT_ONCE, w);
    for (; rows > 0; rows--, x += w)
        sums_rows(sum, x, first, 1, w);
}

/* -- forward ------------------------------------------------------------------------------- */

INLINE void apply_step(float *y, const float *x, const float *residual, const float *scale,
                       const float *shift, size_t n, bool relu)
{
    vec v = vec_load(x, n) * vec_load(scale, n) + vec_load(shift, n);
    if (residual)
        v += vec_load(residual, n);
    if (relu) /* as the definition: NaN stays */
        v = vec_select(v < 0, (vec){ 0 }, v);
    vec_store(y, v, n);
}

INLINE void apply_rows(float *y, const float *x, const float *residual, const float *scale,
                       const float *shift, size_t rows, size_t w, bool relu)
{
    for (size_t i = 0; i < rows; i++, x += w, y += w) {
        size_t j = 0;
        for (; j + LANES <= w; j += LANES)
            apply_step(y + j, x + j, residual ? residual + j : NULL, scale + j, shift + j, LANES,
                       relu);
        if (j < w)
            apply_step(y + j, x + j, residual ? residual + j : NULL, scale + j, shift + j, w - j,
                       relu);
        if (residual)
            residual += w;
    }
}

static void apply(float *y, const float *x, const float *residual, const float *scale,
                  const float *shift, size_t rows, size_t w, bool relu)
{
    if (residual && relu)
        apply_rows(y, x, residual, scale, shift, rows, w, true);
    else if (residual)
        apply_rows(y, x, residual, scale, shift, rows, w, false);
    else if (relu)
        apply_rows(y, x, NULL, scale, shift, rows, w, true);
    else
        apply_rows(y, x, NULL, scale, shift, rows, w, false);
}

/* -- backward ------------------------------------------------------------------------------ */

/* dy where y > 0, else 0; y NULL: dy. */
INLINE vec masked(const float *dy, const float *y, size_t n)
{
    vec g = vec_load(dy, n);
    return y ? vec_select(vec_load(y, n) > 0, g, (vec){ 0 }) : g;
}

INLINE void grad_sums_step(float *sum, const float *dy, const float *x, const float *y,
                           const float *mean, size_t rows, size_t w, size_t n)
{
    vec m = vec_load(mean, n), s = { 0 }, q = { 0 };
    for (size_t i = 0; i < rows; i++) {
        vec g = masked(dy + i * w, y ? y + i * w : NULL, n);
        s += g;
        q += g * (vec_load(x + i * w, n) - m);
    }
    vec_store(sum, vec_load(sum, n) + s, n);
    vec_store(sum + w, vec_load(sum + w, n) + q, n);
}

INLINE void grad_sums_rows(float *sum, const float *dy, const float *x, const float *y,
                           const float *mean, size_t rows, size_t w)
{
    size_t j = 0;
    for (; j + LANES <= w; j += LANES)
        grad_sums_step(sum + j, dy + j, x + j, y ? y + j : NULL, mean + j, rows, w, LANES);
    if (j < w)
        grad_sums_step(sum + j, dy + j, x + j, y ? y + j : NULL, mean + j, rows, w, w - j);
}

INLINE void grad_sums_of(float *sum, const float *dy, const float *x, const float *y,
                         const float *mean, size_t rows, size_t w)
{
    size_t i = 0;
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (; i + AT_ONCE <= rows; i += AT_ONCE)
        grad_sums_rows(sum, dy + i * w, x + i * w, y ? y + i * w : NULL, mean, AT_ONCE, w);
    for (; i < rows; i++)
        grad_sums_rows(sum, dy + i * w, x + i * w, y ? y + i * w : NULL, mean, 1, w);
}

static void grad_sums(float *sum, const float *dy, const float *x, const float *y,
                      const float *mean, size_t rows, size_t w)
{
    if (y)
        grad_sums_of(sum, dy, x, y, mean, rows, w);
    else
        grad_sums_of(sum, dy, x, NULL, mean, rows, w);
}

INLINE void grad_step(float *dx, float *dres, const float *dy, const float *x, const float *y,
                      const float *coef, size_t stride, size_t n, bool add)
{
    vec g = masked(dy, y, n), centred = vec_load(x, n) - vec_load(coef + 3 * stride, n);
    if (dres && add)
        vec_store(dres, vec_load(dres, n) + g, n);
    else if (dres)
        vec_store(dres, g, n);
    vec_store(dx,
              vec_load(coef, n) * g - vec_load(coef + stride, n) * centred -
                  vec_load(coef + 2 * stride, n),
              n);
}

INLINE void grad_rows(float *dx, float *dres, const float *dy, const float *x, const float *y,
                      const float *coef, size_t stride, size_t rows, size_t w, bool add)
{
    for (size_t i = 0; i < rows * w; i += w) {
        size_t j = 0;
        for (; j + LANES <= w; j += LANES)
            grad_step(dx + i + j, dres ? dres + i + j : NULL, dy + i + j, x + i + j,
                      y ? y + i + j : NULL, coef + j, stride, LANES, add);
        if (j < w)
            grad_step(dx + i + j, dres ? dres + i + j : NULL, dy + i + j, x + i + j,
                      y ? y + i + j : NULL, coef + j, stride, w - j, add);
    }
}

static void grad_apply(float *dx, float *dres, const float *dy, const float *x, const float *y,
                       const float *coef, size_t stride, size_t rows, size_t w, bool add)
{
    if (!dres && y)
        grad_rows(dx, NULL, dy, x, y, coef, stride, rows, w, false);
    else if (!dres)
        grad_rows(dx, NULL, dy, x, NULL, coef, stride, rows, w, false);
    else if (add)
        grad_rows(dx, dres, dy, x, y, coef, stride, rows, w, true);
    else
        grad_rows(dx, dres, dy, x, y, coef, stride, rows, w, false);
}

const struct cpu_norm ISA(cpu_norm) = { sums, apply, grad_sums, grad_apply };
