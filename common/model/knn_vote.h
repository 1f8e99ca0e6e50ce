/*
 * knn_vote.h - a bank of labelled embeddings, the nearest of its rows to a query, and their vote.
 *
 * Embeddings are brought to unit length here, whatever the shard holds. Neighbours are exact and
 * totally ordered: cosine similarity (summed in double), then the lower row of the bank; neither
 * the memory given nor threads change them.
 */
#ifndef SEMPPL_KNN_VOTE_H
#define SEMPPL_KNN_VOTE_H

#include "common/data/embed.h"
#include "kernels/kern.h"

/* -- the bank ---- */

struct knn_bank {
    const struct embed *e; /* the caller's */
    uint32_t *row;         /* [n] rows of e that have a label: the bank, in their order */
    size_t n, nclasses;
    uint64_t *per_class;      /* [nclasses] labelled rows */
    uint64_t *id;             /* [n] sorted content hashes */
    uint64_t fewest, most;    /* labelled rows of a class, over all classes */
    struct kern *kn;          /* the caller's */
    size_t tile_rows, loaded; /* rows of the device's tile; number of the tile in it + 1 */
    float *tile;              /* [tile_rows][d] on the device */
    size_t block;             /* queries a call */
    float *host, *query;      /* [block][d] here and on the device */
    int32_t *tile_idx;        /* [block][k] */
    float *tile_sim;
    size_t k;
};

/*
 * The labelled rows of e (label >= 0) vote, k of them a query. mem: bytes for the tile
 * of the bank and the blocks of queries. -EINVAL (worded) if no row has a label.
 */
int knn_bank_open(struct knn_bank *b, struct kern *kn, const struct embed *e, size_t k,
                  uint64_t mem);
void knn_bank_close(struct knn_bank *b); /* fine on a zeroed one */
/* Says how many rows vote, and how many of each class (log_info). */
void knn_bank_tell(const struct knn_bank *b);
int32_t knn_bank_label(const struct knn_bank *b, int32_t i);
bool knn_bank_has(const struct knn_bank *b, uint64_t id);

/*
 * The k nearest rows of the bank to each of n vectors, rows 0 .. n-1 of x [][d] (or row[0] ..
 * row[n-1] if row is given): idx [n][k] numbers in the bank (-1 where there are fewer), sim [n][k]
 * cosines, best first.
 */
int knn_search(struct knn_bank *b, const float *x, const uint32_t *row, size_t n, int32_t *idx,
               float *sim);

/* -- the vote ---- */

enum knn_rule { KNN_MAJORITY, KNN_WEIGHTED };
extern const char *const knn_rule_names[]; /* "majority", "weighted", NULL */

/* One weight a class; reused from query to query. */
struct knn_vote {
    enum knn_rule rule;
    double temperature; /* weighted: a vote counts exp(sim / temperature) */
    size_t nclasses;
    double *weight, *sum; /* [nclasses] votes, and similarities */
    int32_t *order;       /* classes voted for, best first */
    size_t voted;         /* how many */
    double confidence;    /* the first one's share of all votes */
};

int knn_vote_open(struct knn_vote *v, enum knn_rule rule, double temperature, size_t nclasses);
void knn_vote_close(struct knn_vote *v);
/*
 * Counts one query's neighbours (idx, sim [k] of knn_search) and returns the winner. Of classes
 * with equal votes the one with the larger sum of similarities is first, then the lower label.
 */
int32_t knn_vote_count(struct knn_vote *v, const struct knn_bank *b, const int32_t *idx,
                       const float *sim, size_t k);

#endif
