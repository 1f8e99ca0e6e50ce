/*
 * sk.h - inner loops of selective kernels, one picture at a time, compiled for each instruction
 * set.
 */
#ifndef SEMPPL_CPU_SK_H
#define SEMPPL_CPU_SK_H

#include "kernels/cpu/cpu.h"

struct cpu_sk {
    /* s [m] from u [cells][2m], and du [cells][2m] += ds [m] / cells. run [m]: to work with. */
    void (*squeeze)(const struct kern_sk *sk, float *s, float *run, const void *u);
    void (*squeeze_back)(const struct kern_sk *sk, void *du, const float *ds);
    /* a [2m]: both branches' shares. v [cells][m] from u; du and da [m] = sum of dv (u0 - u1). */
    void (*select)(const struct kern_sk *sk, void *v, const void *u, const float *a);
    void (*select_back)(const struct kern_sk *sk, void *du, float *da, float *run, const void *dv,
                        const void *u, const float *a);
};
extern const struct cpu_sk cpu_sk_generic, cpu_sk_avx2, cpu_sk_avx512;

#endif
