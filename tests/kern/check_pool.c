/*
 * check_pool.c - pooling against its definition: every instruction set, both types of storage, odd
 * sides, paddings and channels, ties, thread counts.
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

static const struct kern_avgpool2 planes[] = {
    { .n = 2, .h = 28, .w = 28, .c = 64 }, { .n = 3, .h = 7, .w = 9, .c = 17 },
    { .n = 1, .h = 6, .w = 5, .c = 100 },  { .n = 2, .h = 1, .w = 4, .c = 3 },
    { .n = 5, .h = 1, .w = 1, .c = 33 },
};

static struct kern_maxpool pool_of(enum kern_type type, const struct shape *s)
{
    struct kern_maxpool mp = { type,      s->n,   s->h,   s->w, s->c, s->side,
                               s->stride, s->pad, s->pad, 0,    0 };
    mp.oh = (s->h + s->pad + s->after - s->side) / s->stride + 1;
    mp.ow = (s->w + s->pad + s->after - s->side) / s->stride + 1;
    return mp;
}

/* Maxima are chosen, never computed, and gradients added in the same order: no tolerance. */
static void check_max(enum kern_type type, const struct shape *s)
{
    struct kern_maxpool mp = pool_of(type, s);
    size_t nx = mp.n * mp.h * mp.w * mp.c, ny = mp.n * mp.oh * mp.ow * mp.c;
    size_t each = kern_sizeof(type);
    float *numbers = check_normal(nx);
    for (size_t i = 0; i < nx; i += 3)
        numbers[i] = roundf(numbers[i]); /* ties */
    void *x = check_typed(type, numbers, nx), *dy = check_typed(type, check_normal(ny), ny);
    void *y[2], *dx[2];
    struct kern *ref = check_open("ref", 1);
    for (int k = 0; k < 2; k++) {
        y[k] = check_bytes(ny * each);
        dx[k] = check_bytes(nx * each);
    }
    int rc = kern_maxpool_forward(ref, &mp, y[0], x);
    rc |= kern_maxpool_backward(ref, &mp, dx[0], dy, x, y[0]);
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            memset(y[1], 0xff, ny * each);
            memset(dx[1], 0xff, nx * each);
            rc |= kern_maxpool_forward(kn, &mp, y[1], x);
            rc |= kern_maxpool_backward(kn, &mp, dx[1], dy, x, y[1]);
            ok(rc == 0, "%s: maximum of %zu, stride %zu, @ %zux%zu, c %zu, %s", check_isa(i),
               s->side, s->stride, s->h, s->w, s->c, check_type_name(type));
            check_same(y[1], y[0], ny * each, "forward");
            check_same(dx[1], dx[0], nx * each, "backward");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

/* Sums of four; the definition in float32, of rounded numbers. */
static void check_mean2(enum kern_type type, struct kern_avgpool2 ap)
{
    size_t oh = (ap.h + ap.stride - 1) / ap.stride, ow = (ap.w + ap.stride - 1) / ap.stride;
    size_t nx = ap.n * ap.h * ap.w * ap.c, ny = ap.n * oh * ow * ap.c, each = kern_sizeof(type);
    float *x32 = check_rounded(type, check_normal(nx), nx), *want = check_buf(ny);
    float *dy32 = check_rounded(type, check_normal(ny), ny), *dwant = check_buf(nx);
    void *x = check_typed(type, x32, nx), *dy = check_typed(type, dy32, ny);
    struct kern *ref = check_open("ref", 1);
    int rc = kern_avgpool2_forward(ref, &ap, want, x32);
    rc |= kern_avgpool2_backward(ref, &ap, dwant, dy32);
    ap.type = type;
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            void *y = check_bytes(ny * each), *dx = check_bytes(nx * each);
            rc |= kern_avgpool2_forward(kn, &ap, y, x);
            rc |= kern_avgpool2_backward(kn, &ap, dx, dy);
            ok(rc == 0, "%s: mean of 2x2, stride %zu, @ %zux%zu, c %zu, %s", check_isa(i),
               ap.stride, ap.h, ap.w, ap.c, check_type_name(type));
            check_near_as(type, check_floats(type, y, ny), want, ny, 4 * FLT_EPSILON, "forward");
            check_near_as(type, check_floats(type, dx, nx), dwant, nx, 4 * FLT_EPSILON, "backward");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

/* What overhangs: zeros with stride 2, nothing with stride 1. */
static void check_mean2_definition(void)
{
    const float x[] = { 4, 8, 12, 16, 20, 24, 28, 32, 36 }, dy[] = { 4, 8, 12, 16 };
    const float one[] = { 12, 16, 18, 24, 28, 30, 30, 34, 36 }, two[] = { 12, 9, 15, 9 };
    const float dtwo[] = { 1, 1, 2, 1, 1, 2, 3, 3, 4 }, dsmall[] = { 1, 3, 3, 9 };
    float y[9], dx[9];
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        struct kern_avgpool2 ap = { KERN_F32, 1, 3, 3, 1, 1 };
        kern_avgpool2_forward(kn, &ap, y, x);
        check_same(y, one, sizeof one, "%s: means of what is there", check_isa(i));
        ap.stride = 2;
        kern_avgpool2_forward(kn, &ap, y, x);
        check_same(y, two, sizeof two, "%s: always of four", check_isa(i));
        kern_avgpool2_backward(kn, &ap, dx, dy);
        check_same(dx, dtwo, sizeof dtwo, "%s: a quarter for each", check_isa(i));
        struct kern_avgpool2 small = { KERN_F32, 1, 2, 2, 1, 1 };
        kern_avgpool2_backward(kn, &small, dx, (const float[]){ 4, 4, 4, 4 });
        check_same(dx, dsmall, sizeof dsmall, "%s: shares of all windows", check_isa(i));
        ap.stride = 3;
        ok(kern_avgpool2_forward(kn, &ap, y, x) == -EINVAL, "stride 3 is refused");
        check_close(kn);
    }
}

/* x of type, its mean in float32; and the other way round. */
static void check_mean(enum kern_type type, size_t n, size_t cells, size_t c)
{
    size_t nx = n * cells * c;
    void *x = check_typed(type, check_normal(nx), nx);
    float *dy = check_normal(n * c), *want = check_buf(n * c), *dwant = check_buf(nx),
          *first = check_buf(n * c);
    struct kern *ref = check_open("ref", 1);
    int rc = kern_avgpool_forward(ref, type, want, x, n, cells, c);
    rc |= kern_avgpool_backward(ref, KERN_F32, dwant, dy, n, cells, c);
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            float *y = check_buf(n * c);
            void *dx = check_bytes(nx * kern_sizeof(type));
            rc |= kern_avgpool_forward(kn, type, y, x, n, cells, c);
            rc |= kern_avgpool_backward(kn, type, dx, dy, n, cells, c);
            ok(rc == 0, "%s: mean of %zu cells, c %zu, %s", check_isa(i), cells, c,
               check_type_name(type));
            check_near(y, want, n * c, 4 * FLT_EPSILON, "forward");
            check_near_as(type, check_floats(type, dx, nx), dwant, nx,
                          8 * FLT_EPSILON / (double)cells, "backward");
            if (t == 0)
                memcpy(first, y, n * c * 4);
            check_same(y, first, n * c * 4, "whatever the threads");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

/* Windows of one cell: every number of bfloat16 or float16 comes through. */
static void check_numbers(enum kern_type type)
{
    struct kern_maxpool mp = { type, 1, 16, 16, 256, 1, 1, 0, 0, 16, 16 };
    uint16_t *x = check_bytes(2 << 16), *want = check_bytes(2 << 16), *got = check_bytes(2 << 16);
    for (size_t i = 0; i < 1 << 16; i++)
        x[i] = (uint16_t)i;
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        kern_maxpool_forward(kn, &mp, i ? got : want, x);
        check_close(kn);
        check_one_nan(type, i ? got : want, 1 << 16);
        if (i)
            check_same(got, want, 2 << 16, "%s: all numbers, %s", check_isa(i),
                       check_type_name(type));
    }
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
        one.stride = 0;
        ok(kern_maxpool_forward(kn, &one, out, low) == -EINVAL, "stride 0 is refused");
        check_close(kn);
    }
}

int main(void)
{
    check_init();
    for (enum kern_type type = KERN_F32; type <= check_last_type(); type++) {
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            check_max(type, &shapes[i]);
        for (size_t stride = 1; stride <= 2; stride++)
            for (size_t i = 0; i < ARRAY_LEN(planes); i++) {
                struct kern_avgpool2 ap = planes[i];
                ap.stride = stride;
                check_mean2(type, ap);
            }
        check_mean(type, 3, 16, 64);
        check_mean(type, 7, 49, 33);
        check_mean(type, 2, 1, 5);
        check_mean(type, 1, 1000, 20);
    }
    for (enum kern_type type = KERN_BF16; type <= check_last_type(); type++)
        check_numbers(type);
    check_definition();
    check_mean2_definition();
    return done();
}
