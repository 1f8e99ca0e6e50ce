/*
 * grad_norm.c - gradients of batch normalisation, with ReLU and residual, against central
 * differences of forward passes that gather their own statistics.
 */
#include "tests/kern/check.h"

enum { ROWS = 37, C = 5, N = ROWS * C };

struct net {
    struct kern *kn;
    bool relu;
    float *x, *residual, *gamma, *beta; /* residual: NULL for none */
    float *y, *mean, *var, *scale, *shift, *rstd;
    uint8_t *above;
    const float *seed;
};

/* sum seed * y */
static double forward(void *arg)
{
    struct net *t = arg;
    struct kern_bn bn = { t->mean, t->var, t->gamma, t->beta, t->scale, t->shift,
                          t->rstd, NULL,   NULL,     NULL,    1 };
    int rc = kern_bn_stats(t->kn, KERN_F32, &bn, t->x, ROWS, C);
    struct kern_bn_forward f = { KERN_F32,    ROWS,     C,        t->relu,  t->y, t->x,
                                 t->residual, t->scale, t->shift, t->above, 1 };
    rc |= kern_bn_forward(t->kn, &f);
    return rc ? NAN : check_dot(t->seed, t->y, N);
}

/* Moves the sums before the ReLU at least 0.3 from its kink, where differences mean nothing. */
static void keep_off_kink(struct net *t)
{
    forward(t);
    for (int i = 0; i < N; i++)
        t->residual[i] += (t->y[i] > 0 ? 0.3f : -0.3f);
}

static void check(const char *isa, bool relu, bool residual)
{
    struct net t = { .kn = check_open(isa, 2) };
    t.x = check_normal(N);
    t.residual = residual ? check_normal(N) : NULL;
    t.gamma = check_uniform(C, 0.5f, 1.5f);
    t.beta = check_normal(C);
    t.seed = check_normal(N);
    t.y = check_buf(N);
    t.above = check_bytes(kern_above_bytes(N));
    t.mean = check_buf(C);
    t.var = check_buf(C);
    t.scale = check_buf(C);
    t.shift = check_buf(C);
    t.rstd = check_buf(C);
    if (relu)
        keep_off_kink(&t);
    t.relu = relu;
    forward(&t);
    float *dx = check_buf(N), *dres = check_buf(N), *dgamma = check_zeros(C),
          *dbeta = check_zeros(C);
    struct kern_bn_backward b = { .type = KERN_F32,
                                  .rows = ROWS,
                                  .c = C,
                                  .relu = relu,
                                  .dx = dx,
                                  .dresidual = residual ? dres : NULL,
                                  .dy = t.seed,
                                  .x = t.x,
                                  .above = t.above,
                                  .dgamma = dgamma,
                                  .dbeta = dbeta,
                                  .mean = t.mean,
                                  .rstd = t.rstd,
                                  .gamma = t.gamma };
    ok(kern_bn_backward(t.kn, &b) == 0, "%s: backward%s%s", isa, relu ? ", ReLU" : "",
       residual ? ", residual" : "");
    const double step = 1e-2, tol = 2e-3;
    check_gradient(forward, &t, t.x, N, dx, step, tol, "by x");
    check_gradient(forward, &t, t.gamma, C, dgamma, step, tol, "by gamma");
    check_gradient(forward, &t, t.beta, C, dbeta, step, tol, "by beta");
    if (residual)
        check_gradient(forward, &t, t.residual, N, dres, step, tol, "by the residual");
    check_close(t.kn);
    check_release();
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++) {
        check(check_isa(i), false, false);
        check(check_isa(i), false, true);
        check(check_isa(i), true, true);
    }
    return done();
}
