/*
 * knn_list.cuh - for knn.cu: lists of the rows that may be among the k best, by their bounds.
 */
#ifndef SEMPPL_KNN_LIST_CUH
#define SEMPPL_KNN_LIST_CUH

#include "kernels/cuda/best.cuh"
#include "kernels/cuda/knn_search.cuh"
#include <math.h>

/* Scores of a lane as they lie in a tile. */
union scores {
    uint4 all;
    f16 each[EACH];
};

__device__ static inline scores load_scores(const search &s, size_t q, size_t column)
{
    scores u;
    u.all = __ldcs(reinterpret_cast<const uint4 *>(s.score + q * s.tile + column));
    return u;
}

/* Upper bound less threshold. */
__device__ static inline float above(float score, float scale, float error, float reach,
                                     float least)
{
    return fmaf(score, scale, fmaf(reach, error, -least));
}

/*
 * Looks through columns of the tile, the first of which is at position. A warp keeps the bounds of
 * its COLUMNS in registers while scores of SELECT_EACH queries come by, 16 bytes a lane: two
 * multiply-adds and a maximum a score. Few lanes find somebody to list: they read again.
 */
static __global__ void __launch_bounds__(SELECT_WARPS *WARP, 3)
    list_tile(search s, size_t column, size_t position, size_t end)
{
    size_t from = blockIdx.x * COLUMNS + threadIdx.x % WARP * EACH;
    size_t q0 = ((size_t)blockIdx.y * SELECT_WARPS + threadIdx.x / WARP) * SELECT_EACH;
    float scale[EACH], error[EACH];
    column += from;
    position += from;
    for (int i = 0; i < EACH; i++) {
        scale[i] = position + i < end ? s.scale[position + i] : 0;
        error[i] = position + i < end ? s.error[position + i] : 0;
    }
    unsigned found = 0;
    static_assert(SELECT_EACH <= 32 && SELECT_EACH % AHEAD == 0, "a bit for each query");
#pragma unroll 1
    for (int ahead = 0; ahead < SELECT_EACH; ahead += AHEAD) {
        scores u[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            u[i] = load_scores(s, min(q0 + ahead + i, s.n - 1), column);
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            size_t q = min(q0 + ahead + i, s.n - 1);
            float reach = s.reach[q], least = s.least[q], best = -1;
            for (int j = 0; j < EACH; j++)
                best = fmaxf(best, above(widen(u[i].each[j]), scale[j], error[j], reach, least));
            found |= (unsigned)(best >= 0 && q == q0 + ahead + i) << (ahead + i);
        }
    }
    for (; found; found &= found - 1) {
        size_t q = q0 + __ffs(found) - 1;
        float reach = s.reach[q], least = s.least[q];
        scores u = load_scores(s, q, column);
        unsigned hits = 0;
        for (int i = 0; i < EACH; i++)
            if (position + i < end &&
                above(widen(u.each[i]), scale[i], error[i], reach, least) >= 0 &&
                !own(s, q, s.bank_id ? row_of(s, position + i) : 0))
                hits |= 1u << i;
        size_t place = (size_t)atomicAdd(&s.listed[q], __popc(hits));
        for (int i = 0; i < EACH; i++)
            if (hits >> i & 1 && place < s.room) {
                s.low[q * s.room + place] = fmaf(-reach, error[i], widen(u.each[i]) * scale[i]);
                s.at[q * s.room + place++] = (int)(position + i);
            }
    }
}

/* Of a block's query: k rows are as similar as their lower bounds say; who cannot reach that,
 * goes. */
static __global__ void weed(search s)
{
    size_t q = blockIdx.x;
    int n = s.listed[q], k = (int)s.k;
    float *low = s.low + q * s.room;
    __syncthreads(); /* all have read n */
    if ((size_t)n > s.room) {
        if (threadIdx.x == 0) {
            s.reach[q] = 0;
            s.least[q] = INFINITY;
            s.listed[q] = 0;
            s.crowded[atomicAdd(s.ncrowded, 1)] = (int)q;
        }
        return;
    }
    if (n < k)
        return;
    float least = unorder(kth_largest<unsigned>(n, k, [&](int i) { return order(low[i]); }));
    float twice = 2 * s.reach[q];
    n = block_compact(low, s.at + q * s.room, n, [&](float lower, int at) {
        return !(lower + twice * s.error[at] < least); /* without bounds: NaN */
    });
    if (threadIdx.x == 0) {
        s.listed[q] = n;
        s.least[q] = least;
    }
}

#endif
