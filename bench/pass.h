/*
 * pass.h - calls that do little with each number, to be timed on the CPU or on a device.
 */
#ifndef SEMPPL_BENCH_PASS_H
#define SEMPPL_BENCH_PASS_H

#include "kernels/kern.h"

/* Arrays of the handle's memory: n x side x side x c numbers each, rows = n side side, and as many
 * bits; of v, 3 c and 2 n c are enough. */
struct pass {
    struct kern *kn;
    enum kern_type type;
    size_t n, side, c, rows;
    void *x, *y, *dy, *dx, *residual;
    float *v;
    uint8_t *above;
};

/* A row of a table. */
struct pass_kind {
    const char *name;
    int (*run)(void *arg); /* of those below, whose arg is a struct pass */
    double tensors;        /* how often as many bytes as x has are read or written at least */
};

int pass_bn_stats(void *arg);
int pass_bn_forward(void *arg);
int pass_bn_forward_residual(void *arg);
int pass_bn_backward(void *arg);
int pass_bn_backward_residual(void *arg);
int pass_maximum(void *arg);
int pass_maximum_backward(void *arg);
int pass_average(void *arg);
int pass_average_backward(void *arg);
int pass_mean2(void *arg);
int pass_mean2_backward(void *arg);
int pass_squeeze(void *arg);
int pass_squeeze_backward(void *arg);
int pass_selection(void *arg);
int pass_selection_backward(void *arg);

struct pass_update {
    struct kern *kn;
    struct kern_update u;
};
int pass_update(void *arg); /* a struct pass_update */
/* nseg tensors of each weights; its arrays and rule are the caller's to set. LARS reads two arrays
 * for the norms; then four are read and three written, by AdamW five and four. */
struct kern_update pass_update_of(struct kern_segment *seg, size_t nseg, size_t each);

#endif
