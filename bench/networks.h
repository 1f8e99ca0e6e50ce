/*
 * networks.h - every convolution of CIFAR ResNet-18 and of ResNet-50 at 224, each shape once.
 */
#ifndef SEMPPL_BENCH_NETWORKS_H
#define SEMPPL_BENCH_NETWORKS_H

#include "common/base/base.h"
#include <stdio.h>

struct layer {
    int count;                 /* in the network */
    size_t side, c, k, kernel; /* of the square input; channels; of the window */
    size_t stride, pad;        /* above and on the left */
};

enum pass { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, PASSES };

static const struct layer resnet18_layers[] = {
    { 1, 32, 3, 64, 3, 1, 1 },
    /* group 1 */
    { 4, 32, 64, 64, 3, 1, 1 },
    { 1, 32, 64, 64, 1, 1, 0 }, /* its projection */
    /* group 2 */
    { 1, 32, 64, 128, 3, 2, 0 },
    { 1, 32, 64, 128, 1, 2, 0 },
    { 3, 16, 128, 128, 3, 1, 1 },
    /* group 3 */
    { 1, 16, 128, 256, 3, 2, 0 },
    { 1, 16, 128, 256, 1, 2, 0 },
    { 3, 8, 256, 256, 3, 1, 1 },
    /* group 4 */
    { 1, 8, 256, 512, 3, 2, 0 },
    { 1, 8, 256, 512, 1, 2, 0 },
    { 3, 4, 512, 512, 3, 1, 1 },
};

static const struct layer resnet50_layers[] = {
    { 1, 224, 3, 64, 7, 2, 2 },
    /* group 1 */
    { 1, 56, 64, 64, 1, 1, 0 },
    { 3, 56, 64, 64, 3, 1, 1 },
    { 4, 56, 64, 256, 1, 1, 0 },
    { 2, 56, 256, 64, 1, 1, 0 },
    /* group 2 */
    { 1, 56, 256, 128, 1, 1, 0 },
    { 1, 56, 128, 128, 3, 2, 0 },
    { 1, 56, 256, 512, 1, 2, 0 },
    { 4, 28, 128, 512, 1, 1, 0 },
    { 3, 28, 512, 128, 1, 1, 0 },
    { 3, 28, 128, 128, 3, 1, 1 },
    /* group 3 */
    { 1, 28, 512, 256, 1, 1, 0 },
    { 1, 28, 256, 256, 3, 2, 0 },
    { 1, 28, 512, 1024, 1, 2, 0 },
    { 6, 14, 256, 1024, 1, 1, 0 },
    { 5, 14, 1024, 256, 1, 1, 0 },
    { 5, 14, 256, 256, 3, 1, 1 },
    /* group 4 */
    { 1, 14, 1024, 512, 1, 1, 0 },
    { 1, 14, 512, 512, 3, 2, 0 },
    { 1, 14, 1024, 2048, 1, 2, 0 },
    { 3, 7, 512, 2048, 1, 1, 0 },
    { 2, 7, 2048, 512, 1, 1, 0 },
    { 2, 7, 512, 512, 3, 1, 1 },
};

static const struct network {
    const char *name;
    size_t n; /* pictures of a batch */
    const struct layer *layer;
    size_t nlayers;
} networks[] = {
    { "CIFAR ResNet-18", 128, resnet18_layers, ARRAY_LEN(resnet18_layers) },
    { "ResNet-50 at 224", 16, resnet50_layers, ARRAY_LEN(resnet50_layers) },
};

/* Of the square output: windows overhang as TensorFlow's "SAME" has it. */
static inline size_t layer_out(const struct layer *l)
{
    return (l->side + l->stride - 1) / l->stride;
}

/* Nobody asks for the gradient of the picture. */
static inline bool layer_has(const struct layer *l, enum pass pass)
{
    return l->c != 3 || pass != BACKWARD_DATA;
}

/* Operations of a pass over n pictures. */
static inline double layer_work(const struct layer *l, size_t n)
{
    size_t out = layer_out(l);
    return 2.0 * (double)(n * out * out * l->k * l->c * l->kernel * l->kernel);
}

/* A row of a table begins with this. */
static inline void layer_print(const struct layer *l)
{
    printf("| %zux%zu /%zu %4zu->%4zu @ %3zu | %d |", l->kernel, l->kernel, l->stride, l->c, l->k,
           l->side, l->count);
}

#endif
