/*
 * contrast_isa.c - dot products and weighted sums of rows and the vectors that they meet.
 */
#include <math.h>

#include "kernels/cpu/contrast.h"
#include "kernels/cpu/vec.h"

static void scores(const struct kern_contrast *ct, double *s, size_t b)
{
    for (size_t i = 0; i <= ct->ne; i++) {
        if (cpu_image(ct, b, i) < 0)
            s[i] = -INFINITY;
        else
            s[i] = vec_dot(ct->o + cpu_row(ct, b, i) * ct->d, cpu_other(ct, b, i), ct->d) / ct->tau;
    }
}

INLINE void gather_step(float *to, const struct cpu_part *part, size_t parts, float tau, size_t j,
                        size_t n)
{
    vec sum = { 0 };
    for (size_t i = 0; i < parts; i++)
        sum += part[i].w * vec_load(part[i].v + j, n);
    vec_store(to + j, vec_load(to + j, n) + sum / tau, n);
}

static void gather(float *to, const struct cpu_part *part, size_t n, size_t d, float tau)
{
    size_t j = 0;
    for (; j + LANES <= d; j += LANES)
        gather_step(to, part, n, tau, j, LANES);
    if (j < d)
        gather_step(to, part, n, tau, j, d - j);
}

const struct cpu_contrast ISA(cpu_contrast) = { scores, gather };
