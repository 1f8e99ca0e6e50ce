/*
 * reduce.cuh - for .cu files: sums and maxima over a warp or a block, in an order that depends on
 * nothing but their size. All threads take part, in warps that are full, and all get the result.
 */
#ifndef SEMPPL_REDUCE_CUH
#define SEMPPL_REDUCE_CUH

#include <cuda_runtime.h>
#include <math.h>

/* Over the WIDTH lanes, a power of two, that this one belongs to. join is commutative. */
template <int WIDTH, typename T, typename F> __device__ inline T warp_fold(T x, F join)
{
    for (int away = WIDTH / 2; away > 0; away /= 2)
        x = join(x, __shfl_xor_sync(0xffffffffu, x, away));
    return x;
}

/* Over a block of up to 1024 threads; none + x is x. It is a barrier too. */
template <typename T, typename F> __device__ inline T block_fold(T x, T none, F join)
{
    __shared__ T part[32];
    unsigned thread = threadIdx.x + blockDim.x * threadIdx.y, lane = thread % 32;
    unsigned warps = blockDim.x * blockDim.y / 32;
    x = warp_fold<32>(x, join);
    __syncthreads(); /* all have read what was folded before */
    if (lane == 0)
        part[thread / 32] = x;
    __syncthreads();
    return warp_fold<32>(lane < warps ? part[lane] : none, join);
}

template <int WIDTH = 32, typename T> __device__ inline T warp_sum(T x)
{
    return warp_fold<WIDTH>(x, [](T a, T b) { return a + b; });
}

template <typename T> __device__ inline T block_sum(T x)
{
    return block_fold(x, T(0), [](T a, T b) { return a + b; });
}

/* Passes over NaN. */
__device__ inline double block_most(double x)
{
    return block_fold(x, (double)-INFINITY, [](double a, double b) { return fmax(a, b); });
}

#endif
