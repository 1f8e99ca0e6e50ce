/*
 * norm_isa.c - the passes of batch normalisation over a stretch of rows.
 *
 * All are bound by memory: rows are walked as they lie, some side by side, so that what is kept for
 * each column (sums, factors) is loaded, turned into the type's order and stored once for all of
 * them; sums go by fours first, and are rounded less. Results of rows are written after all have
 * been read: rows may lie 4096 bytes apart, and a load behind a store of another row to the same
 * place in its page waits for it. Numbers of the tensors are counted from their starts, since only
 * vec.h knows how large one is.
 */
#include "kernels/cpu/norm.h"
#include "kernels/cpu/vec.h"

enum {
    AT_ONCE = 4, /* rows that are read before any is written, or summed before all others */
    SUMMED = 16, /* rows, of up to WIDE numbers, whose sums stay in registers; so many longer ones
                  * would displace one another in the first cache */
    WIDE = 1024,
    AHEAD = 1024, /* numbers */
};

static size_t summed(size_t w)
{
    return w < WIDE ? SUMMED : AT_ONCE;
}

/*
 * Loads what a pass reads once. Half the bytes for the same instructions: bfloat16 leaves the
 * processor less time to see what comes next, so it is told, AHEAD numbers before.
 */
INLINE struct vec2 stream(enum kern_type type, const void *p, size_t at, size_t n)
{
    if (type == KERN_BF16)
        __builtin_prefetch((const uint16_t *)p + at + AHEAD, 0, 2);
    return vec2_load_as(type, p, at, n);
}

/* -- statistics ---------------------------------------------------------------------------- */

/* From element at on, which is column j; the row to subtract is the first of x. */
INLINE void sums_step(enum kern_type type, float *sum, const void *x, size_t at, size_t j,
                      size_t rows, size_t w, size_t n)
{
    struct vec2 k = vec2_load_as(type, x, j, n);
    struct vec2 sum0 = vec2_columns(type, sum + j, n), sum1 = vec2_columns(type, sum + w + j, n);
    for (size_t i = 0; i < rows;) {
        struct vec2 s = { 0 }, q = { 0 };
        for (size_t end = rows - i >= AT_ONCE ? i + AT_ONCE : i + 1; i < end; i++) {
            struct vec2 d = stream(type, x, at + i * w, n);
            BOTH(h)
            {
                d.v[h] -= k.v[h];
                s.v[h] += d.v[h];
                q.v[h] += d.v[h] * d.v[h];
            }
        }
        BOTH(h)
        {
            sum0.v[h] += s.v[h];
            sum1.v[h] += q.v[h];
        }
    }
    vec2_store_columns(type, sum + j, sum0, n);
    vec2_store_columns(type, sum + w + j, sum1, n);
}

INLINE void sums_rows(enum kern_type type, float *sum, const void *x, size_t at, size_t rows,
                      size_t w)
{
    size_t j = 0;
    for (; j + LANES2 <= w; j += LANES2)
        sums_step(type, sum, x, at + j, j, rows, w, LANES2);
    if (j < w)
        sums_step(type, sum, x, at + j, j, rows, w, w - j);
}

INLINE void sums_of(enum kern_type type, float *sum, const void *x, size_t rows, size_t w)
{
    size_t most = summed(w);
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (size_t i = 0; i < rows; i += most)
        sums_rows(type, sum, x, i * w, MIN(most, rows - i), w);
}

static void sums(enum kern_type type, float *sum, const void *x, size_t rows, size_t w)
{
    if (type == KERN_F32)
        sums_of(KERN_F32, sum, x, rows, w);
    else
        sums_of(KERN_BF16, sum, x, rows, w);
}

/* -- forward ------------------------------------------------------------------------------- */

/* One tensor each, and two numbers a column. */
struct apply {
    void *y;
    const void *x, *residual;
    const float *scale, *shift;
};

/* From element at on, which is column j. */
INLINE void apply_step(enum kern_type type, const struct apply *a, size_t at, size_t j, size_t rows,
                       size_t w, size_t n, bool residual, bool relu)
{
    struct vec2 scale = vec2_columns(type, a->scale + j, n);
    struct vec2 shift = vec2_columns(type, a->shift + j, n), y[AT_ONCE];
    for (size_t i = 0; i < rows; i++) {
        struct vec2 v = stream(type, a->x, at + i * w, n), r = { 0 };
        if (residual)
            r = stream(type, a->residual, at + i * w, n);
        BOTH(h)
        {
            v.v[h] = v.v[h] * scale.v[h] + shift.v[h];
            if (residual)
                v.v[h] += r.v[h];
            if (relu)
                v.v[h] = vec_relu(v.v[h]);
        }
        y[i] = v;
    }
    for (size_t i = 0; i < rows; i++)
        vec2_store_as(type, a->y, at + i * w, y[i], n);
}

/* Whole vectors of some rows. */
INLINE void apply_rows(enum kern_type type, const struct apply *a, size_t at, size_t rows, size_t w,
                       bool residual, bool relu)
{
    for (size_t j = 0; j + LANES2 <= w; j += LANES2)
        apply_step(type, a, at + j, j, rows, w, LANES2, residual, relu);
}

INLINE void apply_of(enum kern_type type, const struct apply *a, size_t rows, size_t w,
                     bool residual, bool relu)
{
    size_t i = 0, j = w / LANES2 * LANES2;
    for (; type != KERN_F32 && i + AT_ONCE <= rows; i += AT_ONCE) /* factors that take turning */
        apply_rows(type, a, i * w, AT_ONCE, w, residual, relu);
    for (; i < rows; i++)
        apply_rows(type, a, i * w, 1, w, residual, relu);
    for (i = 0; i < rows && j < w; i++)
        apply_step(type, a, i * w + j, j, 1, w, w - j, residual, relu);
}

INLINE void apply_as(enum kern_type type, const struct apply *a, size_t rows, size_t w, bool relu)
{
    if (a->residual && relu)
        apply_of(type, a, rows, w, true, true);
    else if (a->residual)
        apply_of(type, a, rows, w, true, false);
    else if (relu)
        apply_of(type, a, rows, w, false, true);
    else
        apply_of(type, a, rows, w, false, false);
}

static void apply(enum kern_type type, void *y, const void *x, const void *residual,
                  const float *scale, const float *shift, size_t rows, size_t w, bool relu)
{
    struct apply a = { y, x, residual, scale, shift };
    if (type == KERN_F32)
        apply_as(KERN_F32, &a, rows, w, relu);
    else
        apply_as(KERN_BF16, &a, rows, w, relu);
}

/* -- backward ------------------------------------------------------------------------------ */

/* One tensor each, and what is known of its columns. */
struct grad {
    void *dx, *dres;
    const void *dy, *x, *y;
    struct cpu_norm_coef k;
};

/* What the ReLU's input is made of, where that is asked for. */
struct relu {
    struct vec2 scale, shift;
};

INLINE struct relu relu_columns(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                                size_t j, size_t n)
{
    struct relu k = { 0 };
    if (relu == CPU_NORM_RELU_X) {
        k.scale = vec2_columns(type, d->k.scale + j, n);
        k.shift = vec2_columns(type, d->k.shift + j, n);
    }
    return k;
}

/* dy where the ReLU let it through, else 0. */
INLINE struct vec2 masked(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                          const struct relu *k, const struct vec2 *x, size_t at, size_t n)
{
    struct vec2 g = stream(type, d->dy, at, n), y = *x;
    if (relu == CPU_NORM_NO_RELU)
        return g;
    if (relu == CPU_NORM_RELU_Y)
        y = stream(type, d->y, at, n);
    BOTH(h)
    {
        if (relu == CPU_NORM_RELU_X)
            y.v[h] = x->v[h] * k->scale.v[h] + k->shift.v[h];
        g.v[h] = vec_select(y.v[h] > 0, g.v[h], (vec){ 0 });
    }
    return g;
}

/* From element at on, which is column j. */
INLINE void grad_sums_step(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                           const struct grad *d, size_t at, size_t j, size_t rows, size_t w,
                           size_t n)
{
    struct relu k = relu_columns(type, relu, d, j, n);
    struct vec2 mean = vec2_columns(type, d->k.mean + j, n);
    struct vec2 sum0 = vec2_columns(type, sum + j, n), sum1 = vec2_columns(type, sum + w + j, n);
    for (size_t i = 0; i < rows;) {
        struct vec2 s = { 0 }, q = { 0 };
        for (size_t end = rows - i >= AT_ONCE ? i + AT_ONCE : i + 1; i < end; i++, at += w) {
            struct vec2 x = stream(type, d->x, at, n), g = masked(type, relu, d, &k, &x, at, n);
            BOTH(h)
            {
                s.v[h] += g.v[h];
                q.v[h] += g.v[h] * (x.v[h] - mean.v[h]);
            }
        }
        BOTH(h)
        {
            sum0.v[h] += s.v[h];
            sum1.v[h] += q.v[h];
        }
    }
    vec2_store_columns(type, sum + j, sum0, n);
    vec2_store_columns(type, sum + w + j, sum1, n);
}

INLINE void grad_sums_rows(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                           const struct grad *d, size_t at, size_t rows, size_t w)
{
    size_t j = 0;
    for (; j + LANES2 <= w; j += LANES2)
        grad_sums_step(type, relu, sum, d, at + j, j, rows, w, LANES2);
    if (j < w)
        grad_sums_step(type, relu, sum, d, at + j, j, rows, w, w - j);
}

INLINE void grad_sums_of(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                         const struct grad *d, size_t rows, size_t w)
{
    size_t most = summed(w);
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (size_t i = 0; i < rows; i += most)
        grad_sums_rows(type, relu, sum, d, i * w, MIN(most, rows - i), w);
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
                      const struct cpu_norm_coef *k, enum cpu_norm_relu relu, size_t rows, size_t w)
{
    struct grad d = { .dy = dy, .x = x, .y = y, .k = *k };
    if (type == KERN_F32)
        grad_sums_as(KERN_F32, relu, sum, &d, rows, w);
    else
        grad_sums_as(KERN_BF16, relu, sum, &d, rows, w);
}

INLINE void grad_step(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d, bool dres,
                      bool add, size_t at, size_t j, size_t rows, size_t w, size_t n)
{
    struct relu k = relu_columns(type, relu, d, j, n);
    struct vec2 mean = vec2_columns(type, d->k.mean + j, n), a = vec2_columns(type, d->k.a + j, n);
    struct vec2 b = vec2_columns(type, d->k.b + j, n), c = vec2_columns(type, d->k.c + j, n);
    struct vec2 dx[AT_ONCE], r[AT_ONCE];
    for (size_t i = 0; i < rows; i++) {
        struct vec2 x = stream(type, d->x, at + i * w, n);
        struct vec2 g = masked(type, relu, d, &k, &x, at + i * w, n);
        r[i] = g;
        if (dres && add)
            r[i] = stream(type, d->dres, at + i * w, n);
        BOTH(h)
        {
            if (dres && add)
                r[i].v[h] += g.v[h];
            dx[i].v[h] = a.v[h] * g.v[h] - b.v[h] * (x.v[h] - mean.v[h]) - c.v[h];
        }
    }
    for (size_t i = 0; i < rows; i++) {
        if (dres)
            vec2_store_as(type, d->dres, at + i * w, r[i], n);
        vec2_store_as(type, d->dx, at + i * w, dx[i], n);
    }
}

/* Whole vectors of some rows. */
INLINE void grad_rows(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d, bool dres,
                      bool add, size_t at, size_t rows, size_t w)
{
    for (size_t j = 0; j + LANES2 <= w; j += LANES2)
        grad_step(type, relu, d, dres, add, at + j, j, rows, w, LANES2);
}

INLINE void grad_apply_of(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                          bool dres, bool add, size_t rows, size_t w)
{
    size_t i = 0, j = w / LANES2 * LANES2;
    for (; i + AT_ONCE <= rows; i += AT_ONCE)
        grad_rows(type, relu, d, dres, add, i * w, AT_ONCE, w);
    for (; i < rows; i++)
        grad_rows(type, relu, d, dres, add, i * w, 1, w);
    for (i = 0; i < rows && j < w; i++)
        grad_step(type, relu, d, dres, add, i * w + j, j, 1, w, w - j);
}

INLINE void grad_apply_relu(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                            size_t rows, size_t w, bool add)
{
    if (!d->dres)
        grad_apply_of(type, relu, d, false, false, rows, w);
    else if (add)
        grad_apply_of(type, relu, d, true, true, rows, w);
    else
        grad_apply_of(type, relu, d, true, false, rows, w);
}

INLINE void grad_apply_as(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                          size_t rows, size_t w, bool add)
{
    if (relu == CPU_NORM_NO_RELU)
        grad_apply_relu(type, CPU_NORM_NO_RELU, d, rows, w, add);
    else if (relu == CPU_NORM_RELU_Y)
        grad_apply_relu(type, CPU_NORM_RELU_Y, d, rows, w, add);
    else
        grad_apply_relu(type, CPU_NORM_RELU_X, d, rows, w, add);
}

static void grad_apply(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                       const void *y, const struct cpu_norm_coef *k, enum cpu_norm_relu relu,
                       size_t rows, size_t w, bool add)
{
    struct grad d = { dx, dres, dy, x, y, *k };
    if (type == KERN_F32)
        grad_apply_as(KERN_F32, relu, &d, rows, w, add);
    else
        grad_apply_as(KERN_BF16, relu, &d, rows, w, add);
}

const struct cpu_norm ISA(cpu_norm) = { sums, apply, grad_sums, grad_apply };
