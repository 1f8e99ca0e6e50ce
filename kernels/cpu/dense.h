/*
 * dense.h - inner loops over float32 rows, compiled for each instruction set.
 */
#ifndef SEMPPL_CPU_DENSE_H
#define SEMPPL_CPU_DENSE_H

#include "kernels/cpu/cpu.h"

struct cpu_dense {
    void (*add_row)(float *y, const float *bias, size_t rows, size_t c); /* y [rows][c] += bias */
    void (*column_sums)(float *sum, const float *x, size_t rows, size_t c); /* sum [c] = */
    void (*unit_rows)(float *y, float *r, const float *u, size_t n, size_t d);
    void (*unit_rows_back)(float *du, const float *dy, const float *y, const float *r, size_t n,
                           size_t d);
};
extern const struct cpu_dense cpu_dense_generic, cpu_dense_avx2, cpu_dense_avx512;

#endif
