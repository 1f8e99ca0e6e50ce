/*
 * bench.c - the tables of `make bench-cuda` that need no program: all, or those that are named.
 *
 *     bench [tiny] [ceilings] [encoders] [floors] [layers] [passes] [search] [once]
 *     bench nominal      floors as they are counted, without a device
 *
 * Shares are of ceilings that every call measures, but for once alone. A row is printed as soon as
 * it is measured.
 */
#include "bench/cuda/rig.h"
#include "common/base/log.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rig_must(struct rig *r, int rc, const char *what)
{
    if (rc >= 0)
        return;
    const char *words = kern_trouble(r->kn);
    fprintf(stderr, "bench: %s: %s\n", what, words ? words : strerror(-rc));
    exit(1);
}

static void *keep(struct rig *r, void *dev)
{
    if (!dev)
        bench_die("no memory on the device");
    if (r->ndev == (int)ARRAY_LEN(r->dev))
        bench_die("too many arrays");
    return r->dev[r->ndev++] = dev;
}

void *rig_random(struct rig *r, enum kern_type type, size_t n)
{
    size_t nbytes = n * kern_sizeof(type);
    void *host = bench_random(type, n), *dev = keep(r, kern_alloc(r->kn, nbytes));
    rig_must(r, kern_put(r->kn, dev, host, nbytes), "a copy to the device");
    free(host);
    return dev;
}

void *rig_zero(struct rig *r, size_t nbytes)
{
    return keep(r, kern_alloc(r->kn, nbytes));
}

void rig_clear(struct rig *r)
{
    while (r->ndev > 0)
        kern_free(r->kn, r->dev[--r->ndev]);
}

/* Seconds of n calls. */
static double calls(struct rig *r, int (*f)(void *arg), void *arg, int n)
{
    double start = log_seconds();
    for (int i = 0; i < n; i++)
        rig_must(r, f(arg), "a kernel");
    rig_must(r, kern_sync(r->kn), "a kernel");
    return log_seconds() - start;
}

double rig_seconds(struct rig *r, int (*f)(void *arg), void *arg)
{
    if (r->tiny)
        return calls(r, f, arg, 1);
    double best = INFINITY;
    calls(r, f, arg, 2); /* plans, scratch, caches */
    double one = calls(r, f, arg, 3) / 3;
    int n = (int)fmin(fmax(0.15 / one, 2), 2000);
    for (int i = 0; i < 3; i++)
        best = fmin(best, calls(r, f, arg, n) / n);
    return best;
}

static void ceilings(struct rig *r)
{
    printf("## Ceilings, measured in this run (%s)\n\n", kern_describe(r->kn));
    printf("| ceiling | |\n|:--|--:|\n");
    printf("| copy on the device, by the runtime | %.0f GB/s |\n", 1e-9 * r->copy);
    printf("| bfloat16 product, 8192 x 8192 x 8192, by cuBLASLt | %.0f TF/s |\n\n",
           1e-12 * r->product);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(struct rig *r);
    } tables[] = { { "ceilings", ceilings }, { "encoders", encoders }, { "floors", floors },
                   { "layers", layers },     { "passes", passes },     { "search", search },
                   { "once", once } };
    struct rig r = { 0 };
    const char *why;
    int first = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && strcmp(argv[1], "tiny") == 0) {
        r.tiny = true;
        first = 2;
    }
    if (pool_open(&r.pool, 0) < 0)
        bench_die("no threads");
    if (argc == 2 && strcmp(argv[1], "nominal") == 0) {
        if (kern_open(&r.kn, r.pool) < 0)
            bench_die("no memory");
        floors_nominal(&r);
        kern_close(r.kn);
        pool_close(r.pool);
        return 0;
    }
    if (kern_open_cuda(&r.kn, 0, r.pool, &why) < 0)
        bench_die(why);
    bool only_once = argc == first + 1 && strcmp(argv[first], "once") == 0;
    if (!only_once)
        rig_must(&r, kern_measure(r.kn, &r.copy, &r.product), "the device's ceilings");
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        bool named = argc == first && strcmp(tables[i].name, "once") != 0;
        for (int j = first; j < argc; j++)
            named = named || strcmp(argv[j], tables[i].name) == 0;
        if (named)
            tables[i].print(&r);
        rig_clear(&r);
    }
    kern_close(r.kn);
    pool_close(r.pool);
    return 0;
}
