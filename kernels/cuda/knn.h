/*
 * knn.h - private to the CUDA plugin: the search behind cuda_knn(), with its memory as arguments,
 * so that tests can make it cut a small search into many pieces.
 */
#ifndef SEMPPL_CUDA_KNN_H
#define SEMPPL_CUDA_KNN_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of scratch at most, each; a search that fits in less takes less. */
struct knn_memory {
    size_t scores; /* a tile of estimates; afterwards exact sums */
    size_t lists;  /* of candidates, of the queries that are searched for at a time */
    size_t piece;  /* of the bank, rounded to float16 */
};

int cuda_knn_within(struct kern *kn, const struct kern_knn *q, const struct knn_memory *memory,
                    int32_t *idx, float *sim);

#ifdef __cplusplus
}
#endif

#endif
