/*
 * norm.h - inner loops of batch normalisation, compiled for each instruction set.
 *
 * They see [rows][w] numbers of a type, where a row may be several rows of the tensor side by side
 * (norm.c), and one float32 a column, [w]. Any w and any alignment; above, unless it is NULL,
 * begins with the first number's bit, and of several rows each begins with a byte.
 */
#ifndef SEMPPL_CPU_NORM_H
#define SEMPPL_CPU_NORM_H

#include "kernels/cpu/cpu.h"

/* Of all instruction sets: columns that a pass takes at once. */
enum { CPU_NORM_COLUMNS = 32 };

/* Where the ReLU let the gradient through: by the bits of above; where x * scale + shift > 0. */
enum cpu_norm_relu { CPU_NORM_NO_RELU, CPU_NORM_RELU_ABOVE, CPU_NORM_RELU_X };

/* Backward's numbers of each column, [w], as arrange() leaves them. */
struct cpu_norm_coef {
    float *a, *b, *c, *mean, *scale, *shift;
};

struct cpu_norm {
    /* sum[0..w-1] = sums of x - first row, sum[w..2w-1] = of its squares. */
    void (*sums)(enum kern_type type, float *sum, const void *x, size_t rows, size_t w);
    /* y = x * scale + shift (+ residual), ReLU if relu; residual and above may be NULL. scale and
     * shift as arrange() leaves them. */
    void (*apply)(enum kern_type type, void *y, uint8_t *above, const void *x, const void *residual,
                  const float *scale, const float *shift, size_t rows, size_t w, bool relu);
    /* Brings n columns' numbers, a multiple of CPU_NORM_COLUMNS, into the order in which apply
     * and backward take those of type; what begins a whole number of CPU_NORM_COLUMNS further stays
     * so. */
    void (*arrange)(enum kern_type type, float *columns, size_t n);
    /* sum[0..w-1] = sums of g = dy where the ReLU let it through, sum[w..] = of g * (x - mean).
     * Rows are apart numbers from one another: those of w are some of their columns. */
    void (*grad_sums)(enum kern_type type, float *sum, const void *dy, const void *x,
                      const uint8_t *above, const struct cpu_norm_coef *k, enum cpu_norm_relu relu,
                      size_t rows, size_t w, size_t apart);
    /* dx = a g - b (x - mean) - c; dres (may be NULL) = g, or += g if add. */
    void (*grad_apply)(enum kern_type type, void *dx, void *dres, const void *dy, const void *x,
                       const uint8_t *above, const struct cpu_norm_coef *k, enum cpu_norm_relu relu,
                       size_t rows, size_t w, bool add);
};
extern const struct cpu_norm cpu_norm_generic, cpu_norm_avx2, cpu_norm_avx512;

#endif
