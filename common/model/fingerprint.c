/*
 * fingerprint.c - see fingerprint.h.
 */
#include "common/model/fingerprint.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/encoder.h"
#include "common/model/stage.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* [n][y][x][c] */
static void draw(float *v)
{
    for (int n = 0; n < FINGERPRINT_PICTURES; n++)
        for (int y = 0; y < FINGERPRINT_SIDE; y++)
            for (int x = 0; x < FINGERPRINT_SIDE; x++)
                for (int c = 0; c < 3; c++) {
                    int level = ((5 + 2 * n) * y + (3 + 4 * c) * x + (n + 1) * x * y) % 256;
                    *v++ = (float)level / 128 - 1;
                }
}

static int run(struct fingerprint *f, struct kern *kn, struct stage *st)
{
    size_t n = (size_t)FINGERPRINT_PICTURES * FINGERPRINT_SIDE * FINGERPRINT_SIDE * 3;
    const float *out;
    float *host = mem_alloc(n, sizeof *host, "the test pictures");
    float *dev = kern_alloc(kn, n * sizeof *dev);
    int rc = host && dev ? 0 : fail(-ENOMEM, "no memory for the test pictures");
    if (rc == 0) {
        draw(host);
        if ((rc = kern_put(kn, dev, host, n * sizeof *dev)) < 0)
            rc = fail(rc, "cannot copy the test pictures to the device");
    }
    if (rc == 0)
        rc = net_infer_run(st->infer, dev, FINGERPRINT_PICTURES, &out);
    if (rc == 0 &&
        (rc = kern_get(kn, f->x, out, FINGERPRINT_PICTURES * f->features * sizeof *f->x)) < 0)
        rc = fail(rc, "cannot copy features from the device");
    kern_free(kn, dev);
    free(host);
    return rc;
}

/* Features are means of what a ReLU let through. */
static int check(const struct fingerprint *f, const char *name)
{
    size_t n = f->features, all = FINGERPRINT_PICTURES * n;
    bool finite = true, negative = false, same = true;
    for (size_t i = 0; i < all; i++) {
        finite = finite && isfinite(f->x[i]);
        negative = negative || f->x[i] < 0;
        same = same && f->x[i] == f->x[i % n];
    }
    if (finite && !negative && !same)
        return 0;
    return fail(-ENUMERIC, "%s: the encoder's features of the test pictures are %s", name,
                !finite    ? "not finite"
                : negative ? "below 0"
                           : "all the same");
}

int fingerprint_take(struct fingerprint *f, struct kern *kn, const char *name,
                     const struct settings *set, const float *param, const float *running)
{
    struct net net;
    struct stage st = { 0 };
    *f = (struct fingerprint){ .features = encoder_features(set) };
    int rc = encoder_build(&net, set, FINGERPRINT_SIDE);
    if (rc < 0)
        return rc;
    f->x = mem_alloc(FINGERPRINT_PICTURES * f->features, sizeof *f->x, "features");
    rc = f->x ? stage_open(&st, kn, &net, param, running, FINGERPRINT_PICTURES) : -ENOMEM;
    if (rc == 0)
        rc = run(f, kn, &st);
    if (rc == 0)
        rc = check(f, name);
    stage_close(&st, kn);
    net_release(&net);
    return rc;
}

void fingerprint_release(struct fingerprint *f)
{
    free(f->x);
    *f = (struct fingerprint){ 0 };
}

bool fingerprint_same(const struct fingerprint *a, const struct fingerprint *b)
{
    return a->features == b->features &&
           memcmp(a->x, b->x, FINGERPRINT_PICTURES * a->features * sizeof *a->x) == 0;
}

double fingerprint_mean(const struct fingerprint *f, size_t picture)
{
    double sum = 0;
    for (size_t i = 0; i < f->features; i++)
        sum += f->x[picture * f->features + i];
    return sum / (double)f->features;
}
