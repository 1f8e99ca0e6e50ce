/*
 * contrast.c - the definition of the contrastive loss with sampled negatives, and of the invariance
 * term.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

static bool has_positive(const int32_t *pos, size_t b)
{
    return !pos || pos[b] >= 0;
}

/* The image of score i of image b: itself, or a negative; -1 for none. */
static int64_t image(const struct kern_contrast *ct, size_t b, size_t i)
{
    return i == 0 ? (int64_t)b : ct->neg[b * ct->ne + i - 1];
}

/* The row of o in a score ... */
static int64_t row(const struct kern_contrast *ct, size_t b, size_t i)
{
    return ct->target_anchored ? image(ct, b, i) : (int64_t)b;
}

/* ... and the vector it meets. */
static const float *other(const struct kern_contrast *ct, size_t b, size_t i)
{
    if (i > 0 && !ct->target_anchored)
        return ct->t + (size_t)image(ct, b, i) * ct->d;
    return ct->bank + (ct->pos ? (size_t)ct->pos[b] : b) * ct->d;
}

static double score(const struct kern_contrast *ct, size_t b, size_t i)
{
    double dot = 0;
    if (image(ct, b, i) < 0)
        return -INFINITY;
    for (size_t j = 0; j < ct->d; j++)
        dot += (double)ct->o[(size_t)row(ct, b, i) * ct->d + j] * other(ct, b, i)[j];
    return dot / ct->tau;
}

int ref_contrast_forward(struct kern *kn UNUSED, const struct kern_contrast *ct, float *p,
                         float *loss)
{
    for (size_t b = 0; b < ct->n; b++, p += ct->ne + 1) {
        double most = -INFINITY, sum = 0;
        if (!has_positive(ct->pos, b)) {
            loss[b] = 0;
            memset(p, 0, (ct->ne + 1) * sizeof(*p));
            continue;
        }
        for (size_t i = 0; i <= ct->ne; i++)
            most = fmax(most, score(ct, b, i));
        for (size_t i = 0; i <= ct->ne; i++)
            sum += exp(score(ct, b, i) - most);
        loss[b] = (float)(most + log(sum) - score(ct, b, 0));
        for (size_t i = 0; i <= ct->ne; i++)
            p[i] = (float)(exp(score(ct, b, i) - most) / sum);
    }
    return 0;
}

int ref_contrast_backward(struct kern *kn UNUSED, const struct kern_contrast *ct, float *do_,
                          const float *g)
{
    for (size_t r = 0; r < ct->n; r++) {
        for (size_t j = 0; j < ct->d; j++) {
            double sum = 0;
            for (size_t b = 0; b < ct->n; b++)
                for (size_t i = 0; i <= ct->ne && has_positive(ct->pos, b); i++)
                    if (row(ct, b, i) == (int64_t)r && image(ct, b, i) >= 0)
                        sum += (double)g[b * (ct->ne + 1) + i] * other(ct, b, i)[j];
            do_[r * ct->d + j] += (float)(sum / ct->tau);
        }
    }
    return 0;
}

int ref_contrast_grad(struct kern *kn UNUSED, float *g, const float *p, const int32_t *pos,
                      const float *weight, size_t n, size_t ne)
{
    for (size_t b = 0; b < n; b++)
        for (size_t i = 0; i <= ne; i++) {
            size_t at = b * (ne + 1) + i;
            g[at] = has_positive(pos, b) ? *weight * (p[at] - (i == 0)) : 0;
        }
    return 0;
}

int ref_kl(struct kern *kn UNUSED, float *kl, float *g, const float *p, const float *q,
           const int32_t *pos, const float *weight, size_t n, size_t ne)
{
    for (size_t b = 0; b < n; b++) {
        double sum = 0;
        for (size_t i = 0; i <= ne && has_positive(pos, b); i++) {
            size_t at = b * (ne + 1) + i;
            if (p[at] != 0) /* q is a softmax: 0 only by underflow */
                sum += p[at] * log((double)p[at] / (q[at] == 0 ? FLT_MIN : q[at]));
            g[at] += *weight * (q[at] - p[at]);
        }
        kl[b] = (float)sum;
    }
    return 0;
}
