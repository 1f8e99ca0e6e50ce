/*
 * state.c - a run's state: its parts, and a fresh one.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/state_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct net *state_part(const struct state *s, int part)
{
    return part == ENCODER ? &s->large : part == PROJECTOR ? &s->projector : &s->predictor;
}

static int part_number(const char *name)
{
    static const char *const names[] = { "encoder", "projector", "predictor" };
    int part = 0;
    while (strcmp(name, names[part]) != 0 && part < PREDICTOR)
        part++;
    return part;
}

size_t state_params_before(const struct state *s, int part)
{
    size_t sum = 0;
    for (int i = 0; i < part; i++)
        sum += state_part(s, i)->floats;
    return sum;
}

size_t state_running_before(const struct state *s, int part)
{
    size_t sum = 0;
    for (int i = 0; i < part; i++)
        sum += state_part(s, i)->stat_floats;
    return sum;
}

size_t state_param_offset(const struct state *s, const char *part)
{
    return state_params_before(s, part_number(part));
}

size_t state_running_offset(const struct state *s, const char *part)
{
    return state_running_before(s, part_number(part));
}

/* -- making one ---- */

static int build_encoders(struct state *s)
{
    int rc = encoder_build(&s->large, &s->set, (size_t)s->set.large_side);
    if (rc == 0 && s->set.small_crops > 0)
        rc = encoder_build(&s->small, &s->set, (size_t)s->set.small_side);
    return rc;
}

/* Networks for the settings, and the sizes of the arenas. */
int state_build(struct state *s)
{
    const struct settings *set = &s->set;
    size_t hidden = (size_t)set->hidden, dim = (size_t)set->dim;
    int rc = build_encoders(s);
    if (rc == 0)
        rc = head_build(&s->projector, "projector", encoder_features(set), hidden, dim);
    if (rc == 0)
        rc = head_build(&s->predictor, "predictor", dim, hidden, dim);
    if (rc < 0)
        return rc;
    s->nparam = state_params_before(s, NPARTS);
    s->ntarget = state_params_before(s, PREDICTOR);
    s->nrunning = state_running_before(s, NPARTS);
    s->nrunning_target = state_running_before(s, PREDICTOR);
    s->capacity = (size_t)set->queue;
    return 0;
}

int state_allocate_online(struct state *s)
{
    s->theta = mem_alloc(s->nparam, sizeof *s->theta, "the online network");
    s->running = mem_alloc(s->nrunning, sizeof *s->running, "the running statistics");
    return s->theta && s->running ? 0 : -ENOMEM;
}

int state_allocate_target(struct state *s)
{
    s->xi = mem_alloc(s->ntarget, sizeof *s->xi, "the target network");
    s->running_target =
        mem_alloc(s->nrunning_target, sizeof *s->running_target, "the running statistics");
    return s->xi && s->running_target ? 0 : -ENOMEM;
}

int state_allocate(struct state *s)
{
    size_t vectors = (size_t)s->set.large_crops * s->capacity; /* both are bounded by the table */
    if (state_allocate_online(s) < 0 || state_allocate_target(s) < 0)
        return -ENOMEM;
    s->momentum = mem_alloc(s->nparam, sizeof *s->momentum, "the momentum");
    if (s->set.optimizer == OPTIMIZER_ADAMW &&
        !(s->second = mem_alloc(s->nparam, sizeof *s->second, "the squared gradients")))
        return -ENOMEM;
    s->queue = mem_alloc(vectors, (size_t)s->set.dim * sizeof *s->queue, "the queue");
    s->queue_label = mem_alloc(s->capacity, sizeof *s->queue_label, "the queue");
    s->queue_id = mem_alloc(s->capacity, sizeof *s->queue_id, "the queue");
    return s->momentum && s->queue && s->queue_label && s->queue_id ? 0 : -ENOMEM;
}

/* index: of the tensor among all parts, which with the row makes the draw its own. */
static void init_param(float *at, const struct net_param *p, uint64_t seed, uint64_t index)
{
    if (p->fan_in == 0) {
        for (size_t i = 0; i < p->count; i++)
            at[i] = p->constant;
        return;
    }
    double deviation = 1 / sqrt((double)p->fan_in);
    size_t rowlen = p->count / p->dim[0];
    for (size_t row = 0; row < p->dim[0]; row++) {
        struct rng r;
        rng_init(&r, seed, RNG_INIT, row, index, 0);
        for (size_t i = 0; i < rowlen; i++)
            *at++ = (float)(rng_normal2(&r) * deviation);
    }
}

int state_new(struct state *s, const struct settings *set)
{
    *s = (struct state){ .set = *set, .loss_scale = 1 };
    int rc = settings_check(set);
    if (rc < 0)
        return rc;
    if (s->set.queue == 0)
        s->set.queue = 20 * s->set.batch;
    rc = state_build(s);
    if (rc == 0)
        rc = state_allocate(s);
    if (rc < 0) {
        state_release(s);
        return rc;
    }
    uint64_t index = 0;
    for (int part = 0; part < NPARTS; part++) {
        const struct net *net = state_part(s, part);
        float *params = s->theta + state_params_before(s, part);
        float *running = s->running + state_running_before(s, part);
        for (int i = 0; i < net->nparams; i++)
            init_param(params + net->param[i].offset, &net->param[i], set->seed, index++);
        for (int i = 0; i < net->nstats; i++)
            for (size_t k = 0; k < net->stat[i].c; k++)
                running[net->stat[i].offset + net->stat[i].c + k] = 1; /* variance */
    }
    memcpy(s->xi, s->theta, s->ntarget * sizeof *s->xi);
    memcpy(s->running_target, s->running, s->nrunning_target * sizeof *s->running_target);
    for (size_t i = 0; i < s->capacity; i++)
        s->queue_label[i] = -1;
    return 0;
}

void state_precision(struct state *s, enum kern_type type)
{
    s->large.type = s->small.type = type;
}

void state_release(struct state *s)
{
    net_release(&s->large);
    net_release(&s->small);
    net_release(&s->projector);
    net_release(&s->predictor);
    free(s->theta);
    free(s->momentum);
    free(s->second);
    free(s->xi);
    free(s->running);
    free(s->running_target);
    free(s->queue);
    free(s->queue_label);
    free(s->queue_id);
    classes_release(&s->classes);
    history_release(&s->history);
    *s = (struct state){ 0 };
}

int state_set(struct state *s, const char *const *assignments, size_t n)
{
    struct settings set = s->set;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = settings_set(&set, assignments[i]);
    if (rc == 0)
        rc = settings_check(&set);
    if (rc < 0)
        return rc;
    if (set.steps != s->set.steps || set.epochs != s->set.epochs || set.batch != s->set.batch)
        s->total_steps = 0;
    s->set = set;
    net_release(&s->large);
    net_release(&s->small);
    return build_encoders(s);
}
