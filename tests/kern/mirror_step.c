/*
 * mirror_step.c - the slots of a step besides networks: losses, votes, neighbours, update, views.
 */
#include "tests/kern/mirror_call.h"

/* -- the loss ------------------------------------------------------------------------------ */

/* ct's arrays, but o where it is not read. */
static void reads_contrast(struct call *k, const struct kern_contrast *ct)
{
    reads(k, ct->o, ct->n * ct->d * F);
    reads(k, ct->target_anchored ? NULL : ct->t, ct->n * ct->d * F);
    reads(k, ct->bank, rows_of(ct->pos, ct->n) * ct->d * F);
    reads(k, ct->pos, ct->n * sizeof *ct->pos);
    reads(k, ct->neg, ct->n * ct->ne * sizeof *ct->neg);
}

static struct kern_contrast contrast_at(struct call *k, const struct kern_contrast *ct)
{
    struct kern_contrast d = *ct;
    d.o = at(k, ct->o);
    d.t = at(k, ct->t);
    d.bank = at(k, ct->bank);
    d.pos = at(k, ct->pos);
    d.neg = at(k, ct->neg);
    return d;
}

static int contrast_forward(struct kern *kn, const struct kern_contrast *ct, float *p, float *loss)
{
    CALL("contrast_forward");
    reads_contrast(&k, ct);
    writes(&k, p, ct->n * (1 + ct->ne) * F);
    writes(&k, loss, ct->n * F);
    call_send(&k);
    struct kern_contrast d = contrast_at(&k, ct);
    return call_receive(&k, device.contrast_forward(kn, &d, at(&k, p), at(&k, loss)));
}

static int contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                             const float *g)
{
    CALL("contrast_backward");
    reads_contrast(&k, ct);
    writes(&k, do_, ct->n * ct->d * F);
    reads(&k, g, ct->n * (1 + ct->ne) * F);
    call_send(&k);
    struct kern_contrast d = contrast_at(&k, ct);
    return call_receive(&k, device.contrast_backward(kn, &d, at(&k, do_), at(&k, g)));
}

static int contrast_grad(struct kern *kn, float *g, const float *p, const int32_t *pos,
                         const float *weight, size_t n, size_t ne)
{
    CALL("contrast_grad");
    reads(&k, weight, F);
    writes(&k, g, n * (1 + ne) * F);
    reads(&k, p, n * (1 + ne) * F);
    reads(&k, pos, n * sizeof *pos);
    return RUN(device.contrast_grad(kn, at(&k, g), at(&k, p), at(&k, pos), at(&k, weight), n, ne));
}

static int kl(struct kern *kn, float *div, float *g, const float *p, const float *q,
              const int32_t *pos, const float *weight, size_t n, size_t ne)
{
    CALL("kl");
    reads(&k, weight, F);
    writes(&k, div, n * F);
    writes(&k, g, n * (1 + ne) * F);
    reads(&k, p, n * (1 + ne) * F);
    reads(&k, q, n * (1 + ne) * F);
    reads(&k, pos, n * sizeof *pos);
    return RUN(device.kl(kn, at(&k, div), at(&k, g), at(&k, p), at(&k, q), at(&k, pos),
                         at(&k, weight), n, ne));
}

static int weights(struct kern *kn, const struct kern_weights *w, float *weight)
{
    struct kern_weights there = *w;
    CALL("weights");
    reads(&k, w->pos, w->n * sizeof *w->pos);
    reads(&k, w->whole, w->count * sizeof *w->whole);
    reads(&k, w->part, w->count * sizeof *w->part);
    writes(&k, weight, w->count * F);
    call_send(&k);
    there.pos = at(&k, w->pos);
    there.whole = at(&k, w->whole);
    there.part = at(&k, w->part);
    return call_receive(&k, device.weights(kn, &there, at(&k, weight)));
}

static int vote(struct kern *kn, const struct kern_vote *v, int32_t *ballot, float *similarity,
                int32_t *label, float *share, int32_t *fill)
{
    struct kern_vote there = *v;
    size_t found = v->searches * v->n * v->k, ballots = v->n * v->searches * (v->drawn ? 1 : v->k);
    CALL("vote");
    reads(&k, v->slot, found * sizeof *v->slot);
    reads(&k, v->sim, found * F);
    reads(&k, v->slot_label, rows_of(v->slot, found) * sizeof *v->slot_label);
    reads(&k, v->step, sizeof *v->step);
    reads(&k, v->id, v->n * sizeof *v->id);
    writes(&k, ballot, ballots * sizeof *ballot);
    writes(&k, similarity, ballots * F);
    writes(&k, label, v->n * sizeof *label);
    writes(&k, share, v->n * F);
    writes(&k, fill, v->n * sizeof *fill);
    call_send(&k);
    there.slot = at(&k, v->slot);
    there.sim = at(&k, v->sim);
    there.slot_label = at(&k, v->slot_label);
    there.step = at(&k, v->step);
    there.id = at(&k, v->id);
    return call_receive(&k, device.vote(kn, &there, at(&k, ballot), at(&k, similarity),
                                        at(&k, label), at(&k, share), at(&k, fill)));
}

static int positives(struct kern *kn, const struct kern_positives *p, int32_t *pos)
{
    struct kern_positives there = *p;
    size_t classes = rows_of(p->label, p->n);
    CALL("positives");
    reads(&k, p->step, sizeof *p->step);
    reads(&k, p->key, p->pairs * sizeof *p->key);
    reads(&k, p->label, p->n * sizeof *p->label);
    reads(&k, p->start, (classes + 1) * sizeof *p->start);
    reads(&k, p->slot, (size_t)p->start[classes] * sizeof *p->slot);
    writes(&k, pos, p->pairs * p->each * p->n * sizeof *pos);
    call_send(&k);
    there.step = at(&k, p->step);
    there.key = at(&k, p->key);
    there.label = at(&k, p->label);
    there.start = at(&k, p->start);
    there.slot = at(&k, p->slot);
    return call_receive(&k, device.positives(kn, &there, at(&k, pos)));
}

/* -- neighbours, optimiser, views ---------------------------------------------------------- */

static int knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    CALL("knn");
    struct kern_knn d = *q;
    writes(&k, idx, q->n * q->k * sizeof *idx);
    writes(&k, sim, q->n * q->k * F);
    reads(&k, q->query, q->n * q->d * F);
    reads(&k, q->bank, q->m * q->d * F);
    reads(&k, q->query_id, q->n * sizeof *q->query_id);
    reads(&k, q->bank_id, q->m * sizeof *q->bank_id);
    call_send(&k);
    d.query = at(&k, q->query);
    d.bank = at(&k, q->bank);
    d.query_id = at(&k, q->query_id);
    d.bank_id = at(&k, q->bank_id);
    return call_receive(&k, device.knn(kn, &d, at(&k, idx), at(&k, sim)));
}

static int update(struct kern *kn, const struct kern_update *u)
{
    CALL("update");
    struct kern_update d = *u;
    size_t floats = 0;
    for (size_t i = 0; i < u->nseg; i++)
        floats = MAX(floats, u->seg[i].offset + u->seg[i].count);
    writes(&k, u->w, floats * F);
    writes(&k, u->v, floats * F);
    writes(&k, u->rule == KERN_ADAMW ? u->s : NULL, floats * F);
    writes(&k, u->xi, u->ntarget * F);
    reads(&k, u->grad, floats * F);
    call_send(&k);
    d.w = at(&k, u->w);
    d.v = at(&k, u->v);
    d.s = at(&k, u->s);
    d.xi = at(&k, u->xi);
    d.grad = at(&k, u->grad);
    return call_receive(&k, device.update(kn, &d));
}

static int norm(struct kern *kn, double *value, const float *x, size_t n)
{
    CALL("norm");
    reads(&k, x, n * F);
    return RUN(device.norm(kn, value, at(&k, x), n));
}

static int augment(struct kern *kn, const struct kern_views *v)
{
    CALL("augment");
    struct kern_views there = *v;
    void *out[MOST];
    if (v->each > MOST)
        die(&k, "too many views");
    for (size_t j = 0; j < v->each; j++)
        writes(&k, v->out[j], v->n * v->side[j] * v->side[j] * 3 * kern_sizeof(v->type));
    call_send(&k);
    for (size_t j = 0; j < v->each; j++)
        out[j] = at(&k, v->out[j]);
    there.out = out;
    return call_receive(&k, device.augment(kn, &there));
}

void mirror_step(struct kern_ops *ops)
{
    ops->contrast_forward = contrast_forward;
    ops->contrast_backward = contrast_backward;
    ops->contrast_grad = contrast_grad;
    ops->kl = kl;
    ops->weights = weights;
    ops->vote = vote;
    ops->positives = positives;
    ops->knn = knn;
    ops->update = update;
    ops->norm = norm;
    ops->augment = augment;
}
