/*
 * knn.h - private to the CUDA plugin: how much memory a search for neighbours takes.
 */
#ifndef SEMPPL_CUDA_KNN_H
#define SEMPPL_CUDA_KNN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of scratch at most, each; a search that fits in less takes less. */
struct knn_memory {
    size_t scores; /* a tile of estimates; afterwards exact sums */
    size_t lists;  /* of candidates, of the queries that are searched for at a time */
    size_t piece;  /* of the bank, rounded to float16 */
};

/* The device of tests has another, so small that small searches are cut up too. */
struct knn_memory cuda_knn_memory(void);

#ifdef __cplusplus
}
#endif

#endif
