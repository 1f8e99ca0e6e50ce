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

/* One tensor each, and what is known of its columns. */
struct grad {
    void *dx, *dres;
    const void *dy, *x, *y;
    struct cpu_norm_coef k;
    size_t apart; /* from a row to the next, of sums */
};

/* dy where the ReLU let it through, else 0. */
INLINE vec masked(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d, vec x,
                  size_t at, size_t j, size_t n)
{
    vec g = stream(type, d->dy, at, n), y = x;
    if (relu == CPU_NORM_NO_RELU)
        return g;
    if (relu == CPU_NORM_RELU_Y)
        y = stream(type, d->y, at, n);
    else
        y = x * vec_load(d->k.scale + j, n) + vec_load(d->k.shift + j, n);
    return vec_select(y > 0, g, (vec){ 0 });
}

/* From element at on, which is column j. */
INLINE void grad_sums_step(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                           const struct grad *d, size_t at, size_t j, size_t rows, size_t w,
                           size_t n)
{
    vec m = vec_load(d->k.mean + j, n), s = { 0 }, q = { 0 };
    for (size_t i = 0; i < rows; i++, at += d->apart) {
        vec x = stream(type, d->x, at, n), g = masked(type, relu, d, x, at, j, n);
        s += g;
        q += g * (x - m);
    }
    vec_store(sum + j, vec_load(sum + j, n) + s, n);
    vec_store(sum + w + j, vec_load(sum + w + j, n) + q, n);
}

INLINE void grad_sums_rows(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                           const struct grad *d, size_t at, size_t rows, size_t w)
{
    size_t j = 0;
    for (; j + LANES <= w; j += LANES)
        grad_sums_step(type, relu, sum, d, at + j, j, rows, w, LANES);
    if (j < w)
        grad_sums_step(type, relu, sum, d, at + j, j, rows, w, w - j);
}

INLINE void grad_sums_of(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                         const struct grad *d, size_t rows, size_t w)
{
    size_t i = 0;
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (; i + AT_ONCE <= rows; i += AT_ONCE)
        grad_sums_rows(type, relu, sum, d, i * d->apart, AT_ONCE, w);
    for (; i < rows; i++)
        grad_sums_rows(type, relu, sum, d, i * d->apart, 1, w);
}

INLINE void grad_sums_as(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                         const struct grad *d, size_t rows, size_t w)
{
    if (relu == CPU_NORM_NO_RELU)
        grad_sums_of(type, CPU_NORM_NO_RELU, sum, d, rows, w);
    else if (relu == CPU_NORM_RELU_Y)
        grad_sums_of(type, CPU_NORM_RELU_Y, sum, d, rows, w);
    else
        grad_sums_of(type, CPU_NORM_RELU_X, sum, d, rows, w);
}

static void grad_sums(enum kern_type type, float *sum, const void *dy, const void *x, const void *y,
                      const struct cpu_norm_coef *k, enum cpu_norm_relu relu, size_t rows, size_t w,
                      size_t apart)
{
    struct grad d = { .dy = dy, .x = x, .y = y, .k = *k, .apart = apart };
    if (type == KERN_F32)
        grad_sums_as(KERN_F32, relu, sum, &d, rows, w);
    else
        grad_sums_as(KERN_BF16, relu, sum, &d, rows, w);
}

INLINE void grad_step(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d, bool dres,
                      bool add, size_t at, size_t j, size_t n)
{
    const struct cpu_norm_coef *k = &d->k;
    vec x = stream(type, d->x, at, n), g = masked(type, relu, d, x, at, j, n);
    if (dres && add)
        vec_store_as(type, d->dres, at, stream(type, d->dres, at, n) + g, n);
    else if (dres)
        vec_store_as(type, d->dres, at, g, n);
    vec centred = x - vec_load(k->mean + j, n);
    vec dx = vec_load(k->a + j, n) * g - vec_load(k->b + j, n) * centred - vec_load(k->c + j, n);
    vec_store_as(type, d->dx, at, dx, n);
}

INLINE void grad_rows(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d, bool dres,
                      bool add, size_t rows, size_t w)
{
    for (size_t i = 0; i < rows * w; i += w) {
        size_t j = 0;
        for (; j + LANES <= w; j += LANES)
            grad_step(type, relu, d, dres, add, i + j, j, LANES);
        if (j < w)
            grad_step(type, relu, d, dres, add, i + j, j, w - j);
    }
}

INLINE void grad_apply_of(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                          size_t rows, size_t w, bool add)
{
    if (!d->dres)
        grad_rows(type, relu, d, false, false, rows, w);
    else if (add)
        grad_rows(type, relu, d, true, true, rows, w);
    else
        grad_rows(type, relu, d, true, false, rows, w);
}

INLINE void grad_apply_as(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                          size_t rows, size_t w, bool add)
{
    if (relu == CPU_NORM_NO_RELU)
        grad_apply_of(type, CPU_NORM_NO_RELU, d, rows, w, add);
    else if (relu == CPU_NORM_RELU_Y)
        grad_apply_of(type, CPU_NORM_RELU_Y, d, rows, w, add);
    else
        grad_apply_of(type, CPU_NORM_RELU_X, d, rows, w, add);
}

static void grad_apply(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                       const void *y, const struct cpu_norm_coef *k, enum cpu_norm_relu relu,
                       size_t rows, size_t w, bool add)
{
    struct grad d = { dx, dres, dy, x, y, *k, w };
    if (type == KERN_F32)
        grad_apply_as(KERN_F32, relu, &d, rows, w, add);
    else
        grad_apply_as(KERN_BF16, relu, &d, rows, w, add);
}

const struct cpu_norm ISA(cpu_norm) = { sums, apply, grad_sums, grad_apply };
