/*
 * pool.h - inner loops of pooling, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_POOL_H
#define SEMPPL_CPU_POOL_H

#include "kernels/cpu/cpu.h"

struct cpu_pool {
    /* Row p of one image's output, y [ow][c], from x [h][w][c]. */
    void (*max_row)(const struct kern_maxpool *mp, float *y, const float *x, size_t p);
    /* One image: dx [h][w][c], zeroed and added to. */
    void (*max_back)(const struct kern_maxpool *mp, float *dx, const float *dy, const float *x);
    /* One image: y [c] from x [cells][c]. */
    void (*mean)(float *y, const float *x, size_t cells, size_t c);
    void (*mean_back)(float *dx, const float *dy, size_t cells, size_t c);
};
extern const struct cpu_pool cpu_pool_generic, cpu_pool_avx2, cpu_pool_avx512;

#endif
