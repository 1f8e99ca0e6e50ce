/*
 * contrast.c - the contrastive loss in parallel over images; every image, and every row of the
 * gradient, is a sum of its own.
 *
 * Cost of a pair of views: (1 + ne) n d multiply-adds each way, with rows gathered from t, or from
 * o and bank. No n x n matrix is made.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/contrast.h"

enum { IMAGES = 16 }; /* of a task */

struct job {
    struct kern *kn;
    const struct cpu_contrast *inner;
    const struct kern_contrast *ct;
    float *p, *loss, *do_;
    const float *g;
    struct cpu_part *part; /* anchored at the target: those of row 0, of row 1, ... */
    size_t *end;           /* [n] where those of a row end */
};

static bool has_positive(const int32_t *pos, size_t b)
{
    return !pos || pos[b] >= 0;
}

static int run(struct kern *kn, size_t n, int (*task)(void *arg, size_t i, int worker), void *arg)
{
    return pool_run(kn->pool, (n + IMAGES - 1) / IMAGES, task, arg);
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
    for (size_t b = i * IMAGES; b < MIN(ct->n, (i + 1) * IMAGES); b++) {
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

/* Which scores of image b there are: the positive, and then its negatives. */
static bool there(const struct kern_contrast *ct, size_t b, size_t k)
{
    return has_positive(ct->pos, b) && cpu_image(ct, b, k) >= 0;
}

static struct cpu_part part_of(const struct job *j, size_t b, size_t k)
{
    return (struct cpu_part){ cpu_other(j->ct, b, k), j->g[b * (j->ct->ne + 1) + k] };
}

/* Anchored at o: the parts of a row are the scores of its image. */
static int own_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct kern_contrast *ct = j->ct;
    struct cpu_part *part = kern_scratch_of(j->kn, worker);
    for (size_t b = i * IMAGES; b < MIN(ct->n, (i + 1) * IMAGES); b++) {
        size_t n = 0;
        for (size_t k = 0; k <= ct->ne; k++)
            if (there(ct, b, k))
                part[n++] = part_of(j, b, k);
        if (n > 0)
            j->inner->gather(j->do_ + b * ct->d, part, n, ct->d, ct->tau);
    }
    return 0;
}

/* Anchored at the target: a row has parts in the scores of many images. */
static int row_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_contrast *ct = j->ct;
    for (size_t r = i * IMAGES; r < MIN(ct->n, (i + 1) * IMAGES); r++) {
        size_t first = r > 0 ? j->end[r - 1] : 0;
        if (first < j->end[r])
            j->inner->gather(j->do_ + r * ct->d, j->part + first, j->end[r] - first, ct->d,
                             ct->tau);
    }
    return 0;
}

/* All parts by counting sort: within a row in the order of images, then of scores. */
static void sort_by_row(const struct job *j)
{
    const struct kern_contrast *ct = j->ct;
    size_t sum = 0;
    memset(j->end, 0, ct->n * sizeof(*j->end));
    for (size_t b = 0; b < ct->n; b++)
        for (size_t k = 0; k <= ct->ne; k++)
            if (there(ct, b, k))
                j->end[cpu_row(ct, b, k)]++;
    for (size_t r = 0; r < ct->n; r++) { /* for now where the row begins */
        size_t count = j->end[r];
        j->end[r] = sum;
        sum += count;
    }
    for (size_t b = 0; b < ct->n; b++)
        for (size_t k = 0; k <= ct->ne; k++)
            if (there(ct, b, k))
                j->part[j->end[cpu_row(ct, b, k)]++] = part_of(j, b, k);
}

static int cpu_contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                                 const float *g)
{
    struct job j = { .kn = kn, .inner = ISA_BEST(kn, cpu_contrast), .ct = ct, .do_ = do_, .g = g };
    size_t parts = ct->ne + 1;
    if (!ct->target_anchored)
        return kern_scratch(kn, parts * sizeof(*j.part)) < 0 ? -ENOMEM
                                                             : run(kn, ct->n, own_task, &j);
    parts *= ct->n;
    j.part = kern_shared(kn, parts * sizeof(*j.part) + ct->n * sizeof(*j.end));
    if (!j.part)
        return -ENOMEM;
    j.end = (size_t *)(j.part + parts);
    sort_by_row(&j);
    return run(kn, ct->n, row_task, &j);
}

struct kl {
    float *kl, *g;
    const float *p, *q;
    const int32_t *pos;
    const float *weight;
    size_t n, ne;
};

static int kl_task(void *arg, size_t i, int worker UNUSED)
{
    const struct kl *j = arg;
    for (size_t b = i * IMAGES; b < MIN(j->n, (i + 1) * IMAGES); b++) {
        const float *p = j->p + b * (j->ne + 1), *q = j->q + b * (j->ne + 1);
        float *g = j->g + b * (j->ne + 1);
        double sum = 0;
        for (size_t k = 0; k <= j->ne && has_positive(j->pos, b); k++) {
            if (p[k] != 0) /* q is a softmax: 0 only by underflow */
                sum += p[k] * log((double)p[k] / (q[k] == 0 ? FLT_MIN : q[k]));
            g[k] += *j->weight * (q[k] - p[k]);
        }
        j->kl[b] = (float)sum;
    }
    return 0;
}

static int cpu_kl(struct kern *kn, float *kl, float *g, const float *p, const float *q,
                  const int32_t *pos, const float *weight, size_t n, size_t ne)
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
