/*
 * rig.h - what the tables of `make bench-cuda` share: a device, arrays on it, and seconds. Run
 * through bench/cuda/run.sh.
 *
 * tiny: everything as it is, on sizes that a device of tests gets through; the numbers mean
 * nothing.
 */
#ifndef SEMPPL_BENCH_RIG_H
#define SEMPPL_BENCH_RIG_H

#include "bench/measure.h"

struct rig {
    struct pool *pool;
    struct kern *kn;
    bool tiny;
    double copy;    /* bytes a second, read and written */
    double product; /* operations a second of bfloat16 */
    void *dev[64];  /* arrays of the table */
    int ndev;
};

/* Ends the program if rc tells of a failure of what. */
void rig_must(struct rig *r, int rc, const char *what);

/* n numbers of type from -1 to 1, until rig_clear(). */
void *rig_random(struct rig *r, enum kern_type type, size_t n);
void *rig_zero(struct rig *r, size_t nbytes);
void rig_clear(struct rig *r);

/* Seconds of f(arg), which queues work: one after another until some tenths of a second are over,
 * the best of three times. */
double rig_seconds(struct rig *r, int (*f)(void *arg), void *arg);

/* -- the tables ---- */

void encoders(struct rig *r); /* whole networks */
void floors(struct rig *r);   /* what a step asks of the device, by kinds of kernels */
void layers(struct rig *r);   /* every convolution of ResNet-50 */
void passes(struct rig *r);   /* batch norm, pooling, optimisers */
void search(struct rig *r);   /* nearest neighbours, views */
void once(struct rig *r);     /* a pass of training, once: for profilers; prints nothing */
/* floors() as counted on the CPU, of an H200 by hearsay: r needs no more than its handle. */
void floors_nominal(struct rig *r);

#endif
