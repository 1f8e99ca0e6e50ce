/*
 * norm_isa.c - the passes of batch normalisation over a stretch of rows.
 *
 * All are bound by memory: rows are walked as they lie, and what is kept for each column (sums,
 * factors) stays in the first-level cache. Sums take four rows at a time, so that they are loaded
 * and stored once for four, and rounded less. Numbers of the tensors are counted from their starts,
 * since only vec.h knows how large one is.
 */
#include "kernels/cpu/norm.h"
#include "kernels/cpu/vec.h"

enum { AT_ONCE = 4, AHEAD = 1024 };

/*
 * Loads what a pass reads once. Half the bytes for the same instructions: bfloat16 leaves the
 * processor less time to see what comes next, so it is told, AHEAD numbers before.
 */
INLINE vec stream(enum kern_type type, const void *p, size_t at, size_t n)
{
    if (type == KERN_BF16)
        __builtin_prefetch((const uint16_t *)p + at + AHEAD);
    return vec_load_as(type, p, at, n);
}

/* -- statistics ---------------------------------------------------------------------------- */

/* From element at on, which is column j; the row to subtract is the first of x. */
INLINE void sums_step(enum kern_type type, float *sum, const void *x, size_t at, size_t j,
                      size_t rows, size_t w, size_t n)
{
    vec k = vec_load_as(type, x, j, n), s = { 0 }, q = { 0 };
    for (size_t i = 0; i < rows; i++) {
        vec d = stream(type, x, at + i * w, n) - k;
        s += d;
        q += d * d;
    }
    vec_store(sum + j, vec_load(sum + j, n) + s, n);
    vec_store(sum + w + j, vec_load(sum + w + j, n) + q, n);
}

INLINE void sums_rows(enum kern_type type, float *sum, const void *x, size_t at, size_t rows,
                      size_t w)
{
    size_t j = 0;
    for (; j + LANES <= w; j += LANES)
        sums_step(type, sum, x, at + j, j, rows, w, LANES);
    if (j < w)
        sums_step(type, sum, x, at + j, j, rows, w, w - j);
}

INLINE void sums_of(enum kern_type type, float *sum, const void *x, size_t rows, size_t w)
{
    size_t i = 0;
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (; i + AT_ONCE <= rows; i += AT_ONCE)
        sums_rows(type, sum, x, i * w, AT_ONCE, w);
    for (; i < rows; i++)
        sums_rows(type, sum, x, i * w, 1, w);
}

static void sums(enum kern_type type, float *sum, const void *x, size_t rows, size_t w)
{
    if (type == KERN_F32)
        sums_of(KERN_F32, sum, x, rows, w);
    else
        sums_of(KERN_BF16, sum, x, rows, w);
}

/* -- forward ------------------------------------------------------------------------------- */

INLINE void apply_step(enum kern_type type, void *y, const void *x, const void *residual, size_t at,
                       const float *scale, const float *shift, size_t n, bool relu)
{
    vec v = stream(type, x, at, n) * vec_load(scale, n) + vec_load(shift, n);
    if (residual)
        v += stream(type, residual, at, n);
    if (relu) /* as the definition: NaN stays */
        v = vec_select(v < 0, (vec){ 0 }, v);
    vec_store_as(type, y, at, v, n);
}

INLINE void apply_rows(enum kern_type type, void *y, const void *x, const void *residual,
                       const float *scale, const float *shift, size_t rows, size_t w, bool relu)
{
    for (size_t i = 0; i < rows * w; i += w) {
        size_t j = 0;
        for (; j + LANES <= w; j += LANES)
            apply_step(type, y, x, residual, i + j, scale + j, shift + j, LANES, relu);
        if (j < w)
            apply_step(type, y, x, residual, i + j, scale + j, shift + j, w - j, relu);
    }
}

INLINE void apply_of(enum kern_type type, void *y, const void *x, const void *residual,
                     const float *scale, const float *shift, size_t rows, size_t w, bool relu)
{
    if (residual && relu)
        apply_rows(type, y, x, residual, scale, shift, rows, w, true);
    else if (residual)
        apply_rows(type, y, x, residual, scale, shift, rows, w, false);
    else if (relu)
        apply_rows(type, y, x, NULL, scale, shift, rows, w, true);
    else
        apply_rows(type, y, x, NULL, scale, shift, rows, w, false);
}

static void apply(enum kern_type type, void *y, const void *x, const void *residual,
                  const float *scale, const float *shift, size_t rows, size_t w, bool relu)
{
    if (type == KERN_F32)
        apply_of(KERN_F32, y, x, residual, scale, shift, rows, w, relu);
    else
        apply_of(KERN_BF16, y, x, residual, scale, shift, rows, w, relu);
}

/* -- backward ------------------------------------------------------------------------------ */

/* dy where y > 0, else 0; y NULL: dy. */
INLINE vec masked(enum kern_type type, const void *dy, const void *y, size_t at, size_t n)
{
    vec g = stream(type, dy, at, n);
    return y ? vec_select(stream(type, y, at, n) > 0, g, (vec){ 0 }) : g;
}

INLINE void grad_sums_step(enum kern_type type, float *sum, const void *dy, const void *x,
                           const void *y, size_t at, const float *mean, size_t rows, size_t w,
                           size_t n)
{
    vec m = vec_load(mean, n), s = { 0 }, q = { 0 };
    for (size_t i = 0; i < rows; i++) {
        vec g = masked(type, dy, y, at + i * w, n);
        s += g;
        q += g * (stream(type, x, at + i * w, n) - m);
    }
    vec_store(sum, vec_load(sum, n) + s, n);
    vec_store(sum + w, vec_load(sum + w, n) + q, n);
}

INLINE void grad_sums_rows(enum kern_type type, float *sum, const void *dy, const void *x,
                           const void *y, size_t at, const float *mean, size_t rows, size_t w)
{
    size_t j = 0;
    for (; j + LANES <= w; j += LANES)
        grad_sums_step(type, sum + j, dy, x, y, at + j, mean + j, rows, w, LANES);
    if (j < w)
        grad_sums_step(type, sum + j, dy, x, y, at + j, mean + j, rows, w, w - j);
}

INLINE void grad_sums_all(enum kern_type type, float *sum, const void *dy, const void *x,
                          const void *y, const float *mean, size_t rows, size_t w)
{
    size_t i = 0;
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (; i + AT_ONCE <= rows; i += AT_ONCE)
        grad_sums_rows(type, sum, dy, x, y, i * w, mean, AT_ONCE, w);
    for (; i < rows; i++)
        grad_sums_rows(type, sum, dy, x, y, i * w, mean, 1, w);
}

INLINE void grad_sums_of(enum kern_type type, float *sum, const void *dy, const void *x,
                         const void *y, const float *mean, size_t rows, size_t w)
{
    if (y)
        grad_sums_all(type, sum, dy, x, y, mean, rows, w);
    else
        grad_sums_all(type, sum, dy, x, NULL, mean, rows, w);
}

static void grad_sums(enum kern_type type, float *sum, const void *dy, const void *x, const void *y,
                      const float *mean, size_t rows, size_t w)
{
    if (type == KERN_F32)
        grad_sums_of(KERN_F32, sum, dy, x, y, mean, rows, w);
    else
        grad_sums_of(KERN_BF16, sum, dy, x, y, mean, rows, w);
}

INLINE void grad_step(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                      const void *y, size_t at, const float *coef, size_t stride, size_t n,
                      bool add)
{
    vec g = masked(type, dy, y, at, n),
        centred = stream(type, x, at, n) - vec_load(coef + 3 * stride, n);
    if (dres && add)
        vec_store_as(type, dres, at, stream(type, dres, at, n) + g, n);
    else if (dres)
        vec_store_as(type, dres, at, g, n);
    vec_store_as(type, dx, at,
                 vec_load(coef, n) * g - vec_load(coef + stride, n) * centred -
                     vec_load(coef + 2 * stride, n),
                 n);
}

INLINE void grad_rows(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                      const void *y, const float *coef, size_t stride, size_t rows, size_t w,
                      bool add)
{
    for (size_t i = 0; i < rows * w; i += w) {
        size_t j = 0;
        for (; j + LANES <= w; j += LANES)
            grad_step(type, dx, dres, dy, x, y, i + j, coef + j, stride, LANES, add);
        if (j < w)
            grad_step(type, dx, dres, dy, x, y, i + j, coef + j, stride, w - j, add);
    }
}

INLINE void grad_apply_of(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                          const void *y, const float *coef, size_t stride, size_t rows, size_t w,
                          bool add)
{
    if (!dres && y)
        grad_rows(type, dx, NULL, dy, x, y, coef, stride, rows, w, false);
    else if (!dres)
        grad_rows(type, dx, NULL, dy, x, NULL, coef, stride, rows, w, false);
    else if (add)
        grad_rows(type, dx, dres, dy, x, y, coef, stride, rows, w, true);
    else
        grad_rows(type, dx, dres, dy, x, y, coef, stride, rows, w, false);
}

static void grad_apply(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                       const void *y, const float *coef, size_t stride, size_t rows, size_t w,
                       bool add)
{
    if (type == KERN_F32)
        grad_apply_of(KERN_F32, dx, dres, dy, x, y, coef, stride, rows, w, add);
    else
        grad_apply_of(KERN_BF16, dx, dres, dy, x, y, coef, stride, rows, w, add);
}

const struct cpu_norm ISA(cpu_norm) = { sums, apply, grad_sums, grad_apply };
