/*
 * norm_isa.c - the passes of batch normalisation over a stretch of rows.
 *
 * All are bound by memory, if they do little with each number: two vectors at a time (vec2), whose
 * order what is kept for each column (sums, factors) shares. Rows are walked as they lie where
 * something is written: several at once would wait for one another, being a power of 2 apart. Sums
 * take four rows at a time, so that they are rounded less. Numbers of the tensors are counted from
 * their starts, since only vec.h knows how large one is.
 */
#include "kernels/cpu/norm.h"
#include "kernels/cpu/vec.h"

enum { AT_ONCE = 4, AHEAD = 1024 };

/*
 * Loads what a pass reads once. Half the bytes for the same instructions: bfloat16 leaves the
 * processor less time to see what comes next, so it is told, AHEAD numbers before.
 */
INLINE struct vec2 stream2(enum kern_type type, const void *p, size_t at, size_t n)
{
    if (type == KERN_BF16)
        __builtin_prefetch((const uint16_t *)p + at + AHEAD);
    return vec2_load_as(type, p, at, n);
}

/* -- statistics ---------------------------------------------------------------------------- */

/* Two sums of columns. */
struct sums {
    struct vec2 s, q;
};

/* Rows between loading and storing them: more where these change their order for that, or where
 * there are registers enough for all that belongs to the columns. */
INLINE size_t sums_rows(enum kern_type type)
{
    return type == KERN_F32 && LANES < 16 ? AT_ONCE : 4 * AT_ONCE;
}

INLINE struct sums sums_load(enum kern_type type, const float *sum, size_t w, size_t n)
{
    return (struct sums){ vec2_columns(type, sum, n), vec2_columns(type, sum + w, n) };
}

INLINE void sums_store(enum kern_type type, float *sum, size_t w, const struct sums *d, size_t n)
{
    vec2_store_columns(type, sum, d->s, n);
    vec2_store_columns(type, sum + w, d->q, n);
}

INLINE void sums_join(struct sums *sum, const struct sums *now)
{
    BOTH(h)
    {
        sum->s.v[h] += now->s.v[h];
        sum->q.v[h] += now->q.v[h];
    }
}

/* += sums of rows, a constant, of what lies from element at on. */
INLINE void sums_add(enum kern_type type, struct sums *sum, const void *x, struct vec2 first,
                     size_t at, size_t rows, size_t w, size_t n)
{
    struct sums now = { 0 };
    for (size_t i = 0; i < rows; i++) {
        struct vec2 d = stream2(type, x, at + i * w, n);
        BOTH(h)
        {
            d.v[h] -= first.v[h];
            now.s.v[h] += d.v[h];
            now.q.v[h] += d.v[h] * d.v[h];
        }
    }
    sums_join(sum, &now);
}

/* From element at on, which is column j; the row to subtract is the first of x. */
INLINE void sums_step(enum kern_type type, float *sum, const void *x, size_t at, size_t j,
                      size_t rows, size_t w, size_t n)
{
    struct vec2 first = vec2_load_as(type, x, j, n);
    struct sums s = sums_load(type, sum + j, w, n);
    size_t i = 0;
    for (; i + AT_ONCE <= rows; i += AT_ONCE)
        sums_add(type, &s, x, first, at + i * w, AT_ONCE, w, n);
    for (; i < rows; i++)
        sums_add(type, &s, x, first, at + i * w, 1, w, n);
    sums_store(type, sum + j, w, &s, n);
}

INLINE void sums_of(enum kern_type type, float *sum, const void *x, size_t rows, size_t w)
{
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (size_t i = 0; i < rows; i += sums_rows(type)) {
        size_t j = 0, some = MIN(sums_rows(type), rows - i);
        for (; j + LANES2 <= w; j += LANES2)
            sums_step(type, sum, x, i * w + j, j, some, w, LANES2);
        if (j < w)
            sums_step(type, sum, x, i * w + j, j, some, w, w - j);
    }
}

static void sums(enum kern_type type, float *sum, const void *x, size_t rows, size_t w)
{
    if (type == KERN_F32)
        sums_of(KERN_F32, sum, x, rows, w);
    else
        sums_of(KERN_BF16, sum, x, rows, w);
}

/* -- forward ------------------------------------------------------------------------------- */

/* scale, shift: from this column on, in the order of vec2 since arrange(). */
INLINE void apply_step(enum kern_type type, void *y, uint8_t *above, const void *x,
                       const void *residual, size_t at, const float *scale, const float *shift,
                       size_t n, bool relu)
{
    struct vec2 v = stream2(type, x, at, n), r = { 0 };
    struct vec2 a = vec2_columns(KERN_F32, scale, LANES2);
    struct vec2 b = vec2_columns(KERN_F32, shift, LANES2);
    if (residual)
        r = stream2(type, residual, at, n);
    BOTH(h)
    {
        v.v[h] = v.v[h] * a.v[h] + b.v[h];
        if (residual)
            v.v[h] += r.v[h];
        if (relu) /* as the definition: NaN stays */
            v.v[h] = vec_select(v.v[h] < 0, (vec){ 0 }, v.v[h]);
    }
    v = vec2_round(type, v);
    if (above)
        vec2_store_above(type, above, at, v, n);
    vec2_store_exact(type, y, at, v, n);
}

INLINE void apply_rows(enum kern_type type, void *y, uint8_t *above, const void *x,
                       const void *residual, const float *scale, const float *shift, size_t rows,
                       size_t w, bool relu)
{
    for (size_t i = 0; i < rows * w; i += w) {
        size_t j = 0;
        for (; j + LANES2 <= w; j += LANES2)
            apply_step(type, y, above, x, residual, i + j, scale + j, shift + j, LANES2, relu);
        if (j < w)
            apply_step(type, y, above, x, residual, i + j, scale + j, shift + j, w - j, relu);
    }
}

INLINE void apply_of(enum kern_type type, void *y, uint8_t *above, const void *x,
                     const void *residual, const float *scale, const float *shift, size_t rows,
                     size_t w, bool relu)
{
    if (above && residual && relu)
        apply_rows(type, y, above, x, residual, scale, shift, rows, w, true);
    else if (above)
        apply_rows(type, y, above, x, residual, scale, shift, rows, w, relu);
    else if (residual && relu)
        apply_rows(type, y, NULL, x, residual, scale, shift, rows, w, true);
    else if (residual)
        apply_rows(type, y, NULL, x, residual, scale, shift, rows, w, false);
    else if (relu)
        apply_rows(type, y, NULL, x, NULL, scale, shift, rows, w, true);
    else
        apply_rows(type, y, NULL, x, NULL, scale, shift, rows, w, false);
}

static void apply(enum kern_type type, void *y, uint8_t *above, const void *x, const void *residual,
                  const float *scale, const float *shift, size_t rows, size_t w, bool relu)
{
    if (type == KERN_F32)
        apply_of(KERN_F32, y, above, x, residual, scale, shift, rows, w, relu);
    else
        apply_of(KERN_BF16, y, above, x, residual, scale, shift, rows, w, relu);
}

/* -- backward ------------------------------------------------------------------------------ */

/* One tensor each, and what is known of its columns. */
struct grad {
    void *dx, *dres;
    const void *dy, *x;
    const uint8_t *above;
    struct cpu_norm_coef k;
    size_t apart; /* from a row to the next, of sums */
};

/* What belongs to columns j and on. */
struct columns {
    struct vec2 a, b, c, mean, scale, shift;
};

/* In the order of vec2 since arrange(). */
INLINE struct columns columns_of(const struct cpu_norm_coef *k, size_t j)
{
    return (struct columns){
        vec2_columns(KERN_F32, k->a + j, LANES2),     vec2_columns(KERN_F32, k->b + j, LANES2),
        vec2_columns(KERN_F32, k->c + j, LANES2),     vec2_columns(KERN_F32, k->mean + j, LANES2),
        vec2_columns(KERN_F32, k->scale + j, LANES2), vec2_columns(KERN_F32, k->shift + j, LANES2)
    };
}

static void arrange(enum kern_type type, float *columns, size_t n)
{
    if (type != KERN_F32)
        for (size_t j = 0; j < n; j += LANES2)
            vec2_store_columns(KERN_F32, columns + j, vec2_columns(KERN_BF16, columns + j, LANES2),
                               LANES2);
}

/* dy where the ReLU let it through, else 0. */
INLINE struct vec2 masked(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d,
                          struct vec2 x, size_t at, const struct columns *k, size_t n)
{
    struct vec2 g = stream2(type, d->dy, at, n);
    if (relu == CPU_NORM_RELU_ABOVE)
        return vec2_where(type, d->above, at, g, n);
    if (relu == CPU_NORM_RELU_X)
        BOTH(h)
        {
            vec y = x.v[h] * k->scale.v[h] + k->shift.v[h];
            g.v[h] = vec_select(y > 0, g.v[h], (vec){ 0 });
        }
    return g;
}

/* += sums of rows, a constant, from element at on. */
INLINE void grad_sums_add(enum kern_type type, enum cpu_norm_relu relu, struct sums *sum,
                          const struct grad *d, const struct columns *k, size_t at, size_t rows,
                          size_t n)
{
    struct sums now = { 0 };
    for (size_t i = 0; i < rows; i++, at += d->apart) {
        struct vec2 x = stream2(type, d->x, at, n);
        struct vec2 g = masked(type, relu, d, x, at, k, n);
        BOTH(h)
        {
            now.s.v[h] += g.v[h];
            now.q.v[h] += g.v[h] * (x.v[h] - k->mean.v[h]);
        }
    }
    sums_join(sum, &now);
}

/* From element at on, which is column j. */
INLINE void grad_sums_step(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                           const struct grad *d, size_t at, size_t j, size_t rows, size_t w,
                           size_t n)
{
    struct columns k = columns_of(&d->k, j);
    struct sums s = sums_load(type, sum + j, w, n);
    size_t i = 0;
    for (; i + AT_ONCE <= rows; i += AT_ONCE)
        grad_sums_add(type, relu, &s, d, &k, at + i * d->apart, AT_ONCE, n);
    for (; i < rows; i++)
        grad_sums_add(type, relu, &s, d, &k, at + i * d->apart, 1, n);
    sums_store(type, sum + j, w, &s, n);
}

INLINE void grad_sums_of(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                         const struct grad *d, size_t rows, size_t w)
{
    memset(sum, 0, 2 * w * sizeof(*sum));
    for (size_t i = 0; i < rows; i += sums_rows(type)) {
        size_t j = 0, some = MIN(sums_rows(type), rows - i);
        for (; j + LANES2 <= w; j += LANES2)
            grad_sums_step(type, relu, sum, d, i * d->apart + j, j, some, w, LANES2);
        if (j < w)
            grad_sums_step(type, relu, sum, d, i * d->apart + j, j, some, w, w - j);
    }
}

INLINE void grad_sums_as(enum kern_type type, enum cpu_norm_relu relu, float *sum,
                         const struct grad *d, size_t rows, size_t w)
{
    if (relu == CPU_NORM_NO_RELU)
        grad_sums_of(type, CPU_NORM_NO_RELU, sum, d, rows, w);
    else if (relu == CPU_NORM_RELU_ABOVE)
        grad_sums_of(type, CPU_NORM_RELU_ABOVE, sum, d, rows, w);
    else
        grad_sums_of(type, CPU_NORM_RELU_X, sum, d, rows, w);
}

static void grad_sums(enum kern_type type, float *sum, const void *dy, const void *x,
                      const uint8_t *above, const struct cpu_norm_coef *k, enum cpu_norm_relu relu,
                      size_t rows, size_t w, size_t apart)
{
    struct grad d = { .dy = dy, .x = x, .above = above, .k = *k, .apart = apart };
    if (type == KERN_F32)
        grad_sums_as(KERN_F32, relu, sum, &d, rows, w);
    else
        grad_sums_as(KERN_BF16, relu, sum, &d, rows, w);
}

/* From element at on, which is column j. */
INLINE void grad_step(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d, bool dres,
                      bool add, size_t at, size_t j, size_t n)
{
    struct columns k = columns_of(&d->k, j);
    struct vec2 x = stream2(type, d->x, at, n), dx;
    struct vec2 g = masked(type, relu, d, x, at, &k, n), all = g;
    if (dres && add) {
        struct vec2 old = stream2(type, d->dres, at, n);
        BOTH(h)
        {
            all.v[h] += old.v[h];
        }
    }
    if (dres)
        vec2_store_as(type, d->dres, at, all, n);
    BOTH(h)
    {
        vec centred = x.v[h] - k.mean.v[h];
        dx.v[h] = k.a.v[h] * g.v[h] - k.b.v[h] * centred - k.c.v[h];
    }
    vec2_store_as(type, d->dx, at, dx, n);
}

INLINE void grad_rows(enum kern_type type, enum cpu_norm_relu relu, const struct grad *d, bool dres,
                      bool add, size_t rows, size_t w)
{
    for (size_t i = 0; i < rows * w; i += w) {
        size_t j = 0;
        for (; j + LANES2 <= w; j += LANES2)
            grad_step(type, relu, d, dres, add, i + j, j, LANES2);
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
    else if (relu == CPU_NORM_RELU_ABOVE)
        grad_apply_of(type, CPU_NORM_RELU_ABOVE, d, rows, w, add);
    else
        grad_apply_of(type, CPU_NORM_RELU_X, d, rows, w, add);
}

static void grad_apply(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                       const uint8_t *above, const struct cpu_norm_coef *k, enum cpu_norm_relu relu,
                       size_t rows, size_t w, bool add)
{
    struct grad d = { dx, dres, dy, x, above, *k, w };
    if (type == KERN_F32)
        grad_apply_as(KERN_F32, relu, &d, rows, w, add);
    else
        grad_apply_as(KERN_BF16, relu, &d, rows, w, add);
}

const struct cpu_norm ISA(cpu_norm) = { sums, apply, arrange, grad_sums, grad_apply };
