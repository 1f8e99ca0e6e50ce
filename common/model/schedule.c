/*
 * schedule.c - learning rate and target coefficient of each step.
 */
#include "common/model/schedule.h"
#include <math.h>

/* Falls from 1 to 0 as x goes from 0 to 1, or stays at 1. */
static double fall(enum curve curve, double x)
{
    const double pi = 3.14159265358979323846;
    return curve == CURVE_CONSTANT ? 1 : 0.5 * (1 + cos(pi * fmin(x, 1)));
}

static int64_t steps_of(double epochs, size_t rows, int batch)
{
    return (int64_t)floor(fmin(epochs * (double)rows / batch, 0x1p53));
}

void schedule_init(struct schedule *s, const struct settings *set, size_t rows)
{
    s->total = set->steps > 0 ? set->steps : steps_of(set->epochs, rows, set->batch);
    s->total = MAX(s->total, 1);
    s->warmup = MIN(steps_of(set->warmup, rows, set->batch), s->total - 1);
    s->peak = set->base_lr * set->batch / 256;
    s->ema = set->base_ema;
    s->lr_curve = (enum curve)set->lr_schedule;
    s->ema_curve = (enum curve)set->ema_schedule;
}

double schedule_lr(const struct schedule *s, int64_t k)
{
    if (k < s->warmup)
        return s->peak * (double)k / (double)s->warmup;
    return s->peak * fall(s->lr_curve, (double)(k - s->warmup) / (double)(s->total - s->warmup));
}

double schedule_ema(const struct schedule *s, int64_t k)
{
    return 1 - (1 - s->ema) * fall(s->ema_curve, (double)k / (double)s->total);
}
