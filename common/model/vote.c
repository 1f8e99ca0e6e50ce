/*
 * vote.c - pseudo-labels from the nearest labelled embeddings.
 */
#include "common/model/vote.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <stdlib.h>

struct vote vote_count(const int32_t *label, const float *similarity, size_t n, int32_t *work)
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
                sum += similarity[j];
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

int voter_open(struct voter *v, struct kern *kn, size_t n, size_t k, size_t views)
{
    *v = (struct voter){ .kn = kn, .n = n, .k = k, .views = views, .ballots = views * views * k };
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

/* The neighbours of one view in one queue become ballots first .. first+k-1 of every image. */
static int ask(struct voter *v, const struct queue *q, size_t view, const float *o, size_t first,
               size_t count)
{
    struct kern_knn knn = { .n = count,
                            .m = q->fill,
                            .d = q->dim,
                            .k = v->k,
                            .query = o,
                            .bank = queue_vectors(q, view),
                            .query_id = v->id_dev,
                            .bank_id = q->id_dev };
    int rc = kern_knn(v->kn, &knn, v->slot_dev, v->sim_dev);
    if (rc == 0)
        rc = kern_get(v->kn, v->slot, v->slot_dev, count * v->k * sizeof *v->slot);
    if (rc == 0)
        rc = kern_get(v->kn, v->part, v->sim_dev, count * v->k * sizeof *v->part);
    if (rc < 0)
        return fail(rc, "the search for nearest labelled embeddings failed");
    for (size_t b = 0; b < count; b++) {
        for (size_t r = 0; r < v->k; r++) {
            int32_t slot = v->slot[b * v->k + r];
            v->label[b * v->ballots + first + r] = slot < 0 ? -1 : q->label[slot];
            v->sim[b * v->ballots + first + r] = v->part[b * v->k + r];
        }
    }
    return 0;
}

int voter_run(struct voter *v, const struct queue *q, const float *const *o, const uint64_t *id,
              size_t count, struct vote *out)
{
    if (q->fill == 0) {
        for (size_t b = 0; b < count; b++)
            out[b] = (struct vote){ -1, 0 };
        return 0;
    }
    if (kern_put(v->kn, v->id_dev, id, count * sizeof *id) < 0)
        return fail(-EIO, "the device did not take the ids of a batch");
    for (size_t i = 0; i < v->views; i++) {
        for (size_t j = 0; j < v->views; j++) {
            int rc = ask(v, q, i, o[j], (i * v->views + j) * v->k, count);
            if (rc < 0)
                return rc;
        }
    }
    for (size_t b = 0; b < count; b++)
        out[b] =
            vote_count(v->label + b * v->ballots, v->sim + b * v->ballots, v->ballots, v->work);
    return 0;
}
