/*
 * optim_isa.c - LARS and the target's average over chunks of the flat arenas.
 *
 * Floor: norms read w and g (8 bytes a parameter); the update reads w, g, v, xi and writes w, v, xi
 * (28 bytes).
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/vec.h"

enum { CHUNK = 1 << 14 };

struct chunk {
    size_t seg, offset, n; /* offset in the arena */
};

struct job {
    const struct kern_lars *l;
    const struct chunk *chunk;
    double (*sum)[2]; /* [chunks]: |w|^2, |g + wd w|^2 */
    float *ratio;     /* [nseg] */
    const float *x;   /* of norm */
    size_t n;
};

/* sum (x + f y)^2 in 16 double lanes. */
static double square_sum(const float *x, const float *y, float f, size_t n)
{
    double lane[16] = { 0 }, sum = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t k = 0; k < 16; k++) {
            double v = x[i + k] + (y ? f * y[i + k] : 0);
            lane[k] += v * v;
        }
    for (size_t k = 0; i < n; i++, k++) {
        double v = x[i] + (y ? f * y[i] : 0);
        lane[k] += v * v;
    }
    for (size_t k = 0; k < 16; k++)
        sum += lane[k];
    return sum;
}

static int sums_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct chunk *c = &j->chunk[i];
    const struct kern_lars *l = j->l;
    j->sum[i][0] = j->sum[i][1] = 0;
    if (!l->seg[c->seg].excluded) {
        j->sum[i][0] = square_sum(l->w + c->offset, NULL, 0, c->n);
        j->sum[i][1] = square_sum(l->grad + c->offset, l->w + c->offset, l->wd, c->n);
    }
    return 0;
}

static int update_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct chunk *c = &j->chunk[i];
    const struct kern_lars *l = j->l;
    float *restrict w = l->w + c->offset, *restrict v = l->v + c->offset;
    const float *restrict g = l->grad + c->offset;
    float wd = l->seg[c->seg].excluded ? 0 : l->wd, ratio = j->ratio[c->seg], follow = 1 - l->gamma;
    for (size_t k = 0; k < c->n; k++) {
        v[k] = l->mu * v[k] + ratio * (g[k] + wd * w[k]);
        w[k] -= l->lr * v[k];
    }
    if (c->offset < l->ntarget) {
        float *restrict xi = l->xi + c->offset;
        for (size_t k = 0; k < MIN(c->n, l->ntarget - c->offset); k++)
            xi[k] += follow * (w[k] - xi[k]);
    }
    return 0;
}

static int lars(struct kern *kn, const struct kern_lars *l)
{
    size_t n = 0;
    for (size_t s = 0; s < l->nseg; s++)
        n += (l->seg[s].count + CHUNK - 1) / CHUNK;
    uint8_t *mem =
        kern_shared(kn, n * (sizeof(struct chunk) + 2 * sizeof(double)) + l->nseg * sizeof(float));
    if (!mem)
        return -ENOMEM;
    struct chunk *chunk = (struct chunk *)mem;
    double(*sum)[2] = (double(*)[2])(chunk + n);
    struct job j = { .l = l, .chunk = chunk, .sum = sum, .ratio = (float *)(sum + n) };
    size_t at = 0;
    for (size_t s = 0; s < l->nseg; s++)
        for (size_t i = 0; i < l->seg[s].count; i += CHUNK)
            chunk[at++] =
                (struct chunk){ s, l->seg[s].offset + i, MIN((size_t)CHUNK, l->seg[s].count - i) };
    int rc = pool_run(kn->pool, n, sums_task, &j);
    at = 0;
    for (size_t s = 0; rc == 0 && s < l->nseg; s++) {
        double w = 0, g = 0;
        for (; at < n && chunk[at].seg == s; at++) {
            w += sum[at][0];
            g += sum[at][1];
        }
        j.ratio[s] = w > 0 && g > 0 ? (float)(l->eta * sqrt(w) / sqrt(g)) : 1;
    }
    return rc < 0 ? rc : pool_run(kn->pool, n, update_task, &j);
}

static int norm_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    j->sum[i][0] = square_sum(j->x + i * CHUNK, NULL, 0, MIN((size_t)CHUNK, j->n - i * CHUNK));
    return 0;
}

static int norm(struct kern *kn, double *out, const float *x, size_t n)
{
    size_t chunks = (n + CHUNK - 1) / CHUNK;
    struct job j = { .sum = kern_shared(kn, chunks * 2 * sizeof(double)), .x = x, .n = n };
    if (!j.sum)
        return -ENOMEM;
    int rc = pool_run(kn->pool, chunks, norm_task, &j);
    double sum = 0;
    for (size_t i = 0; rc == 0 && i < chunks; i++)
        sum += j.sum[i][0];
    *out = sqrt(sum);
    return rc;
}

void ISA(cpu_set_optim)(struct kern_ops *o);
void ISA(cpu_set_optim)(struct kern_ops *o)
{
    o->lars = lars;
    o->norm = norm;
}
