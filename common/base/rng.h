/*
 * rng.h - random numbers that are a function of what they are for.
 *
 * Every draw of the toolkit comes from Philox4x32-10 (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011) with key = the run's seed and counter = (purpose, view, step, sample
 * id). Nothing depends on threads, devices, or order of arrival. All functions are inline so that
 * device code can share them.
 */
#ifndef SEMPPL_RNG_H
#define SEMPPL_RNG_H

#include "common/base/base.h"

#ifdef __CUDACC__
#define RNG_FN static inline __host__ __device__
#else
#define RNG_FN static inline UNUSED
#endif

/* What a draw is for. Numbers are part of the results: never renumber, only append. */
enum rng_purpose {
    RNG_INIT = 1,     /* initial weights;           step = row, id = index of the tensor */
    RNG_SPLIT = 2,    /* which labels a split keeps; id = hash of class and key */
    RNG_ORDER = 3,    /* order of the samples;      step = epoch, view = stream */
    RNG_VIEW = 4,     /* crop and colour of a view; step, id = sample, view */
    RNG_NEGATIVE = 5, /* negatives of an anchor;    step, id = place in batch, view = pair */
    RNG_POSITIVE = 6, /* semantic positives;        step, id = place in batch, view = pair */
    RNG_PROBE = 7,    /* held-out part of a probe;  id = row id */
    RNG_TEST = 8,     /* inputs of tests */
    RNG_VOTE = 9,     /* neighbour that votes;      step, id = sample, view = queue and view */
};

struct rng {
    uint32_t key[2], ctr[4], out[4];
    unsigned left; /* words of out not yet used */
};

/* One block: ctr is encrypted under key into out. */
RNG_FN void rng_philox(uint32_t out[4], const uint32_t ctr[4], const uint32_t key[2])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/*
 * A sequence of draws. view < 256. The counter is (block 16 bit, view 8 bit, purpose 8 bit | step
 * 32 bit | id 64 bit): up to 2^18 words a sequence.
 */
RNG_FN void rng_init(struct rng *r, uint64_t seed, enum rng_purpose purpose, uint64_t step,
                     uint64_t id, unsigned view)
{
    r->key[0] = (uint32_t)seed;
    r->key[1] = (uint32_t)(seed >> 32);
    r->ctr[0] = (uint32_t)purpose << 24 | (view & 255u) << 16;
    r->ctr[1] = (uint32_t)step;
    r->ctr[2] = (uint32_t)id;
    r->ctr[3] = (uint32_t)(id >> 32);
    r->left = r->out[0] = r->out[1] = r->out[2] = r->out[3] = 0;
}

RNG_FN uint32_t rng_u32(struct rng *r)
{
    if (r->left == 0) {
        rng_philox(r->out, r->ctr, r->key);
        r->ctr[0] = (r->ctr[0] & 0xffff0000u) | ((r->ctr[0] + 1) & 0xffffu);
        r->left = 4;
    }
    return r->out[4 - r->left--];
}

/* Uniform in [0, 1), 24 bits. */
RNG_FN float rng_float(struct rng *r)
{
    return (float)(rng_u32(r) >> 8) * 0x1p-24f;
}

RNG_FN float rng_range(struct rng *r, float lo, float hi)
{
    return lo + (hi - lo) * rng_float(r);
}

/* Uniform in {0 .. n-1}, n >= 1, without bias (Lemire, "Fast random integer generation in an
 * interval", 2019). */
RNG_FN uint32_t rng_below(struct rng *r, uint32_t n)
{
    uint64_t m = (uint64_t)rng_u32(r) * n;
    if ((uint32_t)m < n) {
        uint32_t floor = (0u - n) % n;
        while ((uint32_t)m < floor)
            m = (uint64_t)rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

/* Standard normal truncated to +-2 by rejection of Box-Muller pairs' first halves. In rng.c. */
float rng_normal2(struct rng *r);

/* Standard normal. In rng.c. */
float rng_normal(struct rng *r);

/*
 * Place i of a random permutation of {0 .. n-1}, in O(1) time and no memory: a four-round Feistel
 * network over the next even power of two (at least 256), walked until it falls below n. One
 * permutation for each (seed, purpose, epoch, stream).
 */
uint64_t rng_permuted(uint64_t seed, enum rng_purpose purpose, uint64_t epoch, unsigned stream,
                      uint64_t n, uint64_t i);

#endif
