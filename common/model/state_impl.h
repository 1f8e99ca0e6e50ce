/*
 * state_impl.h - private to state*.c: the parts of the networks in the arenas, and how a state for
 * given settings is laid out.
 */
#ifndef SEMPPL_STATE_IMPL_H
#define SEMPPL_STATE_IMPL_H

#include "common/model/state.h"

enum { ENCODER, PROJECTOR, PREDICTOR, NPARTS };

const struct net *state_part(const struct state *s, int part);
/* Floats of the arenas before a part. */
size_t state_params_before(const struct state *s, int part);
size_t state_running_before(const struct state *s, int part);

/* Networks for s->set, and the sizes of the arenas. */
int state_build(struct state *s);
/* The arenas of one network, or all that there is; what has been allocated is state_release()'s. */
int state_allocate_online(struct state *s);
int state_allocate_target(struct state *s);
int state_allocate(struct state *s);

#endif
