/*
 * step.c - one step of SemPPL training. step_gradient() and step_update() are the step; its kernels
 * are called in step_compute.c, and what surrounds it is in step_open.c.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/model/step_impl.h"
#include <math.h>
#include <stdio.h>

/* -- the batch ----------------------------------------------------------------------------- */

/* Rows of the batch, their views, and what is known of them. */
static int load_batch(struct step *st)
{
    int64_t k = st->state->step;
    int rc = loader_get(&st->loader, k, &st->batch);
    if (rc < 0)
        return rc;
    if (k + 1 < st->end)
        loader_begin(&st->loader, k + 1);
    st->nlabelled = 0;
    for (size_t b = 0; b < st->n; b++) {
        size_t row;
        const struct sample *sample = &st->batch->sample[b];
        const struct rows *r = &shard_set_find(st->data, sample->row, &row)->rows;
        st->label[b] = sample->label;
        st->truth[b] = r->truth ? r->truth[row] : r->label[row];
        if (st->label[b] >= 0)
            st->labelled[st->nlabelled++] = (int32_t)b;
    }
    return 0;
}

/* -- what the kernels read of a step, brought to the device before it ---- */

/* Weight of the t-th value in an average that starts from nothing (dm-haiku's zero-debiased
 * ExponentialMovingAverage), for as many as a step makes of t+1, t+2, ... */
static int put_stat_weights(struct step *st, float *dev, int64_t t)
{
    double decay = st->state->set.bn_decay;
    size_t count = st->nlarge * (st->n / st->m);
    for (size_t i = 0; i < count; i++)
        st->stat_host[i] = (float)((1 - decay) / (1 - pow(decay, (double)(t + 1 + (int64_t)i))));
    return kern_put(st->kn, dev, st->stat_host, count * sizeof *dev);
}

/* Labels that are known before the votes. Only here does training look at what is true. */
static int put_labels(struct step *st)
{
    const struct settings *set = &st->state->set;
    bool oracle = set->pseudo_labels == PSEUDO_ORACLE && st->state->step >= set->vote_start;
    for (size_t b = 0; b < st->n && oracle; b++)
        st->label[b] = st->label[b] < 0 ? st->truth[b] : st->label[b];
    return kern_put(st->kn, st->label_dev, st->label, st->n * sizeof *st->label);
}

/* Slots that the batch will be in. Votes see the queue as it is after that, or before. */
static int push(struct step *st)
{
    bool before = st->state->set.enqueue == ENQUEUE_BEFORE;
    int rc = before ? 0 : queue_publish(&st->queue);
    if (rc == 0)
        rc = queue_push(&st->queue, st->labelled, st->nlabelled, st->label, st->batch->id);
    return rc == 0 && before ? queue_publish(&st->queue) : rc;
}

static int put_inputs(struct step *st)
{
    const struct state *s = st->state;
    int rc = push(st);
    if (rc < 0)
        return rc;
    rc = put_labels(st);
    if (rc == 0)
        rc = put_stat_weights(st, st->stat_online, s->updates);
    if (rc == 0)
        rc = put_stat_weights(st, st->stat_target, s->updates_target);
    if (rc == 0)
        rc = kern_put(st->kn, st->step_dev, &s->step, sizeof s->step);
    if (rc == 0)
        rc = kern_put(st->kn, st->id_dev, st->batch->id, st->n * sizeof *st->batch->id);
    if (rc < 0)
        return fail(rc, "the device did not take a batch");
    return s->set.exclude_class ? 0 : objective_negatives(&st->objective, s->step, NULL);
}

/* -- the step, in its order ---------------------------------------------------------------- */

static int results(struct step *st, struct step_metrics *m);
static int check_finite(const struct step *st, const struct step_metrics *m);
static int measure(struct step *st, struct step_metrics *m);

int step_gradient(struct step *st, struct step_metrics *m)
{
    const struct state *s = st->state;
    double start = log_seconds();
    *m = (struct step_metrics){ .step = s->step + 1,
                                .lr = schedule_lr(&st->schedule, s->step),
                                .ema = schedule_ema(&st->schedule, s->step) };

    int rc = queue_take_back(&st->queue); /* of a gradient that led to no update */
    if (rc == 0)
        rc = load_batch(st);
    if (rc < 0)
        return rc;
    double loaded = log_seconds(), went = loaded;

    rc = put_inputs(st);
    if (rc == 0)
        rc = step_compute(st, &went);
    if (rc == 0)
        rc = kern_norm(st->kn, &m->grad_norm, st->optim.grad, st->optim.nparam);
    m->grad_norm /= s->loss_scale;
    if (rc == 0)
        rc = results(st, m);
    m->t_data = loaded - start;
    m->t_forward = went - loaded;
    m->t_backward = log_seconds() - went;
    if (rc == 0)
        rc = check_finite(st, m);
    return rc < 0 ? rc : measure(st, m);
}

/* Packed weights and running statistics become those of the new parameters. */
static int follow(struct step *st)
{
    const struct state *s = st->state;
    int rc = step_pack(st);
    if (rc == 0)
        rc = kern_copy_rows(st->kn, st->running, NULL, st->running_next, NULL, 1, s->nrunning);
    if (rc == 0)
        rc = kern_copy_rows(st->kn, st->running_target, NULL, st->running_target_next, NULL, 1,
                            s->nrunning_target);
    return rc;
}

/* The device is not waited for: what fails shows in the next step, or when its results are saved.
 */
int step_update(struct step *st, struct step_metrics *m)
{
    struct state *s = st->state;
    double start = log_seconds();
    int rc = optim_update(&st->optim, m->step, m->lr, m->ema);
    if (rc == 0 && !st->following && !st->unrecorded)
        st->following = step_record(st, follow); /* packed before, by step_load() */
    if (rc == 0)
        rc = st->following ? kern_replay(st->kn, st->following) : follow(st);
    if (rc < 0)
        return fail(rc, "the device failed at the update of step %lld", (long long)m->step);
    queue_keep(&st->queue);
    s->updates += (int64_t)(st->nlarge * (st->n / st->m));
    s->updates_target += (int64_t)(st->nlarge * (st->n / st->m));
    s->step++;
    m->t_update = log_seconds() - start;
    double seconds = m->t_data + m->t_forward + m->t_backward + m->t_update;
    m->images_per_s = (double)st->n / seconds;
    return 0;
}

int step_run(struct step *st, struct step_metrics *m)
{
    int rc = step_gradient(st, m);
    return rc < 0 ? rc : step_update(st, m);
}

/* -- what a step says ---------------------------------------------------------------------- */

/* Labels, votes and losses of the computation. */
static int results(struct step *st, struct step_metrics *m)
{
    struct objective_value loss = { 0 };
    size_t first = st->sampler.labelled_places, anchors = 0;
    int rc = step_get_labels(st);
    for (size_t b = first; b < st->n; b++)
        st->vote[b] = (struct vote){ -1, 0 };
    if (rc == 0 && step_asked(st) > 0)
        rc = voter_get(&st->voter, st->n - first, st->vote + first);
    for (size_t b = 0; b < st->n; b++)
        anchors += st->objective.positives > 0 && queue_has(&st->queue, st->label[b]);
    if (rc == 0)
        rc = objective_get(&st->objective, anchors, &loss);
    m->loss = loss.total;
    m->loss_augm = loss.augm;
    m->loss_sempos = loss.sempos;
    m->loss_inv = loss.inv;
    return rc;
}

/* Is any of the losses of image b not finite? */
static bool blamed(const struct objective *ob, size_t b)
{
    for (size_t i = 0; i < ob->views; i++)
        for (size_t j = 0; j < ob->targets; j++)
            for (size_t term = 0; term <= ob->positives; term++)
                if (!isfinite(ob->loss[objective_term(ob, i, j, term) * ob->n + b]))
                    return true;
    return false;
}

/* Names the images whose losses are not finite, or the first of the batch if all losses are. */
static int check_finite(const struct step *st, const struct step_metrics *m)
{
    if (isfinite(m->loss) && isfinite(m->grad_norm))
        return 0;
    char ids[16 * 18 + 8] = "";
    size_t len = 0, named = 0;
    bool all = isfinite(m->loss);
    for (size_t b = 0; b < st->n && named < 16; b++) {
        if (!all && !blamed(&st->objective, b))
            continue;
        len += (size_t)snprintf(ids + len, sizeof ids - len, " %016llx",
                                (unsigned long long)st->batch->id[b]);
        named++;
    }
    char scale[128] = "";
    if (st->state->loss_scale != 1)
        snprintf(
            scale, sizeof scale,
            " Gradients are multiplied by a loss scale of %.0f: try a lower one (--loss-scale).",
            st->state->loss_scale);
    return fail(-ENUMERIC,
                "step %lld: the loss (%g) or the norm of the gradient (%g) is not finite; stopped "
                "before the update.%s Pictures (ids):%s%s",
                (long long)m->step, m->loss, m->grad_norm, scale, ids, named == 16 ? " ..." : "");
}

static double spread(const float *o, size_t n, size_t d)
{
    double total = 0;
    for (size_t c = 0; c < d; c++) {
        double sum = 0, squares = 0;
        for (size_t b = 0; b < n; b++)
            sum += o[b * d + c];
        for (size_t b = 0; b < n; b++) {
            double off = o[b * d + c] - sum / (double)n;
            squares += off * off;
        }
        total += sqrt(squares / (double)n);
    }
    return total / sqrt((double)d);
}

static int measure(struct step *st, struct step_metrics *m)
{
    size_t voted = 0, known = 0, right = 0;
    double share = 0;
    for (size_t b = 0; b < st->n; b++) {
        if (st->batch->sample[b].label >= 0 || st->vote[b].label < 0)
            continue;
        voted++;
        share += st->vote[b].share;
        known += st->truth[b] >= 0;
        right += st->truth[b] == st->vote[b].label;
    }
    m->vote_share = voted > 0 ? share / (double)voted : NAN;
    m->pseudo_accuracy = known > 0 ? (double)right / (double)known : NAN;
    m->queue_fill = (double)st->queue.fill / (double)st->queue.capacity;
    int rc = kern_get(st->kn, st->host, st->o[0], st->n * st->dim * sizeof(float));
    if (rc < 0)
        return fail(rc, "the device did not give the predictions");
    m->spread = spread(st->host, st->n, st->dim);
    return 0;
}
