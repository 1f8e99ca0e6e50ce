/*
 * pool.c - pooling in parallel: rows of the output, or whole images where windows overlap in the
 * result. Bound by memory.
 */
#include "kernels/cpu/pool.h"

struct job {
    const struct cpu_pool *inner;
    const struct kern_maxpool *mp;
    float *to;
    const float *from, *x;
    size_t cells, c;
};

/* -- maximum ------------------------------------------------------------------------------- */

static int max_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_maxpool *mp = j->mp;
    size_t image = i / mp->oh;
    j->inner->max_row(mp, j->to + i * mp->ow * mp->c, j->from + image * mp->h * mp->w * mp->c,
                      i % mp->oh);
    return 0;
}

static int cpu_maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y,
                               const void *x)
{
    if (mp->type != KERN_F32)
        return ref_maxpool_forward(kn, mp, y, x);
    struct job j = { .inner = ISA_BEST(kn, cpu_pool), .mp = mp, .to = y, .from = x };
    return pool_run(kn->pool, mp->n * mp->oh, max_task, &j);
}

static int max_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_maxpool *mp = j->mp;
    size_t plane = mp->h * mp->w * mp->c;
    j->inner->max_back(mp, j->to + i * plane, j->from + i * mp->oh * mp->ow * mp->c,
                       j->x + i * plane);
    return 0;
}

static int cpu_maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx,
                                const void *dy, const void *x, const void *y)
{
    if (mp->type != KERN_F32 || mp->side > 4096) /* cells of a window are counted in 32 bits */
        return ref_maxpool_backward(kn, mp, dx, dy, x, y);
    struct job j = { .inner = ISA_BEST(kn, cpu_pool), .mp = mp, .to = dx, .from = dy, .x = x };
    return pool_run(kn->pool, mp->n, max_back_task, &j);
}

/* -- mean ---------------------------------------------------------------------------------- */

static int mean_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    j->inner->mean(j->to + i * j->c, j->from + i * j->cells * j->c, j->cells, j->c);
    return 0;
}

static int cpu_avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x,
                               size_t n, size_t cells, size_t c)
{
    if (type != KERN_F32)
        return ref_avgpool_forward(kn, type, y, x, n, cells, c);
    struct job j = { .inner = ISA_BEST(kn, cpu_pool), .to = y, .from = x, .cells = cells, .c = c };
    return pool_run(kn->pool, n, mean_task, &j);
}

static int mean_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    j->inner->mean_back(j->to + i * j->cells * j->c, j->from + i * j->c, j->cells, j->c);
    return 0;
}

static int cpu_avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy,
                                size_t n, size_t cells, size_t c)
{
    if (type != KERN_F32)
        return ref_avgpool_backward(kn, type, dx, dy, n, cells, c);
    struct job j = {
        .inner = ISA_BEST(kn, cpu_pool), .to = dx, .from = dy, .cells = cells, .c = c
    };
    return pool_run(kn->pool, n, mean_back_task, &j);
}

void cpu_init_pool(struct kern_ops *o, unsigned isa UNUSED)
{
    o->maxpool_forward = cpu_maxpool_forward;
    o->maxpool_backward = cpu_maxpool_backward;
    o->avgpool_forward = cpu_avgpool_forward;
    o->avgpool_backward = cpu_avgpool_backward;
}
