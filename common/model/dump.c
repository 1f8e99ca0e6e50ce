/*
 * dump.c - everything of one step as HDF5.
 */
#include "common/model/dump.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dump {
    const struct step *st;
    struct h5out out;
    char name[128]; /* of the dataset at hand */
};

/* Floats of the device; the caller's. */
static int fetch(float **out, const struct dump *d, const float *dev, size_t count)
{
    float *host = mem_alloc(count, sizeof *host, "a dump");
    if (!host)
        return -ENOMEM;
    int rc = kern_get(d->st->kn, host, dev, count * sizeof *host);
    if (rc < 0) {
        free(host);
        return fail(rc, "the device did not give what the step has computed");
    }
    *out = host;
    return 0;
}

/* A dataset of integers of the device. */
static int write_ints(struct dump *d, const char *name, int ndim, const size_t *dim,
                      const int32_t *dev)
{
    size_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= dim[i];
    int32_t *host = mem_alloc(count, sizeof *host, "a dump");
    int rc = host ? kern_get(d->st->kn, host, dev, count * sizeof *host) : -ENOMEM;
    rc = rc < 0 ? rc : h5_write(&d->out, name, H5_I32, ndim, dim, host);
    free(host);
    return rc;
}

/* A dataset of floats of the device, under d->name. */
static int write_device(struct dump *d, int ndim, const size_t *dim, const float *dev)
{
    float *host = NULL;
    size_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= dim[i];
    int rc = fetch(&host, d, dev, count);
    if (rc == 0)
        rc = h5_write(&d->out, d->name, H5_F32, ndim, dim, host);
    free(host);
    return rc;
}

/* -- batch and views ----------------------------------------------------------------------- */

static int write_batch(struct dump *d)
{
    const struct step *st = d->st;
    const struct sample *sample = st->batch->sample;
    uint64_t *row = mem_alloc(st->n, sizeof *row, "a dump");
    int32_t *given = mem_alloc(st->n, sizeof *given, "a dump");
    int rc = row && given ? 0 : -ENOMEM;
    for (size_t b = 0; b < st->n && rc == 0; b++) {
        row[b] = sample[b].row;
        given[b] = sample[b].label;
    }
    if (rc == 0)
        rc = h5_write(&d->out, "batch/row", H5_U64, 1, &st->n, row);
    if (rc == 0)
        rc = h5_write(&d->out, "batch/id", H5_U64, 1, &st->n, st->batch->id);
    if (rc == 0)
        rc = h5_write(&d->out, "batch/given", H5_I32, 1, &st->n, given);
    if (rc == 0)
        rc = h5_write(&d->out, "batch/label", H5_I32, 1, &st->n, st->label);
    if (rc == 0)
        rc = h5_write(&d->out, "batch/truth", H5_I32, 1, &st->n, st->truth);
    free(row);
    free(given);
    return rc;
}

/* What decides over a view, a dataset each. */
static const struct {
    const char *name;
    enum h5_type type;
    size_t offset, count; /* in struct view_draw; elements a picture */
} draws[] = {
    { "top", H5_U64, offsetof(struct view_draw, top), 1 },
    { "left", H5_U64, offsetof(struct view_draw, left), 1 },
    { "height", H5_U64, offsetof(struct view_draw, height), 1 },
    { "width", H5_U64, offsetof(struct view_draw, width), 1 },
    { "flip", H5_U8, offsetof(struct view_draw, flip), 1 },
    { "jitter", H5_U8, offsetof(struct view_draw, jitter), 1 },
    { "order", H5_U8, offsetof(struct view_draw, order), 4 },
    { "brightness", H5_F32, offsetof(struct view_draw, brightness), 1 },
    { "contrast", H5_F32, offsetof(struct view_draw, contrast), 1 },
    { "saturation", H5_F32, offsetof(struct view_draw, saturation), 1 },
    { "hue", H5_F32, offsetof(struct view_draw, hue), 1 },
    { "grey", H5_U8, offsetof(struct view_draw, grey), 1 },
    { "sigma", H5_F32, offsetof(struct view_draw, sigma), 1 },
    { "solarise", H5_U8, offsetof(struct view_draw, solarise), 1 },
    { "mask", H5_U8, offsetof(struct view_draw, mask), 1 },
    { "fill", H5_F32, offsetof(struct view_draw, fill), 1 },
};
_Static_assert(sizeof(size_t) == sizeof(uint64_t) && sizeof(bool) == 1, "as the table says");

static int write_draws(struct dump *d, size_t v)
{
    const struct step *st = d->st;
    struct view_draw *view = mem_alloc(st->n, sizeof *view, "a dump");
    uint8_t *column = mem_alloc(st->n, 4 * sizeof(uint64_t), "a dump");
    int rc = view && column ? 0 : -ENOMEM;
    if (rc == 0)
        views_draw(&st->batch->views, st->batch->k, v, st->batch->sample, st->batch->id, st->n,
                   view);
    for (size_t i = 0; i < ARRAY_LEN(draws) && rc == 0; i++) {
        size_t dim[] = { st->n, draws[i].count }, size = draws[i].count * h5_sizeof(draws[i].type);
        for (size_t b = 0; b < st->n; b++)
            memcpy(column + b * size, (const char *)&view[b] + draws[i].offset, size);
        snprintf(d->name, sizeof d->name, "view/%zu/%s", v, draws[i].name);
        rc = h5_write(&d->out, d->name, draws[i].type, draws[i].count > 1 ? 2 : 1, dim, column);
    }
    free(view);
    free(column);
    return rc;
}

static int write_view(struct dump *d, size_t v)
{
    const struct step *st = d->st;
    size_t side = v < st->nlarge ? st->batch->views.large_side : st->batch->views.small_side;
    size_t input[] = { st->n, side, side, 3 }, vectors[] = { st->n, st->dim };
    int rc = write_draws(d, v);
    snprintf(d->name, sizeof d->name, "view/%zu/input", v);
    if (rc == 0)
        rc = write_device(d, 4, input, st->batch->views.x[v]);
    snprintf(d->name, sizeof d->name, "view/%zu/prediction", v);
    if (rc == 0)
        rc = write_device(d, 2, vectors, st->o[v]);
    snprintf(d->name, sizeof d->name, "view/%zu/projection", v);
    if (rc == 0 && v < st->nlarge)
        rc = write_device(d, 2, vectors, st->t[v]);
    return rc;
}

/* -- votes, losses, gradient --------------------------------------------------------------- */

/* Of the places behind those from the labelled stream; an empty queue is not asked. */
static int write_votes(struct dump *d)
{
    const struct voter *v = &d->st->voter;
    const struct queue *q = &d->st->queue;
    size_t dim[] = { d->st->n - d->st->sampler.labelled_places, v->ballots };
    size_t asked = d->st->state->set.enqueue == ENQUEUE_BEFORE ? q->fill : q->old_fill;
    if (asked == 0)
        return 0;
    snprintf(d->name, sizeof d->name, "vote/similarity");
    int rc = write_ints(d, "vote/label", 2, dim, v->ballot);
    return rc < 0 ? rc : write_device(d, 2, dim, v->similarity);
}

static int write_losses(struct dump *d)
{
    const struct objective *ob = &d->st->objective;
    size_t neg[] = { ob->views, ob->targets, ob->n, ob->ne };
    size_t pos[] = { ob->views, ob->targets, ob->positives, ob->n };
    size_t terms[] = { ob->views, ob->targets, 1 + ob->positives, ob->n };
    int rc = h5_write(&d->out, "loss/negatives", H5_I32, 4, neg, ob->neg);
    if (rc == 0)
        rc = write_ints(d, "loss/positives", 4, pos, ob->pos_dev);
    if (rc == 0)
        rc = h5_write(&d->out, "loss/contrast", H5_F32, 4, terms, ob->loss);
    return rc < 0 ? rc : h5_write(&d->out, "loss/divergence", H5_F32, 4, terms, ob->kl);
}

/* Of each parameter, under its name in checkpoints. */
static int write_gradient(struct dump *d)
{
    const struct state *s = d->st->state;
    const struct net *part[] = { &s->large, &s->projector, &s->predictor };
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        const float *grad = d->st->optim.grad + state_param_offset(s, part[i]->part);
        for (int k = 0; k < part[i]->nparams && rc == 0; k++) {
            const struct net_param *p = &part[i]->param[k];
            snprintf(d->name, sizeof d->name, "gradient/%s/%s", part[i]->part, p->name);
            rc = write_device(d, p->ndim, p->dim, grad + p->offset);
        }
    }
    return rc;
}

static int write_metrics(struct dump *d, const struct step_metrics *m)
{
    const struct {
        const char *name;
        double value;
    } list[] = {
        { "loss", m->loss },
        { "loss_augm", m->loss_augm },
        { "loss_sempos", m->loss_sempos },
        { "loss_inv", m->loss_inv },
        { "lr", m->lr },
        { "ema", m->ema },
        { "grad_norm", m->grad_norm },
    };
    int rc = h5_put_int(&d->out, "", "step", m->step);
    for (size_t i = 0; i < ARRAY_LEN(list) && rc == 0; i++)
        rc = h5_put_double(&d->out, "", list[i].name, list[i].value);
    return rc;
}

int dump_write(const struct step *st, const struct step_metrics *m, const char *path)
{
    struct dump d = { .st = st };
    struct history h = { 0 };
    int rc = h5out_open(&d.out, path);
    if (rc < 0)
        return rc;
    rc = write_metrics(&d, m);
    if (rc == 0)
        rc = write_batch(&d);
    for (size_t v = 0; v < st->nviews && rc == 0; v++)
        rc = write_view(&d, v);
    if (rc == 0)
        rc = write_votes(&d);
    if (rc == 0)
        rc = write_losses(&d);
    if (rc == 0)
        rc = write_gradient(&d);
    if (rc == 0)
        rc = history_merge(&h, &st->state->history);
    if (rc == 0)
        rc = history_self(&h);
    if (rc == 0)
        rc = h5out_commit(&d.out, DUMP_FORMAT, DUMP_VERSION, &h);
    h5out_abort(&d.out);
    history_release(&h);
    return rc;
}
