/*
 * passes.c - what does little with each number: batch norm, pooling, the optimiser. The floor is a
 * copy of as many bytes, measured at the tensor's own size (caches are large).
 */
#include "bench/bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pass {
    struct kern *kn;
    enum kern_type type;
    size_t rows, c; /* of the tensor; pictures of side side */
    size_t n, side;
    void *x, *y, *dy, *dx, *residual;
    float *v;
};

static void bn_forward(void *arg)
{
    struct pass *p = arg;
    kern_bn_forward(p->kn, p->type, p->y, p->x, NULL, p->v, p->v, p->rows, p->c, true);
}

static void bn_forward_residual(void *arg)
{
    struct pass *p = arg;
    kern_bn_forward(p->kn, p->type, p->y, p->x, p->residual, p->v, p->v, p->rows, p->c, true);
}

static void backward(const struct pass *p, bool residual)
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
    kern_bn_backward(p->kn, &b);
}

static void bn_backward(void *arg)
{
    backward(arg, false);
}

static void bn_backward_residual(void *arg)
{
    backward(arg, true);
}

static struct kern_maxpool window(const struct pass *p)
{
    return (struct kern_maxpool){ p->type, p->n, p->side, p->side,     p->c,       3,
                                  2,       0,    0,       p->side / 2, p->side / 2 };
}

static void maximum(void *arg)
{
    struct pass *p = arg;
    struct kern_maxpool mp = window(p);
    kern_maxpool_forward(p->kn, &mp, p->y, p->x);
}

static void maximum_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_maxpool mp = window(p);
    kern_maxpool_backward(p->kn, &mp, p->dx, p->dy, p->x, p->y);
}

static void average(void *arg)
{
    struct pass *p = arg;
    kern_avgpool_forward(p->kn, p->type, p->v, p->x, p->n, p->side * p->side, p->c);
}

static void mean2(void *arg)
{
    struct pass *p = arg;
    struct kern_avgpool2 ap = { p->type, p->n, p->side, p->side, p->c, 2 };
    kern_avgpool2_forward(p->kn, &ap, p->y, p->x);
}

static void mean2_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_avgpool2 ap = { p->type, p->n, p->side, p->side, p->c, 2 };
    kern_avgpool2_backward(p->kn, &ap, p->dx, p->dy);
}

/* Selective kernels: x has both branches. */
static struct kern_sk unit(const struct pass *p)
{
    return (struct kern_sk){ p->type, p->n, p->side * p->side, p->c / 2 };
}

static void squeeze(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = unit(p);
    kern_sk_squeeze_forward(p->kn, &sk, p->v, p->x);
}

static void squeeze_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = unit(p);
    kern_sk_squeeze_backward(p->kn, &sk, p->dx, p->v);
}

static void selection(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = unit(p);
    kern_sk_select_forward(p->kn, &sk, p->y, p->x, p->v);
}

static void selection_backward(void *arg)
{
    struct pass *p = arg;
    struct kern_sk sk = unit(p);
    kern_sk_select_backward(p->kn, &sk, p->dx, p->v + p->n * p->c, p->dy, p->x, p->v);
}

struct kind {
    const char *name;
    void (*run)(void *arg);
    double tensors; /* read or written, of n x side x side x c */
};

static void tensor(struct bench *b, size_t n, size_t side, size_t c, const struct kind *kind,
                   size_t nkinds)
{
    for (enum kern_type type = KERN_F32; type <= KERN_BF16; type++) {
        size_t rows = n * side * side, all = rows * c;
        struct pass p = { .kn = b->kn, .type = type, .rows = rows, .c = c, .n = n, .side = side };
        void **buffer[] = { &p.x, &p.y, &p.dy, &p.dx, &p.residual };
        for (size_t i = 0; i < ARRAY_LEN(buffer); i++)
            *buffer[i] = bench_random(type, all);
        p.v = bench_random(KERN_F32, 3 * c + 2 * n * c);
        double bytes = (double)(all * kern_sizeof(type));
        double copy =
            ceiling_copy(b, all * kern_sizeof(type), rows / 64 * c * kern_sizeof(type), 1);
        for (const struct kind *k = kind; k < kind + nkinds; k++) {
            double t = bench_seconds(k->run, &p), rate = 1e-9 * k->tensors * bytes / t;
            printf("| %s, %zu x %zu x %zu x %zu | %s | %.2f | %.1f | %.0f %% | %.1f |\n", k->name,
                   n, side, side, c, type ? "bf16" : "f32", 1e3 * t, rate, 100 * rate / copy, copy);
        }
        for (size_t i = 0; i < ARRAY_LEN(buffer); i++)
            free(*buffer[i]);
        free(p.v);
    }
}

static void update(void *arg)
{
    struct kern_update *u = ((void **)arg)[1];
    kern_update(((void **)arg)[0], u);
}

/* As many weights as ResNet-18, in 16 tensors. LARS reads two arrays for the norms; then four are
 * read and three written, by AdamW five and four. */
static void optimiser(struct bench *b)
{
    enum { SEGMENTS = 16, EACH = 700000, N = SEGMENTS * EACH };
    struct kern_segment seg[SEGMENTS];
    for (size_t i = 0; i < SEGMENTS; i++)
        seg[i] = (struct kern_segment){ i * EACH, EACH, false };
    float *w[5];
    for (int i = 0; i < 5; i++)
        w[i] = bench_random(KERN_F32, N);
    memset(w[4], 0, N * sizeof *w[4]); /* squares */
    struct kern_update u = { .lr = 1e-3f,
                             .mu = 0.9f,
                             .eta = 1e-3f,
                             .wd = 1e-6f,
                             .gamma = 0.99f,
                             .beta2 = 0.999,
                             .t = 1,
                             .w = w[0],
                             .v = w[1],
                             .s = w[4],
                             .xi = w[2],
                             .grad = w[3],
                             .grad_factor = 1,
                             .ntarget = N,
                             .seg = seg,
                             .nseg = SEGMENTS };
    void *arg[] = { b->kn, &u };
    double copy = ceiling_copy(b, 4 * (size_t)N, 4 * EACH, 1);
    for (int adamw = 0; adamw < 2; adamw++) {
        u.rule = adamw ? KERN_ADAMW : KERN_LARS;
        double t = bench_seconds(update, arg), rate = 9e-9 * 4 * N / t;
        printf("| %s and target's average, %d weights | f32 | %.2f | %.1f | %.0f %% | %.1f |\n",
               adamw ? "AdamW" : "LARS", N, 1e3 * t, rate, 100 * rate / copy, copy);
    }
    putchar('\n');
    for (int i = 0; i < 5; i++)
        free(w[i]);
}

void passes(struct bench *b)
{
    static const struct kind norm[] = {
        { "batch norm, ReLU", bn_forward, 2 },
        { "batch norm, residual, ReLU", bn_forward_residual, 3 },
        { "its gradient", bn_backward, 5 },                    /* two passes over dy and x; dx */
        { "its gradient, residual", bn_backward_residual, 8 }, /* over y too; and its gradient */
    };
    static const struct kind pool[] = {
        { "maximum 3x3 /2", maximum, 1.25 }, { "its gradient", maximum_backward, 2.5 },
        { "average 2x2 /2", mean2, 1.25 },   { "its gradient", mean2_backward, 1.25 },
        { "average", average, 1 },
    };
    static const struct kind sk[] = {
        { "selective kernels: squeeze", squeeze, 1 },
        { "its gradient, added", squeeze_backward, 2 },
        { "selection", selection, 1.5 },
        { "its gradient", selection_backward, 2.5 },
    };
    printf("## Passes over memory: GB/s and share of a copy of the same tensor\n\n");
    printf(
        "Counted are the tensors that a pass must read or write: by batch norm 2, with a residual "
        "3; by its gradient 5, since dy and x are read for the sums and then for dx; with a "
        "residual 8, since y is read twice too and the residual's gradient written. All others "
        "read and write each of theirs once. What is read because a part of its line is "
        "written is not counted; the copy may go past the caches.\n\n");
    printf("| pass | type | ms | GB/s | share | floor: copy, GB/s |\n|:--|:--|--:|--:|--:|--:|\n");
    tensor(b, 128, 32, 64, norm, ARRAY_LEN(norm));
    tensor(b, 16, 56, 256, norm, ARRAY_LEN(norm));
    tensor(b, 16, 112, 64, pool, ARRAY_LEN(pool));
    tensor(b, 16, 56, 128, sk, ARRAY_LEN(sk));
    optimiser(b);
}
