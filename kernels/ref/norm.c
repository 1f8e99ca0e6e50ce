/*
 * norm.c - the definition of batch normalisation (Ioffe and Szegedy, arXiv 1502.03167).
 */
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

int ref_bn_finalise(struct kern *kn UNUSED, const struct kern_bn *bn, size_t c)
{
    for (size_t i = 0; i < kern_bn_groups(bn->groups) * c; i++) {
        size_t j = i % c;
        double r = 1 / sqrt((double)bn->var[i] + KERN_BN_EPS);
        bn->scale[i] = (float)(bn->gamma[j] * r);
        bn->shift[i] = (float)(bn->beta[j] - bn->mean[i] * bn->gamma[j] * r);
        if (bn->rstd)
            bn->rstd[i] = (float)r;
        if (bn->running_mean) {
            bn->running_mean[j] += bn->weight[i / c] * (bn->mean[i] - bn->running_mean[j]);
            bn->running_var[j] += bn->weight[i / c] * (bn->var[i] - bn->running_var[j]);
        }
    }
    return 0;
}

int ref_bn_stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn, const void *x,
                 size_t rows, size_t c)
{
    for (size_t channel = 0; channel < kern_bn_groups(bn->groups) * c; channel++) {
        size_t first = channel / c * rows * c + channel % c;
        double sum = 0, square = 0;
        for (size_t i = 0; i < rows; i++)
            sum += kern_load(type, x, first + i * c);
        for (size_t i = 0; i < rows; i++) {
            double d = kern_load(type, x, first + i * c) - sum / (double)rows;
            square += d * d;
        }
        bn->mean[channel] = (float)(sum / (double)rows);
        bn->var[channel] = (float)(square / (double)rows);
    }
    return bn->scale ? ref_bn_finalise(kn, bn, c) : 0;
}

/* That of number i, [groups][c]. */
static size_t channel_of(size_t i, size_t rows, size_t c)
{
    return i / (rows * c) * c + i % c;
}

int ref_bn_forward(struct kern *kn UNUSED, const struct kern_bn_forward *f)
{
    size_t n = kern_bn_groups(f->groups) * f->rows * f->c;
    if (f->above)
        memset(f->above, 0, kern_above_bytes(n));
    for (size_t i = 0; i < n; i++) {
        size_t channel = channel_of(i, f->rows, f->c);
        float v = kern_load(f->type, f->x, i) * f->scale[channel] + f->shift[channel];
        if (f->residual)
            v += kern_load(f->type, f->residual, i);
        kern_store(f->type, f->y, i, f->relu && v < 0 ? 0 : v);
        if (f->above && kern_load(f->type, f->y, i) > 0)
            f->above[i / 8] |= (uint8_t)(1 << i % 8);
    }
    return 0;
}

static double masked(const struct kern_bn_backward *b, size_t i)
{
    size_t channel = channel_of(i, b->rows, b->c);
    bool through = true;
    if (b->relu && b->above)
        through = b->above[i / 8] >> i % 8 & 1;
    else if (b->relu)
        through = kern_load(b->type, b->x, i) * b->scale[channel] + b->shift[channel] > 0;
    return through ? kern_load(b->type, b->dy, i) : 0;
}

int ref_bn_backward(struct kern *kn UNUSED, const struct kern_bn_backward *b)
{
    for (size_t channel = 0; channel < kern_bn_groups(b->groups) * b->c; channel++) {
        size_t j = channel % b->c, first = channel / b->c * b->rows * b->c + j;
        double sum = 0, product = 0, n = (double)b->rows;
        for (size_t i = first; i < first + b->rows * b->c; i += b->c) {
            double xh = ((double)kern_load(b->type, b->x, i) - b->mean[channel]) * b->rstd[channel];
            sum += masked(b, i);
            product += masked(b, i) * xh;
        }
        b->dbeta[j] += (float)sum;
        b->dgamma[j] += (float)product;
        for (size_t i = first; i < first + b->rows * b->c; i += b->c) {
            double xh = ((double)kern_load(b->type, b->x, i) - b->mean[channel]) * b->rstd[channel],
                   g = masked(b, i);
            if (b->dresidual)
                kern_store(b->type, b->dresidual, i,
                           (float)(b->residual_add ? kern_load(b->type, b->dresidual, i) + g : g));
            kern_store(
                b->type, b->dx, i,
                (float)((double)b->gamma[j] * b->rstd[channel] * (g - sum / n - xh * product / n)));
        }
    }
    return 0;
}
