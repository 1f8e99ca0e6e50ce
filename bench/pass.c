/*
 * pass.c - see pass.h.
 */
#include "bench/pass.h"

int pass_bn_stats(void *arg)
{
    struct pass *p = arg;
    struct kern_bn bn = { .mean = p->v, .var = p->v + p->c };
    return kern_bn_stats(p->kn, p->type, &bn, p->x, p->rows, p->c);
}

static int forward(const struct pass *p, const void *residual, uint8_t *above)
{
    struct kern_bn_forward f = { p->type,  p->rows, p->c, true,  p->y, p->x,
                                 residual, p->v,    p->v, above, 1 };
    return kern_bn_forward(p->kn, &f);
}

int pass_bn_forward(void *arg)
{
    struct pass *p = arg;
    return forward(p, NULL, NULL);
}

int pass_bn_forward_residual(void *arg)
{
    struct pass *p = arg;
    return forward(p, p->residual, p->above);
}

static int backward(const struct pass *p, bool residual)
{
    struct kern_bn_backward b = { .type = p->type,
                                  .rows = p->rows,
                                  .c = p->c,
                                  .relu = true,
                                  .dx = p->dx,
                                  .dresidual = residual ? p->residual : NULL,
                                  .dy = p->dy,
                                  .x = p->x,
                                  .above = residual ? p->above : NULL,
                                  .dgamma = p->v + p->c,
                                  .dbeta = p->v + 2 * p->c,
                                  .mean = p->v,
                                  .rstd = p->v,
                                  .gamma = p->v,
                                  .scale = p->v,
                                  .shift = p->v };
    return kern_bn_backward(p->kn, &b);
}

int pass_bn_backward(void *arg)
{
    return backward(arg, false);
}

int pass_bn_backward_residual(void *arg)
{
    return backward(arg, true);
}

static struct kern_maxpool window(const struct pass *p)
{
    return (struct kern_maxpool){ p->type, p->n, p->side, p->side,     p->c,       3,
                                  2,       0,    0,       p->side / 2, p->side / 2 };
}

int pass_maximum(void *arg)
{
    struct pass *p = arg;
    struct kern_maxpool mp = window(p);
    return kern_maxpool_forward(p->kn, &mp, p->y, p->x);
}

int pass_maximum_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_maxpool mp = window(p);
    return kern_maxpool_backward(p->kn, &mp, p->dx, p->dy, p->x, p->y);
}

int pass_average(void *arg)
{
    struct pass *p = arg;
    return kern_avgpool_forward(p->kn, p->type, p->v, p->x, p->n, p->side * p->side, p->c);
}

int pass_average_backward(void *arg)
{
    struct pass *p = arg;
    return kern_avgpool_backward(p->kn, p->type, p->dx, p->v, p->n, p->side * p->side, p->c);
}

int pass_mean2(void *arg)
{
    struct pass *p = arg;
    struct kern_avgpool2 ap = { p->type, p->n, p->side, p->side, p->c, 2 };
    return kern_avgpool2_forward(p->kn, &ap, p->y, p->x);
}

int pass_mean2_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_avgpool2 ap = { p->type, p->n, p->side, p->side, p->c, 2 };
    return kern_avgpool2_backward(p->kn, &ap, p->dx, p->dy);
}

/* Selective kernels: x has both branches. */
static struct kern_sk branches(const struct pass *p)
{
    return (struct kern_sk){ p->type, p->n, p->side * p->side, p->c / 2 };
}

int pass_squeeze(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = branches(p);
    return kern_sk_squeeze_forward(p->kn, &sk, p->v, p->x);
}

int pass_squeeze_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = branches(p);
    return kern_sk_squeeze_backward(p->kn, &sk, p->dx, p->v);
}

int pass_selection(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = branches(p);
    return kern_sk_select_forward(p->kn, &sk, p->y, p->x, p->v);
}

int pass_selection_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = branches(p);
    return kern_sk_select_backward(p->kn, &sk, p->dx, p->v + p->n * p->c, p->dy, p->x, p->v);
}

int pass_update(void *arg)
{
    struct pass_update *p = arg;
    return kern_update(p->kn, &p->u);
}

struct kern_update pass_update_of(struct kern_segment *seg, size_t nseg, size_t each)
{
    for (size_t i = 0; i < nseg; i++)
        seg[i] = (struct kern_segment){ i * each, each, false };
    return (struct kern_update){ .lr = 1e-3f,
                                 .mu = 0.9f,
                                 .eta = 1e-3f,
                                 .wd = 1e-6f,
                                 .gamma = 0.99f,
                                 .beta2 = 0.999,
                                 .t = 1,
                                 .grad_factor = 1,
                                 .ntarget = nseg * each,
                                 .seg = seg,
                                 .nseg = nseg };
}
