/*
 * knn.cu - exact nearest neighbours: estimates by a product in float16, of what they leave over
 * sums in double.
 *
 * Estimates. The bank is first brought near zero: t = row - mu, mu the mean of some rows. That adds
 * the same number to all similarities of a query and leaves their order, but where all rows are
 * alike (an encoder that has just been initialised) it is their differences that are rounded. Then
 * a query q and every t are scaled by a power of two of their own to a length in [64, 128), and
 * rounded to float16, ' below: no number overflows, what underflows is nothing, and products of two
 * rows stay below 2^14. By Cauchy and Schwarz
 *     |q t - q' t'| <= |q| |dt| + |dq| |t'|,   |dq| <= 2^-11 |q| + sqrt(d) 2^-25,
 * |dt| is measured, the product adds (d + 16) 2^-22 |q'| |t'| (matrix units align the products of a
 * step with their sum and cut: Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA
 * tensor cores", PeerJ CS 7:e330; twice what they saw) and 2^-11 of the result for its own
 * rounding, and sums in double differ by (d + 2) 2^-53 |q| |row| from what they sum. So with the
 * row's scale undone
 *     |score * scale[row] - (q row - q mu)| <= reach[query] * error[row],   reach = |q|,
 * in units of the query's own; error has room for the float32 arithmetic of the comparisons too.
 * For rows of like length this is about 2.7 * 2^-11 |q| |t|.
 *
 * Search. Scores come in tiles of queries x rows. list_tile() lists who may be among the k best:
 * whose upper bound is not below the k-th best lower bound so far, which weed() finds each time
 * when twice as many rows have been seen, so that about k come between. Rows stand in an order in
 * which any beginning is spread over the whole bank (golden section): a bank sorted by class is met
 * as if it were shuffled. The candidates that are left get sums in double in the order of d, and
 * are sorted: the last bit is that of the definition. A NaN is nobody's neighbour.
 *
 * A list that overflows (thousands of rows within the bounds) makes its query crowded, and so do
 * zeros, infinities and NaN, which have no bound: crowded queries meet every row in double,
 * CROWD at a time. The host decides nothing: those kernels find an empty list and end.
 *
 * Bounds decide how many are summed. Of 82,000 rows of d 512, for the 20 best, as counted on the
 * CPU with these bounds: random directions 25, clusters of 82 27 to 82, rows of a common part ten
 * times as long as what they differ in 114; with those of bfloat16 and no mean 34, 39 to 82, and
 * all.
 *
 * Floor on an H200, 16,384 queries, 81,920 rows, d 512, k 20: 1.74 ms for the product at 790
 * TFLOP/s; scores are written while it runs (2.7 GB) and read once, 0.63 ms at 4.3 TB/s; the bank
 * is read and written in half, 0.06 ms; some 25 rows a query are gathered for the sums, 0.8 GB, 0.2
 * ms. 2.6 ms in all, and some 40 launches; less needs a product whose own loop looks through what
 * it makes. All in double, which is what crowded queries cost: 6.9e11 fused multiply-adds, 41 ms at
 * 34 TFLOP/s.
 */
#include "kernels/cuda/best.cuh"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/knn.h"
#include "kernels/cuda/storage.cuh"
#include <limits.h>
#include <math.h>

enum {
    WARP = 32,
    EACH = 8,              /* scores of a lane: 16 bytes */
    COLUMNS = WARP * EACH, /* of a warp; pieces and tiles are whole multiples */
    SELECT_WARPS = 8,
    SELECT_EACH = 16, /* queries of a warp, for which it keeps the bounds of its columns */
    AHEAD = 8,        /* of which are on their way */
    SAMPLE = 512,     /* rows that make the mean */
    MEAN_LANES = 16,
    ROUND_WARPS = 8,
    LIST = 1024, /* candidates of a query, at least; else LIST_K k */
    LIST_K = 4,
    SORT_SHARED = 2048, /* candidates that are sorted in shared memory */
    SORT_LEAST = 64,
    CROWD = 8,         /* crowded queries that meet rows together */
    CROWD_WARPS = 8,   /* and a row for each lane */
    CROWD_ROOM = 1024, /* candidates beside the k best */
    STRETCHES = 64,    /* of the bank, that crowded queries are searched in apart, at most */
    STRETCH = 1024,    /* rows, at least */
};

#define ALL 0xffffffffu

/* One block of queries and what is known of it. */
struct search {
    size_t n, m, d, k; /* k: at most m */
    const float *query, *bank;
    const uint64_t *query_id, *bank_id;
    uint64_t step;           /* position p is row p * step % m */
    size_t d16;              /* numbers of a rounded row, zeros behind d */
    size_t room, tile;       /* of a list; columns of a tile */
    unsigned *largest;       /* bits of the sample's largest number */
    float *mean;             /* [d] */
    f16 *piece;              /* [rows][d16] */
    float *scale, *error;    /* [m], by position */
    f16 *query16;            /* [n][d16] */
    float *reach, *least;    /* [n]; least: who has a lower upper bound is passed over */
    int *listed;             /* [n], how many wanted to be listed */
    float *low;              /* [n][room], lower bounds */
    int *at;                 /* [n][room], positions; with the sums, rows */
    f16 *score;              /* [n][tile] */
    unsigned long long *key; /* [n][room], in the memory of the scores, as all below */
    int *crowded, *ncrowded;
    int stretches, parts; /* of the bank; parts: entries of a crowded query below */
    unsigned long long *part_key;
    int *part_row;
    int slot; /* entries of a block and query */
    unsigned long long *slot_key;
    int *slot_row;
};

__device__ static inline size_t row_of(const search &s, size_t position)
{
    return position * s.step % s.m;
}

__device__ static inline bool own(const search &s, size_t query, size_t row)
{
    return s.bank_id && s.bank_id[row] == s.query_id[query];
}

/* 2^e, e from -126 to 127. */
__device__ static inline float power(int e)
{
    return __int_as_float((e + 127) << 23);
}

/* -- operands ---- */

/* The mean of the sample, without what is not finite: any vector serves. */
static __global__ void sample_mean(search s)
{
    __shared__ double sums[MEAN_LANES][WARP];
    __shared__ unsigned tops[MEAN_LANES][WARP];
    size_t c = blockIdx.x * WARP + threadIdx.x, rows = min((size_t)SAMPLE, s.m);
    double sum = 0;
    unsigned largest = 0;
    for (size_t p = threadIdx.y; p < rows && c < s.d; p += MEAN_LANES) {
        float x = s.bank[row_of(s, p) * s.d + c];
        if (!(fabsf(x) < INFINITY))
            continue;
        sum += x;
        largest = max(largest, __float_as_uint(fabsf(x)));
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    tops[threadIdx.y][threadIdx.x] = largest;
    __syncthreads();
    if (threadIdx.y || c >= s.d)
        return;
    for (int i = 1; i < MEAN_LANES; i++) {
        sum += sums[i][threadIdx.x];
        largest = max(largest, tops[i][threadIdx.x]);
    }
    atomicMax(s.largest, largest);
    s.mean[c] = (float)(sum / rows);
}

/* The power of two that brings the sample's numbers below 1, or its largest exponent to 2. */
__device__ static inline float unit_of(const search &s)
{
    int e = (int)(*s.largest >> 23) - 126;
    return power(-min(max(e, -100), 126));
}

__device__ static inline double warp_sum(double x)
{
    for (int by = WARP / 2; by > 0; by /= 2)
        x += __shfl_xor_sync(ALL, x, by);
    return x;
}

/* Four numbers of a row, 0 behind its end. */
__device__ static inline float4 four(const float *row, size_t c, size_t d, bool aligned)
{
    if (aligned && c < d)
        return *reinterpret_cast<const float4 *>(row + c);
    return make_float4(c < d ? row[c] : 0, c + 1 < d ? row[c + 1] : 0, c + 2 < d ? row[c + 2] : 0,
                       c + 3 < d ? row[c + 3] : 0);
}

/* What a row is made of for its product: itself, or scaled by unit without the mean. */
struct source {
    const float *row, *mean; /* mean NULL: the row itself */
    float unit;
    bool aligned; /* rows to 16 bytes */
};

__device__ static inline float4 four_of(const source &from, size_t c, size_t d)
{
    float4 v = four(from.row, c, d, from.aligned);
    if (!from.mean)
        return v;
    float4 u = four(from.mean, c, d, from.aligned);
    return make_float4(v.x * from.unit - u.x * from.unit, v.y * from.unit - u.y * from.unit,
                       v.z * from.unit - u.z * from.unit, v.w * from.unit - u.w * from.unit);
}

/* A rounded row: its length and that of what rounding took, times 2^-e. */
struct rounded {
    double length, rest;
    int e;
    bool bounded; /* no infinity, no NaN */
};

/* Writes d16 numbers times 2^-e in float16; a warp's work. */
__device__ static rounded round_row(const source &from, f16 *to, size_t d, size_t d16)
{
    size_t first = threadIdx.x % WARP * 4;
    double square = 0, rest = 0;
    for (size_t c = first; c < d; c += 4 * WARP) {
        float4 v = four_of(from, c, d);
        square += (double)v.x * v.x + (double)v.y * v.y + ((double)v.z * v.z + (double)v.w * v.w);
    }
    rounded r;
    r.length = sqrt(warp_sum(square));
    r.bounded = r.length < INFINITY;
    r.e = r.bounded && r.length > 0 ? ilogb(r.length) - 6 : 0;
    /* in two steps: one factor might not be a float; exact but for what is nothing beside 64 */
    float half = power(-(r.e / 2)), other = power(-(r.e - r.e / 2));
    for (size_t c = first; c < d16; c += 4 * WARP) {
        float4 v = r.bounded ? four_of(from, c, d) : make_float4(0, 0, 0, 0);
        float x[4] = { v.x * half * other, v.y * half * other, v.z * half * other,
                       v.w * half * other };
        union {
            uint2 all;
            f16 each[4];
        } u;
        for (int i = 0; i < 4; i++) {
            narrow(&u.each[i], x[i]);
            double off = x[i] - widen(u.each[i]); /* exact in float32 */
            rest += off * off;
        }
        *reinterpret_cast<uint2 *>(to + c) = u.all;
    }
    r.length = ldexp(r.length, -r.e);
    r.rest = sqrt(warp_sum(rest));
    return r;
}

/* Query by query: operands and reach. */
static __global__ void round_queries(search s, bool aligned)
{
    size_t q = (size_t)blockIdx.x * ROUND_WARPS + threadIdx.x / WARP;
    if (q >= s.n)
        return;
    source from = { s.query + q * s.d, NULL, 1, aligned };
    rounded r = round_row(from, s.query16 + q * s.d16, s.d, s.d16);
    if (threadIdx.x % WARP)
        return;
    bool bound = r.bounded && r.length > 0;
    s.reach[q] = bound ? (float)(r.length * (1 + 0x1p-20)) : 0;
    s.least[q] = bound ? -INFINITY : INFINITY;
    if (!bound)
        s.crowded[atomicAdd(s.ncrowded, 1)] = (int)q;
}

/*
 * The bank at positions begin to end, to whole COLUMNS. As above, with what float32 adds: 2^-24 of
 * t for the subtraction, of each bound for its rounding, in 2^-19.
 */
static __global__ void round_bank(search s, size_t begin, size_t end, bool aligned)
{
    size_t p = begin + (size_t)blockIdx.x * ROUND_WARPS + threadIdx.x / WARP;
    unsigned lane = threadIdx.x % WARP;
    f16 *to = s.piece + (p - begin) * s.d16;
    if (p >= end) {
        for (size_t c = lane; c < s.d16; c += WARP)
            to[c].bits = 0;
        return;
    }
    source from = { s.bank + row_of(s, p) * s.d, s.mean, unit_of(s), aligned };
    rounded r = round_row(from, to, s.d, s.d16);
    if (lane)
        return;
    double root = sqrt((double)s.d), near = r.length + r.rest;
    double of_query = 0x1p-11 + root * 0x1p-31;
    double relative =
        of_query + 0x1p-11 * (1 + 0x1p-7) + (double)(s.d16 + 16) * 0x1p-22 * (1 + 0x1p-7) + 0x1p-19;
    double error = ldexp(r.rest + near * relative + 0x1p-30, r.e);
    bool tiny = r.e < -100 || r.length == 0, bounded = r.bounded && r.e <= 60;
    if (tiny) /* the scale would not be a float: scores count as 0 */
        error = 0x1p-90;
    error += (double)(s.d + 2) * 0x1p-52 * (ldexp(r.length, r.e) + 4 * root);
    s.scale[p] = tiny || !bounded ? 0 : power(r.e);
    s.error[p] = bounded ? (float)(error * (1 + 0x1p-20)) : INFINITY;
}

/* -- lists of candidates ---- */

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

/* -- sums in double ---- */

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

/* -- the host's side ---- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t clamp(size_t n, size_t least, size_t most)
{
    return MAX(least, MIN(n, most));
}

extern "C" __attribute__((weak)) struct knn_memory cuda_knn_memory(void)
{
    return { .scores = (size_t)256 << 20, .lists = (size_t)128 << 20, .piece = (size_t)256 << 20 };
}

/* How a search is cut to its memory. */
struct plan {
    cudaStream_t stream;
    size_t queries, rows; /* at a time; of a piece */
    size_t sorted;
    unsigned crowd_blocks, list_threads, answer_threads;
    size_t region; /* bytes of scores, or of all that comes after them */
    bool aligned_queries, aligned_bank;
};

/* Of the numbers coprime to m, one near its golden section: multiples of it are spread evenly. */
static uint64_t golden(uint64_t m)
{
    for (uint64_t step = (uint64_t)((double)m * 0.6180339887498949);; step++) {
        uint64_t a = m, b = MAX(step, (uint64_t)1);
        while (b) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            return MAX(step, (uint64_t)1);
    }
}

static void make_plan(struct plan *p, search *s, const struct kern_knn *q, struct kern *kn)
{
    const struct knn_memory memory = cuda_knn_memory();
    const size_t hit = sizeof(*s->key) + sizeof(*s->at);
    size_t sms = (size_t)cuda_of(kn)->multiprocessors, columns = round_up(s->m, COLUMNS);
    p->stream = cuda_of(kn)->stream;
    p->aligned_queries = s->d % 4 == 0 && (uintptr_t)q->query % 16 == 0;
    p->aligned_bank = s->d % 4 == 0 && (uintptr_t)q->bank % 16 == 0;
    p->sorted = SORT_LEAST;
    while (p->sorted < s->k)
        p->sorted *= 2;
    s->room = MIN(MAX(round_up(LIST_K * s->k, 2 * COLUMNS), (size_t)LIST), columns);
    s->room = MAX(s->room, p->sorted);
    p->queries = clamp(memory.lists / (s->room * (sizeof(*s->low) + sizeof(*s->at))), 1, q->n);
    p->rows = clamp(memory.piece / (s->d16 * sizeof(f16)) / COLUMNS * COLUMNS, COLUMNS, columns);
    s->tile =
        clamp(memory.scores / (p->queries * sizeof(f16)) / COLUMNS * COLUMNS, COLUMNS, p->rows);
    /* crowded queries: half of the memory for what their stretches find, a quarter for slots */
    size_t each = p->queries * s->k * hit;
    s->stretches = (int)clamp(memory.scores / 2 / MAX(each, (size_t)1), 1,
                              clamp(s->m / STRETCH, 1, STRETCHES));
    s->parts = (int)MAX((size_t)s->stretches * s->k, p->sorted);
    s->slot = (int)round_up(s->k + CROWD_ROOM, COLUMNS);
    size_t slots = CROWD * s->slot * hit;
    p->crowd_blocks = (unsigned)clamp(memory.scores / 4 / slots, 1, 2 * sms);
    p->region = MAX(p->queries * s->tile * sizeof(f16), p->queries * s->room * sizeof(*s->key));
    p->region = MAX(p->region, round_up(p->queries * s->parts * hit, 8) + p->crowd_blocks * slots);
    p->list_threads = s->room > LIST ? 8 * WARP : WARP;
    p->answer_threads = (unsigned)clamp(p->sorted / 2, WARP, 16 * WARP);
}

/* The next piece of scratch, 256 bytes apart from others. */
static void *carve(char **from, size_t bytes)
{
    char *p = *from;
    *from += round_up(bytes, 256);
    return p;
}

/* Places of all arrays from memory on; returns the end. */
static char *place(search *s, const struct plan *p, char *memory)
{
    size_t n = p->queries, columns = round_up(s->m, COLUMNS);
    char *region = (char *)carve(&memory, p->region);
    s->score = (f16 *)region;
    s->key = (unsigned long long *)region;
    s->part_key = (unsigned long long *)region;
    s->part_row = (int *)(s->part_key + n * s->parts);
    s->slot_key =
        (unsigned long long *)(region + round_up(n * s->parts *
                                                     (sizeof(*s->part_key) + sizeof(*s->part_row)),
                                                 8));
    s->slot_row = (int *)(s->slot_key + (size_t)p->crowd_blocks * CROWD * s->slot);
    s->piece = (f16 *)carve(&memory, p->rows * s->d16 * sizeof(*s->piece));
    s->query16 = (f16 *)carve(&memory, n * s->d16 * sizeof(*s->query16));
    s->scale = (float *)carve(&memory, columns * sizeof(*s->scale));
    s->error = (float *)carve(&memory, columns * sizeof(*s->error));
    s->low = (float *)carve(&memory, n * s->room * sizeof(*s->low));
    s->at = (int *)carve(&memory, n * s->room * sizeof(*s->at));
    s->reach = (float *)carve(&memory, n * sizeof(*s->reach));
    s->least = (float *)carve(&memory, n * sizeof(*s->least));
    s->listed = (int *)carve(&memory, n * sizeof(*s->listed));
    s->crowded = (int *)carve(&memory, n * sizeof(*s->crowded));
    s->mean = (float *)carve(&memory, s->d * sizeof(*s->mean));
    s->largest = (unsigned *)carve(&memory, sizeof(*s->largest));
    s->ncrowded = (int *)carve(&memory, sizeof(*s->ncrowded));
    return memory;
}

static unsigned blocks(size_t n, size_t each)
{
    return (unsigned)((n + each - 1) / each);
}

/* Estimates of a block of queries and all rows; candidates are left in the lists. */
static int estimate(struct kern *kn, const search *s, const struct plan *p, bool round)
{
    int rc = launch(p->stream, round_queries, dim3(blocks(s->n, ROUND_WARPS)),
                    dim3(ROUND_WARPS * WARP), 0, *s, p->aligned_queries);
    size_t next = s->room / 2 / COLUMNS * COLUMNS; /* when to weed */
    next = MAX(next, (size_t)COLUMNS);
    for (size_t begin = 0; rc == 0 && begin < s->m; begin += p->rows) {
        size_t end = MIN(begin + p->rows, s->m), columns = round_up(end - begin, COLUMNS);
        if (round || p->rows < s->m)
            rc = launch(p->stream, round_bank, dim3(blocks(columns, ROUND_WARPS)),
                        dim3(ROUND_WARPS * WARP), 0, *s, begin, end, p->aligned_bank);
        for (size_t tile = begin; rc == 0 && tile < end; tile += s->tile) {
            size_t tile_end = MIN(tile + s->tile, end);
            struct gemm g = { .types = GEMM_F16,
                              .ta = false,
                              .tb = true,
                              .m = s->n,
                              .n = round_up(tile_end - tile, COLUMNS),
                              .k = s->d16,
                              .lda = s->d16,
                              .ldb = s->d16,
                              .ldc = s->tile };
            rc = cuda_gemm_typed(kn, &g, 1, s->query16, s->piece + (tile - begin) * s->d16, 0,
                                 s->score);
            for (size_t at = tile; rc == 0 && at < tile_end;) {
                size_t stop = MIN(next, tile_end);
                dim3 grid(blocks(stop - at, COLUMNS), blocks(s->n, SELECT_WARPS * SELECT_EACH));
                rc = launch(p->stream, list_tile, grid, dim3(SELECT_WARPS * WARP), 0, *s, at - tile,
                            at, stop);
                if (rc == 0 && (stop == next || stop == s->m))
                    rc =
                        launch(p->stream, weed, dim3((unsigned)s->n), dim3(p->list_threads), 0, *s);
                next *= stop == next ? 2 : 1;
                at = stop;
            }
        }
    }
    return rc;
}

/* Exact neighbours from the lists, and of crowded queries from all rows. */
static int settle(const search *s, const struct plan *p, size_t k, int32_t *idx, float *sim)
{
    unsigned warps = (unsigned)clamp(s->k / WARP, 1, 8);
    bool in_shared = p->sorted <= SORT_SHARED;
    size_t shared = in_shared ? p->sorted * (sizeof(*s->key) + sizeof(int)) : 0;
    int rc = launch(p->stream, sum_listed, dim3((unsigned)s->n), dim3(warps * WARP),
                    warps * (WARP * sizeof(double) + TURN * sizeof(float)), *s);
    if (rc == 0)
        rc = launch(p->stream, answer, dim3((unsigned)s->n), dim3(p->answer_threads), shared, *s,
                    false, (int)p->sorted, in_shared, k, idx, sim);
    if (rc == 0)
        rc = launch(p->stream, search_crowded, dim3(p->crowd_blocks), dim3(CROWD_WARPS * WARP), 0,
                    *s);
    if (rc == 0)
        rc = launch(p->stream, answer, dim3(MIN((unsigned)s->n, p->crowd_blocks)),
                    dim3(p->answer_threads), shared, *s, true, (int)p->sorted, in_shared, k, idx,
                    sim);
    return rc;
}

extern "C" int cuda_knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    search s = {};
    struct plan p = {};
    s.m = q->m;
    s.d = q->d;
    s.k = MIN(q->k, q->m);
    s.d16 = round_up(q->d, 8);
    s.step = golden(MAX(q->m, (size_t)1));
    s.bank = q->bank;
    s.bank_id = q->bank_id;
    make_plan(&p, &s, q, kn);
    char *scratch = (char *)cuda_scratch(kn, (size_t)place(&s, &p, NULL));
    if (!scratch)
        return -ENOMEM;
    place(&s, &p, scratch);
    int rc = 0;
    if (q->m) {
        rc = cuda_zero(kn, s.largest, sizeof(*s.largest));
        if (rc == 0)
            rc = launch(p.stream, sample_mean, dim3(blocks(s.d, WARP)), dim3(WARP, MEAN_LANES), 0,
                        s);
    }
    for (size_t first = 0; rc == 0 && first < q->n; first += p.queries) {
        s.n = MIN(p.queries, q->n - first);
        s.query = q->query + first * q->d;
        s.query_id = q->query_id ? q->query_id + first : NULL;
        rc = cuda_zero(kn, s.ncrowded, sizeof(*s.ncrowded));
        if (rc == 0)
            rc = cuda_zero(kn, s.listed, s.n * sizeof(*s.listed));
        if (rc == 0 && q->m)
            rc = estimate(kn, &s, &p, first == 0);
        if (rc == 0)
            rc = settle(&s, &p, q->k, idx + first * q->k, sim + first * q->k);
    }
    return rc;
}
