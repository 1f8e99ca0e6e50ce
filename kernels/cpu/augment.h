/*
 * augment.h - one view on one thread, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_AUGMENT_H
#define SEMPPL_CPU_AUGMENT_H

#include "kernels/cpu/cpu.h"

/* out [side][side][3] of type; scratch of cpu_view_scratch(side) bytes, 64-byte aligned. */
typedef void cpu_view_fn(enum kern_type type, void *out, const struct kern_view *v, size_t side,
                         const float *mean, const float *dev, void *scratch);
cpu_view_fn cpu_view_generic, cpu_view_avx2, cpu_view_avx512;

/* Two planar pictures, four resized rows, two tables of taps, rounded up to whole vectors. */
static inline size_t cpu_view_scratch(size_t side)
{
    return (6 * side * side + 12 * side) * sizeof(float) + 2 * side * 32 + 1024;
}

#endif
