/*
 * dense.c - the definition of matrix products, biases, unit vectors and row copies.
 */
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

int ref_gemm(struct kern *kn UNUSED, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
             const float *a, const float *b, float beta, float *c)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)a[ta ? l * m + i : i * k + l] * b[tb ? j * k + l : l * n + j];
            c[i * n + j] = (float)(alpha * sum + (beta != 0 ? (double)beta * c[i * n + j] : 0));
        }
    return 0;
}

int ref_bias_forward(struct kern *kn UNUSED, float *y, const float *bias, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows * c; i++)
        y[i] += bias[i % c];
    return 0;
}

int ref_bias_backward(struct kern *kn UNUSED, float *dbias, const float *dy, size_t rows, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        double sum = 0;
        for (size_t i = 0; i < rows; i++)
            sum += dy[i * c + j];
        dbias[j] += (float)sum;
    }
    return 0;
}

int ref_l2norm_forward(struct kern *kn UNUSED, float *y, float *r, const float *u, size_t n,
                       size_t d)
{
    for (size_t i = 0; i < n; i++, u += d, y += d) {
        double ss = 0;
        for (size_t j = 0; j < d; j++)
            ss += (double)u[j] * u[j];
        double scale = 1 / sqrt(fmax(ss, KERN_NORM_EPS));
        if (ss != ss) /* fmax would hide it */
            scale = ss;
        r[i] = (float)scale;
        for (size_t j = 0; j < d; j++)
            y[j] = (float)(u[j] * scale);
    }
    return 0;
}

int ref_l2norm_backward(struct kern *kn UNUSED, float *du, const float *dy, const float *y,
                        const float *r, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++, du += d, dy += d, y += d) {
        double along = 0;
        for (size_t j = 0; j < d; j++)
            along += (double)y[j] * dy[j];
        for (size_t j = 0; j < d; j++)
            du[j] = (float)(r[i] * (dy[j] - y[j] * along));
    }
    return 0;
}

int ref_copy_rows(struct kern *kn UNUSED, float *dst, const int32_t *dst_row, const float *src,
                  const int32_t *src_row, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        int64_t to = dst_row ? dst_row[i] : (int64_t)i, from = src_row ? src_row[i] : (int64_t)i;
        if (to >= 0 && from >= 0)
            memcpy(dst + (size_t)to * d, src + (size_t)from * d, d * sizeof(*dst));
    }
    return 0;
}
