/*
 * contrast_isa.c - dot products and weighted sums of an anchor's candidates.
 */
#include "kernels/cpu/contrast.h"
#include "kernels/cpu/vec.h"

static void scores(const struct kern_contrast *ct, double *s, size_t b)
{
    const float *o = ct->o + b * ct->d;
    for (size_t i = 0; i <= ct->ne; i++)
        s[i] = vec_dot(o, cpu_candidate(ct, b, i), ct->d) / ct->tau;
}

INLINE void gather_step(const struct kern_contrast *ct, float *to, const float *g, size_t b,
                        size_t j, size_t n)
{
    vec sum = { 0 };
    for (size_t i = 0; i <= ct->ne; i++)
        sum += g[i] * vec_load(cpu_candidate(ct, b, i) + j, n);
    vec_store(to + j, vec_load(to + j, n) + sum / ct->tau, n);
}

static void gather(const struct kern_contrast *ct, float *to, const float *g, size_t b)
{
    size_t j = 0;
    for (; j + LANES <= ct->d; j += LANES)
        gather_step(ct, to, g, b, j, LANES);
    if (j < ct->d)
        gather_step(ct, to, g, b, j, ct->d - j);
}

const struct cpu_contrast ISA(cpu_contrast) = { scores, gather };
