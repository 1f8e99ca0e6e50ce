/*
 * pool.h - inner loops of pooling, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_POOL_H
#define SEMPPL_CPU_POOL_H

#include "kernels/cpu/cpu.h"

struct cpu_pool {
    /* Row p of one image's output, y [ow][c], from x [h][w][c]. */
    void (*max_row)(const struct kern_maxpool *mp, void *y, const void *x, size_t p);
    /* One image: dx [h][w][c], zeroed and added to. */
    void (*max_back)(const struct kern_maxpool *mp, void *dx, const void *dy, const void *x);
    /* Row p of one image's output, y [ow][c], from x [h][w][c]; row r of dx [w][c] from dy
     * [oh][ow][c]. */
    void (*mean2_row)(const struct kern_avgpool2 *ap, void *y, const void *x, size_t p);
    void (*mean2_back_row)(const struct kern_avgpool2 *ap, void *dx, const void *dy, size_t r);
    /* One image: y [c] from x [cells][c] of type, and dx of type from dy [c]. */
    void (*mean)(enum kern_type type, float *y, const void *x, size_t cells, size_t c);
    void (*mean_back)(enum kern_type type, void *dx, const float *dy, size_t cells, size_t c);
};
extern const struct cpu_pool cpu_pool_generic, cpu_pool_avx2, cpu_pool_avx512;

#endif
