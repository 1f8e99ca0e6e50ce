/*
 * knn_isa.c - exact sums and the comparison of scores with a threshold.
 */
#include "kernels/cpu/knn.h"
#include "kernels/cpu/vec.h"

/*
 * A sum in the order of d waits for each addition, so several rows are summed side by side. The
 * product of two floats is exact in double: fused or not, the sum is the same.
 */
static void dots(double sum[KNN_DOTS], const float *query, const float *const row[KNN_DOTS],
                 size_t d)
{
    double s[KNN_DOTS] = { 0 };
    for (size_t c = 0; c < d; c++)
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

static double square(const float *x, size_t n)
{
    return vec_square(x, NULL, 0, n);
}

const struct cpu_knn ISA(cpu_knn) = { dots, pick, square };
