/*
 * step_compute.c - the computation of a step: calls of kernels only, which read nothing of the
 * host, so that a device may record them.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/model/step_impl.h"

/* Do images without a given label go by their votes? */
static bool by_votes(const struct step *st)
{
    const struct settings *set = &st->state->set;
    return set->pseudo_labels == PSEUDO_VOTES && st->state->step >= set->vote_start;
}

/* The network's input for picture b of view v. */
static const void *input(const struct step *st, size_t v, size_t b)
{
    const struct net *net = v < st->nlarge ? &st->state->large : &st->state->small;
    const struct net_tensor *x = &net->tensor[0];
    return (const uint8_t *)st->batch->views.x[v] + b * x->h * x->w * x->c * kern_sizeof(net->type);
}

/* m pictures of view v, and of those along with it, from b on: encoder, projector and perhaps
 * predictor. */
static int through(struct step *st, struct net_pass *const *pass, const struct net_weights *w,
                   int parts, size_t v, size_t b, const float *weight, const float **out)
{
    const void *x = input(st, v, b);
    int rc = 0;
    for (int part = 0; part < parts && rc == 0; part++, x = *out)
        rc = net_forward(pass[part], &w[part], x, weight, out);
    return rc;
}

/* Unit predictions of every view. Small crops use their own statistics and leave no trace in the
 * running ones. */
static int forward_online(struct step *st)
{
    const float *weight = st->stat_online;
    int rc =
        kern_copy_rows(st->kn, st->running_next, NULL, st->running, NULL, 1, st->state->nrunning);
    for (size_t v = 0, along; v < st->nviews; v += along) {
        along = step_along(st, v);
        for (size_t b = 0; b < st->n && rc == 0; b += st->m) {
            const float *out = NULL, *now = v < st->nlarge ? weight : NULL;
            rc = through(st, st->pass[v], st->online, STEP_PARTS, v, b, now, &out);
            weight = now ? weight + along : NULL;
            if (rc == 0)
                rc = kern_l2norm_forward(st->kn, st->o[v] + b * st->dim, st->o_length[v] + b, out,
                                         st->m * along, st->dim);
        }
    }
    return rc;
}

/* Unit projections of the large views. */
static int forward_target(struct step *st)
{
    const float *weight = st->stat_target;
    size_t along = step_along(st, 0);
    int rc = kern_copy_rows(st->kn, st->running_target_next, NULL, st->running_target, NULL, 1,
                            st->state->nrunning_target);
    for (size_t v = 0; v < st->nlarge; v += along) {
        for (size_t b = 0; b < st->n && rc == 0; b += st->m, weight += along) {
            const float *out = NULL;
            rc = through(st, st->target_pass, st->target, STEP_PREDICTOR, v, b, weight, &out);
            if (rc == 0)
                rc = kern_l2norm_forward(st->kn, st->t[v] + b * st->dim, st->t_length, out,
                                         st->m * along, st->dim);
        }
    }
    return rc;
}

/* Target and online network do not meet before the losses. */
static int forward_both(struct step *st)
{
    int rc = kern_fork(st->kn);
    if (rc < 0)
        return fail(rc, "the device does not begin a second lane");
    rc = forward_target(st);
    int back = kern_back(st->kn);
    if (rc == 0)
        rc = back < 0 ? back : forward_online(st);
    if (rc == 0)
        rc = kern_join(st->kn);
    return rc;
}

/* The neighbours in the queue of images without a given label vote. */
static int vote(struct step *st)
{
    bool predicted = st->state->set.vote_query == QUERY_PREDICTION;
    size_t first = st->sampler.labelled_places; /* those before it all have a label */
    const float *query[CROPS_LARGE];
    for (size_t v = 0; v < st->nlarge; v++)
        query[v] = (predicted ? st->o[v] : st->t[v]) + first * st->dim;
    if (step_asked(st) == 0)
        return 0;
    return voter_run(&st->voter, st->step_dev, &st->queue, step_asked(st), query,
                     st->id_dev + first, st->n - first,
                     by_votes(st) ? st->label_dev + first : NULL);
}

int step_get_labels(struct step *st)
{
    int rc = kern_get(st->kn, st->label, st->label_dev, st->n * sizeof *st->label);
    return rc < 0 ? fail(rc, "the device did not give the labels of a batch") : 0;
}

/* Which images are negatives may depend on their classes: the one thing that the host draws from
 * results. */
static int draw_other_classes(struct step *st)
{
    int rc = step_get_labels(st);
    return rc < 0 ? rc : objective_negatives(&st->objective, st->state->step, st->label);
}

static int forward(struct step *st)
{
    const float *const *o = (const float *const *)st->o, *const *t = (const float *const *)st->t;
    bool before = st->state->set.enqueue == ENQUEUE_BEFORE;
    int rc = forward_both(st);
    if (rc == 0 && before)
        rc = queue_write(&st->queue, t);
    if (rc == 0)
        rc = vote(st);
    if (rc == 0 && !before)
        rc = queue_write(&st->queue, t);
    if (rc == 0 && st->state->set.exclude_class)
        rc = draw_other_classes(st);
    if (rc == 0)
        rc = objective_run(&st->objective, st->step_dev, st->label_dev, o, t, &st->queue, st->do_);
    return rc;
}

/* The pictures that went through() from the unit predictions back to the parameters. */
static int back_through(struct step *st, size_t v, size_t b)
{
    float *dx[STEP_PARTS] = { NULL, st->dh, st->dz }, *dout = st->do_[v] + b * st->dim;
    const float *out = NULL;
    int rc = 0;
    if (st->recompute)
        rc = through(st, st->pass[v], st->online, STEP_PARTS, v, b, NULL, &out);
    if (rc == 0)
        rc = kern_l2norm_backward(st->kn, dout, dout, st->o[v] + b * st->dim, st->o_length[v] + b,
                                  st->m * step_along(st, v), st->dim);
    for (int part = STEP_PREDICTOR; part >= 0 && rc == 0; part--) {
        float *grad = st->optim.grad + (st->online[part].param - st->optim.theta);
        rc = net_backward(st->pass[v][part], &st->online[part], dout, grad, dx[part]);
        dout = dx[part];
    }
    return rc;
}

static int backward(struct step *st)
{
    int rc = kern_zero(st->kn, st->optim.grad, st->optim.nparam * sizeof(float));
    for (size_t v = 0; v < st->nviews; v += step_along(st, v))
        for (size_t b = 0; b < st->n && rc == 0; b += st->m)
            rc = back_through(st, v, b);
    return rc;
}

/* From now on every step with this batch's buffers would make the same calls. */
static bool repeats(const struct step *st)
{
    const struct settings *set = &st->state->set;
    return step_asked(st) == st->queue.capacity && !set->exclude_class &&
           (set->pseudo_labels != PSEUDO_VOTES || by_votes(st));
}

/* What calls() does. A device that cannot is asked once. */
struct kern_recording *step_record(struct step *st, int (*calls)(struct step *st))
{
    struct kern_recording *r = NULL;
    int rc = kern_record(st->kn);
    if (rc == 0) {
        rc = calls(st);
        int ended = kern_record_end(st->kn, &r);
        rc = rc < 0 ? rc : ended;
        if (rc < 0)
            log_debug("calls of a step are not recorded: done one by one");
        else
            log_debug("calls of a step are recorded: %d kernels and the like", rc);
    }
    if (rc >= 0)
        return r;
    kern_recording_free(st->kn, r);
    st->unrecorded = true;
    return NULL;
}

static int forward_backward(struct step *st)
{
    int rc = forward(st);
    return rc < 0 ? rc : backward(st);
}

int step_compute(struct step *st, double *went)
{
    struct kern_recording **r = &st->recording[st->batch - st->loader.batch];
    bool again = repeats(st) && !st->unrecorded;
    int rc = 0;
    if (again && st->warm && !*r)
        *r = step_record(st, forward_backward);
    st->warm = again;
    if (again && *r) {
        rc = kern_replay(st->kn, *r);
        *went = log_seconds();
        return rc < 0 ? fail(rc, "the device failed at a step") : 0;
    }
    rc = forward(st);
    *went = log_seconds();
    return rc < 0 ? rc : backward(st);
}
