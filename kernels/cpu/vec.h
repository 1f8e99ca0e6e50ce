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
typedef uint32_t uvec __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
typedef uint16_t bvec __attribute__((vector_size(2 * LANES), aligned(2), may_alias)); /* bfloat16 */
/* As many doubles as a register holds, and the floats that become them. */
typedef double dvec __attribute__((vector_size(4 * LANES)));
typedef float hvec __attribute__((vector_size(2 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

/*
 * The first n numbers of a register of 4 or 2 bytes each, the others being 0: a mask where there
 * are such, else a copy, which for an n that is no constant is a call.
 */
#if defined(__AVX512F__)
INLINE uint32_t vec_first(size_t n)
{
    return (uint32_t)((UINT64_C(1) << n) - 1);
}

INLINE vec vec_load_part(const float *p, size_t n)
{
    return (vec)_mm512_maskz_loadu_ps((__mmask16)vec_first(n), p);
}

INLINE void vec_store_part(float *p, vec v, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)vec_first(n), (__m512)v);
}

INLINE uvec vec_load_part2(const uint16_t *p, size_t n)
{
    return (uvec)_mm512_maskz_loadu_epi16(vec_first(n), p);
}

INLINE void vec_store_part2(uint16_t *p, uvec u, size_t n)
{
    _mm512_mask_storeu_epi16(p, vec_first(n), (__m512i)u);
}
#else
INLINE vec vec_load_part(const float *p, size_t n)
{
    vec v = { 0 };
    memcpy(&v, p, n * sizeof(*p));
    return v;
}

INLINE void vec_store_part(float *p, vec v, size_t n)
{
    memcpy(p, &v, n * sizeof(*p));
}

INLINE uvec vec_load_part2(const uint16_t *p, size_t n)
{
    uvec u = { 0 };
    memcpy(&u, p, n * sizeof(*p));
    return u;
}

INLINE void vec_store_part2(uint16_t *p, uvec u, size_t n)
{
    memcpy(p, &u, n * sizeof(*p));
}
#endif

/* The first n <= LANES floats; n is a constant where speed matters. The others are 0. */
INLINE vec vec_load(const float *p, size_t n)
{
    return n == LANES ? *(const vec *)p : vec_load_part(p, n);
}

INLINE void vec_store(float *p, vec v, size_t n)
{
    if (n == LANES)
        *(vec *)p = v;
    else
        vec_store_part(p, v, n);
}

/* a where mask is set, else b. */
INLINE vec vec_select(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

/*
 * a > b ? x : y, by one comparison and one move where there are masks: of vec_select() compilers
 * make more, unless one of both is 0. vec_larger(): a > b ? a : b, also of NaN and of two zeros, as
 * processors define their maximum.
 */
INLINE vec vec_if_larger(vec a, vec b, vec x, vec y)
{
#if defined(__AVX512F__)
    __mmask16 larger = _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
    return (vec)_mm512_mask_mov_ps((__m512)y, larger, (__m512)x);
#else
    return vec_select(a > b, x, y);
#endif
}

INLINE vec vec_larger(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vec_select(a > b, a, b);
#endif
}

/* Lanes of a and b, those of b after all of a, in the order of the constants that follow; itype is
 * a vector of as many integers. */
#if defined(__clang__)
#define VEC_SHUFFLE(itype, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define VEC_SHUFFLE(itype, a, b, ...) __builtin_shuffle(a, b, (itype){ __VA_ARGS__ })
#endif

/* bfloat16 to float32: one shift of one extended load, of which convertvector makes four. */
INLINE vec vec_widen(bvec b)
{
#if defined(__AVX512F__)
    uvec u = (uvec)_mm512_cvtepu16_epi32((__m256i)b);
#elif defined(__AVX2__)
    uvec u = (uvec)_mm256_cvtepu16_epi32((__m128i)b);
#else
    uvec u = __builtin_convertvector(b, uvec);
#endif
    return (vec)(u << 16);
}

/*
 * And back, with the rounding of kern_store(), bit by bit: the number is the upper half. The
 * processor's own instruction turns denormals into 0. Masks save half of what GCC makes of the
 * portable form, without which a pass over the second cache would wait for arithmetic.
 */
INLINE uvec vec_round(vec v)
{
#if defined(__AVX512F__)
    __m512i u = (__m512i)v, r = _mm512_add_epi32(u, _mm512_set1_epi32(0x7fff));
    __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000));
    r = _mm512_mask_add_epi32(r, odd, r, _mm512_set1_epi32(1));
    const __m512i quiet = _mm512_set1_epi32(0x22); /* instead of each kind of NaN, v made quiet */
    return (uvec)_mm512_fixupimm_ps((__m512)r, (__m512)v, quiet, 0);
#else
    uvec u = (uvec)v;
    return (uvec)vec_select(v != v, (vec)(u | 0x400000u), (vec)(u + 0x7fffu + (u >> 16 & 1u)));
#endif
}

INLINE bvec vec_narrow(vec v)
{
    uvec u = vec_round(v) >> 16;
#if defined(__AVX512F__)
    return (bvec)_mm512_cvtepi32_epi16((__m512i)u);
#else
    return __builtin_convertvector(u, bvec);
#endif
}

/* vec_load and vec_store from element at of an array of type, a constant. */
INLINE vec vec_load_as(enum kern_type type, const void *p, size_t at, size_t n)
{
    if (type == KERN_F32)
        return vec_load((const float *)p + at, n);
    const uint16_t *from = (const uint16_t *)p + at;
    if (n == LANES)
        return vec_widen(*(const bvec *)from);
    uvec u = vec_load_part2(from, n);
    bvec b;
    memcpy(&b, &u, sizeof(b));
    return vec_widen(b);
}

INLINE void vec_store_as(enum kern_type type, void *p, size_t at, vec v, size_t n)
{
    if (type == KERN_F32) {
        vec_store((float *)p + at, v, n);
        return;
    }
    uint16_t *to = (uint16_t *)p + at;
    bvec b = vec_narrow(v);
    if (n == LANES) {
        *(bvec *)to = b;
        return;
    }
    uvec u = { 0 };
    memcpy(&u, &b, sizeof(b));
    vec_store_part2(to, u, n);
}

/*
 * Two vectors of numbers of a type, for passes that do little with each. float32 lie one vector
 * behind the other; of bfloat16 the first vector has those of even places and the second those of
 * odd ones, which a shift and a mask make of one load, and back: half the work of vec_load_as() and
 * vec_store_as(), whose numbers cross the register.
 */
enum { LANES2 = 2 * LANES };
struct vec2 {
    vec v[2];
};
#define BOTH(h) for (int h = 0; h < 2; h++)

#if LANES == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif

/* The first n <= LANES2 floats in the order of type, for sums and factors of columns; others 0. */
INLINE struct vec2 vec2_columns(enum kern_type type, const float *p, size_t n)
{
    size_t first = MIN(n, (size_t)LANES);
    struct vec2 c = { { vec_load(p, first), vec_load(p + first, n - first) } };
    if (type == KERN_F32)
        return c;
    return (struct vec2){ { VEC_SHUFFLE(ivec, c.v[0], c.v[1], EVEN),
                            VEC_SHUFFLE(ivec, c.v[0], c.v[1], ODD) } };
}

INLINE void vec2_store_columns(enum kern_type type, float *p, struct vec2 c, size_t n)
{
    if (type != KERN_F32)
        c = (struct vec2){ { VEC_SHUFFLE(ivec, c.v[0], c.v[1], LOW),
                             VEC_SHUFFLE(ivec, c.v[0], c.v[1], HIGH) } };
    size_t first = MIN(n, (size_t)LANES);
    vec_store(p, c.v[0], first);
    vec_store(p + first, c.v[1], n - first);
}

/* The first n <= LANES2 numbers from element at of an array of type; the others are 0. */
INLINE struct vec2 vec2_load_as(enum kern_type type, const void *p, size_t at, size_t n)
{
    if (type == KERN_F32)
        return vec2_columns(KERN_F32, (const float *)p + at, n);
    const uint16_t *from = (const uint16_t *)p + at;
    uvec u = n == LANES2 ? *(const uvec *)(const void *)from : vec_load_part2(from, n);
    return (struct vec2){ { (vec)(u << 16), (vec)(u & 0xffff0000u) } };
}

/* Of bfloat16, as they lie in memory. */
INLINE uvec vec2_halves(struct vec2 v)
{
    return (uvec)v.v[0] >> 16 | ((uvec)v.v[1] & 0xffff0000u);
}

/* Of numbers of the type, for which there is nothing to round. */
INLINE void vec2_store_exact(enum kern_type type, void *p, size_t at, struct vec2 v, size_t n)
{
    if (type == KERN_F32) {
        vec2_store_columns(KERN_F32, (float *)p + at, v, n);
        return;
    }
    uvec u = vec2_halves(v);
    uint16_t *to = (uint16_t *)p + at;
    if (n == LANES2)
        *(uvec *)(void *)to = u;
    else
        vec_store_part2(to, u, n);
}

INLINE struct vec2 vec2_round(enum kern_type type, struct vec2 v)
{
    if (type != KERN_F32)
        BOTH(h)
        {
            v.v[h] = (vec)vec_round(v.v[h]);
        }
    return v;
}

INLINE void vec2_store_as(enum kern_type type, void *p, size_t at, struct vec2 v, size_t n)
{
    vec2_store_exact(type, p, at, vec2_round(type, v), n);
}

/*
 * Bits of the first n numbers, which are of the type (struct kern_bn_forward). at: the first one's,
 * a multiple of 8. As they lie in memory those of bfloat16 above 0 are 1 to infinity.
 */
INLINE void vec2_store_above(enum kern_type type, uint8_t *bits, size_t at, struct vec2 v, size_t n)
{
    uvec u = vec2_halves(v);
    uint32_t m = 0;
#if LANES == 16
    const __m512i one = _mm512_set1_epi16(1), infinity = _mm512_set1_epi16(0x7f80);
    if (type == KERN_F32)
        BOTH(h)
        {
            m |= (uint32_t)_mm512_cmp_ps_mask((__m512)v.v[h], _mm512_setzero_ps(), _CMP_GT_OQ)
                 << 16 * h;
        }
    else
        m = _mm512_cmplt_epu16_mask(_mm512_sub_epi16((__m512i)u, one), infinity);
#elif LANES == 8
    if (type == KERN_F32) {
        BOTH(h)
        {
            m |= (uint32_t)_mm256_movemask_ps((__m256)(v.v[h] > 0)) << 8 * h;
        }
    } else {
        __m256i above = _mm256_cmpgt_epi16((__m256i)u, _mm256_setzero_si256());
        __m256i nan = _mm256_cmpgt_epi16((__m256i)u, _mm256_set1_epi16(0x7f80));
        __m256i set = _mm256_andnot_si256(nan, above);
        uint32_t twice = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(set, set));
        m = (twice & 0xff) | (twice >> 8 & 0xff00);
    }
#else
    for (int i = 0; i < LANES2; i++) {
        uint32_t x = u[i / 2] >> 16 * (i % 2) & 0xffff;
        bool above = type == KERN_F32 ? v.v[i / LANES][i % LANES] > 0 : x - 1 < 0x7f80;
        m |= (uint32_t)above << i;
    }
#endif
    for (size_t i = 0; i < n; i += 8)
        bits[(at + i) / 8] = (uint8_t)(m >> i);
}

/* v where its bits from at on, a multiple of 8, are set, else 0. */
INLINE struct vec2 vec2_where(enum kern_type type, const uint8_t *bits, size_t at, struct vec2 v,
                              size_t n)
{
    uint32_t m = 0;
    for (size_t i = 0; i < n; i += 8)
        m |= (uint32_t)bits[(at + i) / 8] << i;
#if defined(__AVX512F__)
    if (type == KERN_F32)
        return (struct vec2){ { (vec)_mm512_maskz_mov_ps((__mmask16)m, (__m512)v.v[0]),
                                (vec)_mm512_maskz_mov_ps((__mmask16)(m >> 16), (__m512)v.v[1]) } };
    return (struct vec2){ { (vec)_mm512_maskz_mov_epi16(m << 1, (__m512i)v.v[0]), /* upper halves */
                            (vec)_mm512_maskz_mov_epi16(m, (__m512i)v.v[1]) } };
#else
    BOTH(h)
    {
        ivec lane = { 0 };
        for (int i = 0; i < LANES; i++)
            lane[i] = 1 << (type == KERN_F32 ? h * LANES + i : 2 * i + h);
        v.v[h] = vec_select((lane & (int32_t)m) != 0, v.v[h], (vec){ 0 });
    }
    return v;
#endif
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

/* sum x in double, likewise. */
INLINE double vec_sum(const float *x, size_t n)
{
    enum { HALF = LANES / 2, AT_ONCE = 4 };
    dvec acc[AT_ONCE] = { { 0 } };
    double sum = 0;
    size_t j = 0;
    for (; j + AT_ONCE * HALF <= n; j += AT_ONCE * HALF)
        for (size_t i = 0; i < AT_ONCE; i++)
            acc[i] += vec_wide(x + j + i * HALF);
    for (; j < n; j++)
        sum += x[j];
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
