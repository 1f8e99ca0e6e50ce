/*
 * passes.c - what does little with each number: batch norm, pooling, selective kernels, optimisers.
 * The floor is a copy of as many bytes.
 */
#include "bench/cuda/rig.h"
#include "bench/pass.h"
#include <stdio.h>
#include <stdlib.h>

static const struct pass_kind norm[] = { { "batch norm: sums", pass_bn_stats, 1 },
                                         { "batch norm, ReLU", pass_bn_forward, 2 },
                                         { "batch norm, residual, ReLU", pass_bn_forward_residual,
                                           3 },
                                         { "its gradient", pass_bn_backward,
                                           5 }, /* two passes over dy and x; dx */
                                         { "its gradient, residual", pass_bn_backward_residual,
                                           6 } }, /* its gradient */
    pool[] = { { "maximum 3x3 /2", pass_maximum, 1.25 },
               { "its gradient", pass_maximum_backward, 2.5 },
               { "average", pass_average, 1 },
               { "its gradient", pass_average_backward, 1 } },
                              sk[] = { { "selection", pass_selection, 1.5 },
                                       { "its gradient", pass_selection_backward, 2.5 } };

static void print(const struct rig *r, double seconds, double bytes)
{
    printf(" %.3f | %.0f | %.0f %% |\n", 1e3 * seconds, 1e-9 * bytes / seconds,
           100 * bytes / seconds / r->copy);
}

static void tensor(struct rig *r, size_t n, size_t side, size_t c, const struct pass_kind *kind,
                   size_t nkinds)
{
    static const enum kern_type types[] = { KERN_BF16, KERN_F16, KERN_F32 };
    static const char *const names[] = { "f32", "bf16", "f16" };
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        enum kern_type type = types[i];
        size_t rows = n * side * side, all = rows * c;
        struct pass p = { .kn = r->kn, .type = type, .n = n, .side = side, .c = c, .rows = rows };
        void **buffer[] = { &p.x, &p.y, &p.dy, &p.dx, &p.residual };
        for (size_t k = 0; k < ARRAY_LEN(buffer); k++)
            *buffer[k] = rig_random(r, type, all);
        p.v = rig_random(r, KERN_F32, 3 * c + 2 * n * c);
        p.above = rig_zero(r, kern_above_bytes(all));
        for (const struct pass_kind *k = kind; k < kind + nkinds; k++) {
            double t = rig_seconds(r, k->run, &p);
            printf("| %s, %zu x %zu x %zu x %zu | %s |", k->name, n, side, side, c, names[type]);
            print(r, t, k->tensors * (double)(all * kern_sizeof(type)));
        }
        rig_clear(r);
    }
}

/* ResNet-50 and its heads: 40 million weights in tensors of a usual size. */
static void optimisers(struct rig *r)
{
    enum { SEGMENTS = 160 };
    size_t each = r->tiny ? 48 : 250000, n = SEGMENTS * each;
    struct kern_segment seg[SEGMENTS];
    struct pass_update p = { r->kn, pass_update_of(seg, SEGMENTS, each) };
    p.u.w = rig_random(r, KERN_F32, n);
    p.u.v = rig_random(r, KERN_F32, n);
    p.u.s = rig_zero(r, n * sizeof(float));
    p.u.xi = rig_random(r, KERN_F32, n);
    p.u.grad = rig_random(r, KERN_F32, n);
    for (int adamw = 0; adamw < 2; adamw++) {
        p.u.rule = adamw ? KERN_ADAMW : KERN_LARS;
        double t = rig_seconds(r, pass_update, &p);
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
