/*
 * sk_isa.c - selective kernels, vectors of channels at a time, rows of the plane as they lie.
 *
 * Sums over the cells take them in runs of 32, and the runs are added to one another: errors stay
 * small on large planes.
 */
#include "kernels/cpu/sk.h"
#include "kernels/cpu/vec.h"

/* Does a run end with this row? */
static bool run_ends(size_t row, size_t rows)
{
    enum { RUN = 32 };
    return row % RUN == RUN - 1 || row + 1 == rows;
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
INLINE void squeeze_step(enum kern_type type, float *run, const void *u, size_t at, size_t m,
                         size_t n)
{
    vec both = vec_load_as(type, u, at, n) + vec_load_as(type, u, at + m, n);
    vec_store(run, vec_load(run, n) + both, n);
}

INLINE void squeeze_of(enum kern_type type, const struct kern_sk *sk, float *s, float *run,
                       const void *u)
{
    size_t m = sk->m;
    memset(s, 0, m * sizeof(*s));
    memset(run, 0, m * sizeof(*run));
    for (size_t row = 0; row < sk->cells; row++) {
        size_t at = row * 2 * m, j = 0;
        for (; j + LANES <= m; j += LANES)
            squeeze_step(type, run + j, u, at + j, m, LANES);
        if (j < m)
            squeeze_step(type, run + j, u, at + j, m, m - j);
        if (run_ends(row, sk->cells))
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

INLINE void squeeze_back_step(enum kern_type type, void *du, size_t at, const float *ds, float part,
                              size_t n)
{
    vec_store_as(type, du, at, vec_load_as(type, du, at, n) + vec_load(ds, n) * part, n);
}

INLINE void squeeze_back_of(enum kern_type type, const struct kern_sk *sk, void *du,
                            const float *ds)
{
    size_t m = sk->m;
    float part = 1 / (float)sk->cells;
    for (size_t at = 0; at < sk->cells * 2 * m; at += m) { /* one branch after the other */
        size_t j = 0;
        for (; j + LANES <= m; j += LANES)
            squeeze_back_step(type, du, at + j, ds + j, part, LANES);
        if (j < m)
            squeeze_back_step(type, du, at + j, ds + j, part, m - j);
    }
}

static void squeeze_backward(const struct kern_sk *sk, void *du, const float *ds)
{
    if (sk->type == KERN_F32)
        squeeze_back_of(KERN_F32, sk, du, ds);
    else
        squeeze_back_of(KERN_BF16, sk, du, ds);
}

/* -- select -------------------------------------------------------------------------------- */

INLINE void select_step(enum kern_type type, void *v, const void *u, size_t row, const float *a,
                        size_t m, size_t j, size_t n)
{
    vec u0 = vec_load_as(type, u, row * 2 * m + j, n);
    vec u1 = vec_load_as(type, u, row * 2 * m + m + j, n);
    vec_store_as(type, v, row * m + j, vec_load(a + j, n) * u0 + vec_load(a + m + j, n) * u1, n);
}

INLINE void select_of(enum kern_type type, const struct kern_sk *sk, void *v, const void *u,
                      const float *a)
{
    size_t m = sk->m;
    for (size_t row = 0; row < sk->cells; row++) {
        size_t j = 0;
        for (; j + LANES <= m; j += LANES)
            select_step(type, v, u, row, a, m, j, LANES);
        if (j < m)
            select_step(type, v, u, row, a, m, j, m - j);
    }
}

static void select_forward(const struct kern_sk *sk, void *v, const void *u, const float *a)
{
    if (sk->type == KERN_F32)
        select_of(KERN_F32, sk, v, u, a);
    else
        select_of(KERN_BF16, sk, v, u, a);
}

INLINE void select_back_step(enum kern_type type, void *du, float *run, const void *dv,
                             const void *u, size_t row, const float *a, size_t m, size_t j,
                             size_t n)
{
    size_t first = row * 2 * m + j, second = first + m;
    vec g = vec_load_as(type, dv, row * m + j, n);
    vec differ = vec_load_as(type, u, first, n) - vec_load_as(type, u, second, n);
    vec_store(run + j, vec_load(run + j, n) + g * differ, n);
    vec_store_as(type, du, first, vec_load(a + j, n) * g, n);
    vec_store_as(type, du, second, vec_load(a + m + j, n) * g, n);
}

INLINE void select_back_of(enum kern_type type, const struct kern_sk *sk, void *du, float *da,
                           float *run, const void *dv, const void *u, const float *a)
{
    size_t m = sk->m;
    memset(da, 0, m * sizeof(*da));
    memset(run, 0, m * sizeof(*run));
    for (size_t row = 0; row < sk->cells; row++) {
        size_t j = 0;
        for (; j + LANES <= m; j += LANES)
            select_back_step(type, du, run, dv, u, row, a, m, j, LANES);
        if (j < m)
            select_back_step(type, du, run, dv, u, row, a, m, j, m - j);
        if (run_ends(row, sk->cells))
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
