/*
 * optim.h - the update of a step: LARS on the online network, then the target's moving average.
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
    float *xi;                      /* [ntarget] device */
    struct kern_segment *seg;
    size_t nseg;
    float mu, eta, wd;
};

int optim_open(struct optim *op, struct kern *kn, const struct state *s);
void optim_close(struct optim *op);

int optim_load(struct optim *op, const struct state *s); /* theta, xi and momentum to the device */
int optim_save(const struct optim *op, struct state *s);

/* The update by grad, which may not hold anything that is not finite. */
int optim_update(struct optim *op, double lr, double gamma);

#endif
