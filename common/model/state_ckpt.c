/*
 * state_ckpt.c - a run's state as a checkpoint, and back.
 *
 * What a checkpoint holds is said once, by list_slots(): each slot names a tensor, its shape, and
 * where its numbers are in the state. Writing and reading walk the same list.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/state_impl.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum check { CHECK_FINITE, CHECK_COUNT, CHECK_SAME, CHECK_NONE };

struct slot {
    char name[128];
    enum h5_type type;
    int ndim;
    size_t dim[CKPT_MAX_DIMS], count;
    void *data;
    enum check check;
};

struct slots {
    struct slot *slot;
    size_t n, room;
    int rc;
};

/* dim NULL: a scalar. */
static void add_slot(struct slots *l, enum h5_type type, int ndim, const size_t *dim, void *data,
                     enum check check, const char *fmt, ...) PRINTF(7, 8);
static void add_slot(struct slots *l, enum h5_type type, int ndim, const size_t *dim, void *data,
                     enum check check, const char *fmt, ...)
{
    if (l->rc < 0 || (l->rc = mem_grow(&l->slot, &l->room, l->n + 1, sizeof *l->slot)) < 0)
        return;
    struct slot *t = &l->slot[l->n++];
    *t = (struct slot){ .type = type, .ndim = ndim, .count = 1, .data = data, .check = check };
    for (int i = 0; i < ndim; i++)
        t->count *= t->dim[i] = dim[i]; /* no overflow: the arenas are allocated */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->name, sizeof t->name, fmt, ap);
    va_end(ap);
}

/* The tensors of one network: encoder, projector (and predictor) below group. */
static void add_network(struct slots *l, const struct state *s, const char *group, int nparts,
                        float *params, float *running, const int64_t *updates)
{
    for (int part = 0; part < nparts; part++) {
        const struct net *net = state_part(s, part);
        for (int i = 0; i < net->nparams; i++) {
            const struct net_param *p = &net->param[i];
            add_slot(l, H5_F32, p->ndim, p->dim, params + state_params_before(s, part) + p->offset,
                     CHECK_FINITE, "%s/%s/%s", group, net->part, p->name);
        }
        for (int i = 0; i < net->nstats && running; i++) {
            const struct net_stat *t = &net->stat[i];
            float *mean = running + state_running_before(s, part) + t->offset;
            add_slot(l, H5_F32, 1, &t->c, mean, CHECK_FINITE, "%s/%s/%s.running_mean", group,
                     net->part, t->name);
            add_slot(l, H5_F32, 1, &t->c, mean + t->c, CHECK_FINITE, "%s/%s/%s.running_var", group,
                     net->part, t->name);
            add_slot(l, H5_I64, 0, NULL, (void *)(uintptr_t)updates, CHECK_SAME,
                     "%s/%s/%s.num_batches_tracked", group, net->part, t->name);
        }
    }
}

/* Of what has memory. */
static int list_slots(struct slots *l, const struct state *state)
{
    struct state *s = (struct state *)(uintptr_t)state; /* the list serves reading and writing */
    size_t queue[] = { (size_t)s->set.large_crops, s->capacity, (size_t)s->set.dim };
    *l = (struct slots){ 0 };
    add_slot(l, H5_I64, 0, NULL, &s->step, CHECK_COUNT, "counters/step");
    add_slot(l, H5_I64, 0, NULL, &s->total_steps, CHECK_COUNT, "counters/total_steps");
    add_slot(l, H5_I64, 0, NULL, &s->data_rows, CHECK_COUNT, "counters/data_rows");
    add_slot(l, H5_I64, 0, NULL, &s->updates, CHECK_COUNT, "counters/updates");
    add_slot(l, H5_I64, 0, NULL, &s->updates_target, CHECK_COUNT, "counters/updates_target");
    if (s->theta)
        add_network(l, s, "online", NPARTS, s->theta, s->running, &s->updates);
    if (s->xi)
        add_network(l, s, "target", PREDICTOR, s->xi, s->running_target, &s->updates_target);
    if (!s->queue)
        return l->rc;
    add_network(l, s, "momentum", NPARTS, s->momentum, NULL, NULL);
    if (s->second)
        add_network(l, s, "second", NPARTS, s->second, NULL, NULL);
    add_slot(l, H5_F32, 3, queue, s->queue, CHECK_FINITE, "queue/vectors");
    add_slot(l, H5_I32, 1, &s->capacity, s->queue_label, CHECK_NONE, "queue/labels");
    add_slot(l, H5_U64, 1, &s->capacity, s->queue_id, CHECK_NONE, "queue/ids");
    add_slot(l, H5_I64, 0, NULL, &s->queue_head, CHECK_COUNT, "queue/head");
    add_slot(l, H5_I64, 0, NULL, &s->queue_fill, CHECK_COUNT, "queue/fill");
    return l->rc;
}

/* Place of the first number that is not finite; count if there is none. */
static size_t not_finite(const void *data, size_t count)
{
    const float *x = data;
    size_t i = 0;
    while (i < count && isfinite(x[i]))
        i++;
    return i;
}

/* What state_from_ckpt() would refuse is not written: it would replace the last good checkpoint. */
static int check_written(const struct state *s, const struct slot *t)
{
    size_t bad = t->check == CHECK_FINITE ? not_finite(t->data, t->count) : t->count;
    if (bad == t->count)
        return 0;
    return fail(-ENUMERIC,
                "step %lld: %s is not finite (element %zu): the run has diverged; nothing written",
                (long long)s->step, t->name, bad);
}

int state_to_ckpt(const struct state *s, struct ckpt *c)
{
    struct slots l;
    int rc = list_slots(&l, s);
    for (size_t i = 0; i < l.n && rc == 0; i++) {
        const struct slot *t = &l.slot[i];
        if ((rc = check_written(s, t)) < 0)
            break;
        void *data = ckpt_add(c, t->name, t->type, t->ndim, t->dim);
        if (data)
            memcpy(data, t->data, t->count * h5_sizeof(t->type));
        else
            rc = -ENOMEM;
    }
    free(l.slot);
    if (rc == 0)
        rc = settings_to_ckpt(&s->set, c);
    if (rc == 0)
        rc = classes_copy(&c->classes, &s->classes);
    return rc == 0 ? history_merge(&c->history, &s->history) : rc;
}

/* -- reading ---- */

static int check_slot(const struct ckpt *c, const struct slot *t, const void *data)
{
    int64_t n = 0;
    if (t->type == H5_I64)
        memcpy(&n, data, sizeof n);
    if (t->check == CHECK_COUNT && (n < 0 || n > STATE_COUNT_MOST))
        return fail(-EINVAL, "%s: %s is %lld, not from 0 to 2^53", c->name, t->name, (long long)n);
    if (t->check == CHECK_SAME && memcmp(data, t->data, sizeof n) != 0)
        return fail(-EINVAL, "%s: %s does not agree with the counter of updates", c->name, t->name);
    size_t bad = t->check == CHECK_FINITE ? not_finite(data, t->count) : t->count;
    if (bad < t->count)
        return fail(-EINVAL, "%s: %s holds a number that is not finite (element %zu)", c->name,
                    t->name, bad);
    return 0;
}

static int read_slots(struct state *s, const struct ckpt *c)
{
    struct slots l;
    int rc = list_slots(&l, s);
    for (size_t i = 0; i < l.n && rc == 0; i++) {
        const struct slot *t = &l.slot[i];
        const void *data = ckpt_get(c, t->name, t->type, t->ndim, t->dim);
        rc = data ? check_slot(c, t, data) : -EINVAL;
        if (rc == 0)
            memcpy(t->data, data, t->count * h5_sizeof(t->type));
    }
    for (size_t i = 0; i < c->ntensors && rc == 0 && c->ntensors != l.n; i++) {
        size_t k = 0;
        while (k < l.n && strcmp(l.slot[k].name, c->tensor[i].name) != 0)
            k++;
        if (k == l.n)
            rc = fail(-EINVAL, "%s: %s does not belong to the network of its settings", c->name,
                      c->tensor[i].name);
    }
    free(l.slot);
    return rc;
}

static int check_queue(const struct state *s, const char *name)
{
    size_t head = (size_t)s->queue_head, fill = (size_t)s->queue_fill;
    if (fill > s->capacity || head >= s->capacity || (fill < s->capacity && head != fill))
        return fail(-EINVAL, "%s: queue/head %lld and queue/fill %lld do not fit %zu slots", name,
                    (long long)s->queue_head, (long long)s->queue_fill, s->capacity);
    for (size_t i = 0; i < fill; i++)
        if (s->queue_label[i] < 0 || (size_t)s->queue_label[i] >= s->classes.n)
            return fail(-EINVAL, "%s: queue/labels holds label %d of %s", name, s->queue_label[i],
                        TEXT_COUNT(s->classes.n, "class", "classes"));
    return 0;
}

static int check_second(const struct state *s, const char *name)
{
    for (size_t i = 0; s->second && i < s->nparam; i++)
        if (s->second[i] < 0)
            return fail(-EINVAL, "%s: below second/, which holds squares, is %g", name,
                        (double)s->second[i]);
    return 0;
}

/* Settings are not believed until the file has as many numbers as they ask memory for. */
static int check_size(const struct ckpt *c, uint64_t want)
{
    uint64_t have = 0;
    for (size_t i = 0; i < c->ntensors; i++)
        have += c->tensor[i].count;
    if (want > have)
        return fail(-EINVAL, "%s: its settings ask for %llu numbers, its tensors hold %llu",
                    c->name, (unsigned long long)want, (unsigned long long)have);
    return 0;
}

/* Learned numbers of a network's first nparts parts. */
static uint64_t parameters(const struct state *s, int nparts)
{
    uint64_t sum = 0;
    for (int part = 0; part < nparts; part++)
        sum += net_parameters(state_part(s, part));
    return sum;
}

static int begin(struct state *s, const struct ckpt *c)
{
    *s = (struct state){ .loss_scale = 1 };
    int rc = settings_from_ckpt(&s->set, c);
    if (rc == 0 && s->set.queue == 0)
        rc = fail(-EINVAL, "%s: setting queue is 0", c->name);
    return rc < 0 ? rc : state_build(s);
}

int state_from_ckpt(struct state *s, const struct ckpt *c)
{
    int rc = begin(s, c);
    uint64_t moments = s->set.optimizer == OPTIMIZER_ADAMW ? 2 : 1;
    if (rc == 0)
        rc = check_size(c, (uint64_t)s->set.large_crops * s->capacity * (uint64_t)s->set.dim +
                               (1 + moments) * parameters(s, NPARTS) + parameters(s, PREDICTOR));
    if (rc == 0)
        rc = state_allocate(s);
    if (rc == 0)
        rc = read_slots(s, c);
    if (rc == 0)
        rc = classes_copy(&s->classes, &c->classes);
    if (rc == 0)
        rc = history_merge(&s->history, &c->history);
    if (rc == 0)
        rc = check_queue(s, c->name);
    if (rc == 0)
        rc = check_second(s, c->name);
    if (rc < 0)
        state_release(s);
    return rc;
}

const char *const *state_network_groups(bool target)
{
    static const char *const groups[2][3] = { { "counters", "online", NULL },
                                              { "counters", "target", NULL } };
    return groups[target];
}

int state_network_from_ckpt(struct state *s, const struct ckpt *c, bool target)
{
    int rc = begin(s, c);
    if (rc == 0)
        rc = check_size(c, parameters(s, target ? PREDICTOR : NPARTS));
    if (rc == 0)
        rc = target ? state_allocate_target(s) : state_allocate_online(s);
    if (rc == 0)
        rc = read_slots(s, c);
    if (rc < 0)
        state_release(s);
    return rc;
}
