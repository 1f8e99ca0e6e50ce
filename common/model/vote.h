/*
 * vote.h - pseudo-labels: the vote of an image's nearest labelled embeddings (SemPPL, the k-nearest
 * neighbours classifier over the queue).
 *
 * For every pair (query view j, queue i) of large views the k nearest slots of queue i to the
 * online prediction of view j give their labels; all of them are one multiset, and its mode wins.
 * Of equal counts the larger sum of similarities wins, then the smaller label. A slot that holds
 * the very picture that asks is passed over.
 */
#ifndef SEMPPL_VOTE_H
#define SEMPPL_VOTE_H

#include "common/model/queue.h"

struct vote {
    int32_t label; /* -1: nobody voted */
    float share;   /* votes for label over all votes */
};

/* label [n], where -1 is no vote; similarity [n]. work [n] is scratch. */
struct vote vote_count(const int32_t *label, const float *similarity, size_t n, int32_t *work);

struct voter {
    struct kern *kn;
    size_t n, k, views, ballots; /* images at most; neighbours; large views; votes an image */
    int32_t *slot_dev;           /* [n][k] */
    float *sim_dev;
    uint64_t *id_dev; /* [n] */
    int32_t *slot;    /* [n][k] host */
    float *part;
    int32_t *label; /* [n][ballots] */
    float *sim;
    int32_t *work; /* [ballots] */
};

int voter_open(struct voter *v, struct kern *kn, size_t n, size_t k, size_t views);
void voter_close(struct voter *v);

/*
 * Votes for count <= n images. o[j] [count][dim] unit predictions of large view j [dev]; id
 * [count]; out [count]. An empty queue leaves all without a label.
 */
int voter_run(struct voter *v, const struct queue *q, const float *const *o, const uint64_t *id,
              size_t count, struct vote *out);

#endif
