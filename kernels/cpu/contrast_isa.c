/*
 * contrast_isa.c - the contrastive loss by anchors: each task owns some rows of o and of every
 * output.
 *
 * Floor: (1 + ne) rows of d floats gathered an anchor, a pair and a pass; below one per cent of a
 * step.
 */
#include <math.h>

#include "kernels/cpu/vec.h"

enum { ANCHORS = 32 };

struct job {
    const struct kern_contrast *ct;
    float *p, *loss, *do_;
    const float *g;
};

static const float *candidate(const struct kern_contrast *ct, size_t b, size_t i)
{
    if (i > 0)
        return ct->t + (size_t)ct->neg[b * ct->ne + i - 1] * ct->d;
    return ct->bank + (ct->pos ? (size_t)ct->pos[b] : b) * ct->d;
}

static void forward(const struct job *j, size_t b)
{
    const struct kern_contrast *ct = j->ct;
    float *p = j->p + b * (ct->ne + 1), most = -INFINITY, first;
    double sum = 0;
    j->loss[b] = 0;
    for (size_t i = 0; i <= ct->ne; i++)
        p[i] = 0;
    if (ct->pos && ct->pos[b] < 0)
        return;
    for (size_t i = 0; i <= ct->ne; i++) {
        p[i] = vec_dot(ct->o + b * ct->d, candidate(ct, b, i), ct->d) / ct->tau;
        most = p[i] > most ? p[i] : most;
    }
    first = p[0];
    for (size_t i = 0; i <= ct->ne; i++) {
        p[i] = expf(p[i] - most);
        sum += p[i];
    }
    j->loss[b] = (float)(log(sum) + ((double)most - first));
    for (size_t i = 0; i <= ct->ne; i++)
        p[i] = (float)(p[i] / sum);
}

static void backward(const struct job *j, size_t b)
{
    const struct kern_contrast *ct = j->ct;
    float *restrict out = j->do_ + b * ct->d, inverse = 1 / ct->tau;
    if (ct->pos && ct->pos[b] < 0)
        return;
    for (size_t i = 0; i <= ct->ne; i++) {
        const float *restrict from = candidate(ct, b, i);
        float g = j->g[b * (ct->ne + 1) + i] * inverse;
        for (size_t k = 0; k < ct->d; k++)
            out[k] += g * from[k];
    }
}

static int task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    for (size_t b = i * ANCHORS; b < MIN(j->ct->n, (i + 1) * ANCHORS); b++)
        if (j->g)
            backward(j, b);
        else
            forward(j, b);
    return 0;
}

static int contrast_forward(struct kern *kn, const struct kern_contrast *ct, float *p, float *loss)
{
    struct job j = { .ct = ct, .p = p, .loss = loss };
    return pool_run(kn->pool, (ct->n + ANCHORS - 1) / ANCHORS, task, &j);
}

static int contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                             const float *g)
{
    struct job j = { .ct = ct, .do_ = do_, .g = g };
    return pool_run(kn->pool, (ct->n + ANCHORS - 1) / ANCHORS, task, &j);
}

void ISA(cpu_set_contrast)(struct kern_ops *o);
void ISA(cpu_set_contrast)(struct kern_ops *o)
{
    o->contrast_forward =
        contrast_forward; /* contrast_grad and kl touch 1 + ne floats an anchor: ref/ will do */
    o->contrast_backward = contrast_backward;
}
