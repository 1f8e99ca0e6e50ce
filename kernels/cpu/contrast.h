/*
 * contrast.h - inner loops of the contrastive loss, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_CONTRAST_H
#define SEMPPL_CPU_CONTRAST_H

#include "kernels/cpu/cpu.h"

/* Anchor b's candidate i: the positive, then the negatives. */
static inline const float *cpu_candidate(const struct kern_contrast *ct, size_t b, size_t i)
{
    if (i > 0)
        return ct->t + (size_t)ct->neg[b * ct->ne + i - 1] * ct->d;
    return ct->bank + (ct->pos ? (size_t)ct->pos[b] : b) * ct->d;
}

struct cpu_contrast {
    /* s[i] = <o[b], candidate i> / tau, i = 0..ne, for an anchor with a positive. */
    void (*scores)(const struct kern_contrast *ct, double *s, size_t b);
    /* to[d] += sum_i g[i] * candidate i / tau */
    void (*gather)(const struct kern_contrast *ct, float *to, const float *g, size_t b);
};
extern const struct cpu_contrast cpu_contrast_generic, cpu_contrast_avx2, cpu_contrast_avx512;

#endif
