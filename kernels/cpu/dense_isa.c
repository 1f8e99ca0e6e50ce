/*
 * dense_isa.c - biases and unit vectors. Dot products are summed in double, as in the definition:
 * the rows are short, and squares of large numbers do not overflow.
 */
#include <math.h>

#include "kernels/cpu/dense.h"
#include "kernels/cpu/vec.h"

static void add_row(float *y, const float *bias, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows; i++, y += c)
        for (size_t j = 0; j < c; j++)
            y[j] += bias[j];
}

INLINE void add_rows(float *sum, const float *x, size_t rows, size_t c)
{
    size_t j = 0;
    for (; j + LANES <= c; j += LANES) {
        vec s = vec_load(sum + j, LANES);
        for (size_t i = 0; i < rows; i++)
            s += vec_load(x + i * c + j, LANES);
        vec_store(sum + j, s, LANES);
    }
    for (; j < c; j++)
        for (size_t i = 0; i < rows; i++)
            sum[j] += x[i * c + j];
}

static void column_sums(float *sum, const float *x, size_t rows, size_t c)
{
    enum { AT_ONCE = 4 };
    memset(sum, 0, c * sizeof(*sum));
    for (; rows >= AT_ONCE; rows -= AT_ONCE, x += AT_ONCE * c)
        add_rows(sum, x, AT_ONCE, c);
    for (; rows > 0; rows--, x += c)
        add_rows(sum, x, 1, c);
}

static void unit_rows(float *y, float *r, const float *u, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++, u += d, y += d) {
        double ss = vec_dot(u, u, d);
        double scale = 1 / sqrt(ss < KERN_NORM_EPS ? KERN_NORM_EPS : ss); /* NaN stays */
        r[i] = (float)scale;
        for (size_t j = 0; j < d; j++)
            y[j] = (float)(u[j] * scale);
    }
}

static void unit_rows_back(float *du, const float *dy, const float *y, const float *r, size_t n,
                           size_t d)
{
    for (size_t i = 0; i < n; i++, du += d, dy += d, y += d) {
        double along = vec_dot(y, dy, d);
        for (size_t j = 0; j < d; j++)
            du[j] = (float)(r[i] * (dy[j] - y[j] * along));
    }
}

const struct cpu_dense ISA(cpu_dense) = { add_row, column_sums, unit_rows, unit_rows_back };
