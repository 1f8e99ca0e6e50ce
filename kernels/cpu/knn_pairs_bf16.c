/*
 * knn_pairs_bf16.c - scores for knn_bf16.h by pairs of bfloat16 (VDPBF16PS, conv_pairs.h).
 *
 * A vector has a pair of 16 rows each; times the same pair of 16 queries, which are broadcast, it
 * adds to 16 sums that stay in registers. Half the rows of a block, 16 KB of 512 numbers, stay in
 * the first cache for both halves of the queries.
 */
#include <immintrin.h>

#include "kernels/cpu/knn_bf16.h"

static void plan(void *to UNUSED, size_t steps UNUSED) {}

static void nothing(void) {}

static void half_block(const struct knn_block *b, size_t left, size_t upper)
{
    __m512 sum[KNN_HALF];
    const uint16_t *query = b->query + upper * KNN_PART, *bank = b->bank + left * KNN_PART;
    for (int i = 0; i < KNN_HALF; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t s = 0; s < b->steps; s++, query += KNN_STEP, bank += KNN_STEP)
        for (int p = 0; p < KNN_DEPTH; p += 2) {
            __m512bh row = (__m512bh)_mm512_loadu_si512(bank + p * KNN_HALF);
            for (int i = 0; i < KNN_HALF; i++) {
                const int32_t *pair = (const int32_t *)(query + i * KNN_DEPTH + p);
                sum[i] = _mm512_dpbf16_ps(sum[i], row, (__m512bh)_mm512_set1_epi32(*pair));
            }
        }
    for (int i = 0; i < KNN_HALF; i++)
        _mm512_storeu_ps(b->c + (upper * KNN_HALF + (size_t)i) * KNN_SIDE + left * KNN_HALF,
                         sum[i]);
}

static void block(const struct knn_block *b)
{
    for (size_t left = 0; left * KNN_HALF < b->rows; left++)
        for (size_t upper = 0; upper * KNN_HALF < b->queries; upper++)
            half_block(b, left, upper);
}

static void done(const struct knn_block *b UNUSED) {}

const struct knn_unit knn_pairs = { 0, plan, nothing, block, done, nothing };
