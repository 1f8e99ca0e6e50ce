/*
 * rng.c - the draws that need more than a line: normal numbers, and permutations without memory.
 */
#include "common/base/rng.h"
#include <math.h>

/* In double, and with u > 0, so that the logarithm is finite; |x| is at most 5.8. */
float rng_normal(struct rng *r)
{
    double u = ((rng_u32(r) >> 8) + 1) * 0x1p-24, v = (rng_u32(r) >> 8) * 0x1p-24;
    return (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

float rng_normal2(struct rng *r)
{
    float x;
    do
        x = rng_normal(r);
    while (!(fabsf(x) <= 2));
    return x;
}

/* The round's function of a Feistel network: a keyed hash of one half. */
static uint64_t feistel(uint64_t seed, enum rng_purpose purpose, uint64_t epoch, unsigned stream,
                        uint32_t round, uint64_t half)
{
    uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) }, out[4];
    /* 0x8000 keeps these blocks apart from those of rng_init() with the same purpose. */
    uint32_t ctr[4] = { (uint32_t)purpose << 24 | (stream & 255u) << 16 | 0x8000u | round,
                        (uint32_t)epoch, (uint32_t)half, (uint32_t)(half >> 32) };
    rng_philox(out, ctr, key);
    return (uint64_t)out[1] << 32 | out[0];
}

uint64_t rng_permuted(uint64_t seed, enum rng_purpose purpose, uint64_t epoch, unsigned stream,
                      uint64_t n, uint64_t i)
{
    if (n <= 1)
        return 0;
    /* Halves of one to three bits would make some permutations of a few elements far likelier. */
    unsigned bits = 4;
    while (bits < 32 && (n - 1) >> (2 * bits))
        bits++;
    uint64_t mask = (UINT64_C(1) << bits) - 1;
    do {
        uint64_t left = i >> bits, right = i & mask;
        for (uint32_t round = 0; round < 4; round++) {
            uint64_t mixed = left ^ (feistel(seed, purpose, epoch, stream, round, right) & mask);
            left = right;
            right = mixed;
        }
        i = left << bits | right;
    } while (i >= n);
    return i;
}
