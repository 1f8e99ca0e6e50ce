/*
 * vote.h - pseudo-labels: the vote of an image's nearest labelled embeddings (SemPPL, the k-nearest
 * neighbours classifier over the queue).
 *
 * For every pair of a large query view j and a queue i the k nearest slots of queue i to the query
 * of view j give their labels; all of them are one multiset, and its mode wins. Of equal counts the
 * larger sum of similarities wins, then the smaller label. A slot that holds the very picture that
 * asks is passed over. These are the defaults; settings change each of them:
 *
 *   vote_views      all pairs; or same: only queue i with view i; or one: queue 0 with view 0
 *   vote_rule       mode; or draw: of each pair's neighbours one votes, drawn at random
 *   tie_break       similarity; or label: the smaller label at once
 *   exclude_self    yes; or no: a picture's own slots vote
 *   vote_threshold  an image whose winner has a smaller share of the votes gets no label
 */
#ifndef SEMPPL_VOTE_H
#define SEMPPL_VOTE_H

#include "common/model/queue.h"
#include "common/model/settings.h"

struct vote {
    int32_t label; /* -1: nobody voted */
    float share;   /* votes for label over all votes */
};

/* label [n], where -1 is no vote; similarity [n]. work [n] is scratch. */
struct vote vote_count(const int32_t *label, const float *similarity, size_t n, enum tie_break tie,
                       int32_t *work);

struct voter {
    struct kern *kn;
    const struct settings *set;
    size_t n, k, views; /* images at most; neighbours; large views */
    size_t each;        /* votes of a pair for an image */
    size_t ballots;     /* votes for an image */
    int32_t *slot_dev;  /* [n][k] */
    float *sim_dev;
    uint64_t *id_dev; /* [n] */
    int32_t *slot;    /* [n][k] host */
    float *part;
    int32_t *label; /* [n][ballots] */
    float *sim;
    int32_t *work; /* [ballots] */
};

/* set stays the caller's and must outlive the voter. */
int voter_open(struct voter *v, struct kern *kn, const struct settings *set);
void voter_close(struct voter *v);

/*
 * Votes of step k (steps done before it) for count <= n images. query[j] [count][dim] unit vectors
 * of large view j [dev]; id [count]; out [count]. An empty queue leaves all without a label.
 */
int voter_run(struct voter *v, int64_t k, const struct queue *q, const float *const *query,
              const uint64_t *id, size_t count, struct vote *out);

#endif
