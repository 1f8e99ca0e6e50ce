/*
 * knn_round.cuh - for knn.cu: operands of the product in float16, and bounds of what rounding took.
 */
#ifndef SEMPPL_KNN_ROUND_CUH
#define SEMPPL_KNN_ROUND_CUH

#include "kernels/cuda/knn_search.cuh"
#include <math.h>

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

#endif
