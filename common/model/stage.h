/*
 * stage.h - one network at work on a device: its numbers, its packed weights and its inference.
 */
#ifndef SEMPPL_STAGE_H
#define SEMPPL_STAGE_H

#include "common/model/net.h"

struct stage {
    struct net_weights w;
    struct net_infer *infer; /* net_infer_run() */
    const struct net *net;   /* the caller's; NULL: not open */
};

/* From arenas in host memory, param [net->floats] and running [net->stat_floats], for batches of at
 * most rows. Negative (worded) on failure; close it in any case. */
int stage_open(struct stage *st, struct kern *kn, const struct net *net, const float *param,
               const float *running, size_t rows);
void stage_close(struct stage *st, struct kern *kn); /* fine on a zeroed one */

#endif
