/*
 * conv_pairs.h - the multiply-add of the inner loops of conv.h, and operands in pairs of bfloat16.
 *
 * In files that are compiled for AVX512_BF16 (PAIRS) what the loops take for a float is a pair of
 * bfloat16: of neighbouring channels, as they lie in memory, or of neighbouring pixels where sums
 * are over those. VDPBF16PS adds both products of two pairs to a float32, in two steps, each
 * rounded to nearest even; numbers below 2^-126 it takes and gives as 0 (Intel, Architecture
 * Instruction Set Extensions Programming Reference, chapter 2).
 */
#ifndef SEMPPL_CPU_CONV_PAIRS_H
#define SEMPPL_CPU_CONV_PAIRS_H

#include "kernels/cpu/vec.h"

#if defined(__AVX512BF16__)
#define PAIRS 1
#else
#define PAIRS 0
#endif

/* acc + w * x */
INLINE vec multiply_add(vec acc, vec w, float x)
{
#if PAIRS
    return (vec)_mm512_dpbf16_ps((__m512)acc, (__m512bh)w, (__m512bh)_mm512_set1_ps(x));
#else
    return acc + w * x;
#endif
}

#if PAIRS
/*
 * The first n <= 2 * LANES numbers of two pixels, number by number: as many floats, rounded up to
 * vectors. b NULL: zeros.
 */
INLINE void pair_up(float *to, const uint16_t *a, const uint16_t *b, size_t n)
{
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_or_si512(low, _mm512_set1_epi16(16));
    __mmask32 there = (__mmask32)((1ull << n) - 1);
    __m512i first = _mm512_maskz_loadu_epi16(there, a);
    __m512i second = b ? _mm512_maskz_loadu_epi16(there, b) : _mm512_setzero_si512();
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(first, low, second));
    if (n > LANES)
        _mm512_storeu_si512(to + LANES, _mm512_permutex2var_epi16(first, high, second));
}

/* Rounds numbers to bfloat16, as they lie in memory, or to pairs, number by number. */
INLINE void store_rounded(uint16_t *to, vec v)
{
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}

INLINE void store_paired(float *to, vec a, vec b)
{
    const __m512i across =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(across, both));
}
#endif

#endif
