/*
 * test_rng.c - Philox against the published known answers, the draws made from it, permutations.
 */
#include "common/base/rng.h"
#include "tests/t.h"
#include <string.h>

/* kat_vectors of the Random123 library: philox4x32, 10 rounds. */
static void check_known_answers(void)
{
    static const struct {
        const char *name;
        uint32_t ctr[4], key[2], want[4];
    } kat[] = {
        { "zeros", { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { "ones",
          { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { "digits of pi",
          { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < ARRAY_LEN(kat); i++) {
        uint32_t out[4];
        rng_philox(out, kat[i].ctr, kat[i].key);
        ok(memcmp(out, kat[i].want, sizeof out) == 0, "philox4x32-10 of %s", kat[i].name);
    }
}

static uint64_t first_draws(uint64_t seed, enum rng_purpose purpose, uint64_t step, uint64_t id,
                            unsigned view)
{
    struct rng r;
    rng_init(&r, seed, purpose, step, id, view);
    uint64_t high = rng_u32(&r);
    return high << 32 | rng_u32(&r);
}

static void check_streams(void)
{
    uint64_t a = first_draws(1, RNG_TEST, 2, 3, 4);
    ok(a == first_draws(1, RNG_TEST, 2, 3, 4), "the same draw for the same purpose");
    ok(a != first_draws(2, RNG_TEST, 2, 3, 4), "another for another seed");
    ok(a != first_draws(1 | 1ull << 40, RNG_TEST, 2, 3, 4), "in the high half too");
    ok(a != first_draws(1, RNG_VIEW, 2, 3, 4), "another for another purpose");
    ok(a != first_draws(1, RNG_TEST, 3, 3, 4), "another for another step");
    ok(a != first_draws(1, RNG_TEST, 2, 4, 4), "another for another sample");
    ok(a != first_draws(1, RNG_TEST, 2, 3 | 1ull << 40, 4), "in the high half too");
    ok(a != first_draws(1, RNG_TEST, 2, 3, 5), "another for another view");

    struct rng r;
    bool good = true;
    uint32_t seen[4];
    rng_init(&r, 1, RNG_TEST, 2, 3, 255);
    for (uint32_t block = 0; block < 9; block++) {
        uint32_t ctr[4] = { (uint32_t)RNG_TEST << 24 | 255u << 16 | block, 2, 3, 0 };
        rng_philox(seen, ctr, (uint32_t[2]){ 1, 0 });
        for (int i = 0; i < 4; i++)
            good = good && rng_u32(&r) == seen[i];
    }
    ok(good, "draws are the words of consecutive blocks, in order");
}

/* Sums of n draws lie within five standard errors of their mean. */
static void check_moments(void)
{
    enum { N = 200000 };
    struct rng r;
    double sum = 0, squares = 0, lo = 1, hi = 0;
    rng_init(&r, t_seed(), RNG_TEST, 0, 0, 0);
    for (int i = 0; i < N; i++) {
        double x = rng_float(&r);
        sum += x;
        squares += x * x;
        lo = fmin(lo, x);
        hi = fmax(hi, x);
    }
    ok(lo >= 0 && hi < 1, "uniform draws are in [0, 1)");
    near(sum / N, 0.5, 5 * sqrt(1 / 12. / N), "their mean");
    near(squares / N, 1 / 3., 5 * sqrt(4 / 45. / N), "their mean square");

    sum = squares = 0;
    for (uint64_t i = 0; i < N; i++) { /* a new sequence each: 2^18 words are the most of one */
        rng_init(&r, t_seed(), RNG_TEST, 1, i, 0);
        double x = rng_normal(&r);
        sum += x;
        squares += x * x;
    }
    near(sum / N, 0, 5 / sqrt(N), "mean of normal draws");
    near(squares / N, 1, 5 * sqrt(2. / N), "their variance");

    sum = squares = hi = 0;
    for (uint64_t i = 0; i < N; i++) {
        rng_init(&r, t_seed(), RNG_TEST, 2, i, 0);
        double x = rng_normal2(&r);
        sum += x;
        squares += x * x;
        hi = fmax(hi, fabs(x));
    }
    ok(hi <= 2 && hi > 1.99, "truncated normal draws end at 2");
    near(sum / N, 0, 5 / sqrt(N), "their mean");
    /* 1 - 2 a pdf(a) / (2 cdf(a) - 1), a = 2 */
    near(squares / N, 0.7737413035, 0.01, "their variance");
}

static void check_below(void)
{
    enum { N = 60000 };
    static const uint32_t sides[] = { 1, 2, 3, 6, 7, 10 };
    for (size_t t = 0; t < ARRAY_LEN(sides); t++) {
        uint32_t n = sides[t], count[10] = { 0 };
        bool inside = true;
        struct rng r;
        rng_init(&r, t_seed(), RNG_TEST, 3, n, 0);
        for (int i = 0; i < N; i++) {
            uint32_t x = rng_below(&r, n);
            inside = inside && x < n;
            count[x < n ? x : 0]++;
        }
        double chi = 0, mean = (double)N / n;
        for (uint32_t i = 0; i < n; i++)
            chi += (count[i] - mean) * (count[i] - mean) / mean;
        ok(inside && chi < 35, "rng_below(%u): chi square %.1f", n, chi);
    }
    /* Of 3 << 30 numbers a biased method takes the first third twice as often. */
    uint32_t n = 3u << 30, low = 0;
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 4, 0, 0);
    for (int i = 0; i < N; i++)
        low += rng_below(&r, n) < 1u << 30;
    near(low / (double)N, 1 / 3., 5 * sqrt(2 / 9. / N), "no bias for a large number");
}

static bool is_permutation(uint64_t n, uint64_t seed, unsigned stream)
{
    bool good = true;
    unsigned char *seen = calloc(n, 1);
    for (uint64_t i = 0; i < n && good; i++) {
        uint64_t j = rng_permuted(seed, RNG_ORDER, 5, stream, n, i);
        good = j < n && !seen[j];
        if (good)
            seen[j] = 1;
    }
    free(seen);
    return good;
}

static void check_permutations(void)
{
    static const uint64_t sizes[] = { 1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4096, 50000 };
    for (size_t t = 0; t < ARRAY_LEN(sizes); t++)
        ok(is_permutation(sizes[t], t_seed(), 0) && is_permutation(sizes[t], t_seed() + 1, 255),
           "a permutation of %llu", (unsigned long long)sizes[t]);
    uint64_t huge = 3ull << 60, place = rng_permuted(1, RNG_ORDER, 0, 0, huge, 12345);
    ok(place < huge && place != 12345, "a place in a huge permutation");

    /* All 24 permutations of four come about equally often: 23 degrees of freedom. */
    enum { N = 24000 };
    unsigned count[256] = { 0 };
    for (uint64_t epoch = 0; epoch < N; epoch++) {
        unsigned code = 0;
        for (uint64_t i = 0; i < 4; i++)
            code = code << 2 | (unsigned)rng_permuted(t_seed(), RNG_ORDER, epoch, 0, 4, i);
        count[code]++;
    }
    double chi = 0, kinds = 0;
    for (int i = 0; i < 256; i++)
        if (count[i]) {
            chi += (count[i] - N / 24.) * (count[i] - N / 24.) / (N / 24.);
            kinds++;
        }
    ok(kinds == 24 && chi < 70, "%.0f permutations of four, chi square %.1f", kinds, chi);
}

int main(void)
{
    check_known_answers();
    check_streams();
    check_moments();
    check_below();
    check_permutations();
    return done();
}
