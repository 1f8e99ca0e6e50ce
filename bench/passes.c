/*
 * passes.c - what does little with each number: batch norm, pooling, the optimiser. The floor is a
 * copy of as many bytes, measured at the tensor's own size (caches are large).
 */
#include "bench/bench.h"
#include "bench/pass.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What bench_seconds() calls. */
struct timed {
    int (*run)(void *arg);
    void *arg;
};

static void call(void *arg)
{
    const struct timed *t = arg;
    if (t->run(t->arg) < 0)
        bench_die("a kernel failed");
}

static void tensor(struct bench *b, size_t n, size_t side, size_t c, const struct pass_kind *kind,
                   size_t nkinds)
{
    for (enum kern_type type = KERN_F32; type <= KERN_BF16; type++) {
        size_t rows = n * side * side, all = rows * c;
        struct pass p = { .kn = b->kn, .type = type, .rows = rows, .c = c, .n = n, .side = side };
        void **buffer[] = { &p.x, &p.y, &p.dy, &p.dx, &p.residual };
        for (size_t i = 0; i < ARRAY_LEN(buffer); i++)
            *buffer[i] = bench_random(type, all);
        p.v = bench_random(KERN_F32, 3 * c + 2 * n * c);
        p.above = bench_random(KERN_F32, kern_above_bytes(all) / sizeof(float));
        double bytes = (double)(all * kern_sizeof(type));
        double copy =
            ceiling_copy(b, all * kern_sizeof(type), rows / 64 * c * kern_sizeof(type), 1);
        for (const struct pass_kind *k = kind; k < kind + nkinds; k++) {
            struct timed timed = { k->run, &p };
            double t = bench_seconds(call, &timed), rate = 1e-9 * k->tensors * bytes / t;
            printf("| %s, %zu x %zu x %zu x %zu | %s | %.2f | %.1f | %.0f %% | %.1f |\n", k->name,
                   n, side, side, c, type ? "bf16" : "f32", 1e3 * t, rate, 100 * rate / copy, copy);
        }
        for (size_t i = 0; i < ARRAY_LEN(buffer); i++)
            free(*buffer[i]);
        free(p.v);
        free(p.above);
    }
}

/* As many weights as ResNet-18, in 16 tensors. */
static void optimiser(struct bench *b)
{
    enum { SEGMENTS = 16, EACH = 700000, N = SEGMENTS * EACH };
    struct kern_segment seg[SEGMENTS];
    float *w[5];
    for (int i = 0; i < 5; i++)
        w[i] = bench_random(KERN_F32, N);
    memset(w[4], 0, N * sizeof *w[4]); /* squares */
    struct pass_update p = { b->kn, pass_update_of(seg, SEGMENTS, EACH) };
    struct timed timed = { pass_update, &p };
    p.u.w = w[0];
    p.u.v = w[1];
    p.u.s = w[4];
    p.u.xi = w[2];
    p.u.grad = w[3];
    double copy = ceiling_copy(b, 4 * (size_t)N, 4 * EACH, 1);
    for (int adamw = 0; adamw < 2; adamw++) {
        p.u.rule = adamw ? KERN_ADAMW : KERN_LARS;
        double t = bench_seconds(call, &timed), rate = 9e-9 * 4 * N / t;
        printf("| %s and target's average, %d weights | f32 | %.2f | %.1f | %.0f %% | %.1f |\n",
               adamw ? "AdamW" : "LARS", N, 1e3 * t, rate, 100 * rate / copy, copy);
    }
    putchar('\n');
    for (int i = 0; i < 5; i++)
        free(w[i]);
}

void passes(struct bench *b)
{
    static const struct pass_kind norm[] = {
        { "batch norm, ReLU", pass_bn_forward, 2 },
        { "batch norm, residual, ReLU", pass_bn_forward_residual, 3 },
        { "its gradient", pass_bn_backward, 5 }, /* two passes over dy and x; dx */
        { "its gradient, residual", pass_bn_backward_residual, 6 }, /* its gradient */
    };
    static const struct pass_kind pool[] = {
        { "maximum 3x3 /2", pass_maximum, 1.25 }, { "its gradient", pass_maximum_backward, 2.5 },
        { "average 2x2 /2", pass_mean2, 1.25 },   { "its gradient", pass_mean2_backward, 1.25 },
        { "average", pass_average, 1 },
    };
    static const struct pass_kind sk[] = {
        { "selective kernels: squeeze", pass_squeeze, 1 },
        { "its gradient, added", pass_squeeze_backward, 2 },
        { "selection", pass_selection, 1.5 },
        { "its gradient", pass_selection_backward, 2.5 },
    };
    printf("## Passes over memory: GB/s and share of a copy of the same tensor\n\n");
    printf(
        "Counted are the tensors that a pass must read or write: by batch norm 2, with a residual "
        "3; by its gradient 5, since dy and x are read for the sums and then for dx; with a "
        "residual 6, since the residual's gradient is written too. All others read and write each "
        "of theirs once. Bits of the ReLU are a sixteenth or less, and not counted. What is read "
        "because a part of its line is "
        "written is not counted; the copy may go past the caches.\n\n");
    printf("| pass | type | ms | GB/s | share | floor: copy, GB/s |\n|:--|:--|--:|--:|--:|--:|\n");
    tensor(b, 128, 32, 64, norm, ARRAY_LEN(norm));
    tensor(b, 16, 56, 256, norm, ARRAY_LEN(norm));
    tensor(b, 16, 112, 64, pool, ARRAY_LEN(pool));
    tensor(b, 16, 56, 128, sk, ARRAY_LEN(sk));
    optimiser(b);
}
