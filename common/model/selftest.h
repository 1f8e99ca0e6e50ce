/*
 * selftest.h - what works on this machine: instruction sets, threads, CUDA devices and the
 * libraries that they need, and whether kernels give what their definitions (kernels/ref) give.
 */
#ifndef SEMPPL_SELFTEST_H
#define SEMPPL_SELFTEST_H

#include "kernels/kern.h"
#include <stdio.h>

/*
 * Prints lines "name: value" to f, in seconds. -ENEGATIVE (worded) if something is there that does
 * not work or gives wrong results; what is missing is no failure.
 */
int selftest(struct pool *pool, FILE *f);

/* -- selftest_cases.c: every family of kernels once, on small arrays that are drawn ---- */

/* One family on one device, its arrays there, and what came of it. */
struct trial {
    struct kern *kn;
    enum kern_type type; /* of activations */
    void *dev[64];
    int ndev;
    struct {
        const char *name;
        size_t first, n;
        double most;   /* difference allowed, of an array whose numbers are about 1 */
        bool together; /* of all its numbers, as root mean square; else of each */
    } array[32];
    int narrays;
    float *out; /* of all arrays, one behind the other */
    size_t n, room;
    int rc; /* the first failure; later calls do nothing then */
};

struct selftest_case {
    const char *name;
    bool typed; /* it has activations: worth a run in each type */
    void (*run)(struct trial *t);
};
extern const struct selftest_case selftest_cases[]; /* a name of NULL behind the last */

#endif
