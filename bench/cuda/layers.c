/*
 * layers.c - every convolution of ResNet-50 at 224, bfloat16, three passes. A pass cannot be faster
 * than its operations at the rate of a large product, nor than one reading or writing of each
 * tensor: the share is of the slower of the two.
 */
#include "bench/cuda/rig.h"
#include "bench/networks.h"
#include <math.h>

struct conv {
    struct kern *kn;
    struct kern_conv cv;
    enum pass pass;
    void *x, *y, *packed;
    float *w, *mean, *var;
};

static int conv_pass(void *arg)
{
    struct conv *c = arg;
    struct kern_bn bn = { .mean = c->mean, .var = c->var };
    struct kern_epilogue sums = { .bn = &bn };
    if (c->pass == FORWARD)
        return kern_conv_forward(c->kn, &c->cv, c->y, c->x, c->packed, &sums);
    if (c->pass == BACKWARD_DATA)
        return kern_conv_backward_data(c->kn, &c->cv, c->x, c->y, c->packed, false);
    return kern_conv_backward_weights(c->kn, &c->cv, c->w, c->x, c->y);
}

struct total {
    double work[PASSES], seconds[PASSES], floor[PASSES];
};

static void print_share(double work, double seconds, double floor)
{
    printf(" %6.1f %3.0f %% |", 1e-12 * work / seconds, 100 * floor / seconds);
}

static void layer(struct rig *r, const struct layer *l, size_t n, struct total *total)
{
    size_t side = r->tiny ? MAX(l->side / 16, l->kernel) : l->side;
    size_t ch = r->tiny ? MAX(l->c / 32, (size_t)3) : l->c, k = r->tiny ? l->k / 32 : l->k;
    struct layer is = { l->count, side, ch, k, l->kernel, l->stride, l->pad };
    size_t out = layer_out(&is), nx = n * side * side * ch, ny = n * out * out * k;
    size_t nw = k * ch * l->kernel * l->kernel;
    struct conv c = { .kn = r->kn,
                      .cv = { KERN_BF16, n, side, side, ch, k, l->kernel, l->kernel, l->stride,
                              l->pad, l->pad, out, out },
                      .x = rig_random(r, KERN_BF16, nx),
                      .y = rig_random(r, KERN_BF16, ny),
                      .w = rig_random(r, KERN_F32, nw),
                      .mean = rig_zero(r, k * sizeof(float)),
                      .var = rig_zero(r, k * sizeof(float)) };
    double work = layer_work(&is, n);
    double floor = fmax(work / r->product, (double)(2 * (nx + ny) + 4 * nw) / r->copy);
    c.packed = rig_zero(r, MAX(kern_conv_packed(r->kn, &c.cv), (size_t)1));
    rig_must(r, kern_conv_pack(r->kn, &(struct kern_conv_weights){ c.cv, c.packed, c.w }, 1),
             "weights");
    layer_print(l);
    for (c.pass = FORWARD; c.pass < PASSES; c.pass++) {
        if (!layer_has(l, c.pass)) {
            printf("              |");
            continue;
        }
        double seconds = rig_seconds(r, conv_pass, &c);
        print_share(work, seconds, floor);
        total->work[c.pass] += l->count * work;
        total->seconds[c.pass] += l->count * seconds;
        total->floor[c.pass] += l->count * floor;
    }
    printf(" %s |\n", work / r->product >= floor ? "products" : "memory");
    rig_clear(r);
}

void layers(struct rig *r)
{
    struct total total = { 0 };
    size_t n = r->tiny ? 1 : 256;
    printf(
        "## Convolutions of ResNet-50 at 224, %zu pictures, bf16: TF/s and share of the floor\n\n"
        "| layer                     | x | forward | data | weights | floor |\n"
        "|:--|--:|--:|--:|--:|:--|\n",
        n);
    for (size_t i = 0; i < ARRAY_LEN(resnet50_layers); i++)
        layer(r, &resnet50_layers[i], n, &total);
    printf("| **all**                 | |");
    for (enum pass p = FORWARD; p < PASSES; p++)
        print_share(total.work[p], total.seconds[p], total.floor[p]);
    printf(" |\n\n");
}
