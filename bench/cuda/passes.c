/*
 * passes.c - what does little with each number: batch norm, pooling, selective kernels, optimisers.
 * The floor is a copy of as many bytes.
 */
#include "bench/cuda/rig.h"
#include <stdio.h>
#include <stdlib.h>

struct pass {
    struct kern *kn;
    enum kern_type type;
    size_t n, side, c, rows;
    void *x, *y, *dy, *dx, *residual;
    float *v; /* vectors of c numbers, and of n * c */
};

static int bn_stats(void *arg)
{
    struct pass *p = arg;
    return kern_bn_stats(p->kn, p->type, p->v, p->v + p->c, p->x, p->rows, p->c);
}

static int bn_forward(void *arg)
{
    struct pass *p = arg;
    return kern_bn_forward(p->kn, p->type, p->y, p->x, NULL, p->v, p->v, p->rows, p->c, true);
}

static int bn_forward_residual(void *arg)
{
    struct pass *p = arg;
    return kern_bn_forward(p->kn, p->type, p->y, p->x, p->residual, p->v, p->v, p->rows, p->c,
                           true);
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
                                  .y = residual ? p->y : NULL,
                                  .dgamma = p->v + p->c,
                                  .dbeta = p->v + 2 * p->c,
                                  .mean = p->v,
                                  .rstd = p->v,
                                  .gamma = p->v,
                                  .scale = p->v,
                                  .shift = p->v };
    return kern_bn_backward(p->kn, &b);
}

static int bn_backward(void *arg)
{
    return backward(arg, false);
}

static int bn_backward_residual(void *arg)
{
    return backward(arg, true);
}

static struct kern_maxpool window(const struct pass *p)
{
    return (struct kern_maxpool){ p->type, p->n, p->side, p->side,     p->c,       3,
                                  2,       0,    0,       p->side / 2, p->side / 2 };
}

static int maximum(void *arg)
{
    struct pass *p = arg;
    struct kern_maxpool mp = window(p);
    return kern_maxpool_forward(p->kn, &mp, p->y, p->x);
}

static int maximum_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_maxpool mp = window(p);
    return kern_maxpool_backward(p->kn, &mp, p->dx, p->dy, p->x, p->y);
}

static int average(void *arg)
{
    struct pass *p = arg;
    return kern_avgpool_forward(p->kn, p->type, p->v, p->x, p->n, p->side * p->side, p->c);
}

static int average_backward(void *arg)
{
    struct pass *p = arg;
    return kern_avgpool_backward(p->kn, p->type, p->dx, p->v, p->n, p->side * p->side, p->c);
}

static struct kern_sk branches(const struct pass *p)
{
    return (struct kern_sk){ p->type, p->n, p->side * p->side, p->c / 2 };
}

static int selection(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = branches(p);
    return kern_sk_select_forward(p->kn, &sk, p->y, p->x, p->v);
}

static int selection_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = branches(p);
    return kern_sk_select_backward(p->kn, &sk, p->dx, p->v + p->n * p->c, p->dy, p->x, p->v);
}

/* tensors: how often as many bytes as the tensor has are read or written at least. */
static const struct kind {
    const char *name;
    int (*run)(void *arg);
    double tensors;
} norm[] = { { "batch norm: sums", bn_stats, 1 },
             { "batch norm, ReLU", bn_forward, 2 },
             { "batch norm, residual, ReLU", bn_forward_residual, 3 },
             { "its gradient", bn_backward, 5 }, /* two passes over dy and x; dx */
             { "its gradient, residual", bn_backward_residual, 8 } }, /* over y; its gradient */
    pool[] = { { "maximum 3x3 /2", maximum, 1.25 },
               { "its gradient", maximum_backward, 2.5 },
               { "average", average, 1 },
               { "its gradient", average_backward, 1 } },
  sk[] = { { "selection", selection, 1.5 }, { "its gradient", selection_backward, 2.5 } };

static void print(const struct rig *r, double seconds, double bytes)
{
    printf(" %.3f | %.0f | %.0f %% |\n", 1e3 * seconds, 1e-9 * bytes / seconds,
           100 * bytes / seconds / r->copy);
}

static void tensor(struct rig *r, size_t n, size_t side, size_t c, const struct kind *kind,
                   size_t nkinds)
{
    static const enum kern_type types[] = { KERN_BF16, KERN_F16, KERN_F32 };
    static const char *const names[] = { "f32", "bf16", "f16" };
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        enum kern_type type = types[i];
        size_t rows = n * side * side, all = rows * c;
        struct pass p = { r->kn, type, n, side, c, rows, NULL, NULL, NULL, NULL, NULL, NULL };
        void **buffer[] = { &p.x, &p.y, &p.dy, &p.dx, &p.residual };
        for (size_t k = 0; k < ARRAY_LEN(buffer); k++)
            *buffer[k] = rig_random(r, type, all);
        p.v = rig_random(r, KERN_F32, 3 * c + 2 * n * c);
        for (const struct kind *k = kind; k < kind + nkinds; k++) {
            double t = rig_seconds(r, k->run, &p);
            printf("| %s, %zu x %zu x %zu x %zu | %s |", k->name, n, side, side, c, names[type]);
            print(r, t, k->tensors * (double)(all * kern_sizeof(type)));
        }
        rig_clear(r);
    }
}

struct optimiser {
    struct kern *kn;
    struct kern_update u;
};

static int update(void *arg)
{
    struct optimiser *o = arg;
    return kern_update(o->kn, &o->u);
}

/* ResNet-50 and its heads: 40 million weights in tensors of a usual size. LARS reads two arrays for
 * the norms; then four are read and three written, by AdamW five and four. */
static void optimisers(struct rig *r)
{
    enum { SEGMENTS = 160 };
    size_t each = r->tiny ? 48 : 250000, n = SEGMENTS * each;
    struct kern_segment seg[SEGMENTS];
    for (size_t i = 0; i < SEGMENTS; i++)
        seg[i] = (struct kern_segment){ i * each, each, false };
    struct optimiser o = { r->kn,
                           { .lr = 1e-3f,
                             .mu = 0.9f,
                             .eta = 1e-3f,
                             .wd = 1e-6f,
                             .gamma = 0.99f,
                             .beta2 = 0.999,
                             .t = 1,
                             .w = rig_random(r, KERN_F32, n),
                             .v = rig_random(r, KERN_F32, n),
                             .s = rig_zero(r, n * sizeof(float)),
                             .xi = rig_random(r, KERN_F32, n),
                             .grad = rig_random(r, KERN_F32, n),
                             .grad_factor = 1,
                             .ntarget = n,
                             .seg = seg,
                             .nseg = SEGMENTS } };
    for (int adamw = 0; adamw < 2; adamw++) {
        o.u.rule = adamw ? KERN_ADAMW : KERN_LARS;
        double t = rig_seconds(r, update, &o);
        printf("| %s and target's average, %zu weights | f32 |", adamw ? "AdamW" : "LARS", n);
        print(r, t, 9 * 4 * (double)n);
    }
}

void passes(struct rig *r)
{
    size_t n = r->tiny ? 1 : 128, side = r->tiny ? 4 : 56, c = r->tiny ? 16 : 256;
    printf("## Passes over memory: GB/s and share of a copy\n\n"
           "| pass | type | ms | GB/s | share |\n|:--|:--|--:|--:|--:|\n");
    tensor(r, n, side, c, norm, ARRAY_LEN(norm));
    tensor(r, n, r->tiny ? 4 : 7, r->tiny ? 32 : 2048, norm, ARRAY_LEN(norm));
    tensor(r, n, 2 * side, r->tiny ? 8 : 64, pool, ARRAY_LEN(pool));
    tensor(r, n, side, c, sk, ARRAY_LEN(sk));
    optimisers(r);
    putchar('\n');
}
