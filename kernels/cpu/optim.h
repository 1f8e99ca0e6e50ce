/*
 * optim.h - inner loops of the optimiser, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_OPTIM_H
#define SEMPPL_CPU_OPTIM_H

#include "kernels/cpu/cpu.h"

struct cpu_momentum {
    float ratio, wd, mu, lr, part; /* part: 1 - gamma */
};

struct cpu_adamw {
    float mu, beta2, rest; /* rest: 1 - beta2 */
    float lr, root, decay; /* lr / (1 - mu^t), 1 / sqrt(1 - beta2^t), lr * wd */
    float part;            /* 1 - gamma */
};

struct cpu_optim {
    /* sum (x + f y)^2; y NULL: sum x^2 */
    double (*square)(const float *x, const float *y, double f, size_t n);
    /* LARS (a ratio of 1: plain momentum) or AdamW, and the average unless xi is NULL, of n
     * floats. */
    void (*momentum)(float *w, float *v, float *xi, const float *grad, size_t n,
                     struct cpu_momentum m);
    void (*adamw)(float *w, float *v, float *s, float *xi, const float *grad, size_t n,
                  struct cpu_adamw a);
};
extern const struct cpu_optim cpu_optim_generic, cpu_optim_avx2, cpu_optim_avx512;

#endif
