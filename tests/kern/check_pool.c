/*
 * check_pool.c - pooling against its definition: every instruction set, odd sides, paddings and
 * channels, ties, thread counts.
 */
#include "tests/kern/check.h"
#include <errno.h>
#include <float.h>
#include <string.h>

struct shape {
    size_t n, h, w, c, side, stride, pad, after;
};
static const struct shape shapes[] = {
    { 2, 112, 56, 64, 3, 2, 0, 1 }, /* the stem, TensorFlow's padding */
    { 3, 15, 9, 24, 3, 2, 1, 1 },   /* torchvision's */
    { 2, 7, 5, 17, 2, 2, 0, 0 },    /* cells that no window reads */
    { 1, 1, 1, 1, 3, 1, 1, 1 },     { 2, 6, 6, 3, 3, 1, 1, 1 },
    { 1, 9, 8, 100, 4, 3, 2, 1 },   { 5, 4, 4, 8, 5, 1, 2, 2 },
};

static struct kern_maxpool pool_of(const struct shape *s)
{
    struct kern_maxpool mp = { KERN_F32,  s->n,   s->h,   s->w, s->c, s->side,
                               s->stride, s->pad, s->pad, 0,    0 };
    mp.oh = (s->h + s->pad + s->after - s->side) / s->stride + 1;
    mp.ow = (s->w + s->pad + s->after - s->side) / s->stride + 1;
    return mp;
}

/* Maxima are chosen, never computed, and gradients added in the same order: no tolerance. */
static void check_max(const struct shape *s)
{
    struct kern_maxpool mp = pool_of(s);
    size_t nx = mp.n * mp.h * mp.w * mp.c, ny = mp.n * mp.oh * mp.ow * mp.c;
    float *x = check_normal(nx), *dy = check_normal(ny), *y[2], *dx[2];
    for (size_t i = 0; i < nx; i += 3)
        x[i] = roundf(x[i]); /* ties */
    struct kern *ref = check_open("ref", 1);
    for (int k = 0; k < 2; k++) {
        y[k] = check_buf(ny);
        dx[k] = check_buf(nx);
    }
    int rc = kern_maxpool_forward(ref, &mp, y[0], x);
    rc |= kern_maxpool_backward(ref, &mp, dx[0], dy, x, y[0]);
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < CHECK_THREADS; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            memset(y[1], 0xff, ny * 4);
            memset(dx[1], 0xff, nx * 4);
            rc |= kern_maxpool_forward(kn, &mp, y[1], x);
            rc |= kern_maxpool_backward(kn, &mp, dx[1], dy, x, y[1]);
            ok(rc == 0, "%s: maximum of %zu, stride %zu, @ %zux%zu, c %zu", check_isa(i), s->side,
               s->stride, s->h, s->w, s->c);
            check_same(y[1], y[0], ny * 4, "forward");
            check_same(dx[1], dx[0], nx * 4, "backward");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

static void check_mean(size_t n, size_t cells, size_t c)
{
    size_t nx = n * cells * c;
    float *x = check_normal(nx), *dy = check_normal(n * c), *want = check_buf(n * c),
          *dwant = check_buf(nx), *first = check_buf(n * c);
    struct kern *ref = check_open("ref", 1);
    int rc = kern_avgpool_forward(ref, KERN_F32, want, x, n, cells, c);
    rc |= kern_avgpool_backward(ref, KERN_F32, dwant, dy, n, cells, c);
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < CHECK_THREADS; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            float *y = check_buf(n * c), *dx = check_buf(nx);
            rc |= kern_avgpool_forward(kn, KERN_F32, y, x, n, cells, c);
            rc |= kern_avgpool_backward(kn, KERN_F32, dx, dy, n, cells, c);
            ok(rc == 0, "%s: mean of %zu cells, c %zu", check_isa(i), cells, c);
            check_near(y, want, n * c, 4 * FLT_EPSILON, "forward");
            check_near(dx, dwant, nx, 8 * FLT_EPSILON / (double)cells, "backward");
            if (t == 0)
                memcpy(first, y, n * c * 4);
            check_same(y, first, n * c * 4, "whatever the threads");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

static void check_definition(void)
{
    const float x[] = { 1, 5, 2, 5, 3, 0, -1, -2, -3 }, dy[] = { 10, 20, 30, 40 };
    float y[4], dx[9];
    struct kern_maxpool mp = { KERN_F32, 1, 3, 3, 1, 3, 2, 1, 1, 2, 2 };
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        kern_maxpool_forward(kn, &mp, y, x);
        kern_maxpool_backward(kn, &mp, dx, dy, x, y);
        ok(y[0] == 5 && y[1] == 5 && y[2] == 5 && y[3] == 3, "%s: maxima", check_isa(i));
        ok(dx[1] == 30 && dx[3] == 30 && dx[4] == 40 && dx[0] == 0,
           "%s: gradients go to the first maximum", check_isa(i));
        float low[] = { -7 }, out[1];
        struct kern_maxpool one = { KERN_F32, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1 };
        kern_maxpool_forward(kn, &one, out, low);
        ok(out[0] == -7, "%s: padding never wins", check_isa(i));
        check_close(kn);
    }
}

static void check_bfloat16(void)
{
    struct kern_maxpool mp = pool_of(&shapes[1]);
    size_t nx = mp.n * mp.h * mp.w * mp.c, ny = mp.n * mp.oh * mp.ow * mp.c;
    mp.type = KERN_BF16;
    float *dmean = check_normal(mp.n * mp.c), *mean[2];
    void *x = check_typed(KERN_BF16, check_normal(nx), nx),
         *dy = check_typed(KERN_BF16, check_normal(ny), ny), *y[2], *dx[2], *dplane[2];
    int rc = 0;
    for (int k = 0; k < 2; k++) {
        struct kern *kn = check_open(k ? check_best_isa() : "ref", 2);
        y[k] = check_bytes(ny * 2);
        dx[k] = check_bytes(nx * 2);
        dplane[k] = check_bytes(nx * 2);
        mean[k] = check_buf(mp.n * mp.c);
        rc |= kern_maxpool_forward(kn, &mp, y[k], x);
        rc |= kern_maxpool_backward(kn, &mp, dx[k], dy, x, y[k]);
        rc |= kern_avgpool_forward(kn, KERN_BF16, mean[k], x, mp.n, mp.h * mp.w, mp.c);
        rc |= kern_avgpool_backward(kn, KERN_BF16, dplane[k], dmean, mp.n, mp.h * mp.w, mp.c);
        mp.stride = k ? 0 : mp.stride;
        if (k)
            ok(kern_maxpool_forward(kn, &mp, y[k], x) == -EINVAL, "stride 0 is refused");
        check_close(kn);
    }
    ok(rc == 0, "bfloat16 is served");
    check_same(y[1], y[0], ny * 2, "maximum as defined");
    check_same(dx[1], dx[0], nx * 2, "its gradient");
    check_same(mean[1], mean[0], mp.n * mp.c * 4, "mean");
    check_same(dplane[1], dplane[0], nx * 2, "its gradient");
    check_release();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        check_max(&shapes[i]);
    check_mean(3, 16, 64);
    check_mean(7, 49, 33);
    check_mean(2, 1, 5);
    check_mean(1, 1000, 20);
    check_definition();
    check_bfloat16();
    return done();
}
