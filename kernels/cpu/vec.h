/*
 * vec.h - vectors as wide as the registers of the instruction set that a *_isa.c is compiled for,
 * in GCC's portable notation: one source serves AVX-512, AVX2 and everything else.
 */
#ifndef SEMPPL_CPU_VEC_H
#define SEMPPL_CPU_VEC_H

#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/cpu.h"

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));
typedef uint16_t bvec __attribute__((vector_size(2 * LANES), aligned(2), may_alias)); /* bfloat16 */
/* As many doubles as a register holds, and the floats that become them. */
typedef double dvec __attribute__((vector_size(4 * LANES)));
typedef float hvec __attribute__((vector_size(2 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

/* The first n <= LANES floats; n is a constant where speed matters. The others are 0. */
INLINE vec vec_load(const float *p, size_t n)
{
    if (n == LANES)
        return *(const vec *)p;
    vec v = { 0 };
    memcpy(&v, p, n * sizeof(*p));
    return v;
}

INLINE void vec_store(float *p, vec v, size_t n)
{
    if (n == LANES)
        *(vec *)p = v;
    else
        memcpy(p, &v, n * sizeof(*p));
}

/* a where mask is set, else b. */
INLINE vec vec_select(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

/* One instruction, of which GCC's convertvector makes four. */
INLINE uvec vec_widen(bvec b)
{
#if defined(__AVX512F__)
    return (uvec)_mm512_cvtepu16_epi32((__m256i)b);
#elif defined(__AVX2__)
    return (uvec)_mm256_cvtepu16_epi32((__m128i)b);
#else
    return __builtin_convertvector(b, uvec);
#endif
}

/*
 * The same from element at of an array of type, a constant. The rounding is kern_store()'s, bit by
 * bit; the instruction for it would turn denormals into 0.
 */
INLINE vec vec_load_as(enum kern_type type, const void *p, size_t at, size_t n)
{
    if (type == KERN_F32)
        return vec_load((const float *)p + at, n);
    const uint16_t *from = (const uint16_t *)p + at;
    bvec b = { 0 };
    if (n == LANES)
        b = *(const bvec *)from;
    else
        memcpy(&b, from, n * sizeof(*from));
    return (vec)(vec_widen(b) << 16);
}

INLINE void vec_store_as(enum kern_type type, void *p, size_t at, vec v, size_t n)
{
    if (type == KERN_F32) {
        vec_store((float *)p + at, v, n);
        return;
    }
    uint16_t *to = (uint16_t *)p + at;
    uvec u = (uvec)v;
    u = (uvec)vec_select(v != v, (vec)(u | 0x400000u), (vec)(u + 0x7fffu + (u >> 16 & 1u)));
    bvec b = __builtin_convertvector(u >> 16, bvec);
    if (n == LANES)
        *(bvec *)to = b;
    else
        memcpy(to, &b, n * sizeof(*to));
}

INLINE dvec vec_wide(const float *p)
{
    return __builtin_convertvector(*(const hvec *)p, dvec);
}

/* sum (x + f y)^2 in double; y may be NULL where f is 0. Fixed order for a given n. */
INLINE double vec_square(const float *x, const float *y, double f, size_t n)
{
    enum { HALF = LANES / 2, AT_ONCE = 4 };
    dvec acc[AT_ONCE] = { { 0 } };
    double sum = 0;
    size_t j = 0;
    for (; j + AT_ONCE * HALF <= n; j += AT_ONCE * HALF)
        for (size_t i = 0; i < AT_ONCE; i++) {
            dvec v = vec_wide(x + j + i * HALF);
            if (y)
                v += f * vec_wide(y + j + i * HALF);
            acc[i] += v * v;
        }
    for (; j < n; j++) {
        double v = y ? x[j] + f * y[j] : x[j];
        sum += v * v;
    }
    acc[0] += acc[1] + (acc[2] + acc[3]);
    for (size_t i = 0; i < HALF; i++)
        sum += acc[0][i];
    return sum;
}

/* sum x y in double, likewise. */
INLINE double vec_dot(const float *x, const float *y, size_t n)
{
    enum { HALF = LANES / 2, AT_ONCE = 4 };
    dvec acc[AT_ONCE] = { { 0 } };
    double sum = 0;
    size_t j = 0;
    for (; j + AT_ONCE * HALF <= n; j += AT_ONCE * HALF)
        for (size_t i = 0; i < AT_ONCE; i++)
            acc[i] += vec_wide(x + j + i * HALF) * vec_wide(y + j + i * HALF);
    for (; j < n; j++)
        sum += (double)x[j] * y[j];
    acc[0] += acc[1] + (acc[2] + acc[3]);
    for (size_t i = 0; i < HALF; i++)
        sum += acc[0][i];
    return sum;
}

#endif
