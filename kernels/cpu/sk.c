/*
 * sk.c - selective kernels in parallel over pictures. Bound by memory: each call is one pass over
 * the activations that it names, which the shares' few exponentials do not show beside.
 */
#include <math.h>

#include "kernels/cpu/sk.h"

/* What a call was given, by the names of kern.h. */
struct job {
    struct kern *kn;
    const struct cpu_sk *inner;
    const struct kern_sk *sk;
    const void *u, *dv;
    void *v, *du;
    const float *ds, *z;
    float *s, *dz;
};

/* Of the i-th picture: a tensor of both branches, and one of a single branch. */
static void *both_at(const struct job *j, const void *u, size_t i)
{
    return cpu_at(j->sk->type, u, i * j->sk->cells * 2 * j->sk->m);
}

static void *one_at(const struct job *j, const void *v, size_t i)
{
    return cpu_at(j->sk->type, v, i * j->sk->cells * j->sk->m);
}

/* A worker's scratch: the shares [2m] of the picture at hand, and a run of a sum [m]. */
static int prepare(const struct job *j)
{
    return kern_scratch(j->kn, 3 * j->sk->m * sizeof(float));
}

static float *shares_of(const struct job *j, int worker)
{
    return kern_scratch_of(j->kn, worker);
}

static float *run_of(const struct job *j, int worker)
{
    return shares_of(j, worker) + 2 * j->sk->m;
}

/* -- squeeze ------------------------------------------------------------------------------- */

static int squeeze_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    j->inner->squeeze(j->sk, j->s + i * j->sk->m, run_of(j, worker), both_at(j, j->u, i));
    return 0;
}

static int cpu_sk_squeeze_forward(struct kern *kn, const struct kern_sk *sk, float *s,
                                  const void *u)
{
    struct job j = { .kn = kn, .inner = ISA_BEST(kn, cpu_sk), .sk = sk, .s = s, .u = u };
    int rc = prepare(&j);
    return rc < 0 ? rc : pool_run(kn->pool, sk->n, squeeze_task, &j);
}

static int squeeze_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    j->inner->squeeze_back(j->sk, both_at(j, j->du, i), j->ds + i * j->sk->m);
    return 0;
}

static int cpu_sk_squeeze_backward(struct kern *kn, const struct kern_sk *sk, void *du,
                                   const float *ds)
{
    struct job j = { .inner = ISA_BEST(kn, cpu_sk), .sk = sk, .du = du, .ds = ds };
    return pool_run(kn->pool, sk->n, squeeze_back_task, &j);
}

/* -- select -------------------------------------------------------------------------------- */

/* Both branches' shares in the i-th picture. */
static const float *shares(const struct job *j, size_t i, int worker)
{
    size_t m = j->sk->m;
    const float *z = j->z + i * 2 * m;
    float *a = shares_of(j, worker);
    for (size_t k = 0; k < m; k++) { /* 1 - the other share would lose the digits of a small one */
        a[k] = 1 / (1 + expf(z[m + k] - z[k]));
        a[m + k] = 1 / (1 + expf(z[k] - z[m + k]));
    }
    return a;
}

static int select_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    j->inner->select(j->sk, one_at(j, j->v, i), both_at(j, j->u, i), shares(j, i, worker));
    return 0;
}

static int cpu_sk_select_forward(struct kern *kn, const struct kern_sk *sk, void *v, const void *u,
                                 const float *z)
{
    struct job j = { .kn = kn, .inner = ISA_BEST(kn, cpu_sk), .sk = sk, .v = v, .u = u, .z = z };
    int rc = prepare(&j);
    return rc < 0 ? rc : pool_run(kn->pool, sk->n, select_task, &j);
}

static int select_back_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    size_t m = j->sk->m;
    const float *a = shares(j, i, worker);
    float *dz = j->dz + i * 2 * m;
    j->inner->select_back(j->sk, both_at(j, j->du, i), dz, run_of(j, worker), one_at(j, j->dv, i),
                          both_at(j, j->u, i), a);
    for (size_t k = 0; k < m; k++) { /* from the gradient of the first share */
        dz[k] *= a[k] * a[m + k];
        dz[m + k] = -dz[k];
    }
    return 0;
}

static int cpu_sk_select_backward(struct kern *kn, const struct kern_sk *sk, void *du, float *dz,
                                  const void *dv, const void *u, const float *z)
{
    struct job j = { .kn = kn,
                     .inner = ISA_BEST(kn, cpu_sk),
                     .sk = sk,
                     .du = du,
                     .dz = dz,
                     .dv = dv,
                     .u = u,
                     .z = z };
    int rc = prepare(&j);
    return rc < 0 ? rc : pool_run(kn->pool, sk->n, select_back_task, &j);
}

void cpu_init_sk(struct kern_ops *o, unsigned isa UNUSED)
{
    o->sk_squeeze_forward = cpu_sk_squeeze_forward;
    o->sk_squeeze_backward = cpu_sk_squeeze_backward;
    o->sk_select_forward = cpu_sk_select_forward;
    o->sk_select_backward = cpu_sk_select_backward;
}
