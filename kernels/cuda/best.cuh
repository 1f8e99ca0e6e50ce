/*
 * best.cuh - for .cu files: what a block's threads find together among n keys: how many there are
 * of a kind, the k-th largest, the k best, all in order.
 *
 * Blocks are whole warps, and all of their threads call with the same arguments; arrays lie in
 * shared memory or are the block's own in that of the device. Keys are unsigned: order() makes them
 * of floating-point numbers. A key of 0 is none. A k-th largest key is found bit by bit, and a
 * count is one ballot for 32 keys.
 */
#ifndef SEMPPL_BEST_CUH
#define SEMPPL_BEST_CUH

#include "kernels/cuda/launch.cuh"
#include <stdint.h>

#define BEST_ALL 0xffffffffu /* lanes */
enum { BEST_WARP = 32 };

/* Unsigned numbers in the order of floating-point ones. */
__device__ inline unsigned order(float x)
{
    unsigned u = __float_as_uint(x);
    return u >> 31 ? ~u : u | 1u << 31;
}

__device__ inline float unorder(unsigned u)
{
    return __uint_as_float(u >> 31 ? u & ~(1u << 31) : ~u);
}

/* 0 for NaN, below all others. Sums begin with +0, and none is -0. */
__device__ inline unsigned long long order(double x)
{
    unsigned long long u = (unsigned long long)__double_as_longlong(x);
    return x != x ? 0 : u >> 63 ? ~u : u | 1ull << 63;
}

__device__ inline double unorder(unsigned long long u)
{
    return __longlong_as_double((long long)(u >> 63 ? u & ~(1ull << 63) : ~u));
}

/* The sum over warps of numbers that their lanes agree on. */
__device__ inline int block_total(int of_warp)
{
    __shared__ int part[BEST_WARP];
    if (blockDim.x == BEST_WARP)
        return of_warp;
    __syncthreads(); /* part is free */
    if (threadIdx.x % BEST_WARP == 0)
        part[threadIdx.x / BEST_WARP] = of_warp;
    __syncthreads();
    int total = 0;
    for (unsigned w = 0; w < blockDim.x / BEST_WARP; w++)
        total += part[w];
    return total;
}

/* How many of n. */
template <typename Is> __device__ int block_count(int n, Is is)
{
    int of_warp = 0;
    for (int base = 0; base < n; base += blockDim.x) {
        int i = base + threadIdx.x;
        of_warp += __popc(__ballot_sync(BEST_ALL, i < n && is(i)));
    }
    return block_total(of_warp);
}

/* A thread's place among those of which is is true. What threads read before, others may write
 * after. */
__device__ inline int block_place(bool is, int *total)
{
    __shared__ int part[BEST_WARP];
    unsigned lane = threadIdx.x % BEST_WARP, all = __ballot_sync(BEST_ALL, is);
    int place = __popc(all & ((1u << lane) - 1));
    if (blockDim.x == BEST_WARP) {
        __syncwarp();
        *total = __popc(all);
        return place;
    }
    __syncthreads();
    if (lane == 0)
        part[threadIdx.x / BEST_WARP] = __popc(all);
    __syncthreads();
    *total = 0;
    for (unsigned w = 0; w < blockDim.x / BEST_WARP; w++) {
        place += w < threadIdx.x / BEST_WARP ? part[w] : 0;
        *total += part[w];
    }
    return place;
}

/* Leaves out pairs that are not to keep; returns how many are left. */
template <typename A, typename B, typename Keep>
__device__ int block_compact(A *a, B *b, int n, Keep keep)
{
    int kept = 0;
    for (int base = 0; base < n; base += blockDim.x) {
        int i = base + threadIdx.x, more;
        A x = 0;
        B y = 0;
        if (i < n) {
            x = a[i];
            y = b[i];
        }
        bool is = i < n && keep(x, y);
        int place = kept + block_place(is, &more);
        if (is) {
            a[place] = x;
            b[place] = y;
        }
        kept += more;
    }
    __syncthreads();
    return kept;
}

/* The largest number that at least k of n keys reach; k is at most n. */
template <typename Key, typename At> __device__ Key kth_largest(int n, int k, At at)
{
    Key bar = 0;
    for (int bit = 8 * sizeof(Key) - 1; bit >= 0; bit--) {
        Key higher = bar | (Key)1 << bit;
        if (block_count(n, [&](int i) { return at(i) >= higher; }) >= k)
            bar = higher;
    }
    return bar;
}

/* Leaves the k best of more pairs, of equals those of lower rows, in any order, or fewer if keys
 * are 0; returns how many are left. worst: that of their keys. */
__device__ inline int block_best(unsigned long long *key, int *row, int n, int k,
                                 unsigned long long *worst)
{
    auto bar = kth_largest<unsigned long long>(n, k, [&](int i) { return key[i]; });
    int ties = k - block_count(n, [&](int i) { return key[i] > bar; });
    /* the ties-th lowest row of equals: in the order of complements, the largest */
    auto last = kth_largest<unsigned>(n, ties,
                                      [&](int i) { return key[i] == bar ? ~(unsigned)row[i] : 0; });
    *worst = bar;
    return block_compact(key, row, n, [&](unsigned long long x, int r) {
        return x > bar || (x && x == bar && ~(unsigned)r >= last);
    });
}

__device__ inline bool better(unsigned long long a, int ra, unsigned long long b, int rb)
{
    return a > b || (a == b && ra < rb);
}

/* Best first: Batcher's bitonic sort; n is a power of two. */
__device__ inline void block_sort(unsigned long long *key, int *row, int n)
{
    for (int size = 2; size <= n; size *= 2)
        for (int apart = size / 2; apart > 0; apart /= 2) {
            __syncthreads();
            for (int t = threadIdx.x; t < n / 2; t += blockDim.x) {
                int i = 2 * t - (t & (apart - 1)), j = i + apart;
                unsigned long long a = key[i], b = key[j];
                int ra = row[i], rb = row[j];
                if (better(b, rb, a, ra) != ((i & size) == 0))
                    continue;
                key[i] = b;
                row[i] = rb;
                key[j] = a;
                row[j] = ra;
            }
        }
    __syncthreads();
}

#endif
