/*
 * pool_isa.c - pooling, a picture a task, vectors over channels. Floor: one pass over the larger
 * tensor.
 */
#include <string.h>

#include "kernels/cpu/cpu.h"

struct job {
    struct kern *kn;
    const struct kern_maxpool *mp;
    const float *x, *y, *dy;
    float *out;
    size_t cells, c;
};

/* Rows (or columns) of x that a window at p covers. */
static void window(size_t *first, size_t *end, size_t p, size_t stride, size_t pad, size_t side,
                   size_t n)
{
    size_t from = p * stride;
    *first = from < pad ? 0 : from - pad;
    *end = MIN(n, from + side - pad);
}

static int max_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_maxpool *mp = j->mp;
    const float *x = j->x + i * mp->h * mp->w * mp->c;
    float *y = j->out + i * mp->oh * mp->ow * mp->c;
    for (size_t p = 0; p < mp->oh; p++)
        for (size_t q = 0; q < mp->ow; q++, y += mp->c) {
            size_t top, bottom, left, right;
            window(&top, &bottom, p, mp->stride, mp->pad_top, mp->side, mp->h);
            window(&left, &right, q, mp->stride, mp->pad_left, mp->side, mp->w);
            memcpy(y, x + (top * mp->w + left) * mp->c, mp->c * sizeof(*y));
            for (size_t r = top; r < bottom; r++)
                for (size_t s = left; s < right; s++) {
                    const float *restrict v = x + (r * mp->w + s) * mp->c;
                    for (size_t k = 0; k < mp->c; k++)
                        y[k] = v[k] > y[k] ? v[k] : y[k];
                }
        }
    return 0;
}

/* left [c]: what of dy no cell has taken yet; the first cell equal to the maximum takes it. */
static int max_back_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct kern_maxpool *mp = j->mp;
    size_t plane = mp->h * mp->w * mp->c, at = i * mp->oh * mp->ow * mp->c;
    const float *x = j->x + i * plane;
    float *dx = j->out + i * plane, *restrict rest = kern_scratch_of(j->kn, worker);
    memset(dx, 0, plane * sizeof(*dx));
    for (size_t p = 0; p < mp->oh; p++)
        for (size_t q = 0; q < mp->ow; q++, at += mp->c) {
            size_t top, bottom, left, right;
            const float *restrict most = j->y + at;
            window(&top, &bottom, p, mp->stride, mp->pad_top, mp->side, mp->h);
            window(&left, &right, q, mp->stride, mp->pad_left, mp->side, mp->w);
            memcpy(rest, j->dy + at, mp->c * sizeof(*rest));
            for (size_t r = top; r < bottom; r++)
                for (size_t s = left; s < right; s++) {
                    const float *restrict v = x + (r * mp->w + s) * mp->c;
                    float *restrict d = dx + (r * mp->w + s) * mp->c;
                    for (size_t k = 0; k < mp->c; k++) {
                        d[k] += v[k] == most[k] ? rest[k] : 0;
                        rest[k] = v[k] == most[k] ? 0 : rest[k];
                    }
                }
        }
    return 0;
}

static int maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y, const void *x)
{
    if (mp->type != KERN_F32)
        return ref_maxpool_forward(kn, mp, y, x);
    struct job j = { .kn = kn, .mp = mp, .x = x, .out = y };
    return pool_run(kn->pool, mp->n, max_task, &j);
}

static int maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx,
                            const void *dy, const void *x, const void *y)
{
    if (mp->type != KERN_F32)
        return ref_maxpool_backward(kn, mp, dx, dy, x, y);
    struct job j = { .kn = kn, .mp = mp, .x = x, .y = y, .dy = dy, .out = dx };
    int rc = kern_scratch(kn, mp->c * sizeof(float));
    return rc < 0 ? rc : pool_run(kn->pool, mp->n, max_back_task, &j);
}

static int avg_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const float *x = j->x + i * j->cells * j->c;
    float *restrict y = j->out + i * j->c, scale = 1 / (float)j->cells;
    memset(y, 0, j->c * sizeof(*y));
    for (size_t p = 0; p < j->cells; p++)
        for (size_t k = 0; k < j->c; k++)
            y[k] += x[p * j->c + k];
    for (size_t k = 0; k < j->c; k++)
        y[k] *= scale;
    return 0;
}

static int avg_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const float *restrict dy = j->dy + i * j->c;
    float *restrict dx = j->out + i * j->cells * j->c, scale = 1 / (float)j->cells;
    for (size_t p = 0; p < j->cells; p++)
        for (size_t k = 0; k < j->c; k++)
            dx[p * j->c + k] = dy[k] * scale;
    return 0;
}

static int avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x, size_t n,
                           size_t cells, size_t c)
{
    if (type != KERN_F32)
        return ref_avgpool_forward(kn, type, y, x, n, cells, c);
    struct job j = { .x = x, .out = y, .cells = cells, .c = c };
    return pool_run(kn->pool, n, avg_task, &j);
}

static int avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy,
                            size_t n, size_t cells, size_t c)
{
    if (type != KERN_F32)
        return ref_avgpool_backward(kn, type, dx, dy, n, cells, c);
    struct job j = { .dy = dy, .out = dx, .cells = cells, .c = c };
    return pool_run(kn->pool, n, avg_back_task, &j);
}

void ISA(cpu_set_pool)(struct kern_ops *o);
void ISA(cpu_set_pool)(struct kern_ops *o)
{
    o->maxpool_forward = maxpool_forward;
    o->maxpool_backward = maxpool_backward;
    o->avgpool_forward = avgpool_forward;
    o->avgpool_backward = avgpool_backward;
}
