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
/* The first n <= LANES numbers of two pixels, number by number. b NULL: zeros. */
INLINE vec pair_up(const uint16_t *a, const uint16_t *b, size_t n)
{
    __mmask16 there = (__mmask16)((1u << n) - 1);
    __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, a));
    __m512i high = _mm512_setzero_si512();
    if (b)
        high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, b));
    return (vec)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
#endif

#endif
