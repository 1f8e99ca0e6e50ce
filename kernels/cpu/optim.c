/*
 * optim.c - LARS and the target's average in two passes over the arenas: norms, then the update.
 *
 * Segments are cut into chunks of CHUNK floats. A chunk's squares are summed in double, a segment's
 * chunks are added in order, and the second pass does everything else at once. Floor: 2 reads, then
 * 4 reads and 3 writes of the parameters; excluded segments only the latter.
 */
#include <errno.h>
#include <math.h>

#include "kernels/cpu/optim.h"

enum { CHUNK = 1 << 15 };

struct chunk {
    size_t segment, from, count;
    double ww, gg; /* squares of the weights, and of gradient and decay */
};

struct job {
    const struct cpu_optim *inner;
    const struct kern_lars *l;
    struct chunk *chunk;
    float *ratio; /* [nseg] */
};

static size_t chunks_of(size_t count)
{
    return (count + CHUNK - 1) / CHUNK;
}

static int norm_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_lars *l = j->l;
    struct chunk *c = &j->chunk[i];
    if (l->seg[c->segment].excluded)
        return 0;
    c->ww = j->inner->square(l->w + c->from, NULL, 0, c->count);
    c->gg = j->inner->square(l->grad + c->from, l->w + c->from, l->wd, c->count);
    return 0;
}

static int update_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_lars *l = j->l;
    const struct chunk *c = &j->chunk[i];
    struct cpu_lars_step s = { .ratio = j->ratio[c->segment],
                               .wd = l->seg[c->segment].excluded ? 0 : l->wd,
                               .mu = l->mu,
                               .lr = l->lr,
                               .part = 1 - l->gamma };
    j->inner->update(l->w + c->from, l->v + c->from, c->from < l->ntarget ? l->xi + c->from : NULL,
                     l->grad + c->from, c->count, s);
    return 0;
}

/* Fills the list of chunks, in order. */
static void list_chunks(struct job *j)
{
    struct chunk *c = j->chunk;
    for (size_t s = 0; s < j->l->nseg; s++) {
        const struct kern_segment *seg = &j->l->seg[s];
        for (size_t at = 0; at < seg->count; at += CHUNK)
            *c++ = (struct chunk){ .segment = s,
                                   .from = seg->offset + at,
                                   .count = MIN((size_t)CHUNK, seg->count - at) };
    }
}

static void find_ratios(struct job *j)
{
    const struct chunk *c = j->chunk;
    for (size_t s = 0; s < j->l->nseg; s++) {
        double ww = 0, gg = 0;
        for (size_t i = chunks_of(j->l->seg[s].count); i > 0; i--, c++) {
            ww += c->ww;
            gg += c->gg;
        }
        j->ratio[s] = ww > 0 && gg > 0 ? (float)(j->l->eta * sqrt(ww) / sqrt(gg)) : 1;
    }
}

static int cpu_lars(struct kern *kn, const struct kern_lars *l)
{
    struct job j = { .inner = ISA_BEST(kn, cpu_optim), .l = l };
    size_t n = 0;
    for (size_t s = 0; s < l->nseg; s++)
        n += chunks_of(l->seg[s].count);
    j.chunk = kern_shared(kn, n * sizeof(*j.chunk) + l->nseg * sizeof(*j.ratio));
    if (!j.chunk)
        return -ENOMEM;
    j.ratio = (float *)(j.chunk + n);
    list_chunks(&j);
    int rc = pool_run(kn->pool, n, norm_task, &j);
    if (rc < 0)
        return rc;
    find_ratios(&j);
    return pool_run(kn->pool, n, update_task, &j);
}

struct sum {
    const struct cpu_optim *inner;
    const float *x;
    size_t n;
    double *part;
};

static int sum_task(void *arg, size_t i, int worker UNUSED)
{
    const struct sum *s = arg;
    size_t from = i * CHUNK;
    s->part[i] = s->inner->square(s->x + from, NULL, 0, MIN((size_t)CHUNK, s->n - from));
    return 0;
}

static int cpu_norm(struct kern *kn, double *norm, const float *x, size_t n)
{
    size_t chunks = chunks_of(n);
    struct sum s = { ISA_BEST(kn, cpu_optim), x, n, kern_shared(kn, chunks * sizeof(double)) };
    if (!s.part)
        return -ENOMEM;
    int rc = pool_run(kn->pool, chunks, sum_task, &s);
    double total = 0;
    for (size_t i = 0; i < chunks; i++)
        total += s.part[i];
    *norm = sqrt(total);
    return rc;
}

void cpu_init_optim(struct kern_ops *o, unsigned isa UNUSED)
{
    o->lars = cpu_lars;
    o->norm = cpu_norm;
}
