/*
 * knn.c - exact nearest neighbours: float32 products in tiles, exact sums for whoever could be
 * among the k.
 *
 * A float32 dot product of length d, in any order and with fused additions, differs from the exact
 * one by at most e = (d + 1) 2^-24 |query| |row| (Higham, "Accuracy and Stability of Numerical
 * Algorithms", section 3.1; doubled here for the norms' own rounding). A row whose product lies
 * more than e below the k-th best exact similarity so far cannot be among the k; for all others the
 * similarity is summed in double, in the order of the definition. So the result equals ref_knn to
 * the last bit, whatever the tiles, and ties fall to the lower row.
 *
 * Floor: 2 n m d flops of sgemm. Tasks are (block of queries) x (stretch of the bank), merged at
 * the end.
 */
#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { QUERIES = 32, ROWS = 512, MIN_TASKS = 8 };

struct hit {
    double sim;
    int32_t row;
};

/* Is a a worse neighbour than b? Total: less similar, or as similar and later. */
static inline bool worse(struct hit a, struct hit b)
{
    return a.sim < b.sim || (a.sim == b.sim && a.row > b.row);
}

/* A heap of at most k hits with the worst on top. */
static void sift_down(struct hit *heap, size_t n, size_t at)
{
    struct hit x = heap[at];
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

static void offer(struct hit *heap, size_t *n, size_t k, struct hit x)
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

struct job {
    struct kern *kn;
    const struct kern_knn *q;
    size_t blocks, stretches, stretch; /* stretch: rows of the bank a task */
    struct hit *hits;                  /* [stretches][n][k] heaps, then sorted */
    uint32_t *found;                   /* [stretches][n] */
    const float *query_norm, *bank_norm;
};

static double dot(const float *a, const float *b, size_t d)
{
    double s = 0;
    for (size_t c = 0; c < d; c++)
        s += (double)a[c] * b[c];
    return s;
}

static void scan(const struct job *j, const float *score, size_t i, size_t row0, size_t rows,
                 struct hit *heap, size_t *found)
{
    const struct kern_knn *q = j->q;
    float slack = 2 * (float)(q->d + 1) * 0x1p-24f * j->query_norm[i];
    for (size_t r = 0; r < rows; r++) {
        size_t row = row0 + r;
        if (*found == q->k && score[r] + slack * j->bank_norm[row] < heap[0].sim)
            continue;
        if (q->bank_id && q->bank_id[row] == q->query_id[i])
            continue;
        struct hit x = { dot(q->query + i * q->d, q->bank + row * q->d, q->d), (int32_t)row };
        if (x.sim == x.sim) /* a NaN is nobody's neighbour */
            offer(heap, found, q->k, x);
    }
}

static int search(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct kern_knn *q = j->q;
    size_t block = i % j->blocks, part = i / j->blocks;
    size_t first = block * QUERIES, nq = MIN((size_t)QUERIES, q->n - first);
    size_t end = MIN(q->m, (part + 1) * j->stretch);
    float *score = kern_scratch_of(j->kn, worker);
    size_t found[QUERIES] = { 0 };
    for (size_t row = part * j->stretch; row < end; row += ROWS) {
        size_t rows = MIN((size_t)ROWS, end - row);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)nq, (int)rows, (int)q->d, 1,
                    q->query + first * q->d, (int)q->d, q->bank + row * q->d, (int)q->d, 0, score,
                    ROWS);
        for (size_t t = 0; t < nq; t++)
            scan(j, score + t * ROWS, first + t, row, rows,
                 j->hits + (part * q->n + first + t) * q->k, &found[t]);
    }
    for (size_t t = 0; t < nq; t++)
        j->found[part * q->n + first + t] = (uint32_t)found[t];
    return 0;
}

/* Stretches into the first one's heap, then the heap into the answer, best first. */
static int merge(void *arg, size_t block, int worker UNUSED)
{
    const struct job *j = ((void **)arg)[0];
    int32_t *idx = ((void **)arg)[1];
    float *sim = ((void **)arg)[2];
    const struct kern_knn *q = j->q;
    for (size_t i = block * QUERIES; i < MIN(q->n, (block + 1) * QUERIES); i++) {
        struct hit *heap = j->hits + i * q->k;
        size_t n = j->found[i];
        for (size_t part = 1; part < j->stretches; part++)
            for (size_t t = 0; t < j->found[part * q->n + i]; t++)
                offer(heap, &n, q->k, j->hits[(part * q->n + i) * q->k + t]);
        for (size_t t = n; t < q->k; t++) {
            idx[i * q->k + t] = -1;
            sim[i * q->k + t] = -INFINITY;
        }
        while (n > 0) { /* the worst of what is left goes last */
            struct hit last = heap[0];
            heap[0] = heap[--n];
            sift_down(heap, n, 0);
            idx[i * q->k + n] = last.row;
            sim[i * q->k + n] = (float)last.sim;
        }
    }
    return 0;
}

static void norms(float *out, const float *x, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)sqrt(dot(x + i * d, x + i * d, d));
}

static int cpu_knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    struct job j = { .kn = kn, .q = q };
    j.blocks = (q->n + QUERIES - 1) / QUERIES;
    size_t most =
        (q->m + ROWS - 1) / ROWS; /* few queries: cut the bank, so that all threads have work */
    j.stretches = MAX((size_t)1, MIN(most, (MIN_TASKS + j.blocks - 1) / j.blocks));
    j.stretch = MAX((size_t)1, (most + j.stretches - 1) / j.stretches) * ROWS;
    size_t heaps = j.stretches * q->n;
    size_t bytes =
        heaps * (q->k * sizeof(struct hit) + sizeof(uint32_t)) + (q->n + q->m) * sizeof(float);
    uint8_t *mem = kern_shared(kn, bytes);
    if (!mem || kern_scratch(kn, (size_t)QUERIES * ROWS * sizeof(float)) < 0)
        return -ENOMEM;
    j.hits = (struct hit *)mem;
    j.found = (uint32_t *)(j.hits + heaps * q->k);
    float *norm = (float *)(j.found + heaps);
    norms(norm, q->query, q->n, q->d);
    norms(norm + q->n, q->bank, q->m, q->d);
    j.query_norm = norm;
    j.bank_norm = norm + q->n;
    int rc = pool_run(kn->pool, j.blocks * j.stretches, search, &j);
    void *answer[] = { &j, idx, sim };
    return rc < 0 ? rc : pool_run(kn->pool, j.blocks, merge, answer);
}

void cpu_init_knn(struct kern_ops *o, unsigned isa UNUSED)
{
    openblas_set_num_threads(1); /* the pool is the only source of threads */
    o->knn = cpu_knn;
}
