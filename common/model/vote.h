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
    int32_t label; /* -1: nobody voted, or too few agree */
    float share;   /* votes for the winner over all votes */
};

struct voter {
    struct kern *kn;
    const struct settings *set;
    size_t n, k, views; /* images at most; neighbours; large views */
    size_t searches;    /* pairs of a queue and a view */
    size_t ballots;     /* votes for an image */
    int32_t *slot;      /* [searches][n][k] the neighbours, device */
    float *sim;
    int32_t *ballot; /* [n][ballots] the votes, device */
    float *similarity;
    int32_t *label; /* [n] device */
    float *share;
    int32_t *host_label; /* [n] */
    float *host_share;
};

/* set stays the caller's and must outlive the voter. */
int voter_open(struct voter *v, struct kern *kn, const struct settings *set);
void voter_close(struct voter *v);
size_t voter_bytes(const struct settings *set); /* about */

/*
 * Votes of a step for count <= n images among the fill > 0 first slots of q, as published. step
 * [1]: steps done before it; query[j] [count][dim] unit vectors of large view j; id [count]; labels
 * [count] or NULL: those below 0 become what was voted. All [dev].
 */
int voter_run(struct voter *v, const int64_t *step, const struct queue *q, size_t fill,
              const float *const *query, const uint64_t *id, size_t count, int32_t *labels);
/* The votes of the last run; waits for them. */
int voter_get(struct voter *v, size_t count, struct vote *out);

#endif
