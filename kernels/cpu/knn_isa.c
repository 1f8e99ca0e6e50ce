/*
 * knn_isa.c - exact sums and the comparison of scores with a threshold.
 */
#include <math.h>

#include "kernels/cpu/knn.h"
#include "kernels/cpu/vec.h"
#if defined(__AVX512F__)
#include "kernels/cpu/transpose.h"
#endif

#if defined(__AVX512F__)
/* 16 numbers of 16 rows: a column at a time. */
static void dots_16(__m512d sum[2], const float *query, const float *const row[KNN_DOTS],
                    const float *const next[KNN_DOTS], size_t c)
{
    __m512i r[KNN_DOTS];
    for (size_t i = 0; i < KNN_DOTS; i++) {
        r[i] = _mm512_loadu_si512(row[i] + c);
        _mm_prefetch(next[i] + c, _MM_HINT_T0);
    }
    transpose(r);
    for (size_t i = 0; i < KNN_DOTS; i++) {
        __m512d x = _mm512_set1_pd(query[c + i]);
        __m512d low = _mm512_cvtps_pd((__m256)_mm512_castsi512_si256(r[i]));
        __m512d high = _mm512_cvtps_pd((__m256)_mm512_extracti64x4_epi64(r[i], 1));
        sum[0] = _mm512_fmadd_pd(x, low, sum[0]);
        sum[1] = _mm512_fmadd_pd(x, high, sum[1]);
    }
}
#endif

/*
 * A sum in the order of d waits for each addition, so several rows are summed side by side. The
 * product of two floats is exact in double: fused or not, the sum is the same.
 */
static void dots(double sum[KNN_DOTS], const float *query, const float *const row[KNN_DOTS],
                 const float *const next[KNN_DOTS] UNUSED, size_t d)
{
    double s[KNN_DOTS] = { 0 };
    size_t c = 0;
#if defined(__AVX512F__)
    __m512d wide[2] = { _mm512_setzero_pd(), _mm512_setzero_pd() };
    for (; c + 16 <= d; c += 16)
        dots_16(wide, query, row, next, c);
    memcpy(s, wide, sizeof(s));
#endif
    for (; c < d; c++)
        for (size_t r = 0; r < KNN_DOTS; r++)
            s[r] += (double)query[c] * row[r][c];
    memcpy(sum, s, sizeof(s));
}

/* One bit for all: is any lane set? */
INLINE bool any(ivec mask)
{
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_epi8((__m256i)mask) != 0;
#else
    int32_t some = 0;
    for (size_t i = 0; i < LANES; i++)
        some |= mask[i];
    return some != 0;
#endif
}

static size_t pick(uint32_t *at, const float *score, const float *error, float reach, float least,
                   size_t n)
{
    size_t picked = 0, i = 0;
    for (; i < n; i += LANES) {
        size_t lanes = MIN(n - i, (size_t)LANES);
        if (lanes == LANES) {
            vec high = vec_load(score + i, LANES) + reach * vec_load(error + i, LANES);
            if (!any(~(high < least)))
                continue;
        }
        for (size_t l = i; l < i + lanes; l++)
            if (!(score[l] + reach * error[l] < least)) /* a NaN says nothing */
                at[picked++] = (uint32_t)l;
    }
    return picked;
}

INLINE vec gather(const float *from, const int32_t *at)
{
#if defined(__AVX512F__)
    return (vec)_mm512_i32gather_ps(_mm512_loadu_si512(at), from, 4);
#elif defined(__AVX2__)
    return (vec)_mm256_i32gather_ps(from, _mm256_loadu_si256((const void *)at), 4);
#else
    vec v;
    for (size_t i = 0; i < LANES; i++)
        v[i] = from[at[i]];
    return v;
#endif
}

/* Integers in the order of the floats. Its own inverse. */
INLINE ivec ordered(ivec bits)
{
    return bits ^ (bits >> 31 & 0x7fffffff);
}

/* How many of n, a multiple of LANES, are at least that. */
INLINE size_t reach_key(const float *key, size_t n, int32_t least)
{
    ivec count = { 0 };
    size_t sum = 0;
    for (size_t i = 0; i < n; i += LANES)
        count -= *(const ivec *)(key + i) >= least;
    for (size_t i = 0; i < LANES; i++)
        sum += (size_t)count[i];
    return sum;
}

/* Halves the range between the least and the largest until few more than k reach its lower end. */
static float bar(float *lower, const float *upper, const int32_t *row, const float *error,
                 float reach, size_t n, size_t k)
{
    const vec infinite = (vec){ 0 } + INFINITY;
    ivec least = (ivec){ 0 } + INT32_MAX, most = (ivec){ 0 } + INT32_MIN;
    size_t padded = 0;
    for (; padded < n; padded += LANES) {
        size_t lanes = MIN(n - padded, (size_t)LANES);
        int32_t at[LANES] = { 0 };
        memcpy(at, row + padded, lanes * sizeof(*at));
        vec v = vec_load(upper + padded, lanes) - 2 * reach * gather(error, at);
        for (size_t l = lanes; l < LANES; l++)
            v[l] = NAN;
        ivec number = (v < infinite) & (v > -infinite);
        ivec key = ordered((ivec)vec_select(number, v, -infinite));
        *(ivec *)(lower + padded) = key;
        most = (ivec)vec_select(key > most, (vec)key, (vec)most);
        least = (ivec)vec_select((key < least) & number, (vec)key, (vec)least);
    }
    int64_t low = INT32_MAX, high = INT32_MIN;
    for (size_t i = 0; i < LANES; i++) {
        low = MIN(low, (int64_t)least[i]);
        high = MAX(high, (int64_t)most[i]);
    }
    if (reach_key(lower, padded, (int32_t)low) < k)
        return -INFINITY;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        size_t reached = reach_key(lower, padded, (int32_t)middle);
        if (reached < k)
            high = middle - 1;
        else
            low = middle;
        if (reached >= k && reached <= k + k / 8)
            break;
    }
    ivec found = ordered((ivec){ 0 } + (int32_t)low);
    return ((vec)found)[0];
}

static size_t keep(float *upper, int32_t *row, float least, size_t n)
{
    size_t kept = 0, i = 0;
#if defined(__AVX512F__)
    for (; i < n; i += 16) {
        __mmask16 there = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m512 u = _mm512_maskz_loadu_ps(there, upper + i);
        __m512i r = _mm512_maskz_loadu_epi32(there, row + i);
        there = _mm512_mask_cmp_ps_mask(there, u, _mm512_set1_ps(least), _CMP_NLT_UQ);
        _mm512_mask_compressstoreu_ps(upper + kept, there, u);
        _mm512_mask_compressstoreu_epi32(row + kept, there, r);
        kept += (size_t)__builtin_popcount(there);
    }
#endif
    for (; i < n; i++)
        if (!(upper[i] < least)) {
            upper[kept] = upper[i];
            row[kept++] = row[i];
        }
    return kept;
}

static double square(const float *x, size_t n)
{
    return vec_square(x, NULL, 0, n);
}

const struct cpu_knn ISA(cpu_knn) = { dots, pick, bar, keep, square };
