/*
 * step_impl.h - shared by step*.c.
 */
#ifndef SEMPPL_STEP_IMPL_H
#define SEMPPL_STEP_IMPL_H

#include "common/model/step.h"

/* From the batch and what was put beside it to the gradient; *went: when the forward pass was asked
 * for, in log_seconds(). */
int step_compute(struct step *st, double *went);

/* What calls() does; NULL if the device cannot, which is asked once. */
struct kern_recording *step_record(struct step *st, int (*calls)(struct step *st));

/* Labels of the batch, voted ones among them, from the device; waits for them. */
int step_get_labels(struct step *st);

/* Views that pass through the networks at once, from v on. */
static inline size_t step_along(const struct step *st, size_t v)
{
    return !st->together ? 1 : v < st->nlarge ? st->nlarge : st->nviews - st->nlarge;
}

/* Slots of the queue that votes see. */
static inline size_t step_asked(const struct step *st)
{
    return st->state->set.enqueue == ENQUEUE_BEFORE ? st->queue.fill : st->queue.old_fill;
}

#endif
