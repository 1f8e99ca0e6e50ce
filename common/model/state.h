/*
 * state.h - the complete state of a run in host memory, and its checkpoint.
 *
 * The parameter arena is encoder, projector, predictor in that order; the target's arena is its
 * first ntarget floats (encoder, projector). Tensors in the checkpoint: online/encoder/...,
 * online/projector/..., online/predictor/..., target/encoder/..., target/projector/..., momentum/
 * and with AdamW second/ (like online/), each with running statistics where it has batch norm
 * (momentum and second have none);
 * queue/vectors f32 [L][C][D], queue/labels i32 [C], queue/ids u64 [C]; scalars i64 queue/head,
 * queue/fill, counters/step, counters/total_steps, counters/data_rows, counters/updates,
 * counters/updates_target. Settings are root attributes, classes and history as in every file.
 */
#ifndef SEMPPL_STATE_H
#define SEMPPL_STATE_H

#include "common/model/encoder.h"

#define STATE_COUNT_MOST (INT64_C(1) << 53) /* of every counter, so that sums of them fit */

struct state {
    struct settings set;
    struct net large, small; /* the encoder at the two sides (small: only if small_crops > 0) */
    struct net projector, predictor;
    size_t nparam, ntarget, nrunning, nrunning_target; /* floats of the arenas */
    float *theta, *momentum;                           /* [nparam] */
    float *second; /* [nparam] AdamW's squared gradients; NULL with other optimisers */
    float *xi;     /* [ntarget] */
    float *running, *running_target; /* [nrunning] encoder, projector, predictor; [nrunning_target]
                                        encoder, projector */
    int64_t updates, updates_target; /* running-statistics updates so far, of each network */
    size_t capacity;                 /* C: slots of a queue */
    float *queue;                    /* [large_crops][C][dim] unit vectors */
    int32_t *queue_label;            /* [C] slot s of every queue is the same picture */
    uint64_t *queue_id;
    int64_t queue_head, queue_fill; /* next slot to write; valid slots */
    int64_t step;                   /* steps done */
    int64_t total_steps;            /* length of the schedule once known, else 0 */
    int64_t
        data_rows; /* rows of the data at the first step, else 0: a later run must find the same */
    struct classes classes;
    struct history history;
    double loss_scale; /* 1, or what gradients are multiplied by on their way through the networks,
                          so that float16 holds small ones; no part of a checkpoint */
};

/* Initial weights from the seed: truncated normal of deviation 1/sqrt(fan in), constants for batch
 * norm and biases (dm-haiku's choices); target = online. A queue of 0 becomes 20 batches. */
int state_new(struct state *s, const struct settings *set);
/* Everything is checked: shapes, ranges, that all numbers are finite and nothing is left over. */
int state_from_ckpt(struct state *s, const struct ckpt *c);
/*
 * One network, for use, and the counters: likewise, from a checkpoint of which these groups have
 * been read (ckpt_read_groups()). The other network, moments and queue stay NULL.
 */
const char *const *state_network_groups(bool target);
int state_network_from_ckpt(struct state *s, const struct ckpt *c, bool target);
/* -ENUMERIC (worded) if a number is not finite: such a checkpoint could not be read. */
int state_to_ckpt(const struct state *s, struct ckpt *c);
/*
 * Changes settings by "NAME=VALUE" each (--set); the networks follow a new side of the crops. A
 * new length of the schedule (steps, epochs, batch) makes total_steps 0: to be worked out again.
 */
int state_set(struct state *s, const char *const *assignments, size_t n);
/* What the encoder's activations are stored as from now on; float32 before. Not part of a
 * checkpoint. */
void state_precision(struct state *s, enum kern_type type);
void state_release(struct state *s);

/* Offsets of a part's parameters and statistics in the arenas: "encoder",
 * "projector" or "predictor". */
size_t state_param_offset(const struct state *s, const char *part);
size_t state_running_offset(const struct state *s, const char *part);

#endif
