/*
 * knn_vote.c - the bank goes through the device in tiles, the queries in blocks; tiles' answers are
 * merged.
 */
#include "common/model/knn_vote.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_QUERIES = 2048 };

const char *const knn_rule_names[] = { "majority", "weighted", NULL };

static void unit_row(float *out, const float *x, size_t d)
{
    double ss = 0;
    for (size_t i = 0; i < d; i++)
        ss += (double)x[i] * x[i];
    double r = 1 / sqrt(ss);
    for (size_t i = 0; i < d; i++)
        out[i] = (float)(x[i] * r);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The labelled rows, how many of each class, and their ids. */
static int find_labelled(struct knn_bank *b)
{
    const struct rows *r = &b->e->rows;
    if (r->n > INT32_MAX)
        return fail(-EINVAL, "%s: a bank of more than %d rows", b->e->name, INT32_MAX);
    b->nclasses = r->classes.n;
    b->row = mem_alloc(r->n, sizeof *b->row, "rows of the bank");
    b->id = mem_alloc(r->n, sizeof *b->id, "ids of the bank");
    b->per_class = mem_alloc(b->nclasses, sizeof *b->per_class, "classes of the bank");
    if (!b->row || !b->id || !b->per_class)
        return -ENOMEM;
    for (size_t i = 0; i < r->n; i++)
        if (r->label[i] >= 0) {
            b->row[b->n] = (uint32_t)i;
            b->id[b->n++] = r->id[i];
            b->per_class[r->label[i]]++;
        }
    if (b->n == 0)
        return fail(-EINVAL, "%s: no row has a label, so there is nobody to vote", b->e->name);
    qsort(b->id, b->n, sizeof *b->id, compare_ids);
    b->fewest = UINT64_MAX;
    for (size_t c = 0; c < b->nclasses; c++) {
        b->fewest = MIN(b->fewest, b->per_class[c]);
        b->most = MAX(b->most, b->per_class[c]);
    }
    return 0;
}

int knn_bank_open(struct knn_bank *b, struct kern *kn, const struct embed *e, size_t k,
                  uint64_t mem)
{
    *b = (struct knn_bank){ .kn = kn, .e = e, .k = k };
    int rc = find_labelled(b);
    if (rc < 0)
        goto out;
    if (kern_apart(kn))
        mem = MIN(mem, kern_available(kn) / 2);
    /* three quarters for the tile; a query needs its vector twice, its answer twice */
    size_t row = e->d * sizeof(float), answer = k * (sizeof(int32_t) + sizeof(float)) * 4;
    b->tile_rows = MIN(MAX((size_t)(mem / 4 * 3) / row, (size_t)1), b->n);
    b->block = MIN(MAX((size_t)(mem / 4) / (2 * row + answer), (size_t)1), (size_t)MOST_QUERIES);
    b->tile = kern_alloc(kn, b->tile_rows * row);
    b->query = kern_alloc(kn, b->block * row);
    b->host = mem_alloc(b->block, row, "a block of queries");
    b->tile_idx = kern_alloc(kn, b->block * k * sizeof(int32_t));
    b->tile_sim = kern_alloc(kn, b->block * k * sizeof(float));
    if (!b->tile || !b->query || !b->host || !b->tile_idx || !b->tile_sim)
        rc = fail(-ENOMEM, "%s: no memory for %zu rows of the bank", e->name, b->tile_rows);
out:
    if (rc < 0)
        knn_bank_close(b);
    return rc;
}

void knn_bank_tell(const struct knn_bank *b)
{
    char span[64];
    if (b->fewest == b->most)
        snprintf(span, sizeof span, "%" PRIu64, b->most);
    else
        snprintf(span, sizeof span, "%" PRIu64 " to %" PRIu64, b->fewest, b->most);
    log_info("%s: %s, %s in each", TEXT_COUNT(b->n, "labelled row", "labelled rows"),
             TEXT_COUNT(b->nclasses, "class", "classes"), span);
}

void knn_bank_close(struct knn_bank *b)
{
    if (b->kn) {
        kern_free(b->kn, b->tile);
        kern_free(b->kn, b->query);
        kern_free(b->kn, b->tile_idx);
        kern_free(b->kn, b->tile_sim);
    }
    free(b->row);
    free(b->id);
    free(b->per_class);
    free(b->host);
    *b = (struct knn_bank){ 0 };
}

int32_t knn_bank_label(const struct knn_bank *b, int32_t i)
{
    return b->e->rows.label[b->row[i]];
}

bool knn_bank_has(const struct knn_bank *b, uint64_t id)
{
    return bsearch(&id, b->id, b->n, sizeof id, compare_ids) != NULL;
}

/* Rows of unit length to the device, through the host buffer, block rows at a time. */
static int put_rows(struct knn_bank *b, float *dev, const float *x, const uint32_t *row, size_t n)
{
    size_t d = b->e->d;
    for (size_t at = 0; at < n; at += b->block) {
        size_t some = MIN(b->block, n - at);
        for (size_t i = 0; i < some; i++)
            unit_row(b->host + i * d, x + (row ? row[at + i] : at + i) * d, d);
        if (kern_put(b->kn, dev + at * d, b->host, some * d * sizeof(float)) < 0)
            return fail(-EIO, "cannot copy embeddings to the device");
    }
    return 0;
}

static int load_tile(struct knn_bank *b, size_t t)
{
    size_t first = t * b->tile_rows, n = MIN(b->tile_rows, b->n - first);
    if (b->loaded == t + 1)
        return 0;
    b->loaded = 0;
    int rc = put_rows(b, b->tile, b->e->x, b->row + first, n);
    if (rc >= 0)
        b->loaded = t + 1;
    return rc;
}

/* One tile's answer for nq queries, numbers in the bank. */
static int search_tile(struct knn_bank *b, size_t t, size_t nq, int32_t *idx, float *sim)
{
    size_t first = t * b->tile_rows;
    int rc = load_tile(b, t);
    if (rc < 0)
        return rc;
    struct kern_knn q = { .n = nq,
                          .m = MIN(b->tile_rows, b->n - first),
                          .d = b->e->d,
                          .k = b->k,
                          .query = b->query,
                          .bank = b->tile };
    if ((rc = kern_knn(b->kn, &q, b->tile_idx, b->tile_sim)) < 0 ||
        (rc = kern_get(b->kn, idx, b->tile_idx, nq * b->k * sizeof(int32_t))) < 0 ||
        (rc = kern_get(b->kn, sim, b->tile_sim, nq * b->k * sizeof(float))) < 0)
        return fail(rc, "the search for neighbours failed: %s", strerror(-rc));
    for (size_t i = 0; i < nq * b->k; i++)
        if (idx[i] >= 0)
            idx[i] += (int32_t)first;
    return 0;
}

/* The similarity as the kernel sums it, before its rounding to float32. */
static double exact(const struct knn_bank *b, const float *query, float *scratch, int32_t i)
{
    size_t d = b->e->d;
    double s = 0;
    unit_row(scratch, b->e->x + (size_t)b->row[i] * d, d);
    for (size_t c = 0; c < d; c++)
        s += (double)query[c] * scratch[c];
    return s;
}

/*
 * Merges a later tile's answer for one query into idx, sim. Where two similarities round to the
 * same float32 the exact ones decide; the kernel went by them too.
 */
static void merge(const struct knn_bank *b, const float *query, float *scratch, int32_t *idx,
                  float *sim, const int32_t *idx2, const float *sim2, int32_t *oi, float *os)
{
    size_t x = 0, y = 0;
    for (size_t i = 0; i < b->k; i++) {
        bool second = sim2[y] > sim[x];
        if (sim2[y] == sim[x] && idx[x] >= 0 && idx2[y] >= 0)
            second = exact(b, query, scratch, idx2[y]) > exact(b, query, scratch, idx[x]);
        oi[i] = second ? idx2[y] : idx[x];
        os[i] = second ? sim2[y++] : sim[x++];
    }
    memcpy(idx, oi, b->k * sizeof *idx);
    memcpy(sim, os, b->k * sizeof *sim);
}

static int search_block(struct knn_bank *b, const float *x, const uint32_t *row, size_t n,
                        int32_t *idx, float *sim, uint8_t *work)
{
    size_t tiles = (b->n + b->tile_rows - 1) / b->tile_rows, d = b->e->d, k = b->k;
    int32_t *idx2 = (int32_t *)(void *)work, *oi = idx2 + n * k;
    float *sim2 = (float *)(oi + k), *os = sim2 + n * k, *scratch = os + k, *query = scratch + d;
    int rc = put_rows(b, b->query, x, row, n);
    if (rc >= 0)
        rc = search_tile(b, 0, n, idx, sim);
    for (size_t t = 1; t < tiles && rc >= 0; t++) {
        if ((rc = search_tile(b, t, n, idx2, sim2)) < 0)
            break;
        for (size_t i = 0; i < n; i++) {
            unit_row(query, x + (row ? row[i] : i) * d, d);
            merge(b, query, scratch, idx + i * k, sim + i * k, idx2 + i * k, sim2 + i * k, oi, os);
        }
    }
    return rc;
}

int knn_search(struct knn_bank *b, const float *x, const uint32_t *row, size_t n, int32_t *idx,
               float *sim)
{
    size_t some = MIN(n, b->block), k = b->k, d = b->e->d;
    uint8_t *work = mem_alloc(2 * (some * k + k + d), sizeof(float), "neighbours");
    int rc = work ? 0 : -ENOMEM;
    for (size_t at = 0; at < n && rc >= 0; at += b->block)
        rc = search_block(b, row ? x : x + at * d, row ? row + at : NULL, MIN(b->block, n - at),
                          idx + at * k, sim + at * k, work);
    free(work);
    return rc;
}

/* -- the vote -------------------------------------------------------------------------------- */

int knn_vote_open(struct knn_vote *v, enum knn_rule rule, double temperature, size_t nclasses)
{
    *v = (struct knn_vote){ .rule = rule, .temperature = temperature, .nclasses = nclasses };
    v->weight = mem_alloc(nclasses, sizeof *v->weight, "votes");
    v->sum = mem_alloc(nclasses, sizeof *v->sum, "votes");
    v->order = mem_alloc(nclasses, sizeof *v->order, "votes");
    if (v->weight && v->sum && v->order)
        return 0;
    knn_vote_close(v);
    return -ENOMEM;
}

void knn_vote_close(struct knn_vote *v)
{
    free(v->weight);
    free(v->sum);
    free(v->order);
    *v = (struct knn_vote){ 0 };
}

static bool before(const struct knn_vote *v, int32_t a, int32_t b)
{
    if (v->weight[a] != v->weight[b])
        return v->weight[a] > v->weight[b];
    if (v->sum[a] != v->sum[b])
        return v->sum[a] > v->sum[b];
    return a < b;
}

int32_t knn_vote_count(struct knn_vote *v, const struct knn_bank *b, const int32_t *idx,
                       const float *sim, size_t k)
{
    double total = 0;
    for (size_t i = 0; i < v->voted; i++)
        v->weight[v->order[i]] = v->sum[v->order[i]] = 0;
    v->voted = 0;
    for (size_t i = 0; i < k && idx[i] >= 0; i++) {
        int32_t c = knn_bank_label(b, idx[i]);
        /* relative to the best, so that no temperature overflows */
        double w = v->rule == KNN_MAJORITY ? 1 : exp(((double)sim[i] - sim[0]) / v->temperature);
        bool listed = false;
        for (size_t j = 0; j < v->voted && !listed; j++)
            listed = v->order[j] == c;
        if (!listed)
            v->order[v->voted++] = c;
        v->weight[c] += w;
        v->sum[c] += sim[i];
        total += w;
    }
    for (size_t i = 1; i < v->voted; i++) { /* at most k classes: insertion */
        int32_t c = v->order[i];
        size_t at = i;
        for (; at > 0 && before(v, c, v->order[at - 1]); at--)
            v->order[at] = v->order[at - 1];
        v->order[at] = c;
    }
    v->confidence = v->weight[v->order[0]] / total;
    return v->order[0];
}
