/*
 * knn_memory.cu - little memory for searches for neighbours, so that those of tests too are cut
 * into blocks of queries, pieces of the bank, tiles and stretches.
 */
#include "kernels/cuda/knn.h"

extern "C" struct knn_memory cuda_knn_memory(void)
{
    return { .scores = 32 << 10, .lists = 128 << 10, .piece = 96 << 10 };
}
