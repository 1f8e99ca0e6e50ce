/*
 * measure.c - see measure.h.
 */
#include "bench/measure.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "kernels/ops.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

double bench_seconds(void (*f)(void *arg), void *arg)
{
    double best = INFINITY, start = log_seconds();
    f(arg); /* warms caches and scratch */
    for (int i = 0; i < 100 && (i < 2 || log_seconds() - start < 0.15); i++) {
        double t = log_seconds();
        f(arg);
        best = fmin(best, log_seconds() - t);
    }
    return best;
}

void *bench_random(enum kern_type type, size_t n)
{
    enum { PERIOD = 65521 }; /* prime: no two rows of a tensor are alike */
    size_t each = kern_sizeof(type), have = MIN(n, (size_t)PERIOD);
    uint8_t *p = mem_block(n * each);
    struct rng r;
    if (!p)
        bench_die("no memory");
    rng_init(&r, 1, RNG_TEST, 0, n, 0);
    for (size_t i = 0; i < have; i++)
        kern_store(type, p, i, rng_range(&r, -1, 1));
    for (; have < n; have += MIN(have, n - have))
        memcpy(p + have * each, p, MIN(have, n - have) * each);
    return p;
}
