/*
 * state_show.h - what a state holds, in words and as JSON.
 */
#ifndef SEMPPL_STATE_SHOW_H
#define SEMPPL_STATE_SHOW_H

#include "common/model/state.h"
#include <stdio.h>

void state_show(const struct state *s, FILE *f);
/* One object on a line: semppl-ckpt(1). -ENOMEM (worded) if memory does not suffice. */
int state_show_json(const struct state *s, FILE *f);

#endif
