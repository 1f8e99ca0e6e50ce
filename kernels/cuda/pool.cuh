/*
 * pool.cuh - for .cu files of pooling: blocks that go along a row of the plane.
 */
#ifndef SEMPPL_POOL_CUH
#define SEMPPL_POOL_CUH

#include "kernels/cuda/columns.cuh"

enum { POOL_THREADS = 256 };

/* Threads for so many numbers of a row: whole warps, no more idle than need be. */
static dim3 pool_block(size_t items)
{
    size_t rounds = over(items, POOL_THREADS);
    return dim3((unsigned)over(over(items, rounds), 32) * 32);
}

#endif
