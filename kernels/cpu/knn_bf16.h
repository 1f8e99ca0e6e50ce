/*
 * knn_bf16.h - nearest neighbours by products of bfloat16: what the search (knn_bf16.c) asks of a
 * unit of the processor, tiles (knn_amx.c) or pairs (knn_pairs_bf16.c). Files named *_bf16.c are
 * compiled for AVX512_BF16.
 */
#ifndef SEMPPL_CPU_KNN_BF16_H
#define SEMPPL_CPU_KNN_BF16_H

#include "kernels/cpu/knn.h"

enum {
    KNN_HALF = 16,                   /* queries or rows of half a block */
    KNN_SIDE = 2 * KNN_HALF,         /* of a block */
    KNN_DEPTH = 32,                  /* numbers of a vector in a step of a sum */
    KNN_PART = KNN_HALF * KNN_DEPTH, /* numbers of half a block in a step */
    KNN_STEP = 2 * KNN_PART,         /* of a block */
};

/* A block of scores, c [KNN_SIDE queries][KNN_SIDE rows]: only the halves with some of the first
 * queries and rows are wanted. Sums of float32, in any order. */
struct knn_block {
    size_t steps, queries, rows;
    const void *plan;      /* of the unit */
    const uint16_t *query; /* [steps][2][KNN_HALF queries][KNN_DEPTH] */
    const uint16_t *bank;  /* [steps][2][KNN_DEPTH / 2 pairs][KNN_HALF rows][2] */
    float *c;
};

/* A thread opens the unit, and closes it when its scores are done. What is done between the
 * beginning and the end of a block may run beside it. */
struct knn_unit {
    size_t plan_bytes; /* a step */
    void (*plan)(void *plan, size_t steps);
    void (*open)(void);
    void (*begin)(const struct knn_block *b);
    void (*end)(const struct knn_block *b);
    void (*close)(void);
};
extern const struct knn_unit knn_tiles, knn_pairs;

#endif
