/*
 * vote.cu - pseudo-labels, semantic positives, and the weights that the number of anchors decides.
 *
 * A few thousand images with some dozens of votes each: a thread an image. Everything is read once
 * or twice and is a few megabytes at most; the launches are what they cost, about 5 us each.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/launch.cuh"

extern "C" {
#include "common/base/rng.h"
}

enum { THREADS = 128 };

static dim3 blocks_for(size_t n)
{
    return dim3((unsigned)((n + THREADS - 1) / THREADS));
}

static __device__ size_t this_thread()
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* -- votes ---- */

/* One of the neighbours that image b has in search s; those that there are come first. */
static __device__ size_t drawn(const struct kern_vote &v, size_t s, size_t b)
{
    struct rng r;
    uint32_t found = 0;
    while (found < v.k && v.slot[(s * v.n + b) * v.k + found] >= 0)
        found++;
    rng_init(&r, v.seed, RNG_VOTE, (uint64_t)*v.step, v.id[b], (unsigned)s * v.stride);
    return found > 0 ? rng_below(&r, found) : 0;
}

static __device__ void fill_ballots(const struct kern_vote &v, size_t b, int32_t *ballot,
                                    float *similarity)
{
    for (size_t s = 0; s < v.searches; s++) {
        size_t first = v.drawn ? drawn(v, s, b) : 0, each = v.drawn ? 1 : v.k;
        for (size_t i = first; i < first + each; i++) {
            int32_t slot = v.slot[(s * v.n + b) * v.k + i];
            *ballot++ = slot < 0 ? -1 : v.slot_label[slot];
            *similarity++ = v.sim[(s * v.n + b) * v.k + i];
        }
    }
}

static __device__ bool counted_before(const int32_t *ballot, size_t i)
{
    size_t j = 0;
    while (ballot[j] != ballot[i])
        j++;
    return j < i;
}

/* The mode of n ballots; its share of those that are votes. */
static __device__ int32_t winner(const int32_t *ballot, const float *similarity, size_t n,
                                 bool by_similarity, float *share)
{
    size_t votes = 0, best = 0;
    double best_sum = 0;
    int32_t label = -1;
    for (size_t i = 0; i < n; i++) {
        votes += ballot[i] >= 0;
        if (ballot[i] < 0 || counted_before(ballot, i))
            continue;
        size_t these = 0;
        double sum = 0;
        for (size_t j = i; j < n; j++) {
            if (ballot[j] == ballot[i]) {
                these++;
                sum += by_similarity ? (double)similarity[j] : 0;
            }
        }
        if (these > best || (these == best && sum > best_sum) ||
            (these == best && sum == best_sum && ballot[i] < label)) {
            label = ballot[i];
            best = these;
            best_sum = sum;
        }
    }
    *share = votes > 0 ? (float)best / (float)votes : 0;
    return label;
}

static __global__ void vote(struct kern_vote v, int32_t *ballot, float *similarity, int32_t *label,
                            float *share, int32_t *fill)
{
    size_t b = this_thread(), ballots = v.searches * (v.drawn ? 1 : v.k);
    if (b >= v.n)
        return;
    ballot += b * ballots;
    similarity += b * ballots;
    fill_ballots(v, b, ballot, similarity);
    int32_t won = winner(ballot, similarity, ballots, v.by_similarity, &share[b]);
    label[b] = share[b] < v.least ? -1 : won;
    if (fill && fill[b] < 0)
        fill[b] = label[b];
}

int cuda_vote(struct kern *kn, const struct kern_vote *v, int32_t *ballot, float *similarity,
              int32_t *label, float *share, int32_t *fill)
{
    return launch(cuda_of(kn)->stream, vote, blocks_for(v->n), dim3(THREADS), 0, *v, ballot,
                  similarity, label, share, fill);
}

/* -- positives ---- */

static __device__ int32_t draw(const struct kern_positives &p, int32_t label, struct rng *r)
{
    if (label < 0)
        return -1;
    int32_t first = p.start[label], n = p.start[label + 1] - first;
    return n == 0 ? -1 : p.slot[first + (int32_t)rng_below(r, (uint32_t)n)];
}

/* A thread a pair of views and image. */
static __global__ void positives(struct kern_positives p, int32_t *pos)
{
    size_t i = this_thread() / p.n, b = this_thread() % p.n;
    if (i >= p.pairs)
        return;
    struct rng r;
    uint32_t key = p.key[i];
    rng_init(&r, p.seed, RNG_POSITIVE, (uint64_t)*p.step, b | (uint64_t)(key >> 8) << 32,
             key & 255);
    for (size_t j = 0; j < p.each; j++)
        pos[(i * p.each + j) * p.n + b] = draw(p, p.label[b], &r);
}

int cuda_positives(struct kern *kn, const struct kern_positives *p, int32_t *pos)
{
    return launch(cuda_of(kn)->stream, positives, blocks_for(p->n * p->pairs), dim3(THREADS), 0, *p,
                  pos);
}

/* -- weights ---- */

/* One block: counts the anchors, then each thread makes weights. */
static __global__ void weights(struct kern_weights w, float *weight)
{
    __shared__ int anchors;
    if (threadIdx.x == 0)
        anchors = 0;
    __syncthreads();
    int mine = 0;
    for (size_t b = threadIdx.x; b < w.n; b += blockDim.x)
        mine += w.pos[b] >= 0;
    atomicAdd(&anchors, mine);
    __syncthreads();
    double each = anchors > 0 ? 1 / (w.share * (double)anchors) : 0;
    for (size_t i = threadIdx.x; i < w.count; i += blockDim.x)
        weight[i] = (float)__dadd_rn(w.whole[i], __dmul_rn(w.part[i], each)); /* as on the CPU */
}

int cuda_weights(struct kern *kn, const struct kern_weights *w, float *weight)
{
    return launch(cuda_of(kn)->stream, weights, dim3(1), dim3(1024), 0, *w, weight);
}
