/*
 * augment.h - one view on one thread, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_AUGMENT_H
#define SEMPPL_CPU_AUGMENT_H

#include "kernels/cpu/cpu.h"

/* One output cell of an axis: four cells of the crop's, first + i; those beyond its end weigh 0. */
struct tap {
    size_t first;
    float weight[4];
};

/* out [side][side][3] of type; scratch of cpu_view_scratch(side, v->width) bytes, 64-byte aligned.
 */
typedef void cpu_view_fn(enum kern_type type, void *out, const struct kern_picture *of,
                         const struct kern_view *v, size_t side, const float *mean,
                         const float *dev, void *scratch);
cpu_view_fn cpu_view_generic, cpu_view_avx2, cpu_view_avx512;

/* Floats of a row of the crop, and as many as four taps may read beyond; whole taps. */
static inline size_t cpu_view_row(size_t width)
{
    return (width * 3 + 13 + 15) / 16 * 16;
}

/* Two planar pictures, five rows of the crop, two tables of taps (later the blur's weights). */
static inline size_t cpu_view_scratch(size_t side, size_t width)
{
    return (6 * side * side + 5 * cpu_view_row(width)) * sizeof(float) +
           2 * side * sizeof(struct tap);
}

#endif
