/*
 * grad_sk.c - gradients of a selective-kernel unit, scores that follow from the squeezed branches
 * included, against central differences.
 */
#include "tests/kern/check.h"

enum { PICTURES = 3, CELLS = 35, M = 5, NV = PICTURES * CELLS * M, NZ = 2 * PICTURES * M };

static const struct kern_sk sk = { KERN_F32, PICTURES, CELLS, M };

struct net {
    struct kern *kn;
    float *u, *w, *s, *z, *v; /* z [PICTURES][2M] = s w', w [2M][M] */
    const float *seed;
};

static double unit(void *arg)
{
    struct net *t = arg;
    int rc = kern_sk_squeeze_forward(t->kn, &sk, t->s, t->u);
    rc |= kern_gemm(t->kn, false, true, PICTURES, 2 * M, M, 1, t->s, t->w, 0, t->z);
    rc |= kern_sk_select_forward(t->kn, &sk, t->v, t->u, t->z);
    return rc ? NAN : check_dot(t->seed, t->v, NV);
}

static double select_alone(void *arg)
{
    struct net *t = arg;
    return kern_sk_select_forward(t->kn, &sk, t->v, t->u, t->z) ? NAN
                                                                : check_dot(t->seed, t->v, NV);
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++) {
        struct net t = { check_open(check_isa(i), 2),
                         check_normal(2 * NV),
                         check_normal(2 * M * M),
                         check_buf(PICTURES * M),
                         check_buf(NZ),
                         check_buf(NV),
                         check_normal(NV) };
        float *du = check_buf(2 * NV), *dz = check_buf(NZ), *ds = check_buf(PICTURES * M);
        unit(&t);
        int rc = kern_sk_select_backward(t.kn, &sk, du, dz, t.seed, t.u, t.z);
        ok(rc == 0, "%s: selection", check_isa(i));
        check_gradient(select_alone, &t, t.z, NZ, dz, 0.01, 1e-3, "by the scores");
        check_gradient(select_alone, &t, t.u, 2 * NV, du, 0.1, 1e-4, "by the branches");
        rc |= kern_gemm(t.kn, false, false, PICTURES, M, 2 * M, 1, dz, t.w, 0, ds);
        rc |= kern_sk_squeeze_backward(t.kn, &sk, du, ds);
        ok(rc == 0, "%s: the whole unit", check_isa(i));
        check_gradient(unit, &t, t.u, 2 * NV, du, 0.02, 1e-3, "its gradient");
        check_close(t.kn);
        check_release();
    }
    return done();
}
