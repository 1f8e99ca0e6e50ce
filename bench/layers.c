/*
 * layers.c - every convolution of ResNet-50 at 224 and of CIFAR ResNet-18, three passes, both types
 * of storage; and the products of the heads.
 *
 * A pass cannot be faster than its operations at the peak, nor than one reading or writing of each
 * tensor: the last columns say what that leaves of the peak in the forward pass.
 */
#include "bench/bench.h"
#include "bench/networks.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conv {
    struct kern *kn;
    struct kern_conv cv;
    enum pass pass;
    void *x, *y, *packed;
    float *w, *mean, *var;
};

static void conv_pass(void *arg)
{
    struct conv *c = arg;
    struct kern_bn bn = { .mean = c->mean, .var = c->var };
    struct kern_epilogue sums = { .bn = &bn };
    int rc = c->pass == FORWARD ? kern_conv_forward(c->kn, &c->cv, c->y, c->x, c->packed, &sums)
             : c->pass == BACKWARD_DATA
                 ? kern_conv_backward_data(c->kn, &c->cv, c->x, c->y, c->packed, false)
                 : kern_conv_backward_weights(c->kn, &c->cv, c->w, c->x, c->y);
    if (rc)
        bench_die("a convolution failed");
}

struct total {
    double flops[PASSES], seconds[PASSES];
    double ideal[PASSES]; /* seconds at the peak, as it was when the layer was timed */
    double floor;         /* seconds of the forward pass, if each layer were at its floor */
};

static void print_rate(double rate, double peak)
{
    printf(" %5.0f %3.0f %% |", rate, 100 * rate / peak);
    fflush(stdout);
}

/* GF/s that work cannot exceed if it reads and writes nbytes. */
static double floor_rate(const struct bench *b, double peak, double work, size_t nbytes)
{
    return fmin(peak, work / ((double)nbytes / b->copy));
}

static void print_floor(double rate, double peak)
{
    if (rate < peak)
        printf(" memory %3.0f %% |", 100 * rate / peak);
    else
        printf(" arithmetic   |");
}

/* Three columns; returns the rate that the forward pass cannot exceed. */
static double layer_passes(struct bench *b, enum kern_type type, const struct layer *l, size_t n,
                           struct total *total)
{
    size_t out = layer_out(l);
    struct conv c = { b->kn,
                      { type, n, l->side, l->side, l->c, l->k, l->kernel, l->kernel, l->stride,
                        l->pad, l->pad, out, out },
                      FORWARD,
                      NULL,
                      NULL,
                      NULL,
                      NULL,
                      NULL,
                      NULL };
    size_t nx = n * l->side * l->side * l->c, ny = n * out * out * l->k;
    size_t nw = l->k * l->c * l->kernel * l->kernel, each = kern_sizeof(type);
    double work = layer_work(l, n), peak = bench_peak(b, type);
    c.x = bench_random(type, nx);
    c.y = bench_random(type, ny);
    c.w = bench_random(KERN_F32, nw);
    c.mean = bench_random(KERN_F32, l->k);
    c.var = bench_random(KERN_F32, l->k);
    c.packed = bench_random(KERN_F32, kern_conv_packed(b->kn, &c.cv) / 4 + 1);
    if (kern_conv_pack(b->kn, &(struct kern_conv_weights){ c.cv, c.packed, c.w }, 1))
        bench_die("weights are not packed");
    for (c.pass = FORWARD; c.pass < PASSES; c.pass++) {
        if (!layer_has(l, c.pass)) {
            printf("           |");
            continue;
        }
        double t = bench_seconds(conv_pass, &c);
        total->flops[c.pass] += l->count * work;
        total->ideal[c.pass] += 1e-9 * l->count * work / peak;
        total->seconds[c.pass] += l->count * t;
        print_rate(1e-9 * work / t, peak);
    }
    void *all[] = { c.x, c.y, c.w, c.mean, c.var, c.packed };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        free(all[i]);
    double floor = floor_rate(b, peak, work, each * (nx + ny) + 4 * nw);
    total->floor += 1e-9 * l->count * work / floor;
    return floor;
}

static void network(struct bench *b, const struct network *net)
{
    enum { TYPES = KERN_BF16 + 1 };
    struct total total[TYPES] = { 0 };
    printf(
        "## Convolutions of %s, %zu pictures: GF/s and share of the peak\n\n"
        "Each layer beside the peak that was measured just before it: neighbours come and go. "
        "Operations are those of the plain sum; windows of 3 x 3 with stride 1 take fewer, but by "
        "tiles, so their share may exceed 100 %%.\n\n",
        net->name, net->n);
    printf("| layer                     | x | f32 forward | data | weights | bf16 forward | data | "
           "weights | floor, f32 | floor, bf16 |\n|:--|--:|--:|--:|--:|--:|--:|--:|:--|:--|\n");
    for (const struct layer *l = net->layer; l < net->layer + net->nlayers; l++) {
        double floor[TYPES];
        layer_print(l);
        b->fma = ceiling_fma(b);
        floor[KERN_F32] = layer_passes(b, KERN_F32, l, net->n, &total[KERN_F32]) / b->fma;
        b->bf16 = ceiling_bf16(b);
        floor[KERN_BF16] = layer_passes(b, KERN_BF16, l, net->n, &total[KERN_BF16]) / b->bf16;
        for (int type = 0; type < TYPES; type++)
            print_floor(floor[type], 1);
        printf("\n");
    }
    printf("| **all**                 | |");
    for (int type = 0; type < TYPES; type++)
        for (enum pass p = FORWARD; p < PASSES; p++)
            print_rate(1e-9 * total[type].flops[p] / total[type].seconds[p],
                       1e-9 * total[type].flops[p] / total[type].ideal[p]);
    for (int type = 0; type < TYPES; type++)
        printf(" %10.0f %% |", 100 * total[type].ideal[FORWARD] / total[type].floor);
    printf("\n\nPictures a second, convolutions only:");
    for (int type = 0; type < TYPES; type++) {
        const double *s = total[type].seconds;
        printf(" %s forward %.0f, all passes %.0f%s", type ? "bf16" : "f32", (double)net->n / s[0],
               (double)net->n / (s[0] + s[1] + s[2]), type + 1 < TYPES ? ";" : ".\n\n");
    }
}

/* -- heads --------------------------------------------------------------------------------- */

struct product {
    struct kern *kn;
    size_t m, n, k;
    float *a, *b, *c;
};

static void product(void *arg)
{
    struct product *p = arg;
    kern_gemm(p->kn, false, true, p->m, p->n, p->k, 1, p->a, p->b, 0, p->c);
}

static void heads(struct bench *b)
{
    static const size_t sizes[][3] = {
        { 256, 512, 512 }, { 256, 128, 512 }, { 256, 4096, 2048 }, { 256, 256, 4096 }
    };
    printf("## Heads, float32: GF/s and share of the peak\n\n");
    printf("| rows x outputs x inputs | rate | floor |\n|:--|--:|:--|\n");
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct product p = { b->kn, sizes[i][0], sizes[i][1], sizes[i][2], NULL, NULL, NULL };
        p.a = bench_random(KERN_F32, p.m * p.k);
        p.b = bench_random(KERN_F32, p.n * p.k);
        p.c = bench_random(KERN_F32, p.m * p.n);
        printf("| %zu x %zu x %zu |", p.m, p.n, p.k);
        double work = 2.0 * (double)(p.m * p.n * p.k);
        print_rate(1e-9 * work / bench_seconds(product, &p), b->fma);
        print_floor(floor_rate(b, b->fma, work, 4 * (p.m * p.k + p.n * p.k + p.m * p.n)), b->fma);
        printf("\n");
        free(p.a);
        free(p.b);
        free(p.c);
    }
    printf("\n");
}

void layers(struct bench *b)
{
    for (size_t i = 0; i < ARRAY_LEN(networks); i++)
        network(b, &networks[i]);
    heads(b);
}
