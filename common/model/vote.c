/*
 * vote.c - pseudo-labels from the nearest labelled embeddings.
 */
#include "common/model/vote.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <stdlib.h>

struct vote vote_count(const int32_t *label, const float *similarity, size_t n, enum tie_break tie,
                       int32_t *work)
{
    struct vote best = { -1, 0 };
    size_t distinct = 0, votes = 0, best_count = 0;
    double best_sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (label[i] < 0)
            continue;
        votes++;
        size_t d = 0;
        while (d < distinct && work[d] != label[i])
            d++;
        if (d < distinct)
            continue; /* counted when it first came up */
        work[distinct++] = label[i];
        size_t count = 0;
        double sum = 0;
        for (size_t j = i; j < n; j++) {
            if (label[j] == label[i]) {
                count++;
                sum += tie == TIE_SIMILARITY ? similarity[j] : 0;
            }
        }
        bool equal = count == best_count && sum == best_sum;
        if (count > best_count || (count == best_count && sum > best_sum) ||
            (equal && label[i] < best.label)) {
            best.label = label[i];
            best_count = count;
            best_sum = sum;
        }
    }
    if (votes > 0)
        best.share = (float)best_count / (float)votes;
    return best;
}

/* Does view j ask queue i? */
static bool asks(enum vote_views which, size_t i, size_t j)
{
    switch (which) {
    case VIEWS_ALL:
        return true;
    case VIEWS_SAME:
        return i == j;
    default:
        return i == 0 && j == 0;
    }
}

int voter_open(struct voter *v, struct kern *kn, const struct settings *set)
{
    size_t n = (size_t)set->batch, k = (size_t)set->neighbours, views = (size_t)set->large_crops;
    *v = (struct voter){ .kn = kn, .set = set, .n = n, .k = k, .views = views };
    v->each = set->vote_rule == VOTE_DRAW ? 1 : k;
    for (size_t i = 0; i < views; i++)
        for (size_t j = 0; j < views; j++)
            v->ballots += asks((enum vote_views)set->vote_views, i, j) ? v->each : 0;
    v->slot_dev = kern_alloc(kn, n * k * sizeof *v->slot_dev);
    v->sim_dev = kern_alloc(kn, n * k * sizeof *v->sim_dev);
    v->id_dev = kern_alloc(kn, n * sizeof *v->id_dev);
    v->slot = mem_alloc(n * k, sizeof *v->slot, "votes");
    v->part = mem_alloc(n * k, sizeof *v->part, "votes");
    v->label = mem_alloc(n * v->ballots, sizeof *v->label, "votes");
    v->sim = mem_alloc(n * v->ballots, sizeof *v->sim, "votes");
    v->work = mem_alloc(v->ballots, sizeof *v->work, "votes");
    if (v->slot_dev && v->sim_dev && v->id_dev && v->slot && v->part && v->label && v->sim &&
        v->work)
        return 0;
    voter_close(v);
    return fail(-ENOMEM, "no memory for the votes of %zu images", n);
}

void voter_close(struct voter *v)
{
    if (v->kn) {
        kern_free(v->kn, v->slot_dev);
        kern_free(v->kn, v->sim_dev);
        kern_free(v->kn, v->id_dev);
    }
    free(v->slot);
    free(v->part);
    free(v->label);
    free(v->sim);
    free(v->work);
    *v = (struct voter){ 0 };
}

/* The k nearest slots of queue i to each query: v->slot, v->part. */
static int search(struct voter *v, const struct queue *q, size_t i, const float *query,
                  size_t count)
{
    struct kern_knn knn = { .n = count,
                            .m = q->fill,
                            .d = q->dim,
                            .k = v->k,
                            .query = query,
                            .bank = queue_vectors(q, i),
                            .query_id = v->set->exclude_self ? v->id_dev : NULL,
                            .bank_id = v->set->exclude_self ? q->id_dev : NULL };
    int rc = kern_knn(v->kn, &knn, v->slot_dev, v->sim_dev);
    if (rc == 0)
        rc = kern_get(v->kn, v->slot, v->slot_dev, count * v->k * sizeof *v->slot);
    if (rc == 0)
        rc = kern_get(v->kn, v->part, v->sim_dev, count * v->k * sizeof *v->part);
    return rc < 0 ? fail(rc, "the search for nearest labelled embeddings failed") : 0;
}

/* One of an image's neighbours; those that there are come first. */
static size_t draw(const struct voter *v, int64_t k, uint64_t id, size_t pair, const int32_t *slot)
{
    struct rng r;
    uint32_t found = 0;
    while (found < v->k && slot[found] >= 0)
        found++;
    rng_init(&r, v->set->seed, RNG_VOTE, (uint64_t)k, id, (unsigned)pair);
    return found > 0 ? rng_below(&r, found) : 0;
}

/* The neighbours of view j in queue i become ballots first .. first+each-1 of every image. */
static int ask(struct voter *v, int64_t k, const struct queue *q, size_t i, size_t j,
               const float *query, const uint64_t *id, size_t first, size_t count)
{
    int rc = search(v, q, i, query, count);
    for (size_t b = 0; b < count && rc == 0; b++) {
        const int32_t *slot = v->slot + b * v->k;
        const float *part = v->part + b * v->k;
        size_t from = v->each < v->k ? draw(v, k, id[b], i * v->views + j, slot) : 0;
        for (size_t r = 0; r < v->each; r++) {
            size_t at = b * v->ballots + first + r;
            v->label[at] = slot[from + r] < 0 ? -1 : q->label[slot[from + r]];
            v->sim[at] = part[from + r];
        }
    }
    return rc;
}

int voter_run(struct voter *v, int64_t k, const struct queue *q, const float *const *query,
              const uint64_t *id, size_t count, struct vote *out)
{
    if (q->fill == 0) {
        for (size_t b = 0; b < count; b++)
            out[b] = (struct vote){ -1, 0 };
        return 0;
    }
    if (kern_put(v->kn, v->id_dev, id, count * sizeof *id) < 0)
        return fail(-EIO, "the device did not take the ids of a batch");
    size_t first = 0;
    for (size_t i = 0; i < v->views; i++) {
        for (size_t j = 0; j < v->views; j++) {
            if (!asks((enum vote_views)v->set->vote_views, i, j))
                continue;
            int rc = ask(v, k, q, i, j, query[j], id, first, count);
            if (rc < 0)
                return rc;
            first += v->each;
        }
    }
    for (size_t b = 0; b < count; b++) {
        out[b] = vote_count(v->label + b * v->ballots, v->sim + b * v->ballots, v->ballots,
                            (enum tie_break)v->set->tie_break, v->work);
        if (out[b].share < (float)v->set->vote_threshold) /* 0.9 is reached by 9 of 10 */
            out[b].label = -1;
    }
    return 0;
}
