/*
 * optim.c - the definition of LARS (You et al., arXiv 1708.03888, as in BYOL's optimizers.py) and
 * of the target's average.
 */
#include <math.h>

#include "kernels/ref/ref.h"

static double norm(const float *x, size_t n, const float *y, double factor)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double v = x[i] + factor * (y ? y[i] : 0);
        sum += v * v;
    }
    return sqrt(sum);
}

int ref_lars(struct kern *kn UNUSED, const struct kern_lars *l)
{
    for (size_t s = 0; s < l->nseg; s++) {
        const struct kern_segment *seg = &l->seg[s];
        float *w = l->w + seg->offset, *v = l->v + seg->offset;
        const float *grad = l->grad + seg->offset;
        double wd = seg->excluded ? 0 : l->wd, ratio = 1;
        if (!seg->excluded) {
            double nw = norm(w, seg->count, NULL, 0), ng = norm(grad, seg->count, w, wd);
            ratio = nw > 0 && ng > 0 ? l->eta * nw / ng : 1;
        }
        for (size_t i = 0; i < seg->count; i++) {
            v[i] = (float)(l->mu * v[i] + ratio * (grad[i] + wd * w[i]));
            w[i] -= l->lr * v[i];
            if (seg->offset + i < l->ntarget)
                l->xi[seg->offset + i] += (1 - l->gamma) * (w[i] - l->xi[seg->offset + i]);
        }
    }
    return 0;
}

int ref_norm(struct kern *kn UNUSED, double *out, const float *x, size_t n)
{
    *out = norm(x, n, NULL, 0);
    return 0;
}
