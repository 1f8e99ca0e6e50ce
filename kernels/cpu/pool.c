/*
 * pool.c - pooling in parallel: rows of the output, or whole images where windows overlap in the
 * result. Bound by memory.
 */
#include "kernels/cpu/pool.h"

struct job {
    const struct cpu_pool *inner;
    const struct kern_maxpool *mp;
    const struct kern_avgpool2 *ap;
    enum kern_type type;
    void *to;
    const void *from, *x;
    size_t cells, c;
};

/* -- maximum ------------------------------------------------------------------------------- */

static int max_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_maxpool *mp = j->mp;
    size_t image = i / mp->oh;
    j->inner->max_row(mp, cpu_at(mp->type, j->to, i * mp->ow * mp->c),
                      cpu_at(mp->type, j->from, image * mp->h * mp->w * mp->c), i % mp->oh);
    return 0;
}

static int cpu_maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y,
                               const void *x)
{
    struct job j = { .inner = ISA_BEST(kn, cpu_pool), .mp = mp, .to = y, .from = x };
    return pool_run(kn->pool, mp->n * mp->oh, max_task, &j);
}

static int max_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_maxpool *mp = j->mp;
    size_t plane = mp->h * mp->w * mp->c;
    j->inner->max_back(mp, cpu_at(mp->type, j->to, i * plane),
                       cpu_at(mp->type, j->from, i * mp->oh * mp->ow * mp->c),
                       cpu_at(mp->type, j->x, i * plane));
    return 0;
}

static int cpu_maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx,
                                const void *dy, const void *x, const void *y)
{
    if (mp->side > 4096) /* cells of a window are counted in 32 bits */
        return ref_maxpool_backward(kn, mp, dx, dy, x, y);
    struct job j = { .inner = ISA_BEST(kn, cpu_pool), .mp = mp, .to = dx, .from = dy, .x = x };
    return pool_run(kn->pool, mp->n, max_back_task, &j);
}

/* -- mean of 2 x 2 windows ----------------------------------------------------------------- */

static size_t mean2_rows(const struct kern_avgpool2 *ap)
{
    return (ap->h + ap->stride - 1) / ap->stride;
}

static size_t mean2_columns(const struct kern_avgpool2 *ap)
{
    return (ap->w + ap->stride - 1) / ap->stride;
}

static int mean2_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_avgpool2 *ap = j->ap;
    size_t image = i / mean2_rows(ap);
    j->inner->mean2_row(ap, cpu_at(ap->type, j->to, i * mean2_columns(ap) * ap->c),
                        cpu_at(ap->type, j->from, image * ap->h * ap->w * ap->c),
                        i % mean2_rows(ap));
    return 0;
}

static int cpu_avgpool2_forward(struct kern *kn, const struct kern_avgpool2 *ap, void *y,
                                const void *x)
{
    struct job j = { .inner = ISA_BEST(kn, cpu_pool), .ap = ap, .to = y, .from = x };
    return pool_run(kn->pool, ap->n * mean2_rows(ap), mean2_task, &j);
}

static int mean2_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_avgpool2 *ap = j->ap;
    size_t plane = mean2_rows(ap) * mean2_columns(ap) * ap->c;
    j->inner->mean2_back_row(ap, cpu_at(ap->type, j->to, i * ap->w * ap->c),
                             cpu_at(ap->type, j->from, i / ap->h * plane), i % ap->h);
    return 0;
}

static int cpu_avgpool2_backward(struct kern *kn, const struct kern_avgpool2 *ap, void *dx,
                                 const void *dy)
{
    struct job j = { .inner = ISA_BEST(kn, cpu_pool), .ap = ap, .to = dx, .from = dy };
    return pool_run(kn->pool, ap->n * ap->h, mean2_back_task, &j);
}

/* -- mean of the plane --------------------------------------------------------------------- */

static int mean_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    j->inner->mean(j->type, (float *)j->to + i * j->c,
                   cpu_at(j->type, j->from, i * j->cells * j->c), j->cells, j->c);
    return 0;
}

static int cpu_avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x,
                               size_t n, size_t cells, size_t c)
{
    struct job j = { ISA_BEST(kn, cpu_pool), .type = type, .to = y, .from = x,
                     .cells = cells,         .c = c };
    return pool_run(kn->pool, n, mean_task, &j);
}

static int mean_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    j->inner->mean_back(j->type, cpu_at(j->type, j->to, i * j->cells * j->c),
                        (const float *)j->from + i * j->c, j->cells, j->c);
    return 0;
}

static int cpu_avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy,
                                size_t n, size_t cells, size_t c)
{
    struct job j = { ISA_BEST(kn, cpu_pool), .type = type, .to = dx, .from = dy,
                     .cells = cells,         .c = c };
    return pool_run(kn->pool, n, mean_back_task, &j);
}

void cpu_init_pool(struct kern_ops *o, unsigned isa UNUSED)
{
    o->maxpool_forward = cpu_maxpool_forward;
    o->maxpool_backward = cpu_maxpool_backward;
    o->avgpool2_forward = cpu_avgpool2_forward;
    o->avgpool2_backward = cpu_avgpool2_backward;
    o->avgpool_forward = cpu_avgpool_forward;
    o->avgpool_backward = cpu_avgpool_backward;
}
