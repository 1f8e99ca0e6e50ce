/*
 * step_open.c - what a step needs: the data that belongs to the state, and memory.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/step_impl.h"
#include <stdio.h>
#include <stdlib.h>

/* -- is this the data of this run? ---- */

static int check_data(struct state *s, struct shard_set *data)
{
    const char *name = data->nshards > 0 ? data->shard[0].in.name : "the data";
    if (data->nrows == 0)
        return fail(-EINVAL, "%s: no pictures to train on", name);
    if (s->data_rows != 0 && (uint64_t)s->data_rows != data->nrows)
        return fail(-EINVAL,
                    "%s: %s in all, but this run began with %lld: the order of the samples and "
                    "the schedule would change",
                    name, TEXT_COUNT(data->nrows, "picture", "pictures"), (long long)s->data_rows);
    int rc = classes_meet(&s->classes, &data->classes, "the checkpoint", name);
    if (rc < 0)
        return rc;
    s->data_rows = (int64_t)data->nrows;
    return 0;
}

/* What an oracle knows; labelled pictures, which come with their label hidden too, aside. */
static void warn_of_oracle(const struct shard_set *data)
{
    size_t unlabelled = 0, known = 0;
    for (size_t i = 0; i < data->nshards; i++) {
        const struct rows *r = &data->shard[i].rows;
        for (size_t row = 0; row < r->n; row++) {
            unlabelled += r->label[row] < 0;
            known += r->label[row] < 0 && r->truth && r->truth[row] >= 0;
        }
    }
    log_warn("pseudo_labels oracle: %zu of %s by the truth in the data", known,
             TEXT_COUNT(unlabelled, "unlabelled picture", "unlabelled pictures"));
}

static int open_sampler(struct step *st)
{
    struct state *s = st->state;
    int32_t *label = NULL;
    int rc = shard_set_labels(&label, st->data);
    if (rc < 0)
        return rc;
    rc = sampler_open(&st->sampler, &s->set, label, st->data->nrows);
    free(label);
    if (rc == 0 && st->sampler.nlabelled == 0)
        log_warn("no picture has a label: no queue, no votes, no semantic positives");
    if (rc == 0 && s->set.pseudo_labels == PSEUDO_ORACLE)
        warn_of_oracle(st->data);
    return rc;
}

/* -- memory ---- */

static const struct net *net_of(const struct state *s, int part, bool small)
{
    switch (part) {
    case STEP_ENCODER:
        return small ? &s->small : &s->large;
    case STEP_PROJECTOR:
        return &s->projector;
    default:
        return &s->predictor;
    }
}

/* Floats from one view's vectors to the next, at multiples of 64 bytes. */
static size_t vectors(size_t n, size_t dim)
{
    return (n * dim + 15) / 16 * 16;
}

/* Pictures of a view that pass through a network at once. */
static size_t at_once(const struct settings *set)
{
    return (size_t)(set->micro_batch > 0 ? set->micro_batch : set->batch);
}

/* lanes: of the device. Where there are two, the target's passes have working memory of their own.
 */
static uint64_t passes_bytes(const struct state *s, int lanes, bool together)
{
    const struct settings *set = &s->set;
    size_t m = at_once(set), shared, most;
    bool one = set->micro_batch > 0 || together;
    uint64_t large = one ? 1 : (uint64_t)set->large_crops, total = 0;
    uint64_t small = one ? 1 : (uint64_t)set->small_crops;
    size_t larges = together ? (size_t)set->large_crops : 1;
    size_t smalls = together ? (size_t)set->small_crops : 1;
    for (int part = 0; part < STEP_PARTS; part++) {
        const struct net *net = net_of(s, part, false);
        total += net_pass_bytes(net, m * larges, larges, true, &most) * large;
        if (part < STEP_PREDICTOR) {
            total += net_pass_bytes(net, m * larges, larges, false, &shared);
            most = lanes > 1 ? most + shared : MAX(most, shared);
        }
        if (set->small_crops > 0) {
            net = net_of(s, part, true);
            total += net_pass_bytes(net, m * smalls, smalls, true, &shared) * small;
            most = part == STEP_ENCODER ? most + shared : MAX(most, shared);
        }
        total += most;
    }
    return total;
}

static struct step_need need_of(const struct state *s, struct kern *kn, bool together)
{
    const struct settings *set = &s->set;
    uint64_t large = (uint64_t)set->large_crops, views = large + (uint64_t)set->small_crops;
    uint64_t n = (uint64_t)set->batch, m = at_once(set), dim = (uint64_t)set->dim;
    if (together)
        m *= MAX(large, views - large);
    uint64_t moments = set->optimizer == OPTIMIZER_ADAMW ? 2 : 1;
    uint64_t arenas =
        (2 + moments) * s->nparam + s->ntarget + 2 * (s->nrunning + s->nrunning_target);
    uint64_t vectors = n * dim * (2 * views + large) + m * (dim + net_outputs(&s->large));
    uint64_t packed = 2 * net_packed_bytes(kn, &s->large); /* online and target */
    return (struct step_need){
        .arrays = (arenas + vectors) * sizeof(float) + packed + voter_bytes(set) +
                  passes_bytes(s, kern_lanes(kn), together) + loader_bytes(set, s->large.type) +
                  objective_bytes(set) +
                  queue_bytes((size_t)large, s->capacity, (size_t)dim, (size_t)n),
        .kernels = net_overhead(kn, &s->large, m),
    };
}

static uint64_t sum(struct step_need need)
{
    return need.arrays + need.kernels;
}

/* Views together: where every call costs, and a larger one keeps more of the device busy. What
 * belongs to a view must begin where the one before it ends, and where kernels want it; and some
 * engines of a device number the bytes of an array by 31 bits. */
static bool together(const struct state *s, struct kern *kn)
{
    const struct settings *set = &s->set;
    size_t n = (size_t)set->batch, dim = (size_t)set->dim;
    size_t widest = MAX((size_t)set->large_crops * net_widest(&s->large),
                        (size_t)set->small_crops * net_widest(&s->small));
    return kern_apart(kn) && set->micro_batch == 0 && n * widest <= INT32_MAX &&
           views_adjoin(set, s->large.type) && vectors(n, dim) == n * dim &&
           sum(need_of(s, kn, true)) <= kern_available(kn);
}

struct step_need step_memory(const struct state *s, struct kern *kn)
{
    return need_of(s, kn, together(s, kn));
}

/* The largest micro-batch with which a step fits, and what it needs then; 0: there is none. */
static int micro_batch_for(const struct state *s, struct kern *kn, uint64_t have, uint64_t *need)
{
    struct state t = *s; /* only looked at */
    for (int parts = 1; parts <= s->set.batch / 2; parts++) {
        t.set.micro_batch = s->set.batch / parts;
        if (s->set.batch % parts == 0 && (*need = sum(step_memory(&t, kn))) <= have)
            return t.set.micro_batch;
    }
    return 0;
}

static int check_memory(const struct state *s, struct kern *kn)
{
    struct step_need parts = step_memory(s, kn);
    uint64_t need = sum(parts), have = kern_available(kn), less = 0;
    log_debug("a step takes about %.2f GB of memory, and its kernels up to %.2f GB",
              (double)parts.arrays * 1e-9, (double)parts.kernels * 1e-9);
    if (need <= have)
        return 0;
    char what[160], micro[80] = "";
    snprintf(what, sizeof what, "a step of %d pictures with %d crops of %d and %d of %d pixels",
             s->set.batch, s->set.large_crops, s->set.large_side, s->set.small_crops,
             s->set.small_side);
    int m = micro_batch_for(s, kn, have, &less);
    if (m > 0)
        snprintf(micro, sizeof micro, "--set micro_batch=%d makes that about %.1f GB; or ", m,
                 (double)less * 1e-9);
    return fail(-ENOMEM,
                "%s needs about %.1f GB of memory, and %.1f GB are available%s%s: %slower batch, "
                "large_side, small_side or small_crops (--set), or begin with a narrower encoder, "
                "fewer large crops or a shorter queue",
                what, (double)need * 1e-9, (double)have * 1e-9, kern_apart(kn) ? " on " : "",
                kern_apart(kn) ? kern_describe(kn) : "", micro);
}

/* Floats on the device; what was taken before is released by step_close(). */
static int take(struct step *st, float **out, size_t n)
{
    *out = kern_alloc(st->kn, n * sizeof(float));
    return *out ? 0 : fail(-ENOMEM, "no memory for %zu numbers of a step", n);
}

/* So many floats for each of so many views. */
static int take_views(struct step *st, float **out, size_t views, size_t each)
{
    int rc = take(st, &out[0], views * each);
    for (size_t v = 1; v < views && rc == 0; v++)
        out[v] = out[v - 1] + each;
    return rc;
}

static int open_vectors(struct step *st)
{
    const struct state *s = st->state;
    size_t large = step_along(st, 0), m = st->m * large, each = vectors(st->n, st->dim);
    if (st->nviews > st->nlarge)
        m = MAX(m, st->m * step_along(st, st->nlarge));
    int rc = take_views(st, st->o, st->nviews, each);
    if (rc == 0)
        rc = take_views(st, st->o_length, st->nviews, st->n);
    if (rc == 0)
        rc = take_views(st, st->do_, st->nviews, each);
    if (rc == 0)
        rc = take_views(st, st->t, st->nlarge, each);
    if (rc == 0)
        rc = take(st, &st->t_length, st->m * large);
    if (rc == 0)
        rc = take(st, &st->dz, m * st->dim);
    if (rc == 0)
        rc = take(st, &st->dh, m * net_outputs(&s->large));
    if (rc == 0)
        rc = take(st, &st->stat_online, st->nlarge * (st->n / st->m));
    if (rc == 0)
        rc = take(st, &st->stat_target, st->nlarge * (st->n / st->m));
    if (rc == 0)
        rc = take(st, &st->running, s->nrunning);
    if (rc == 0)
        rc = take(st, &st->running_next, s->nrunning);
    if (rc == 0)
        rc = take(st, &st->running_target, s->nrunning_target);
    if (rc == 0)
        rc = take(st, &st->running_target_next, s->nrunning_target);
    return rc;
}

static int open_batch(struct step *st)
{
    st->label = mem_alloc(st->n, sizeof *st->label, "a batch");
    st->truth = mem_alloc(st->n, sizeof *st->truth, "a batch");
    st->vote = mem_alloc(st->n, sizeof *st->vote, "a batch");
    st->labelled = mem_alloc(st->n, sizeof *st->labelled, "a batch");
    st->host = mem_alloc(st->n * st->dim, sizeof *st->host, "a batch");
    st->stat_host = mem_alloc(st->nlarge * (st->n / st->m), sizeof *st->stat_host, "a batch");
    if (!st->label || !st->truth || !st->vote || !st->labelled || !st->host || !st->stat_host)
        return -ENOMEM;
    st->step_dev = kern_alloc(st->kn, sizeof *st->step_dev);
    st->id_dev = kern_alloc(st->kn, st->n * sizeof *st->id_dev);
    st->label_dev = kern_alloc(st->kn, st->n * sizeof *st->label_dev);
    return st->step_dev && st->id_dev && st->label_dev ? 0 : fail(-ENOMEM, "no memory for a batch");
}

/* The view whose passes v uses. */
static size_t pass_view(const struct step *st, size_t v)
{
    return !st->recompute && !st->together ? v : v < st->nlarge ? 0 : st->nlarge;
}

static int open_passes(struct step *st, int part)
{
    int rc = 0;
    for (size_t v = 0; v < st->nviews && rc == 0; v++)
        if (pass_view(st, v) == v)
            rc = net_pass_open(&st->pass[v][part], st->kn, net_of(st->state, part, v >= st->nlarge),
                               st->m * step_along(st, v), step_along(st, v), true);
        else
            st->pass[v][part] = st->pass[pass_view(st, v)][part];
    return rc;
}

static int open_nets(struct step *st)
{
    const struct state *s = st->state;
    int rc = 0;
    for (int part = 0; part < STEP_PARTS && rc == 0; part++) {
        const struct net *net = net_of(s, part, false);
        size_t param = state_param_offset(s, net->part);
        size_t running = state_running_offset(s, net->part);
        st->online[part] = (struct net_weights){
            .param = st->optim.theta + param,
            .running = st->running_next + running,
        };
        rc = open_passes(st, part);
        if (part == STEP_PREDICTOR || rc < 0)
            continue;
        st->target[part] = (struct net_weights){
            .param = st->optim.xi + param,
            .running = st->running_target_next + running,
        };
        if (kern_lanes(st->kn) > 1 && (rc = net_twin(&st->twin[part], net)) == 0)
            net = &st->twin[part];
        if (rc == 0)
            rc = net_pass_open(&st->target_pass[part], st->kn, net, st->m * step_along(st, 0),
                               step_along(st, 0), false);
    }
    return rc;
}

int step_open(struct step *st, struct state *s, struct kern *kn, struct pool *pool,
              struct shard_set *data)
{
    *st = (struct step){ .state = s,
                         .kn = kn,
                         .data = data,
                         .n = (size_t)s->set.batch,
                         .m = at_once(&s->set),
                         .recompute = s->set.micro_batch > 0,
                         .dim = (size_t)s->set.dim,
                         .nlarge = (size_t)s->set.large_crops,
                         .nviews = (size_t)s->set.large_crops + (size_t)s->set.small_crops };
    int rc = check_data(s, data);
    if (rc == 0)
        rc = check_memory(s, kn);
    if (rc < 0)
        return rc;
    st->together = together(s, kn);
    schedule_init(&st->schedule, &s->set, data->nrows);
    s->total_steps = st->schedule.total;
    rc = open_sampler(st);
    if (rc == 0)
        rc = loader_open(&st->loader, kn, pool_threads(pool), data, &st->sampler, &s->set,
                         s->large.type);
    if (rc == 0)
        rc = queue_open(&st->queue, kn, st->nlarge, s->capacity, st->dim, s->classes.n, st->n);
    if (rc == 0)
        rc = voter_open(&st->voter, kn, &s->set);
    if (rc == 0)
        rc = objective_open(&st->objective, kn, &s->set, s->loss_scale);
    if (rc == 0)
        rc = optim_open(&st->optim, kn, s);
    if (rc == 0)
        rc = open_vectors(st);
    if (rc == 0)
        rc = open_batch(st);
    if (rc == 0)
        rc = open_nets(st);
    if (rc == 0)
        rc = step_load(st);
    if (rc < 0)
        step_close(st);
    return rc;
}

void step_close(struct step *st)
{
    for (int part = 0; part < STEP_PARTS && st->state; part++) {
        const struct net *net = net_of(st->state, part, false);
        for (size_t v = 0; v < st->nviews; v++)
            if (pass_view(st, v) == v)
                net_pass_close(st->pass[v][part]);
        net_unpack(st->kn, net, &st->online[part]);
        if (part == STEP_PREDICTOR)
            continue;
        net_pass_close(st->target_pass[part]);
        net_twin_release(&st->twin[part]);
        net_unpack(st->kn, net, &st->target[part]);
    }
    void *dev[] = { st->o[0],
                    st->o_length[0],
                    st->do_[0],
                    st->t[0],
                    st->t_length,
                    st->dz,
                    st->dh,
                    st->running,
                    st->running_next,
                    st->running_target,
                    st->running_target_next,
                    st->stat_online,
                    st->stat_target,
                    st->step_dev,
                    st->id_dev,
                    st->label_dev };
    for (size_t i = 0; i < ARRAY_LEN(dev) && st->kn; i++)
        kern_free(st->kn, dev[i]);
    for (size_t i = 0; i < ARRAY_LEN(st->recording) && st->kn; i++)
        kern_recording_free(st->kn, st->recording[i]);
    if (st->kn)
        kern_recording_free(st->kn, st->following);
    free(st->stat_host);
    free(st->label);
    free(st->truth);
    free(st->vote);
    free(st->labelled);
    free(st->host);
    optim_close(&st->optim);
    objective_close(&st->objective);
    voter_close(&st->voter);
    queue_close(&st->queue);
    loader_close(&st->loader);
    sampler_close(&st->sampler);
    *st = (struct step){ 0 };
}

/* -- state and device ---- */

int step_pack(struct step *st)
{
    int rc = 0;
    for (int part = 0; part < STEP_PARTS && rc == 0; part++)
        rc = net_pack(st->kn, net_of(st->state, part, false), &st->online[part]);
    for (int part = 0; part < STEP_PREDICTOR && rc == 0; part++)
        rc = net_pack(st->kn, net_of(st->state, part, false), &st->target[part]);
    return rc;
}

int step_load(struct step *st)
{
    const struct state *s = st->state;
    int rc = optim_load(&st->optim, s);
    if (rc == 0)
        rc = queue_load(&st->queue, s->queue, s->queue_label, s->queue_id, s->queue_head,
                        s->queue_fill);
    if (rc < 0)
        return rc;
    rc = kern_put(st->kn, st->running, s->running, s->nrunning * sizeof(float));
    if (rc == 0)
        rc = kern_put(st->kn, st->running_target, s->running_target,
                      s->nrunning_target * sizeof(float));
    if (rc < 0)
        return fail(rc, "the device did not take the running statistics");
    return step_pack(st);
}

int step_save(struct step *st)
{
    struct state *s = st->state;
    int rc = queue_take_back(&st->queue); /* of a gradient that led to no update */
    if (rc == 0)
        rc = optim_save(&st->optim, s);
    if (rc == 0)
        rc = queue_save(&st->queue, s->queue, s->queue_label, s->queue_id, &s->queue_head,
                        &s->queue_fill);
    if (rc < 0)
        return rc;
    rc = kern_get(st->kn, s->running, st->running, s->nrunning * sizeof(float));
    if (rc == 0)
        rc = kern_get(st->kn, s->running_target, st->running_target,
                      s->nrunning_target * sizeof(float));
    return rc < 0 ? fail(rc, "the device did not give the running statistics") : 0;
}
