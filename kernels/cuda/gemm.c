/*
 * gemm.c - matrix products: the slot, and the plans of the shapes met so far.
 *
 * A run has some tens of shapes. Should there be more than PLANS, those planned first are planned
 * again when they come back.
 */
#include "kernels/cuda/gemm.h"
#include <stdlib.h>

enum { PLANS = 256 };

struct entry {
    struct gemm g;
    struct gemm_alignment al;
    struct gemm_plan *plan;
};

struct gemm_plans {
    void *library;
    size_t n;    /* entries filled */
    size_t next; /* to be filled or replaced */
    struct entry entry[PLANS];
};

static bool same(const struct entry *e, const struct gemm *g, const struct gemm_alignment *al)
{
    return e->g.m == g->m && e->g.n == g->n && e->g.k == g->k && e->g.lda == g->lda &&
           e->g.ldb == g->ldb && e->g.ldc == g->ldc && e->g.ta == g->ta && e->g.tb == g->tb &&
           e->g.types == g->types && e->al.a == al->a && e->al.b == al->b && e->al.c == al->c;
}

/* The largest power of two, up to 16 bytes, that a pointer is a multiple of: what loads care for.*/
static unsigned alignment(const void *p)
{
    uintptr_t bits = (uintptr_t)p | 16;
    return (unsigned)(bits & -bits);
}

static int plan_of(struct gemm_plans *ps, const struct gemm *g, const struct gemm_alignment *al,
                   struct gemm_plan **plan)
{
    for (size_t i = 0; i < ps->n; i++)
        if (same(&ps->entry[i], g, al)) {
            *plan = ps->entry[i].plan;
            return 0;
        }
    int rc = gemm_plan_new(ps->library, g, al, plan);
    if (rc < 0)
        return rc;
    struct entry *e = &ps->entry[ps->next];
    if (ps->n == PLANS)
        gemm_plan_free(ps->library, e->plan);
    else
        ps->n++;
    ps->next = (ps->next + 1) % PLANS;
    *e = (struct entry){ *g, *al, *plan };
    return 0;
}

static int open_plans(struct kern *kn)
{
    struct gemm_plans *ps = calloc(1, sizeof *ps);
    if (!ps)
        return -ENOMEM;
    int rc = gemm_library_open(kn, &ps->library);
    if (rc < 0)
        free(ps);
    else
        cuda_of(kn)->gemm = ps;
    return rc;
}

void cuda_gemm_close(struct cuda *cu)
{
    struct gemm_plans *ps = cu->gemm;
    if (!ps)
        return;
    for (size_t i = 0; i < ps->n; i++)
        gemm_plan_free(ps->library, ps->entry[i].plan);
    gemm_library_close(ps->library);
    free(ps);
    cu->gemm = NULL;
}

int cuda_gemm_typed(struct kern *kn, const struct gemm *g, float alpha, const void *a,
                    const void *b, float beta, void *c)
{
    struct gemm_alignment al = { alignment(a), alignment(b), alignment(c) };
    struct gemm_plan *plan = NULL;
    int rc = cuda_of(kn)->gemm ? 0 : open_plans(kn);
    if (rc == 0)
        rc = plan_of(cuda_of(kn)->gemm, g, &al, &plan);
    return rc < 0 ? rc : gemm_plan_run(kn, cuda_of(kn)->gemm->library, plan, alpha, a, b, beta, c);
}

int cuda_gemm(struct kern *kn, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
              const float *a, const float *b, float beta, float *c)
{
    struct gemm g = { .types = kn->tf32 ? GEMM_TF32 : GEMM_F32,
                      .ta = ta,
                      .tb = tb,
                      .m = m,
                      .n = n,
                      .k = k,
                      .lda = ta ? m : k,
                      .ldb = tb ? k : n,
                      .ldc = n };
    return cuda_gemm_typed(kn, &g, alpha, a, b, beta, c);
}
