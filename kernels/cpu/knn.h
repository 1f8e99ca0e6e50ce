/*
 * knn.h - what the searches for nearest neighbours share: estimates of similarities come in, exact
 * neighbours go out.
 *
 * A search estimates the similarity of every pair, by a score with a known error:
 *     |score - scale[query] * similarity| <= reach[query] * error[row] + least_error.
 * Whoever could be among the k is listed; lists that are full are weeded by the k-th best lower
 * bound. For what is left the similarity is summed in double, in the order of the definition, so
 * that the result equals ref_knn to the last bit, whatever the tiles, and ties fall to the lower
 * row. The bounds cover the rounding of score + reach * error too.
 */
#ifndef SEMPPL_CPU_KNN_H
#define SEMPPL_CPU_KNN_H

#include "kernels/cpu/cpu.h"

struct knn_hit {
    double sim;
    int32_t row;
};

struct knn_maybe {
    float score;
    int32_t row;
};

/* One search: kn, q, stretches and least_error come from the caller, the arrays from
 * knn_memory(). */
struct knn {
    struct kern *kn;
    const struct kern_knn *q;
    size_t stretches; /* parts of the bank that are searched apart, and merged at the end */
    float least_error;
    struct knn_hit *hits; /* [stretches][n][k] heaps with the worst on top */
    size_t *found;        /* [stretches][n] */
    double *scale;        /* [n], powers of 2 */
    float *reach;         /* [n] */
    float *error;         /* [m] */
};

enum { KNN_MIN_TASKS = 8 }; /* few queries: the bank is cut, so that all threads have work */

size_t knn_bytes(const struct knn *s);                   /* a multiple of 64 */
void knn_memory(struct knn *s, void *memory);            /* 64-byte aligned; nothing found yet */
int knn_answer(struct knn *s, int32_t *idx, float *sim); /* merges, sorts */

/* The lists of a block of queries in one stretch, in scratch that the caller has. */
struct knn_lists {
    const struct knn *search;
    size_t part, first;      /* stretch and first query */
    size_t room;             /* of a list */
    struct knn_maybe *maybe; /* [queries][room] */
    struct knn_hit *lower;   /* [k] */
    size_t *listed;          /* [queries] */
    float *least;            /* [queries]: lower values of score + reach * error are passed over */
};

size_t knn_lists_bytes(const struct knn *s, size_t queries); /* a multiple of 64 */
void knn_lists_begin(struct knn_lists *l, const struct knn *s, size_t part, size_t first,
                     size_t queries, void *memory);
void knn_lists_weed(struct knn_lists *l, size_t query, bool all); /* all: the list is done with */

/* query: counted from the block's first. */
static inline void knn_list(struct knn_lists *l, size_t query, float score, size_t row)
{
    l->maybe[query * l->room + l->listed[query]++] = (struct knn_maybe){ score, (int32_t)row };
    if (l->listed[query] == l->room)
        knn_lists_weed(l, query, false);
}

/* knn_amx.c: scores by bfloat16 tiles. */
int knn_amx(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim);

/* knn_isa.c */
enum { KNN_DOTS = 8 };
struct cpu_knn {
    /* sums in double in the order of d, of several rows */
    void (*dots)(double sum[KNN_DOTS], const float *query, const float *const row[KNN_DOTS],
                 size_t d);
    /* places at which score + reach * error is not below least; returns how many */
    size_t (*pick)(uint32_t *at, const float *score, const float *error, float reach, float least,
                   size_t n);
    double (*square)(const float *x, size_t n); /* sum of squares, in any order */
};
extern const struct cpu_knn cpu_knn_generic, cpu_knn_avx2, cpu_knn_avx512;

#endif
