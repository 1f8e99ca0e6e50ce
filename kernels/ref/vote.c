/*
 * vote.c - pseudo-labels, and semantic positives by them.
 */
#include "common/base/rng.h"
#include "kernels/ref/ref.h"

/* One of the neighbours of image b in search s; those that there are come first. */
static size_t drawn(const struct kern_vote *v, size_t s, size_t b)
{
    struct rng r;
    uint32_t found = 0;
    while (found < v->k && v->slot[(s * v->n + b) * v->k + found] >= 0)
        found++;
    rng_init(&r, v->seed, RNG_VOTE, (uint64_t)*v->step, v->id[b], (unsigned)s * v->stride);
    return found > 0 ? rng_below(&r, found) : 0;
}

static void fill_ballots(const struct kern_vote *v, size_t b, int32_t *ballot, float *similarity)
{
    for (size_t s = 0; s < v->searches; s++) {
        size_t first = v->drawn ? drawn(v, s, b) : 0, each = v->drawn ? 1 : v->k;
        for (size_t i = first; i < first + each; i++) {
            int32_t slot = v->slot[(s * v->n + b) * v->k + i];
            *ballot++ = slot < 0 ? -1 : v->slot_label[slot];
            *similarity++ = v->sim[(s * v->n + b) * v->k + i];
        }
    }
}

/* Was the label of ballot i counted when it first came up? */
static bool counted(const int32_t *ballot, size_t i)
{
    size_t j = 0;
    while (ballot[j] != ballot[i])
        j++;
    return j < i;
}

static void count(const struct kern_vote *v, const int32_t *ballot, const float *similarity,
                  size_t n, int32_t *label, float *share)
{
    size_t votes = 0, best = 0;
    double best_sum = 0;
    *label = -1;
    for (size_t i = 0; i < n; i++) {
        votes += ballot[i] >= 0;
        if (ballot[i] < 0 || counted(ballot, i))
            continue;
        size_t these = 0;
        double sum = 0;
        for (size_t j = i; j < n; j++) {
            if (ballot[j] == ballot[i]) {
                these++;
                sum += v->by_similarity ? similarity[j] : 0;
            }
        }
        if (these > best || (these == best && sum > best_sum) ||
            (these == best && sum == best_sum && ballot[i] < *label)) {
            *label = ballot[i];
            best = these;
            best_sum = sum;
        }
    }
    *share = votes > 0 ? (float)best / (float)votes : 0;
    if (*share < v->least)
        *label = -1;
}

int ref_vote(struct kern *kn UNUSED, const struct kern_vote *v, int32_t *ballot, float *similarity,
             int32_t *label, float *share, int32_t *fill)
{
    size_t ballots = v->searches * (v->drawn ? 1 : v->k);
    for (size_t b = 0; b < v->n; b++) {
        fill_ballots(v, b, ballot + b * ballots, similarity + b * ballots);
        count(v, ballot + b * ballots, similarity + b * ballots, ballots, &label[b], &share[b]);
        if (fill && fill[b] < 0)
            fill[b] = label[b];
    }
    return 0;
}

static int32_t draw(const struct kern_positives *p, int32_t label, struct rng *r)
{
    if (label < 0)
        return -1;
    int32_t first = p->start[label], n = p->start[label + 1] - first;
    return n == 0 ? -1 : p->slot[first + (int32_t)rng_below(r, (uint32_t)n)];
}

int ref_positives(struct kern *kn UNUSED, const struct kern_positives *p, int32_t *pos)
{
    for (size_t i = 0; i < p->pairs; i++) {
        for (size_t b = 0; b < p->n; b++) {
            struct rng r;
            uint32_t key = p->key[i];
            rng_init(&r, p->seed, RNG_POSITIVE, (uint64_t)*p->step, b | (uint64_t)(key >> 8) << 32,
                     key & 255);
            for (size_t j = 0; j < p->each; j++)
                pos[(i * p->each + j) * p->n + b] = draw(p, p->label[b], &r);
        }
    }
    return 0;
}

int ref_weights(struct kern *kn UNUSED, const struct kern_weights *w, float *weight)
{
    size_t anchors = 0;
    for (size_t b = 0; b < w->n; b++)
        anchors += w->pos[b] >= 0;
    double each = anchors > 0 ? 1 / (w->share * (double)anchors) : 0;
    for (size_t i = 0; i < w->count; i++)
        weight[i] = (float)(w->whole[i] + w->part[i] * each);
    return 0;
}
