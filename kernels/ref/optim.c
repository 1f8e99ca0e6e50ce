/*
 * optim.c - the definition of the optimisers and of the target's average: LARS (You et al., arXiv
 * 1708.03888, as in BYOL's optimizers.py), gradient descent with momentum, AdamW.
 */
#include <math.h>

#include "kernels/ref/ref.h"

/* Of a*x + b*y; y may be NULL. */
static double norm(double a, const float *x, size_t n, double b, const float *y)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double v = a * x[i] + b * (y ? y[i] : 0);
        sum += v * v;
    }
    return sqrt(sum);
}

/* What LARS multiplies a segment's gradient by. */
static double ratio_of(const struct kern_update *u, const struct kern_segment *seg)
{
    const float *w = u->w + seg->offset;
    if (u->rule != KERN_LARS || seg->excluded)
        return 1;
    double nw = norm(1, w, seg->count, 0, NULL);
    double ng = norm(u->grad_factor, u->grad + seg->offset, seg->count, u->wd, w);
    return nw > 0 && ng > 0 ? u->eta * nw / ng : 1;
}

static double grad_of(const struct kern_update *u, size_t i)
{
    return (double)u->grad_factor * u->grad[i];
}

static void momentum(const struct kern_update *u, size_t i, double wd, double ratio)
{
    u->v[i] = (float)(u->mu * u->v[i] + ratio * (grad_of(u, i) + wd * u->w[i]));
    u->w[i] -= u->lr * u->v[i];
}

static void adamw(const struct kern_update *u, size_t i, double wd)
{
    double g = grad_of(u, i), mu = u->mu;
    u->v[i] = (float)(mu * u->v[i] + (1 - mu) * g);
    u->s[i] = (float)(u->beta2 * u->s[i] + (1 - u->beta2) * g * g);
    double mean = u->v[i] / (1 - pow(mu, (double)u->t));
    double square = u->s[i] / (1 - pow(u->beta2, (double)u->t));
    u->w[i] -= (float)(u->lr * (mean / (sqrt(square) + KERN_ADAMW_EPS) + wd * u->w[i]));
}

int ref_update(struct kern *kn UNUSED, const struct kern_update *u)
{
    for (size_t s = 0; s < u->nseg; s++) {
        const struct kern_segment *seg = &u->seg[s];
        double wd = seg->excluded ? 0 : u->wd, ratio = ratio_of(u, seg);
        for (size_t i = seg->offset; i < seg->offset + seg->count; i++) {
            if (u->rule == KERN_ADAMW)
                adamw(u, i, wd);
            else
                momentum(u, i, wd, ratio);
            if (i < u->ntarget)
                u->xi[i] += (1 - u->gamma) * (u->w[i] - u->xi[i]);
        }
    }
    return 0;
}

int ref_norm(struct kern *kn UNUSED, double *out, const float *x, size_t n)
{
    *out = norm(1, x, n, 0, NULL);
    return 0;
}
