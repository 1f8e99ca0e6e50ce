/*
 * search.c - exact nearest neighbours. The floor is the products alone, at the peak of the type
 * that serves them.
 */
#include "bench/bench.h"
#include "common/base/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 10000, M = 100000, D = 512, MOST = 20 };

struct job {
    struct kern *kn;
    struct kern_knn q;
    int32_t *idx;
    float *sim;
};

static void job_run(void *arg)
{
    struct job *j = arg;
    if (kern_knn(j->kn, &j->q, j->idx, j->sim))
        bench_die("the search failed");
}

static float *unit_rows(size_t n)
{
    float *x = bench_random(KERN_F32, n * D);
    struct rng r;
    for (size_t at = 0; at < n; at++) {
        float *row = x + at * D, sum = 0;
        rng_init(&r, 1, RNG_TEST, at, n, 1);
        for (size_t i = 0; i < D; i++) {
            row[i] = rng_range(&r, -1, 1);
            sum += row[i] * row[i];
        }
        for (size_t i = 0; i < D; i++)
            row[i] /= sqrtf(sum);
    }
    return x;
}

void search(struct bench *b)
{
    struct job j = { b->kn, { .n = N, .m = M, .d = D }, NULL, NULL };
    float *query = unit_rows(N), *bank = unit_rows(M);
    j.q.query = query;
    j.q.bank = bank;
    j.idx = bench_random(KERN_F32, (size_t)N * MOST);
    j.sim = bench_random(KERN_F32, (size_t)N * MOST);
    double work = 2e-9 * N * M * D, peak = bench_peak(b, KERN_BF16);
    printf("## Exact neighbours, %d queries, a bank of %d x %d\n\n", N, M, D);
    printf("| k | queries/s | GF/s | share | floor: the products, queries/s |\n"
           "|--:|--:|--:|--:|--:|\n");
    for (j.q.k = 1; j.q.k <= MOST; j.q.k += MOST - 1) {
        double t = bench_seconds(job_run, &j);
        printf("| %zu | %.0f | %.0f | %.0f %% | %.0f |\n", j.q.k, N / t, work / t,
               100 * work / t / peak, N * peak / work);
        fflush(stdout);
    }
    printf("\n");
    free(query);
    free(bank);
    free(j.idx);
    free(j.sim);
}
