/*
 * schedule.h - learning rate and target coefficient of each step.
 *
 * Linear warm-up, then half a cosine to zero (BYOL, dm-haiku's example code); the target's
 * coefficient rises from base_ema to 1 by half a cosine over the whole length. Either may stay
 * where its curve begins (lr_schedule, ema_schedule). An epoch is as many samples as the data has
 * rows, whatever the mix of labelled and unlabelled ones.
 */
#ifndef SEMPPL_SCHEDULE_H
#define SEMPPL_SCHEDULE_H

#include "common/model/settings.h"

struct schedule {
    int64_t total;  /* T: steps in all, at least 1 */
    int64_t warmup; /* W: steps of rising rate, below T */
    double peak;    /* base_lr * batch / 256 */
    double ema;     /* base_ema */
    enum curve lr_curve, ema_curve;
};

/* T = steps, or floor(epochs * rows / batch) if steps is 0; W = floor(warmup * rows / batch). */
void schedule_init(struct schedule *s, const struct settings *set, size_t rows);

/* k counts steps done before this one, from 0; beyond T the values at T hold. */
double schedule_lr(const struct schedule *s, int64_t k);
double schedule_ema(const struct schedule *s, int64_t k);

#endif
