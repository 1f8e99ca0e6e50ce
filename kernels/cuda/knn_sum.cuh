/*
 * knn_sum.cuh - for knn.cu: sums in double, of those that are listed or, for crowded queries, of
 * all rows; and the answers, sorted.
 */
#ifndef SEMPPL_KNN_SUM_CUH
#define SEMPPL_KNN_SUM_CUH

#include "kernels/cuda/best.cuh"
#include "kernels/cuda/knn_search.cuh"
#include <limits.h>
#include <math.h>

enum { TURN = WARP * (WARP + 1) }; /* numbers of a square, a line apart from banks of another */

/*
 * A warp sums 32 candidates of its block's query, each lane one: lines of 32 numbers are read as
 * they lie, and turned in shared memory. Products of floats are exact in double: only the order of
 * the sum matters.
 */
static __global__ void sum_listed(search s)
{
    DYNAMIC_SHARED(double, shared);
    unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    double *y = shared + warp * WARP;
    float *x = reinterpret_cast<float *>(shared + blockDim.x) + warp * TURN;
    size_t q = blockIdx.x;
    const float *query = s.query + q * s.d;
    int n = s.listed[q], *at = s.at + q * s.room;
    for (int first = warp * WARP; first < n; first += blockDim.x) {
        int i = first + lane, row = (int)row_of(s, at[min(i, n - 1)]);
        double sum = 0;
        for (size_t c = 0; c < s.d; c += WARP) {
            bool in = c + lane < s.d;
            float line[WARP];
#pragma unroll
            for (int j = 0; j < WARP; j++) {
                size_t r = (size_t)__shfl_sync(ALL, row, j);
                line[j] = in ? s.bank[r * s.d + c + lane] : 0;
            }
            float of_query = in ? query[c + lane] : 0;
            __syncwarp(); /* the last square has been read */
            y[lane] = of_query;
#pragma unroll
            for (int j = 0; j < WARP; j++)
                x[j * (WARP + 1) + lane] = line[j];
            __syncwarp();
#pragma unroll
            for (int j = 0; j < WARP; j++)
                sum += (double)x[lane * (WARP + 1) + j] * y[j];
        }
        if (i < n) {
            s.key[q * s.room + i] = order(sum);
            at[i] = row;
        }
    }
}

/* Sorted neighbours of each query from sums: of all queries their lists, or of crowded ones their
 * parts. sorted: the power of two that at least k fit in; shared memory for as many, or in place.
 */
static __global__ void answer(search s, bool crowded, int sorted, bool in_shared, size_t k,
                              int32_t *idx, float *sim)
{
    DYNAMIC_SHARED(unsigned long long, shared);
    size_t all = crowded ? (size_t)*s.ncrowded : s.n;
    for (size_t f = blockIdx.x; f < all; f += gridDim.x) {
        size_t q = crowded ? (size_t)s.crowded[f] : f;
        unsigned long long *key = crowded ? s.part_key + f * s.parts : s.key + f * s.room;
        int *row = crowded ? s.part_row + f * s.parts : s.at + f * s.room;
        int n = crowded ? (int)s.k * s.stretches : s.listed[f];
        unsigned long long worst;
        if (n > sorted)
            n = block_best(key, row, n, (int)s.k, &worst);
        int size = 1;
        while (size < n)
            size *= 2;
        unsigned long long *to = in_shared ? shared : key;
        int *to_row = in_shared ? reinterpret_cast<int *>(shared + sorted) : row;
        for (int i = threadIdx.x; i < size; i += blockDim.x) {
            to[i] = i < n ? key[i] : 0;
            to_row[i] = i < n && key[i] ? row[i] : INT_MAX;
        }
        block_sort(to, to_row, size);
        /* a thread reads what it will write for the next query */
        for (size_t t = threadIdx.x; t < k; t += blockDim.x) {
            bool there = t < (size_t)n && to[t];
            idx[q * k + t] = there ? to_row[t] : -1;
            sim[q * k + t] = there ? (float)unorder(to[t]) : -INFINITY;
        }
    }
}

/* A block's tile of rows and queries in double. */
struct crowd_tile {
    float x[CROWD_WARPS][TURN];
    double y[CROWD][WARP];
    unsigned long long bar[CROWD]; /* who is listed has a larger key */
    int listed[CROWD], query[CROWD];
};

/* Sums of CROWD queries and the lane's row of those that begin with row. */
__device__ static void crowd_sums(const search &s, crowd_tile *t, size_t row, double sum[CROWD])
{
    unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    float *x = t->x[warp];
    for (int g = 0; g < CROWD; g++)
        sum[g] = 0;
    for (size_t c = 0; c < s.d; c += WARP) {
        bool in = c + lane < s.d;
        __syncthreads(); /* the last tile has been read */
        if (warp < CROWD)
            t->y[warp][lane] = in ? s.query[t->query[warp] * s.d + c + lane] : 0;
#pragma unroll 8
        for (int j = 0; j < WARP; j++) {
            size_t r = min(row + warp * WARP + j, s.m - 1);
            x[j * (WARP + 1) + lane] = in ? s.bank[r * s.d + c + lane] : 0;
        }
        __syncthreads();
#pragma unroll 4
        for (int j = 0; j < WARP; j++) {
            double of_row = x[lane * (WARP + 1) + j];
#pragma unroll
            for (int g = 0; g < CROWD; g++)
                sum[g] += of_row * t->y[g][j];
        }
    }
}

/*
 * The k best of every stretch of the bank for crowded queries, CROWD of them and one stretch at a
 * time. Of rows that come later, equals are not better.
 */
static __global__ void __launch_bounds__(CROWD_WARPS *WARP, 2) search_crowded(search s)
{
    enum { ROWS = CROWD_WARPS * WARP };
    static_assert((int)CROWD <= (int)CROWD_WARPS, "a warp loads a query");
    __shared__ crowd_tile t;
    int all = *s.ncrowded, k = (int)s.k, slot = s.slot;
    int groups = (all + CROWD - 1) / CROWD;
    unsigned long long *key = s.slot_key + (size_t)blockIdx.x * CROWD * slot;
    int *row = s.slot_row + (size_t)blockIdx.x * CROWD * slot;
    for (int item = blockIdx.x; item < groups * s.stretches; item += gridDim.x) {
        int first = item / s.stretches * CROWD, part = item % s.stretches;
        size_t begin = s.m * part / s.stretches, end = s.m * (part + 1) / s.stretches;
        __syncthreads(); /* t is free */
        if (threadIdx.x < CROWD) {
            t.query[threadIdx.x] = s.crowded[min(first + (int)threadIdx.x, all - 1)];
            t.listed[threadIdx.x] = 0;
            t.bar[threadIdx.x] = 0;
        }
        for (size_t r = begin; r < end; r += ROWS) {
            size_t mine = r + threadIdx.x;
            double sum[CROWD];
            crowd_sums(s, &t, r, sum);
            for (int g = 0; g < CROWD; g++) {
                unsigned long long x = order(sum[g]);
                if (mine < end && x > t.bar[g] && !own(s, t.query[g], mine)) {
                    int place = g * slot + atomicAdd(&t.listed[g], 1);
                    key[place] = x;
                    row[place] = (int)mine;
                }
            }
            __syncthreads();
            for (int g = 0; g < CROWD; g++) {
                int n = t.listed[g];
                if (n <= max(k, slot - ROWS) && (n <= k || r + ROWS < end))
                    continue;
                unsigned long long bar;
                block_best(key + g * slot, row + g * slot, n, k, &bar);
                if (threadIdx.x == 0) {
                    t.listed[g] = k;
                    t.bar[g] = bar;
                }
            }
        }
        __syncthreads();
        for (int g = 0; g < min(CROWD, all - first); g++) {
            size_t to = (size_t)(first + g) * s.parts + (size_t)part * k;
            for (int i = threadIdx.x; i < k; i += ROWS) {
                s.part_key[to + i] = i < t.listed[g] ? key[g * slot + i] : 0;
                s.part_row[to + i] = i < t.listed[g] ? row[g * slot + i] : 0;
            }
        }
    }
}

#endif
