/*
 * grad_pool.c - gradients of pooling against central differences.
 */
#include "tests/kern/check.h"

static const struct kern_maxpool mp = { KERN_F32, 2, 7, 6, 5, 3, 2, 1, 1, 4, 3 };
enum { NX = 2 * 7 * 6 * 5, NY = 2 * 4 * 3 * 5, NMEAN = 2 * 5, CELLS = 7 * 6 };

struct net {
    struct kern *kn;
    const struct kern_avgpool2 *ap;
    float *x, *y;
    const float *seed;
};

static double maximum(void *arg)
{
    struct net *t = arg;
    return kern_maxpool_forward(t->kn, &mp, t->y, t->x) ? NAN : check_dot(t->seed, t->y, NY);
}

static double mean(void *arg)
{
    struct net *t = arg;
    return kern_avgpool_forward(t->kn, KERN_F32, t->y, t->x, 2, CELLS, 5)
               ? NAN
               : check_dot(t->seed, t->y, NMEAN);
}

static const struct kern_avgpool2 windows[] = { { KERN_F32, 2, 7, 6, 5, 1 },
                                                { KERN_F32, 2, 7, 6, 5, 2 } };

static double mean2(void *arg)
{
    struct net *t = arg;
    return kern_avgpool2_forward(t->kn, t->ap, t->y, t->x)
               ? NAN
               : check_dot(t->seed, t->y, t->ap->stride == 1 ? NX : NY);
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++) {
        struct net t = { .kn = check_open(check_isa(i), 2),
                         .x = check_buf(NX),
                         .y = check_buf(NX),
                         .seed = check_normal(NX) };
        float *dx = check_buf(NX);
        for (int k = 0; k < NX; k++) /* all different, by more than the step changes */
            t.x[k] = 0.1f * (float)(k * 89 % NX);
        maximum(&t);
        ok(kern_maxpool_backward(t.kn, &mp, dx, t.seed, t.x, t.y) == 0, "%s: maximum",
           check_isa(i));
        check_gradient(maximum, &t, t.x, NX, dx, 0.03, 1e-3, "its gradient");
        for (int k = 0; k < 2; k++) {
            t.ap = &windows[k];
            ok(kern_avgpool2_backward(t.kn, t.ap, dx, t.seed) == 0, "%s: mean of 2x2, stride %d",
               check_isa(i), k + 1);
            check_gradient(mean2, &t, t.x, NX, dx, 1, 1e-4, "its gradient");
        }
        ok(kern_avgpool_backward(t.kn, KERN_F32, dx, t.seed, 2, CELLS, 5) == 0, "%s: mean",
           check_isa(i));
        check_gradient(mean, &t, t.x, NX, dx, 1, 1e-4, "its gradient");
        check_close(t.kn);
        check_release();
    }
    return done();
}
