/*
 * norm.c - the definition of batch normalisation (Ioffe and Szegedy, arXiv 1502.03167).
 */
#include <math.h>

#include "kernels/ref/ref.h"

int ref_bn_stats(struct kern *kn UNUSED, enum kern_type type, float *mean, float *var,
                 const void *x, size_t rows, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < rows; i++)
            sum += kern_load(type, x, i * c + j);
        for (size_t i = 0; i < rows; i++) {
            double d = kern_load(type, x, i * c + j) - sum / (double)rows;
            square += d * d;
        }
        mean[j] = (float)(sum / (double)rows);
        var[j] = (float)(square / (double)rows);
    }
    return 0;
}

int ref_bn_finalise(struct kern *kn UNUSED, float *scale, float *shift, float *rstd,
                    const float *mean, const float *var, const float *gamma, const float *beta,
                    float *running_mean, float *running_var, const float *weight, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        double r = 1 / sqrt((double)var[j] + KERN_BN_EPS);
        scale[j] = (float)(gamma[j] * r);
        shift[j] = (float)(beta[j] - mean[j] * gamma[j] * r);
        if (rstd)
            rstd[j] = (float)r;
        if (running_mean) {
            running_mean[j] += *weight * (mean[j] - running_mean[j]);
            running_var[j] += *weight * (var[j] - running_var[j]);
        }
    }
    return 0;
}

int ref_bn_forward(struct kern *kn UNUSED, enum kern_type type, void *y, const void *x,
                   const void *residual, const float *scale, const float *shift, size_t rows,
                   size_t c, bool relu)
{
    for (size_t i = 0; i < rows * c; i++) {
        float v = kern_load(type, x, i) * scale[i % c] + shift[i % c];
        if (residual)
            v += kern_load(type, residual, i);
        kern_store(type, y, i, relu && v < 0 ? 0 : v);
    }
    return 0;
}

static double masked(const struct kern_bn_backward *b, size_t i)
{
    float y = 1;
    if (b->relu && b->y)
        y = kern_load(b->type, b->y, i);
    else if (b->relu)
        y = kern_load(b->type, b->x, i) * b->scale[i % b->c] + b->shift[i % b->c];
    return y > 0 ? kern_load(b->type, b->dy, i) : 0;
}

int ref_bn_backward(struct kern *kn UNUSED, const struct kern_bn_backward *b)
{
    for (size_t j = 0; j < b->c; j++) {
        double sum = 0, product = 0, n = (double)b->rows;
        for (size_t i = j; i < b->rows * b->c; i += b->c) {
            double xh = ((double)kern_load(b->type, b->x, i) - b->mean[j]) * b->rstd[j];
            sum += masked(b, i);
            product += masked(b, i) * xh;
        }
        b->dbeta[j] += (float)sum;
        b->dgamma[j] += (float)product;
        for (size_t i = j; i < b->rows * b->c; i += b->c) {
            double xh = ((double)kern_load(b->type, b->x, i) - b->mean[j]) * b->rstd[j],
                   g = masked(b, i);
            if (b->dresidual)
                kern_store(b->type, b->dresidual, i,
                           (float)(b->residual_add ? kern_load(b->type, b->dresidual, i) + g : g));
            kern_store(
                b->type, b->dx, i,
                (float)((double)b->gamma[j] * b->rstd[j] * (g - sum / n - xh * product / n)));
        }
    }
    return 0;
}
