/*
 * knn.c - exact nearest neighbours: the lists of knn.h, and the search by float32 products.
 *
 * A float32 dot product of length d, in any order and with fused additions, differs from the exact
 * one by at most (d + 1) 2^-24 |query| |row| (Higham, "Accuracy and Stability of Numerical
 * Algorithms", section 3.1), and by half the smallest denormal for each product that underflows.
 * Both are doubled here for the rounding of norms and comparisons. Vectors so long that a sum might
 * overflow get no bound.
 *
 * Floor: 2 n m d flops of sgemm. Tasks are (block of queries) x (stretch of the bank), merged at
 * the end. Memory: k hits a query and stretch, a number a row; a worker has 3 k candidates for each
 * query of a block, and a tile of scores.
 */
#include <cblas.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/knn.h"

enum { QUERIES = 256, ROWS = 512 };

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* -- heaps of at most k hits with the worst on top ----------------------------------------- */

/* Is a a worse neighbour than b? Total: less similar, or as similar and later. */
static inline bool worse(struct knn_hit a, struct knn_hit b)
{
    return a.sim < b.sim || (a.sim == b.sim && a.row > b.row);
}

static void sift_down(struct knn_hit *heap, size_t n, size_t at)
{
    struct knn_hit x = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && worse(heap[child + 1], heap[child]))
            child++;
        if (!worse(heap[child], x))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = x;
}

static void offer(struct knn_hit *heap, size_t *n, size_t k, struct knn_hit x)
{
    if (*n < k) {
        size_t at = (*n)++;
        while (at > 0 && worse(x, heap[(at - 1) / 2])) {
            heap[at] = heap[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        heap[at] = x;
    } else if (worse(heap[0], x)) {
        heap[0] = x;
        sift_down(heap, k, 0);
    }
}

/* -- lists of candidates ------------------------------------------------------------------- */

/* Weeding leaves somewhat more than k: the longer a list, the fewer times; but the later it is
 * weeded, the lower is what more is listed by. */
static size_t list_full(const struct knn *s)
{
    return (3 * s->q->k + KNN_MORE + 15) / 16 * 16;
}

size_t knn_lists_bytes(const struct knn *s, size_t queries)
{
    size_t room = list_full(s) + KNN_MORE;
    return round_up(room * sizeof(float) + queries * (room * (sizeof(float) + sizeof(int32_t)) +
                                                      sizeof(size_t) + sizeof(float)));
}

/* The threshold of scores for similarities of at least sim, below which nothing is listed. */
static float threshold(const struct knn *s, double scaled)
{
    double least = fmin(scaled - s->least_error, FLT_MAX);
    return nextafterf((float)least, -INFINITY);
}

/* The threshold from what a stretch has found so far. */
static float found_least(const struct knn_lists *l, size_t query)
{
    const struct knn *s = l->search;
    size_t i = l->first + query, heap = l->part * s->q->n + i;
    return s->found[heap] < s->q->k ? -INFINITY
                                    : threshold(s, s->hits[heap * s->q->k].sim * s->scale[i]);
}

void knn_lists_begin(struct knn_lists *l, const struct knn *s, size_t part, size_t first,
                     size_t queries, void *memory)
{
    *l = (struct knn_lists){ .search = s, .part = part, .first = first };
    l->full = list_full(s);
    l->room = l->full + KNN_MORE;
    l->listed = memory;
    l->lower = (float *)(l->listed + queries);
    l->upper = l->lower + l->room;
    l->row = (int32_t *)(l->upper + queries * l->room);
    l->least = (float *)(l->row + queries * l->room);
    for (size_t i = 0; i < queries; i++) {
        l->listed[i] = 0;
        l->least[i] = first + i < s->q->n ? found_least(l, i) : INFINITY;
    }
}

/* Rows of a list from t on; those beyond its end are its last. */
static void rows_of(const float *row[KNN_DOTS], const struct knn_lists *l, size_t query, size_t t)
{
    const struct kern_knn *q = l->search->q;
    const int32_t *list = l->row + query * l->room;
    for (size_t r = 0; r < KNN_DOTS; r++)
        row[r] = q->bank + (size_t)list[MIN(t + r, l->listed[query] - 1)] * q->d;
}

/* The exact similarities of a list; next: whose list is settled next. */
static void settle(struct knn_lists *l, size_t query, size_t next)
{
    const struct knn *s = l->search;
    const struct kern_knn *q = s->q;
    const struct cpu_knn *isa = ISA_BEST(s->kn, cpu_knn);
    size_t i = l->first + query, at = l->part * q->n + i, n = l->listed[query];
    const int32_t *list = l->row + query * l->room;
    for (size_t t = 0; t < n; t += KNN_DOTS) {
        const float *row[KNN_DOTS], *then[KNN_DOTS];
        double sum[KNN_DOTS];
        rows_of(row, l, query, t);
        if (t + KNN_DOTS < n)
            rows_of(then, l, query, t + KNN_DOTS);
        else
            rows_of(then, l, l->listed[next] ? next : query, 0);
        isa->dots(sum, q->query + i * q->d, row, then, q->d);
        for (size_t r = 0; r < MIN(n - t, (size_t)KNN_DOTS); r++)
            if (sum[r] == sum[r]) /* a NaN is nobody's neighbour */
                offer(s->hits + at * q->k, &s->found[at], q->k,
                      (struct knn_hit){ sum[r], list[t + r] });
    }
    l->listed[query] = 0;
    l->least[query] = fmaxf(l->least[query], found_least(l, query));
}

/* Leaves out rows with the query's own id. */
static size_t others(const struct kern_knn *q, uint64_t own, float *upper, int32_t *row, size_t n)
{
    size_t kept = 0;
    for (size_t t = 0; t < n; t++)
        if (q->bank_id[row[t]] != own) {
            upper[kept] = upper[t];
            row[kept++] = row[t];
        }
    return kept;
}

/* At least k rows are as similar as their lower bounds say: whoever cannot reach that, goes. */
static void weed(struct knn_lists *l, size_t query)
{
    const struct knn *s = l->search;
    const struct cpu_knn *isa = ISA_BEST(s->kn, cpu_knn);
    size_t i = l->first + query, n = l->listed[query];
    float *upper = l->upper + query * l->room;
    int32_t *row = l->row + query * l->room;
    if (s->q->bank_id)
        n = others(s->q, s->q->query_id[i], upper, row, n);
    float bar = isa->bar(l->lower, upper, row, s->error, s->reach[i], n, s->q->k);
    l->least[query] = fmaxf(l->least[query], threshold(s, bar - s->least_error));
    l->listed[query] = isa->keep(upper, row, l->least[query], n);
}

/* If bounds make no room, sums do. */
void knn_lists_weed(struct knn_lists *l, size_t query)
{
    weed(l, query);
    if (l->listed[query] > l->full / 2)
        settle(l, query, query);
}

void knn_lists_end(struct knn_lists *l, size_t queries)
{
    for (size_t i = 0; i < queries; i++)
        weed(l, i);
    for (size_t i = 0; i < queries; i++)
        settle(l, i, MIN(i + 1, queries - 1));
}

/* -- the whole search ---------------------------------------------------------------------- */

size_t knn_bytes(const struct knn *s)
{
    size_t heaps = s->stretches * s->q->n;
    return round_up(heaps * (s->q->k * sizeof(*s->hits) + sizeof(*s->found)) +
                    s->q->n * (sizeof(*s->scale) + sizeof(*s->reach)) +
                    s->q->m * sizeof(*s->error));
}

void knn_memory(struct knn *s, void *memory)
{
    size_t heaps = s->stretches * s->q->n;
    s->hits = memory;
    s->found = (size_t *)(s->hits + heaps * s->q->k);
    s->scale = (double *)(s->found + heaps);
    s->reach = (float *)(s->scale + s->q->n);
    s->error = s->reach + s->q->n;
    memset(s->found, 0, heaps * sizeof(*s->found));
}

struct answer {
    const struct knn *search;
    int32_t *idx;
    float *sim;
};

/* Stretches into the first one's heap, then the heap into the answer, best first. */
static int merge(void *arg, size_t block, int worker UNUSED)
{
    const struct answer *a = arg;
    const struct knn *s = a->search;
    const struct kern_knn *q = s->q;
    for (size_t i = block * QUERIES; i < MIN(q->n, (block + 1) * QUERIES); i++) {
        struct knn_hit *heap = s->hits + i * q->k;
        int32_t *idx = a->idx + i * q->k;
        float *sim = a->sim + i * q->k;
        size_t n = s->found[i];
        for (size_t part = 1; part < s->stretches; part++)
            for (size_t t = 0; t < s->found[part * q->n + i]; t++)
                offer(heap, &n, q->k, s->hits[(part * q->n + i) * q->k + t]);
        for (size_t t = n; t < q->k; t++) {
            idx[t] = -1;
            sim[t] = -INFINITY;
        }
        while (n > 0) { /* the worst of what is left goes last */
            struct knn_hit last = heap[0];
            heap[0] = heap[--n];
            sift_down(heap, n, 0);
            idx[n] = last.row;
            sim[n] = (float)last.sim;
        }
    }
    return 0;
}

int knn_answer(struct knn *s, int32_t *idx, float *sim)
{
    struct answer a = { s, idx, sim };
    return pool_run(s->kn->pool, (s->q->n + QUERIES - 1) / QUERIES, merge, &a);
}

/* -- by float32 products ------------------------------------------------------------------- */

struct job {
    struct knn s;
    size_t blocks, stretch; /* of queries; rows of a stretch */
};

static double length(const struct cpu_knn *isa, const float *x, size_t d)
{
    double norm = sqrt(isa->square(x, d));
    return norm < 0x1p63 ? norm * (1 + 0x1p-20) : INFINITY;
}

/* Lengths of vectors: blocks of queries, then of rows. */
static int measure(void *arg, size_t i, int worker UNUSED)
{
    struct job *j = arg;
    const struct kern_knn *q = j->s.q;
    const struct cpu_knn *isa = ISA_BEST(j->s.kn, cpu_knn);
    const double unit = 2 * (double)(q->d + 2) * 0x1p-24;
    if (i < j->blocks) {
        for (size_t t = i * QUERIES; t < MIN(q->n, (i + 1) * QUERIES); t++) {
            j->s.scale[t] = 1;
            j->s.reach[t] = (float)length(isa, q->query + t * q->d, q->d);
        }
        return 0;
    }
    i -= j->blocks;
    for (size_t r = i * ROWS; r < MIN(q->m, (i + 1) * ROWS); r++)
        j->s.error[r] = (float)(unit * length(isa, q->bank + r * q->d, q->d));
    return 0;
}

static int search(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct kern_knn *q = j->s.q;
    const struct cpu_knn *isa = ISA_BEST(j->s.kn, cpu_knn);
    size_t part = i / j->blocks, first = i % j->blocks * QUERIES;
    size_t nq = MIN((size_t)QUERIES, q->n - first), end = MIN(q->m, (part + 1) * j->stretch);
    float *score = kern_scratch_of(j->s.kn, worker);
    uint32_t *at = (uint32_t *)(score + QUERIES * ROWS);
    struct knn_lists l;
    knn_lists_begin(&l, &j->s, part, first, QUERIES, at + ROWS);
    for (size_t row = part * j->stretch; row < end; row += ROWS) {
        size_t rows = MIN((size_t)ROWS, end - row);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)nq, (int)rows, (int)q->d, 1,
                    q->query + first * q->d, (int)q->d, q->bank + row * q->d, (int)q->d, 0, score,
                    ROWS);
        for (size_t t = 0; t < nq; t++) {
            const float *of = score + t * ROWS;
            size_t n = isa->pick(at, of, j->s.error + row, j->s.reach[first + t], l.least[t], rows);
            for (size_t p = 0; p < n; p++) {
                size_t end_of = t * l.room + l.listed[t];
                l.upper[end_of] = of[at[p]] + j->s.reach[first + t] * j->s.error[row + at[p]];
                l.row[end_of] = (int32_t)(row + at[p]);
                knn_listed(&l, t, 1);
            }
        }
    }
    knn_lists_end(&l, nq);
    return 0;
}

static int cpu_knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    struct job j = { .s = { .kn = kn, .q = q, .least_error = (float)(q->d + 1) * 0x1p-148f } };
    j.blocks = (q->n + QUERIES - 1) / QUERIES;
    size_t most = (q->m + ROWS - 1) / ROWS;
    size_t cut = MAX((size_t)1, MIN(most, (KNN_MIN_TASKS + j.blocks - 1) / j.blocks));
    j.s.stretches = cut;
    j.stretch = MAX((size_t)1, (most + cut - 1) / cut) * ROWS;
    uint8_t *memory = kern_shared(kn, knn_bytes(&j.s));
    size_t tile = (QUERIES * ROWS + ROWS) * sizeof(float);
    if (!memory || kern_scratch(kn, tile + knn_lists_bytes(&j.s, QUERIES)) < 0)
        return -ENOMEM;
    knn_memory(&j.s, memory);
    int rc = pool_run(kn->pool, j.blocks + most, measure, &j);
    if (rc == 0)
        rc = pool_run(kn->pool, j.blocks * cut, search, &j);
    return rc ? rc : knn_answer(&j.s, idx, sim);
}

void cpu_init_knn(struct kern_ops *o, unsigned isa)
{
    openblas_set_num_threads(1); /* the pool is the only source of threads */
    o->knn = isa & ISA_AVX512BF16 ? knn_bf16 : cpu_knn;
}
