/*
 * contrast.h - inner loops of the contrastive loss, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_CONTRAST_H
#define SEMPPL_CPU_CONTRAST_H

#include "kernels/cpu/cpu.h"

/* Score i of image b (kern.h): the image whose vector is in it, -1 for none ... */
static inline int64_t cpu_image(const struct kern_contrast *ct, size_t b, size_t i)
{
    return i == 0 ? (int64_t)b : ct->neg[b * ct->ne + i - 1];
}

/* ... its row of o, if there is an image ... */
static inline size_t cpu_row(const struct kern_contrast *ct, size_t b, size_t i)
{
    return ct->target_anchored ? (size_t)cpu_image(ct, b, i) : b;
}

/* ... and the vector that this row meets. */
static inline const float *cpu_other(const struct kern_contrast *ct, size_t b, size_t i)
{
    if (i > 0 && !ct->target_anchored)
        return ct->t + (size_t)cpu_image(ct, b, i) * ct->d;
    return ct->bank + (ct->pos ? (size_t)ct->pos[b] : b) * ct->d;
}

/* A vector and its weight in a sum. */
struct cpu_part {
    const float *v;
    float w;
};

struct cpu_contrast {
    /* s[i] = score i of image b, i = 0..ne; b has a positive. */
    void (*scores)(const struct kern_contrast *ct, double *s, size_t b);
    /* to[d] += sum_i part[i].w * part[i].v / tau */
    void (*gather)(float *to, const struct cpu_part *part, size_t n, size_t d, float tau);
};
extern const struct cpu_contrast cpu_contrast_generic, cpu_contrast_avx2, cpu_contrast_avx512;

#endif
