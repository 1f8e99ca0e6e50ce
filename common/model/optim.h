/*
 * optim.h - the update of a step: the online network by LARS, SGD with momentum or AdamW, then the
 * target's moving average.
 *
 * All parameters of encoder, projector and predictor in one arena, as in state.h; the target's
 * arena is its beginning. Biases and batch norm are excluded from decay and adaptation (BYOL).
 */
#ifndef SEMPPL_OPTIM_H
#define SEMPPL_OPTIM_H

#include "common/model/state.h"

struct optim {
    struct kern *kn;
    size_t nparam, ntarget;
    float *theta, *momentum, *grad; /* [nparam] device */
    float *second;                  /* likewise, squared gradients; AdamW only, else NULL */
    float *xi;                      /* [ntarget] device */
    struct kern_segment *seg;
    size_t nseg;
    const struct settings *set; /* the state's */
    double scale;               /* grad is so many times the gradient */
};

int optim_open(struct optim *op, struct kern *kn, const struct state *s); /* s outlives it */
void optim_close(struct optim *op);

int optim_load(struct optim *op, const struct state *s); /* theta, xi and moments to the device */
int optim_save(const struct optim *op, struct state *s);

/* The t-th update (from 1) by grad, which may not hold anything that is not finite. */
int optim_update(struct optim *op, int64_t t, double lr, double gamma);

#endif
