/*
 * optim.c - the update and the target's average in one pass over the arenas, for LARS after one for
 * the norms.
 *
 * Segments are cut into chunks of CHUNK floats. A chunk's squares are summed in double, a segment's
 * chunks are added in order, and the second pass does everything else at once. Floor: 2 reads for
 * the norms, not of excluded segments; then 4 reads and 3 writes of the parameters, AdamW 5 and 4.
 */
#include <errno.h>
#include <math.h>

#include "kernels/cpu/optim.h"
#include "kernels/ref/ref.h"

enum { CHUNK = 1 << 15 };

struct chunk {
    size_t segment, from, count;
    double ww, gg; /* squares of the weights, and of gradient and decay */
};

struct job {
    const struct cpu_optim *inner;
    const struct kern_update *u;
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
    const struct kern_update *u = j->u;
    struct chunk *c = &j->chunk[i];
    if (u->seg[c->segment].excluded)
        return 0;
    c->ww = j->inner->square(u->w + c->from, NULL, 0, c->count);
    c->gg = j->inner->square(u->grad + c->from, u->w + c->from, u->wd, c->count);
    return 0;
}

static int momentum_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_update *u = j->u;
    const struct chunk *c = &j->chunk[i];
    struct cpu_momentum m = { .ratio = j->ratio[c->segment],
                              .wd = u->seg[c->segment].excluded ? 0 : u->wd,
                              .mu = u->mu,
                              .lr = u->lr,
                              .part = 1 - u->gamma };
    j->inner->momentum(u->w + c->from, u->v + c->from,
                       c->from < u->ntarget ? u->xi + c->from : NULL, u->grad + c->from, c->count,
                       m);
    return 0;
}

static int adamw_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_update *u = j->u;
    const struct chunk *c = &j->chunk[i];
    struct cpu_adamw a = { .mu = u->mu,
                           .beta2 = (float)u->beta2,
                           .rest = (float)(1 - u->beta2),
                           .lr = (float)(u->lr / (1 - pow(u->mu, (double)u->t))),
                           .root = (float)(1 / sqrt(1 - pow(u->beta2, (double)u->t))),
                           .decay = u->seg[c->segment].excluded ? 0 : u->lr * u->wd,
                           .part = 1 - u->gamma };
    j->inner->adamw(u->w + c->from, u->v + c->from, u->s + c->from,
                    c->from < u->ntarget ? u->xi + c->from : NULL, u->grad + c->from, c->count, a);
    return 0;
}

/* Fills the list of chunks, in order. */
static void list_chunks(struct job *j)
{
    struct chunk *c = j->chunk;
    for (size_t s = 0; s < j->u->nseg; s++) {
        const struct kern_segment *seg = &j->u->seg[s];
        for (size_t at = 0; at < seg->count; at += CHUNK)
            *c++ = (struct chunk){ .segment = s,
                                   .from = seg->offset + at,
                                   .count = MIN((size_t)CHUNK, seg->count - at) };
    }
}

/* Squares that nobody has summed make a ratio of 1. */
static void find_ratios(struct job *j)
{
    const struct chunk *c = j->chunk;
    for (size_t s = 0; s < j->u->nseg; s++) {
        double ww = 0, gg = 0;
        for (size_t i = chunks_of(j->u->seg[s].count); i > 0; i--, c++) {
            ww += c->ww;
            gg += c->gg;
        }
        j->ratio[s] = ww > 0 && gg > 0 ? (float)(j->u->eta * sqrt(ww) / sqrt(gg)) : 1;
    }
}

static int cpu_update(struct kern *kn, const struct kern_update *u)
{
    if (u->grad_factor != 1) /* of float16, in which only devices train */
        return ref_update(kn, u);
    struct job j = { .inner = ISA_BEST(kn, cpu_optim), .u = u };
    size_t n = 0;
    for (size_t s = 0; s < u->nseg; s++)
        n += chunks_of(u->seg[s].count);
    j.chunk = kern_shared(kn, n * sizeof(*j.chunk) + u->nseg * sizeof(*j.ratio));
    if (!j.chunk)
        return -ENOMEM;
    j.ratio = (float *)(j.chunk + n);
    list_chunks(&j);
    if (u->rule == KERN_ADAMW)
        return pool_run(kn->pool, n, adamw_task, &j);
    int rc = u->rule == KERN_LARS ? pool_run(kn->pool, n, norm_task, &j) : 0;
    if (rc < 0)
        return rc;
    find_ratios(&j);
    return pool_run(kn->pool, n, momentum_task, &j);
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
    o->update = cpu_update;
    o->norm = cpu_norm;
}
