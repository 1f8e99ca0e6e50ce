/*
 * grad_dense.c - gradients of a linear layer (product and bias) and of unit vectors, made of the
 * library's calls as a network makes them, against central differences.
 */
#include "tests/kern/check.h"

enum { ROWS = 9, IN = 13, OUT = 6 };

struct net {
    struct kern *kn;
    float *x, *w, *bias, *y, *r; /* y [ROWS][OUT] = x [ROWS][IN] w' + bias, w [OUT][IN] */
    const float *seed;
};

static double linear(void *arg)
{
    struct net *t = arg;
    int rc = kern_gemm(t->kn, false, true, ROWS, OUT, IN, 1, t->x, t->w, 0, t->y);
    rc |= kern_bias_forward(t->kn, t->y, t->bias, ROWS, OUT);
    return rc ? NAN : check_dot(t->seed, t->y, ROWS * OUT);
}

static void check_linear(struct net *t)
{
    float *dx = check_buf(ROWS * IN), *dw = check_zeros(OUT * IN), *dbias = check_zeros(OUT);
    int rc = kern_gemm(t->kn, false, false, ROWS, IN, OUT, 1, t->seed, t->w, 0, dx);
    rc |= kern_gemm(t->kn, true, false, OUT, IN, ROWS, 1, t->seed, t->x, 1, dw);
    rc |= kern_bias_backward(t->kn, dbias, t->seed, ROWS, OUT);
    ok(rc == 0, "linear layer");
    check_gradient(linear, t, t->x, ROWS * IN, dx, 0.1, 1e-4, "by x");
    check_gradient(linear, t, t->w, OUT * IN, dw, 0.1, 1e-4, "by w");
    check_gradient(linear, t, t->bias, OUT, dbias, 0.1, 1e-4, "by the bias");
}

static double unit(void *arg)
{
    struct net *t = arg;
    return kern_l2norm_forward(t->kn, t->y, t->r, t->x, ROWS, IN)
               ? NAN
               : check_dot(t->seed, t->y, ROWS * IN);
}

static void check_unit(struct net *t)
{
    float *du = check_buf(ROWS * IN);
    unit(t);
    ok(kern_l2norm_backward(t->kn, du, t->seed, t->y, t->r, ROWS, IN) == 0, "unit vectors");
    check_gradient(unit, t, t->x, ROWS * IN, du, 0.01, 2e-4, "by the vectors");
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++) {
        struct net t = { check_open(check_isa(i), 2), check_normal(ROWS * IN),
                         check_normal(OUT * IN),      check_normal(OUT),
                         check_buf(ROWS * IN),        check_buf(ROWS),
                         check_normal(ROWS * IN) };
        check_linear(&t);
        check_unit(&t);
        check_close(t.kn);
        check_release(", %s", check_isa(i));
    }
    return done();
}
