/*
 * sk_isa.c - selective kernels, vectors of channels at a time, rows of the plane as they lie.
 *
 * Sums over the cells take them in runs of 32, and the runs are added to one another: errors stay
 * small on large planes. Rows go four side by side, so that what is kept for each channel (shares,
 * runs) is loaded and turned into the type's order once for these; they are written after all have
 * been read, as in norm_isa.c.
 */
#include "kernels/cpu/sk.h"
#include "kernels/cpu/vec.h"

enum { RUN = 32, AT_ONCE = 4 /* a divisor of RUN */ };

/* Rows that go together from this one on. */
static size_t together(size_t row, size_t rows)
{
    return rows - row >= AT_ONCE ? AT_ONCE : 1;
}

/* Does a run end before this row? */
static bool run_ends(size_t row, size_t rows)
{
    return row % RUN == 0 || row == rows;
}

/* sum += run, and run starts anew. */
static void add_run(float *sum, float *run, size_t m)
{
    size_t j = 0;
    for (; j + LANES <= m; j += LANES)
        vec_store(sum + j, vec_load(sum + j, LANES) + vec_load(run + j, LANES), LANES);
    for (; j < m; j++)
        sum[j] += run[j];
    memset(run, 0, m * sizeof(*run));
}

/* -- squeeze ------------------------------------------------------------------------------- */

/* Both branches' channels from element at on. */
INLINE void squeeze_step(enum kern_type type, float *run, const void *u, size_t at, size_t rows,
                         size_t m, size_t n)
{
    struct vec2 sum = vec2_columns(type, run, n);
    for (size_t i = 0; i < rows; i++, at += 2 * m) {
        struct vec2 u0 = vec2_load_as(type, u, at, n), u1 = vec2_load_as(type, u, at + m, n);
        BOTH(h)
        {
            sum.v[h] += u0.v[h] + u1.v[h];
        }
    }
    vec2_store_columns(type, run, sum, n);
}

INLINE void squeeze_of(enum kern_type type, const struct kern_sk *sk, float *s, float *run,
                       const void *u)
{
    size_t m = sk->m;
    memset(s, 0, m * sizeof(*s));
    memset(run, 0, m * sizeof(*run));
    for (size_t row = 0, n; row < sk->cells; row += n) {
        size_t at = row * 2 * m, j = 0;
        n = together(row, sk->cells);
        for (; j + LANES2 <= m; j += LANES2)
            squeeze_step(type, run + j, u, at + j, n, m, LANES2);
        if (j < m)
            squeeze_step(type, run + j, u, at + j, n, m, m - j);
        if (run_ends(row + n, sk->cells))
            add_run(s, run, m);
    }
    for (size_t j = 0; j < m; j++)
        s[j] /= (float)sk->cells;
}

static void squeeze_forward(const struct kern_sk *sk, float *s, float *run, const void *u)
{
    if (sk->type == KERN_F32)
        squeeze_of(KERN_F32, sk, s, run, u);
    else
        squeeze_of(KERN_BF16, sk, s, run, u);
}

/* Channels from element at on, of rows of m. */
INLINE void squeeze_back_step(enum kern_type type, void *du, size_t at, const float *ds, float part,
                              size_t rows, size_t m, size_t n)
{
    struct vec2 add = vec2_columns(type, ds, n), sum[AT_ONCE];
    for (size_t i = 0; i < rows; i++) {
        sum[i] = vec2_load_as(type, du, at + i * m, n);
        BOTH(h)
        {
            sum[i].v[h] += add.v[h] * part;
        }
    }
    for (size_t i = 0; i < rows; i++)
        vec2_store_as(type, du, at + i * m, sum[i], n);
}

INLINE void squeeze_back_rows(enum kern_type type, void *du, size_t row, const float *ds,
                              float part, size_t rows, size_t m)
{
    size_t j = 0;
    for (; j + LANES2 <= m; j += LANES2)
        squeeze_back_step(type, du, row * m + j, ds + j, part, rows, m, LANES2);
    for (size_t i = 0; i < rows && j < m; i++)
        squeeze_back_step(type, du, (row + i) * m + j, ds + j, part, 1, m, m - j);
}

INLINE void squeeze_back_of(enum kern_type type, const struct kern_sk *sk, void *du,
                            const float *ds)
{
    float part = 1 / (float)sk->cells;
    size_t row = 0, rows = 2 * sk->cells; /* one branch after the other */
    for (; together(row, rows) == AT_ONCE; row += AT_ONCE)
        squeeze_back_rows(type, du, row, ds, part, AT_ONCE, sk->m);
    for (; row < rows; row++)
        squeeze_back_rows(type, du, row, ds, part, 1, sk->m);
}

static void squeeze_backward(const struct kern_sk *sk, void *du, const float *ds)
{
    if (sk->type == KERN_F32)
        squeeze_back_of(KERN_F32, sk, du, ds);
    else
        squeeze_back_of(KERN_BF16, sk, du, ds);
}

/* -- select -------------------------------------------------------------------------------- */

/* Channels j and on. */
INLINE void select_step(enum kern_type type, void *v, const void *u, size_t row, const float *a,
                        size_t m, size_t j, size_t rows, size_t n)
{
    struct vec2 a0 = vec2_columns(type, a + j, n), a1 = vec2_columns(type, a + m + j, n);
    struct vec2 sum[AT_ONCE];
    for (size_t i = 0; i < rows; i++) {
        size_t first = (row + i) * 2 * m + j;
        struct vec2 u0 = vec2_load_as(type, u, first, n);
        struct vec2 u1 = vec2_load_as(type, u, first + m, n);
        BOTH(h)
        {
            sum[i].v[h] = a0.v[h] * u0.v[h] + a1.v[h] * u1.v[h];
        }
    }
    for (size_t i = 0; i < rows; i++)
        vec2_store_as(type, v, (row + i) * m + j, sum[i], n);
}

INLINE void select_rows(enum kern_type type, void *v, const void *u, size_t row, const float *a,
                        size_t m, size_t rows)
{
    size_t j = 0;
    for (; j + LANES2 <= m; j += LANES2)
        select_step(type, v, u, row, a, m, j, rows, LANES2);
    for (size_t i = 0; i < rows && j < m; i++)
        select_step(type, v, u, row + i, a, m, j, 1, m - j);
}

INLINE void select_of(enum kern_type type, const struct kern_sk *sk, void *v, const void *u,
                      const float *a)
{
    size_t row = 0;
    for (; together(row, sk->cells) == AT_ONCE; row += AT_ONCE)
        select_rows(type, v, u, row, a, sk->m, AT_ONCE);
    for (; row < sk->cells; row++)
        select_rows(type, v, u, row, a, sk->m, 1);
}

static void select_forward(const struct kern_sk *sk, void *v, const void *u, const float *a)
{
    if (sk->type == KERN_F32)
        select_of(KERN_F32, sk, v, u, a);
    else
        select_of(KERN_BF16, sk, v, u, a);
}

/* One tensor each, and what is known of the channels. */
struct select_back {
    void *du;
    const void *dv, *u;
    const float *a;
    float *run;
};

INLINE void select_back_step(enum kern_type type, const struct select_back *d, size_t row, size_t m,
                             size_t j, size_t rows, size_t n)
{
    struct vec2 a0 = vec2_columns(type, d->a + j, n), a1 = vec2_columns(type, d->a + m + j, n);
    struct vec2 run = vec2_columns(type, d->run + j, n), du0[AT_ONCE], du1[AT_ONCE];
    for (size_t i = 0; i < rows; i++) {
        size_t first = (row + i) * 2 * m + j;
        struct vec2 g = vec2_load_as(type, d->dv, (row + i) * m + j, n);
        struct vec2 u0 = vec2_load_as(type, d->u, first, n);
        struct vec2 u1 = vec2_load_as(type, d->u, first + m, n);
        BOTH(h)
        {
            run.v[h] += g.v[h] * (u0.v[h] - u1.v[h]);
            du0[i].v[h] = a0.v[h] * g.v[h];
            du1[i].v[h] = a1.v[h] * g.v[h];
        }
    }
    vec2_store_columns(type, d->run + j, run, n);
    for (size_t i = 0; i < rows; i++) {
        size_t first = (row + i) * 2 * m + j;
        vec2_store_as(type, d->du, first, du0[i], n);
        vec2_store_as(type, d->du, first + m, du1[i], n);
    }
}

INLINE void select_back_rows(enum kern_type type, const struct select_back *d, size_t row, size_t m,
                             size_t rows)
{
    size_t j = 0;
    for (; j + LANES2 <= m; j += LANES2)
        select_back_step(type, d, row, m, j, rows, LANES2);
    for (size_t i = 0; i < rows && j < m; i++)
        select_back_step(type, d, row + i, m, j, 1, m - j);
}

INLINE void select_back_of(enum kern_type type, const struct kern_sk *sk, void *du, float *da,
                           float *run, const void *dv, const void *u, const float *a)
{
    struct select_back d = { du, dv, u, a, run };
    size_t m = sk->m;
    memset(da, 0, m * sizeof(*da));
    memset(run, 0, m * sizeof(*run));
    for (size_t row = 0, n; row < sk->cells; row += n) {
        n = together(row, sk->cells);
        if (n == AT_ONCE)
            select_back_rows(type, &d, row, m, AT_ONCE);
        else
            select_back_rows(type, &d, row, m, 1);
        if (run_ends(row + n, sk->cells))
            add_run(da, run, m);
    }
}

static void select_backward(const struct kern_sk *sk, void *du, float *da, float *run,
                            const void *dv, const void *u, const float *a)
{
    if (sk->type == KERN_F32)
        select_back_of(KERN_F32, sk, du, da, run, dv, u, a);
    else
        select_back_of(KERN_BF16, sk, du, da, run, dv, u, a);
}

const struct cpu_sk ISA(cpu_sk) = { squeeze_forward, squeeze_backward, select_forward,
                                    select_backward };
