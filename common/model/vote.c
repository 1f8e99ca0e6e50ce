/*
 * vote.c - pseudo-labels from the nearest labelled embeddings.
 */
#include "common/model/vote.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <stdlib.h>

/* Queues that are asked, each by how many views: searches go queue by queue, then view by view. */
static void pairs(const struct settings *set, size_t *queues, size_t *each)
{
    size_t views = (size_t)set->large_crops;
    *queues = set->vote_views == VIEWS_ONE ? 1 : views;
    *each = set->vote_views == VIEWS_ALL ? views : 1;
}

static void shape(struct voter *v, const struct settings *set)
{
    size_t queues, each;
    pairs(set, &queues, &each);
    v->set = set;
    v->n = (size_t)set->batch;
    v->k = (size_t)set->neighbours;
    v->views = (size_t)set->large_crops;
    v->searches = queues * each;
    v->ballots = v->searches * (set->vote_rule == VOTE_DRAW ? 1 : v->k);
}

size_t voter_bytes(const struct settings *set)
{
    struct voter v = { 0 };
    shape(&v, set);
    return v.n * (v.searches * v.k + v.ballots + 2) * 2 * sizeof(float);
}

int voter_open(struct voter *v, struct kern *kn, const struct settings *set)
{
    *v = (struct voter){ .kn = kn };
    shape(v, set);
    size_t found = v->searches * v->n * v->k, votes = v->n * v->ballots;
    v->slot = kern_alloc(kn, found * sizeof *v->slot);
    v->sim = kern_alloc(kn, found * sizeof *v->sim);
    v->ballot = kern_alloc(kn, votes * sizeof *v->ballot);
    v->similarity = kern_alloc(kn, votes * sizeof *v->similarity);
    v->label = kern_alloc(kn, v->n * sizeof *v->label);
    v->share = kern_alloc(kn, v->n * sizeof *v->share);
    v->host_label = mem_alloc(v->n, sizeof *v->host_label, "votes");
    v->host_share = mem_alloc(v->n, sizeof *v->host_share, "votes");
    if (v->slot && v->sim && v->ballot && v->similarity && v->label && v->share && v->host_label &&
        v->host_share)
        return 0;
    voter_close(v);
    return fail(-ENOMEM, "no memory for the votes of %d images", set->batch);
}

void voter_close(struct voter *v)
{
    void *dev[] = { v->slot, v->sim, v->ballot, v->similarity, v->label, v->share };
    for (size_t i = 0; v->kn && i < ARRAY_LEN(dev); i++)
        kern_free(v->kn, dev[i]);
    free(v->host_label);
    free(v->host_share);
    *v = (struct voter){ 0 };
}

/* The k nearest slots of every queue that is asked to the queries of every view that asks. */
static int search_all(struct voter *v, const struct queue *q, size_t fill,
                      const float *const *query, const uint64_t *id, size_t count)
{
    size_t queues, each, s = 0;
    int rc = 0;
    pairs(v->set, &queues, &each);
    for (size_t i = 0; i < queues; i++) {
        for (size_t j = 0; j < each && rc == 0; j++, s++) {
            bool same = v->set->vote_views == VIEWS_SAME;
            struct kern_knn knn = { .n = count,
                                    .m = fill,
                                    .d = q->dim,
                                    .k = v->k,
                                    .query = query[same ? i : j],
                                    .bank = queue_vectors(q, i),
                                    .query_id = v->set->exclude_self ? id : NULL,
                                    .bank_id = v->set->exclude_self ? q->id_dev : NULL };
            rc = kern_knn(v->kn, &knn, v->slot + s * count * v->k, v->sim + s * count * v->k);
        }
    }
    return rc;
}

int voter_run(struct voter *v, const int64_t *step, const struct queue *q, size_t fill,
              const float *const *query, const uint64_t *id, size_t count, int32_t *labels)
{
    /* The number of a pair, for draws, is that among all pairs. */
    unsigned stride = v->set->vote_views == VIEWS_SAME ? (unsigned)v->views + 1 : 1;
    struct kern_vote vote = { .n = count,
                              .k = v->k,
                              .searches = v->searches,
                              .slot = v->slot,
                              .sim = v->sim,
                              .slot_label = q->label_dev,
                              .drawn = v->set->vote_rule == VOTE_DRAW,
                              .by_similarity = v->set->tie_break == TIE_SIMILARITY,
                              .least = (float)v->set->vote_threshold, /* 9 of 10 reach 0.9 */
                              .seed = v->set->seed,
                              .stride = stride,
                              .step = step,
                              .id = id };
    int rc = search_all(v, q, fill, query, id, count);
    if (rc == 0)
        rc = kern_vote(v->kn, &vote, v->ballot, v->similarity, v->label, v->share, labels);
    return rc < 0 ? fail(rc, "the search for nearest labelled embeddings failed") : 0;
}

int voter_get(struct voter *v, size_t count, struct vote *out)
{
    int rc = kern_get(v->kn, v->host_label, v->label, count * sizeof *v->label);
    if (rc == 0)
        rc = kern_get(v->kn, v->host_share, v->share, count * sizeof *v->share);
    for (size_t b = 0; b < count; b++)
        out[b] = (struct vote){ v->host_label[b], v->host_share[b] };
    return rc < 0 ? fail(rc, "the device did not give the votes") : 0;
}
