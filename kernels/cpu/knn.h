/*
 * knn.h - what the searches for nearest neighbours share: estimates of similarities come in, exact
 * neighbours go out.
 *
 * A search estimates the similarity of every pair, by a score with a known error:
 *     |score - scale[query] * similarity| <= reach[query] * error[row] + least_error.
 * Whoever could be among the k is listed, by the upper bound; lists that are full are weeded by a
 * number that k of the lower bounds reach. For what is left the similarity is summed in double, in
 * the order of the definition, so that the result equals ref_knn to the last bit, whatever the
 * tiles, and ties fall to the lower row. The bounds cover the rounding of score + reach * error
 * too.
 */
#ifndef SEMPPL_CPU_KNN_H
#define SEMPPL_CPU_KNN_H

#include "kernels/cpu/cpu.h"

struct knn_hit {
    double sim;
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
    size_t part, first; /* stretch and first query */
    size_t room, full;  /* of a list; more than full are weeded before KNN_MORE come */
    float *upper;       /* [queries][room]: scale * similarity + least_error at most */
    int32_t *row;       /* [queries][room] */
    float *lower;       /* [room] */
    size_t *listed;     /* [queries] */
    float *least;       /* [queries]: who has a lower upper bound is passed over */
};

enum { KNN_MORE = 32 };

size_t knn_lists_bytes(const struct knn *s, size_t queries); /* a multiple of 64 */
void knn_lists_begin(struct knn_lists *l, const struct knn *s, size_t part, size_t first,
                     size_t queries, void *memory);
void knn_lists_weed(struct knn_lists *l, size_t query);
void knn_lists_end(struct knn_lists *l, size_t queries);

/* n rows, up to KNN_MORE, have been put behind a list's end. query: counted from the block's first.
 */
static inline void knn_listed(struct knn_lists *l, size_t query, size_t n)
{
    l->listed[query] += n;
    if (l->listed[query] > l->full)
        knn_lists_weed(l, query);
}

/* knn_bf16.c: scores by products of bfloat16, for handles with ISA_AVX512BF16. */
int knn_bf16(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim);

/* knn_isa.c */
enum { KNN_DOTS = 16 };
struct cpu_knn {
    /* sums in double in the order of d, of several rows; next: the rows of the next call, which
     * come from memory meanwhile */
    void (*dots)(double sum[KNN_DOTS], const float *query, const float *const row[KNN_DOTS],
                 const float *const next[KNN_DOTS], size_t d);
    /* places at which score + reach * error is not below least; returns how many */
    size_t (*pick)(uint32_t *at, const float *score, const float *error, float reach, float least,
                   size_t n);
    /* a number that at least k, and few more, of upper[i] - 2 reach error[row[i]] reach; -infinity
     * if fewer than k have a bound. lower: scratch, n rounded up to a multiple of 16 */
    float (*bar)(float *lower, const float *upper, const int32_t *row, const float *error,
                 float reach, size_t n, size_t k);
    /* leaves out, of both arrays, where upper is below least; returns how many are left */
    size_t (*keep)(float *upper, int32_t *row, float least, size_t n);
    double (*square)(const float *x, size_t n); /* sum of squares, in any order */
};
extern const struct cpu_knn cpu_knn_generic, cpu_knn_avx2, cpu_knn_avx512;

#endif
