/*
 * conv.c - convolution and its two gradients by their definition: one sum in double for every
 * number that comes out.
 */
#include "kernels/ref/ref.h"
#include <errno.h>
#include <math.h>
#include <string.h>

size_t ref_conv_packed(struct kern *kn UNUSED, const struct kern_conv *cv)
{
    return cv->k * cv->c * cv->kh * cv->kw * sizeof(float);
}

/* Packed weights are the weights. */
int ref_conv_pack(struct kern *kn, const struct kern_conv_weights *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memcpy(list[i].packed, list[i].w, ref_conv_packed(kn, &list[i].cv));
    return 0;
}

/* Where output cell o looks at tap t of an axis: the input cell, or false outside of size. */
static bool input_cell(const struct kern_conv *cv, size_t o, size_t t, size_t pad, size_t size,
                       size_t *i)
{
    *i = o * cv->stride + t - pad; /* wraps far above size if negative */
    return *i < size;
}

static double forward_at(const struct kern_conv *cv, const void *x, const float *w, size_t n,
                         size_t p, size_t q, size_t k)
{
    double sum = 0;
    size_t i, j;
    for (size_t r = 0; r < cv->kh; r++) {
        if (!input_cell(cv, p, r, cv->pad_top, cv->h, &i))
            continue;
        for (size_t s = 0; s < cv->kw; s++) {
            if (!input_cell(cv, q, s, cv->pad_left, cv->w, &j))
                continue;
            size_t at = ((n * cv->h + i) * cv->w + j) * cv->c;
            for (size_t c = 0; c < cv->c; c++)
                sum += (double)kern_load(cv->type, x, at + c) *
                       (double)w[((k * cv->c + c) * cv->kh + r) * cv->kw + s];
        }
    }
    return sum;
}

/* Mean and biased variance of each channel, from the sums [k][2] of y and its square. */
static void channel_stats(const struct kern_conv *cv, const double (*sums)[2],
                          const struct kern_bn *bn)
{
    double rows = (double)(cv->n * cv->oh * cv->ow);
    for (size_t k = 0; k < cv->k; k++) {
        double mean = sums[k][0] / rows;
        bn->mean[k] = (float)mean;
        bn->var[k] = (float)fmax(sums[k][1] / rows - mean * mean, 0);
    }
}

int ref_conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                     const void *packed, const struct kern_epilogue *ep)
{
    double(*sums)[2] = kern_shared(kn, cv->k * sizeof *sums);
    if (!sums)
        return -ENOMEM;
    memset(sums, 0, cv->k * sizeof *sums);
    size_t at = 0;
    for (size_t n = 0; n < cv->n; n++)
        for (size_t p = 0; p < cv->oh; p++)
            for (size_t q = 0; q < cv->ow; q++)
                for (size_t k = 0; k < cv->k; k++, at++) {
                    double v = forward_at(cv, x, packed, n, p, q, k);
                    if (ep->scale)
                        v = v * ep->scale[k] + ep->shift[k];
                    if (ep->residual)
                        v += kern_load(cv->type, ep->residual, at);
                    if (ep->relu && v < 0)
                        v = 0;
                    sums[k][0] += v;
                    sums[k][1] += v * v;
                    kern_store(cv->type, y, at, (float)v);
                }
    if (ep->bn)
        channel_stats(cv, (const double(*)[2])sums, ep->bn);
    return ep->bn && ep->bn->scale ? ref_bn_finalise(kn, ep->bn, cv->k) : 0;
}

/* Which output cell sees input cell i through tap t: p with p * stride + t - pad = i. */
static bool output_cell(const struct kern_conv *cv, size_t i, size_t t, size_t pad, size_t size,
                        size_t *p)
{
    if (i + pad < t || (i + pad - t) % cv->stride != 0)
        return false;
    *p = (i + pad - t) / cv->stride;
    return *p < size;
}

static double backward_at(const struct kern_conv *cv, const void *dy, const float *w, size_t n,
                          size_t i, size_t j, size_t c)
{
    double sum = 0;
    size_t p, q;
    for (size_t r = 0; r < cv->kh; r++) {
        if (!output_cell(cv, i, r, cv->pad_top, cv->oh, &p))
            continue;
        for (size_t s = 0; s < cv->kw; s++) {
            if (!output_cell(cv, j, s, cv->pad_left, cv->ow, &q))
                continue;
            size_t at = ((n * cv->oh + p) * cv->ow + q) * cv->k;
            for (size_t k = 0; k < cv->k; k++)
                sum += (double)kern_load(cv->type, dy, at + k) *
                       (double)w[((k * cv->c + c) * cv->kh + r) * cv->kw + s];
        }
    }
    return sum;
}

int ref_conv_backward_data(struct kern *kn UNUSED, const struct kern_conv *cv, void *dx,
                           const void *dy, const void *packed, bool add)
{
    size_t at = 0;
    for (size_t n = 0; n < cv->n; n++)
        for (size_t i = 0; i < cv->h; i++)
            for (size_t j = 0; j < cv->w; j++)
                for (size_t c = 0; c < cv->c; c++, at++) {
                    double v = backward_at(cv, dy, packed, n, i, j, c);
                    if (add)
                        v += kern_load(cv->type, dx, at);
                    kern_store(cv->type, dx, at, (float)v);
                }
    return 0;
}

static double weight_at(const struct kern_conv *cv, const void *x, const void *dy, size_t k,
                        size_t c, size_t r, size_t s)
{
    double sum = 0;
    size_t i, j;
    for (size_t n = 0; n < cv->n; n++)
        for (size_t p = 0; p < cv->oh; p++) {
            if (!input_cell(cv, p, r, cv->pad_top, cv->h, &i))
                continue;
            for (size_t q = 0; q < cv->ow; q++)
                if (input_cell(cv, q, s, cv->pad_left, cv->w, &j))
                    sum +=
                        (double)kern_load(cv->type, x, ((n * cv->h + i) * cv->w + j) * cv->c + c) *
                        (double)kern_load(cv->type, dy,
                                          ((n * cv->oh + p) * cv->ow + q) * cv->k + k);
        }
    return sum;
}

int ref_conv_backward_weights(struct kern *kn UNUSED, const struct kern_conv *cv, float *dw,
                              const void *x, const void *dy)
{
    for (size_t k = 0; k < cv->k; k++)
        for (size_t c = 0; c < cv->c; c++)
            for (size_t r = 0; r < cv->kh; r++)
                for (size_t s = 0; s < cv->kw; s++, dw++)
                    *dw = (float)(*dw + weight_at(cv, x, dy, k, c, r, s));
    return 0;
}
