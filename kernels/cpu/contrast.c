/*
 * contrast.c - the contrastive loss in parallel over anchors; every anchor is a sum of its own.
 *
 * Cost of a pair of views: (1 + ne) n d multiply-adds each way, with rows gathered from t. No n x n
 * matrix is made.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/contrast.h"

enum { ANCHORS = 16 }; /* of a task */

struct job {
    struct kern *kn;
    const struct cpu_contrast *inner;
    const struct kern_contrast *ct;
    float *p, *loss, *do_;
    const float *g;
};

static bool has_positive(const int32_t *pos, size_t b)
{
    return !pos || pos[b] >= 0;
}

static int run(struct kern *kn, size_t n, int (*task)(void *arg, size_t i, int worker), void *arg)
{
    return pool_run(kn->pool, (n + ANCHORS - 1) / ANCHORS, task, arg);
}

/* Scores into the softmax, in place; returns -log of its first. */
static double softmax(double *s, size_t n)
{
    double most = s[0], first = s[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = s[i] > most ? s[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += s[i] = exp(s[i] - most);
    for (size_t i = 0; i < n; i++)
        s[i] /= sum;
    return most + log(sum) - first;
}

static int forward_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct kern_contrast *ct = j->ct;
    double *s = kern_scratch_of(j->kn, worker);
    for (size_t b = i * ANCHORS; b < MIN(ct->n, (i + 1) * ANCHORS); b++) {
        float *p = j->p + b * (ct->ne + 1);
        j->loss[b] = 0;
        memset(p, 0, (ct->ne + 1) * sizeof(*p));
        if (!has_positive(ct->pos, b))
            continue;
        j->inner->scores(ct, s, b);
        j->loss[b] = (float)softmax(s, ct->ne + 1);
        for (size_t k = 0; k <= ct->ne; k++)
            p[k] = (float)s[k];
    }
    return 0;
}

static int cpu_contrast_forward(struct kern *kn, const struct kern_contrast *ct, float *p,
                                float *loss)
{
    struct job j = {
        .kn = kn, .inner = ISA_BEST(kn, cpu_contrast), .ct = ct, .p = p, .loss = loss
    };
    if (kern_scratch(kn, (ct->ne + 1) * sizeof(double)) < 0)
        return -ENOMEM;
    return run(kn, ct->n, forward_task, &j);
}

static int backward_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_contrast *ct = j->ct;
    for (size_t b = i * ANCHORS; b < MIN(ct->n, (i + 1) * ANCHORS); b++)
        if (has_positive(ct->pos, b))
            j->inner->gather(ct, j->do_ + b * ct->d, j->g + b * (ct->ne + 1), b);
    return 0;
}

static int cpu_contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                                 const float *g)
{
    struct job j = { .kn = kn, .inner = ISA_BEST(kn, cpu_contrast), .ct = ct, .do_ = do_, .g = g };
    return run(kn, ct->n, backward_task, &j);
}

struct kl {
    float *kl, *g;
    const float *p, *q;
    const int32_t *pos;
    float weight;
    size_t n, ne;
};

static int kl_task(void *arg, size_t i, int worker UNUSED)
{
    const struct kl *j = arg;
    for (size_t b = i * ANCHORS; b < MIN(j->n, (i + 1) * ANCHORS); b++) {
        const float *p = j->p + b * (j->ne + 1), *q = j->q + b * (j->ne + 1);
        float *g = j->g + b * (j->ne + 1);
        double sum = 0;
        for (size_t k = 0; k <= j->ne && has_positive(j->pos, b); k++) {
            if (p[k] != 0) /* q is a softmax: 0 only by underflow */
                sum += p[k] * log((double)p[k] / (q[k] == 0 ? FLT_MIN : q[k]));
            g[k] += j->weight * (q[k] - p[k]);
        }
        j->kl[b] = (float)sum;
    }
    return 0;
}

static int cpu_kl(struct kern *kn, float *kl, float *g, const float *p, const float *q,
                  const int32_t *pos, float weight, size_t n, size_t ne)
{
    struct kl j = { kl, g, p, q, pos, weight, n, ne };
    return run(kn, n, kl_task, &j);
}

/* contrast_grad, a subtraction a score, stays as defined. */
void cpu_init_contrast(struct kern_ops *o, unsigned isa UNUSED)
{
    o->contrast_forward = cpu_contrast_forward;
    o->contrast_backward = cpu_contrast_backward;
    o->kl = cpu_kl;
}
