/*
 * check_conv.c - convolutions against their definition: every instruction set, odd sizes, windows,
 * strides and paddings, epilogues, thread counts.
 */
#include "kernels/ops.h"
#include "tests/kern/check.h"
#include <errno.h>
#include <float.h>
#include <string.h>

struct shape {
    size_t n, h, w, c, k, kh, kw, stride, pad_top, pad_left, after;
};

/* after: cells of padding at the bottom and right, which follow from the output's size in kern.h */
static const struct shape shapes[] = {
    { 5, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1 },   /* the narrow network */
    { 3, 16, 16, 32, 48, 3, 3, 1, 1, 1, 1 }, /* a last group of one block */
    { 4, 8, 8, 24, 40, 3, 3, 2, 1, 1, 1 },   /* blocks and lanes that are not full */
    { 3, 9, 7, 17, 33, 3, 3, 2, 0, 0, 1 },   /* TensorFlow's SAME, odd sides */
    { 2, 8, 8, 16, 32, 3, 3, 2, 0, 0, 1 },   /* and even ones */
    { 2, 10, 6, 64, 64, 1, 1, 1, 0, 0, 0 },  /* pointwise */
    { 3, 8, 8, 32, 64, 1, 1, 2, 0, 0, 0 },   /* a shortcut: input cells that nobody reads */
    { 2, 7, 9, 20, 12, 1, 1, 2, 0, 0, 0 },
    { 2, 4, 5, 512, 1040, 1, 1, 1, 0, 0, 0 }, /* weights that do not stay in a cache */
    { 2, 32, 32, 3, 16, 3, 3, 1, 1, 1, 1 },   /* stems */
    { 2, 23, 21, 3, 24, 7, 7, 2, 3, 3, 3 },
    { 2, 13, 11, 1, 5, 5, 5, 1, 2, 2, 2 },
    { 2, 12, 12, 4, 8, 7, 7, 3, 2, 3, 3 },
    { 70, 1, 1, 32, 32, 3, 3, 1, 1, 1, 1 }, /* planes of one cell */
    { 9, 2, 2, 16, 16, 3, 3, 2, 1, 1, 1 },
    { 37, 4, 4, 64, 64, 3, 3, 1, 1, 1, 1 }, /* tiles across images */
    { 1, 40, 40, 8, 8, 3, 3, 1, 1, 1, 1 },  /* tasks of rows */
    { 1, 5, 6, 7, 9, 2, 3, 1, 1, 0, 0 },    /* even windows */
    { 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0 },
    { 2, 6, 5, 5, 6, 3, 3, 4, 1, 1, 1 }, /* beyond the fast path */
    { 1, 12, 12, 2, 3, 9, 9, 1, 4, 4, 4 },
    { 2, 11, 5, 16, 16, 3, 1, 1, 1, 0, 0 },
    { 2, 56, 30, 16, 16, 1, 3, 2, 0, 1, 1 },
    /* what the tile unit distinguishes */
    { 2, 16, 16, 64, 96, 3, 3, 1, 1, 1, 1 }, /* tiles of a row */
    { 2, 14, 28, 32, 32, 3, 3, 1, 1, 1, 1 }, /* of rows one behind the other */
    { 5, 7, 7, 64, 48, 3, 3, 1, 1, 1, 1 },   /* of images one behind the other */
    { 3, 16, 16, 64, 64, 3, 3, 2, 0, 0, 1 }, /* rows sorted by their remainder */
    { 2, 9, 11, 96, 32, 3, 3, 2, 1, 1, 1 },
    { 3, 5, 7, 160, 64, 1, 1, 1, 0, 0, 0 }, /* the tensor itself, and its last pixels */
    { 3, 5, 7, 64, 160, 1, 1, 1, 0, 0, 0 },
    { 9, 4, 4, 512, 512, 1, 1, 1, 0, 0, 0 }, /* sums that take several tasks */
    { 1, 64, 64, 32, 32, 3, 3, 1, 1, 1, 1 },
    { 1, 50, 46, 32, 32, 3, 3, 1, 1, 1, 1 }, /* columns that do not fill steps */
    { 5, 14, 14, 40, 96, 3, 3, 1, 1, 1, 1 }, /* sums that take several tasks, of all taps */
    { 8, 7, 7, 256, 512, 1, 1, 1, 0, 0, 0 },
    /* what sums of float32 over pixels distinguish */
    { 2, 10, 12, 3, 72, 3, 3, 1, 1, 1, 1 }, /* cells of a picture, a group of 64 and a rest */
    { 2, 4, 5, 528, 80, 1, 1, 1, 0, 0, 0 }, /* an input in place, but its pixels far apart */
    /* pairs: an odd number of channels' and of pixels'; an input in place */
    { 3, 5, 7, 6, 10, 3, 3, 1, 1, 1, 1 },
    { 3, 5, 9, 96, 22, 1, 1, 2, 0, 0, 0 },
    /* of a picture: windows of as many numbers as fit, and of one row; every second row unread */
    { 2, 7, 12, 4, 64, 2, 8, 1, 1, 3, 4 },
    { 3, 5, 9, 4, 64, 1, 4, 1, 0, 1, 2 },
    { 3, 9, 10, 3, 66, 1, 3, 2, 0, 1, 1 },
};

static struct kern_conv conv_of(const struct shape *s)
{
    struct kern_conv cv = { KERN_F32, s->n,      s->h,       s->w,        s->c, s->k, s->kh,
                            s->kw,    s->stride, s->pad_top, s->pad_left, 0,    0 };
    cv.oh = (s->h + s->pad_top + MIN(s->after, s->kh - 1) - s->kh) / s->stride + 1;
    cv.ow = (s->w + s->pad_left + MIN(s->after, s->kw - 1) - s->kw) / s->stride + 1;
    return cv;
}

static bool too_large(const struct shape *s)
{
    struct kern_conv cv = conv_of(s);
    return check_too_large(cv.n * cv.oh * cv.ow * cv.k * cv.kh * cv.kw * cv.c);
}

static const char *name_of(const struct kern_conv *cv)
{
    static char name[128];
    snprintf(name, sizeof(name), "%zux%zu s%zu %zu->%zu @ %zux%zu, n %zu, %s", cv->kh, cv->kw,
             cv->stride, cv->c, cv->k, cv->h, cv->w, cv->n, check_type_name(cv->type));
    return name;
}

/* Inputs of one case, and room for what comes out. */
struct data {
    struct kern_conv cv;
    size_t nx, ny, nw;
    float *x, *dy, *w, *dx0, *dw0, *scale, *shift, *residual;
    bool whole; /* whole_data_of() */
};

struct result {
    float *y, *affine, *mean, *var, *dx, *dx_added, *dw;
};

static struct data data_of(const struct shape *s, enum kern_type type)
{
    struct data d = { .cv = conv_of(s) };
    struct kern_conv *cv = &d.cv;
    cv->type = type;
    d.nx = cv->n * cv->h * cv->w * cv->c;
    d.ny = cv->n * cv->oh * cv->ow * cv->k;
    d.nw = cv->k * cv->c * cv->kh * cv->kw;
    d.x = check_normal(d.nx);
    for (size_t i = 0; i < d.nx; i++)
        d.x[i] += 2; /* a mean, so that the variance of y is not just its squares */
    d.x = check_rounded(type, d.x, d.nx);
    d.dy = check_rounded(type, check_normal(d.ny), d.ny);
    d.w = check_rounded(type, check_normal(d.nw), d.nw);
    d.dx0 = check_rounded(type, check_normal(d.nx), d.nx);
    d.dw0 = check_normal(d.nw);
    d.scale = check_normal(cv->k);
    d.shift = check_normal(cv->k);
    d.residual = check_rounded(type, check_normal(d.ny), d.ny);
    return d;
}

static void fill_whole(float *x, size_t n, int32_t unit, int32_t most)
{
    int32_t *i = check_ints(n, -most, most + 1);
    for (size_t j = 0; j < n; j++)
        x[j] = (float)(unit * i[j]);
}

/* Small whole numbers: neither they, nor sums of 16 of them, nor a quarter of a sum of 9 weights or
 * gradients, need more bits than types have. So nothing is rounded before the end, even by
 * kernels/cpu/wino.h. */
static struct data whole_data_of(const struct shape *s, enum kern_type type)
{
    struct data d = data_of(s, type);
    fill_whole(d.x, d.nx, 1, 4);
    fill_whole(d.w, d.nw, 4, 3);
    fill_whole(d.dy, d.ny, 4, 4);
    fill_whole(d.dx0, d.nx, 1, 100);
    fill_whole(d.dw0, d.nw, 1, 100);
    fill_whole(d.scale, d.cv.k, 2, 2);
    fill_whole(d.shift, d.cv.k, 1, 100);
    fill_whole(d.residual, d.ny, 1, 100);
    d.whole = true;
    return d;
}

/* The same weights, for other pictures: those of the large crops are packed, and serve the small
 * ones. */
static struct kern_conv larger(struct kern_conv cv)
{
    cv.n += 1;
    cv.oh += 8;
    cv.ow += 8;
    cv.h += 8 * cv.stride;
    cv.w += 8 * cv.stride;
    return cv;
}

/* Every pass of one case, into buffers of NaN: what a kernel does not write shows. */
static struct result results(struct kern *kn, const struct data *d)
{
    const struct kern_conv *cv = &d->cv;
    enum kern_type type = cv->type;
    size_t each = kern_sizeof(type);
    struct kern_conv elsewhere = larger(*cv);
    void *packed = check_bytes(kern_conv_packed(kn, &elsewhere));
    void *x = check_typed(type, d->x, d->nx), *dy = check_typed(type, d->dy, d->ny);
    void *y = check_bytes(d->ny * each), *out = check_bytes(d->ny * each);
    void *dx = check_bytes(d->nx * each), *added = check_typed(type, d->dx0, d->nx);
    struct result r = { .mean = check_buf(cv->k),
                        .var = check_buf(cv->k),
                        .dw = check_copy(d->dw0, d->nw) };
    struct kern_bn bn = { .mean = r.mean, .var = r.var };
    struct kern_epilogue sums = { .bn = &bn };
    struct kern_epilogue affine = { .scale = d->scale,
                                    .shift = d->shift,
                                    .residual = check_typed(type, d->residual, d->ny),
                                    .relu = true };
    int rc = kern_conv_pack(kn, &(struct kern_conv_weights){ elsewhere, packed, d->w }, 1);
    rc |= kern_conv_forward(kn, cv, y, x, packed, &sums);
    rc |= kern_conv_forward(kn, cv, out, x, packed, &affine);
    rc |= kern_conv_backward_data(kn, cv, dx, dy, packed, false);
    rc |= kern_conv_backward_data(kn, cv, added, dy, packed, true);
    rc |= kern_conv_backward_weights(kn, cv, r.dw, x, dy);
    if (rc)
        printf("# a pass returned %d\n", rc);
    r.y = check_floats(type, y, d->ny);
    r.affine = check_floats(type, out, d->ny);
    r.dx = check_floats(type, dx, d->nx);
    r.dx_added = check_floats(type, added, d->nx);
    return r;
}

/*
 * How far off a sum of n products may be, of inputs of mean 2 and deviation 1 with normal weights
 * or gradients, or of these two: a product has mean 0 and deviation sqrt(5) at most. What counts
 * are the roundings of all the sums on the way, which grow with n and not with its root. Winograd's
 * form rounds less than that: with turned() below, 9 sums of n / 9 products make sqrt(89) / 9 of
 * n / sqrt(2), and of n / 4 sqrt(52) / 4. A CUDA device may take other forms for few products. The
 * CPU sums in short runs, so that for many the growth with the root is kept to as well: a few seeds
 * other than the default are outside by a hair.
 */
static double tolerance(size_t n, const char *isa)
{
    double sum = check_sum_error(n, sqrt(5));
    double few = 24 * FLT_EPSILON * (1 + sqrt((double)n)) * sqrt(1 + log2((double)n + 1));
    return strcmp(isa, "cuda") == 0 ? fmax(few, sum) : fmin(few, sum);
}

/*
 * On a CUDA device a convolution's output, or a gradient, may be rounded to its type before the
 * next step: off by half a unit of its last place, this times its size. Of such errors means are
 * few.
 */
static double rounded_between(enum kern_type type, const char *isa)
{
    return type != KERN_F32 && strcmp(isa, "cuda") == 0 ? check_half_unit(type) : 0;
}

/*
 * Pairs of bfloat16 in Winograd's form are rounded after they have been turned
 * (kernels/cpu/wino.h), each to u = 2^-9 of its size at most. For inputs of mean 2 and normal
 * weights and gradients, the squares of the products that a sum of n is made of add up to 89 n / 9
 * (y) and 13 n (dw) at the edge of a picture, where they are largest. Both factors' errors, of
 * variance u^2 / 3 at most, make 2.6 sqrt(n) u and 2.9 sqrt(n) u of these: here is six times that.
 */
static double turned(const struct data *d, const char *isa, size_t n)
{
    const struct kern_conv *cv = &d->cv;
    bool is = !d->whole && cv->type == KERN_BF16 && strcmp(isa, "avx512bf16") == 0 && cv->kh == 3 &&
              cv->kw == 3 && cv->stride == 1 && cv->c % 32 == 0 && cv->k % 32 == 0;
    return is ? 18 * 0x1p-9 * sqrt((double)n) : 0;
}

/* want: of float32, from numbers that all types hold. */
static void compare(const struct data *d, const struct result *got, const struct result *want,
                    const char *isa)
{
    const struct kern_conv *cv = &d->cv;
    enum kern_type type = cv->type;
    const char *name = name_of(cv);
    size_t nfwd = cv->c * cv->kh * cv->kw, nbwd = cv->k * cv->kh * cv->kw,
           pixels = cv->n * cv->oh * cv->ow;
    double inexact = d->whole ? 1e-30 : 1, sums = tolerance(nfwd, isa) + turned(d, isa, nfwd);
    double fwd = inexact * sums;
    double bwd = inexact * (tolerance(nbwd, isa) + turned(d, isa, nbwd));
    double weights = inexact * (tolerance(pixels, isa) + turned(d, isa, pixels));
    double y = check_most(want->y, d->ny), few = 4 / sqrt((double)pixels);
    double half = rounded_between(type, isa);
    check_near_as(type, got->y, want->y, d->ny, fwd, "%s: forward, %s%s", isa, name,
                  d->whole ? ", whole numbers" : "");
    check_near_as(type, got->affine, want->affine, d->ny,
                  4 * fwd + half * y * check_most(d->scale, cv->k),
                  "%s: scale, shift, residual, ReLU", isa);
    check_near(got->mean, want->mean, cv->k, sums + half * y * few, "%s: mean", isa);
    check_near(got->var, want->var, cv->k, sums * (1 + y) + half * y * 2 * y * few, "%s: variance",
               isa);
    check_near_as(type, got->dx, want->dx, d->nx, bwd, "%s: backward-data", isa);
    check_near_as(type, got->dx_added, want->dx_added, d->nx,
                  bwd + half * check_most(want->dx, d->nx), "%s: backward-data, added", isa);
    check_near(got->dw, want->dw, d->nw,
               weights + half * (check_most(want->dw, d->nw) + check_most(d->dw0, d->nw)),
               "%s: backward-weights, added", isa);
}

static void check_data(struct data d)
{
    struct data exact = d;
    exact.cv.type = KERN_F32;
    struct kern *ref = check_open("ref", 1);
    struct result want = results(ref, &exact);
    check_close(ref);
    for (int i = 1; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        struct result got = results(kn, &d);
        compare(&d, &got, &want, check_isa(i));
        check_close(kn);
    }
    check_release(", %s", name_of(&d.cv));
}

static void check_shape(const struct shape *s)
{
    if (too_large(s))
        return;
    for (enum kern_type type = KERN_F32; type <= check_last_type(); type++) {
        check_data(data_of(s, type));
        check_data(whole_data_of(s, type));
    }
}

static void check_many_threads(const struct shape *s, enum kern_type type)
{
    if (too_large(s))
        return;
    struct data d = data_of(s, type);
    struct result first = { 0 };
    bool same = true;
    for (int t = 0; t < check_nthreads; t++) {
        struct kern *kn = check_open(check_best_isa(), check_threads[t]);
        struct result r = results(kn, &d);
        check_close(kn);
        if (t == 0) {
            first = r;
            continue;
        }
        same = same && check_same_(r.y, first.y, d.ny * 4) &&
               check_same_(r.mean, first.mean, d.cv.k * 4) &&
               check_same_(r.var, first.var, d.cv.k * 4) && check_same_(r.dx, first.dx, d.nx * 4) &&
               check_same_(r.dw, first.dw, d.nw * 4);
    }
    ok(same, "the same bits for 1, 2, 48 threads, %s", name_of(&d.cv));
    check_release();
}

/* What more threads take is part of what calls are said to take. */
static void check_memory(void)
{
    uint64_t said[2], taken[2];
    struct data d = data_of(&(struct shape){ 2, 28, 28, 64, 64, 3, 3, 1, 1, 1, 1 }, KERN_F32);
    for (int t = 0; t < 2; t++) {
        struct pool *pool;
        struct kern *kn; /* check_open()'s has more scratch than it needs */
        if (pool_open(&pool, t == 0 ? 1 : 48) < 0 || kern_open(&kn, pool) < 0)
            exit(1);
        results(kn, &d);
        said[t] = kern_overhead(kn, &d.cv);
        taken[t] = kn->scratch_each * (size_t)pool_threads(pool);
        check_close(kn);
    }
    ok(said[1] - said[0] >= taken[1] - taken[0] && taken[0] > 0, "%.1f MB of scratch are foreseen",
       (double)(taken[1] - taken[0]) * 1e-6);
    check_release();
}

/* A large mean: the sum of squares in float32 would lose the variance. */
static void check_cancellation(void)
{
    struct shape s = { 8, 16, 16, 16, 16, 1, 1, 1, 0, 0, 0 };
    struct data d = data_of(&s, KERN_F32);
    for (size_t i = 0; i < d.nw; i++)
        d.w[i] = i % 17 == 0; /* the identity */
    for (size_t i = 0; i < d.nx; i++)
        d.x[i] += 4000;
    struct kern *ref = check_open("ref", 1);
    struct result want = results(ref, &d);
    check_close(ref);
    for (int i = 1; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        struct result got = results(kn, &d);
        check_near(got.var, want.var, d.cv.k, 1e-3, "%s: variance about 1 of numbers about 4000",
                   check_isa(i));
        check_close(kn);
    }
    check_release();
}

/* bfloat16 storage, and arguments that make no sense. */
static void check_others(void)
{
    struct shape s = { 2, 6, 6, 8, 8, 3, 3, 1, 1, 1, 1 };
    struct data d = data_of(&s, KERN_F32);
    d.w = check_rounded(KERN_BF16, d.w, d.nw); /* packed weights may be */
    struct kern *kn = check_open(check_best_isa(), 1);
    struct kern_conv cv = d.cv;
    cv.type = KERN_BF16;
    void *x = check_typed(KERN_BF16, d.x, d.nx), *y = check_bytes(d.ny * 2);
    void *packed = check_bytes(kern_conv_packed(kn, &cv));
    int rc = kern_conv_pack(kn, &(struct kern_conv_weights){ cv, packed, d.w }, 1);
    rc |= kern_conv_forward(kn, &cv, y, x, packed, NULL);
    float *exact = check_floats(KERN_BF16, x, d.nx), *want = check_buf(d.ny);
    struct kern *ref = check_open("ref", 1);
    rc |= kern_conv_forward(ref, &d.cv, want, exact, d.w, NULL);
    float *got = check_floats(KERN_BF16, y, d.ny);
    ok(rc == 0, "bfloat16 is served");
    check_near_as(KERN_BF16, got, want, d.ny, tolerance(9 * d.cv.c, check_best_isa()),
                  "and right to 8 bits");
    check_close(ref);

    cv = d.cv;
    cv.stride = 0;
    ok(kern_conv_forward(kn, &cv, y, x, packed, NULL) == -EINVAL, "stride 0 is refused");
    cv = d.cv;
    cv.oh = 9;
    ok(kern_conv_backward_data(kn, &cv, x, y, packed, false) == -EINVAL,
       "windows beyond the image are refused");
    cv = d.cv;
    cv.n = 0;
    ok(kern_conv_backward_weights(kn, &cv, NULL, NULL, NULL) == 0, "nothing is done for no image");
    struct kern_epilogue half = { .scale = d.scale };
    ok(kern_conv_forward(kn, &d.cv, y, x, packed, &half) == -EINVAL,
       "a scale without a shift is refused");
    check_close(kn);
    check_release();
}

/* Batch norm's numbers that come with the output are those made of its mean and variance. */
static void check_batch_norm(const struct shape *s)
{
    struct data d = data_of(s, KERN_F32);
    size_t c = d.cv.k;
    float weight = 0.25f;
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 2);
        float *packed = check_bytes(kern_conv_packed(kn, &d.cv)), *y = check_buf(d.ny);
        struct kern_bn bn[2];
        for (int j = 0; j < 2; j++)
            bn[j] = (struct kern_bn){ check_buf(c),
                                      check_buf(c),
                                      d.scale,
                                      d.shift,
                                      check_buf(c),
                                      check_buf(c),
                                      check_buf(c),
                                      check_zeros(c),
                                      check_zeros(c),
                                      &weight,
                                      1 };
        struct kern_bn sums = { .mean = bn[1].mean, .var = bn[1].var };
        int rc = kern_conv_pack(kn, &(struct kern_conv_weights){ d.cv, packed, d.w }, 1);
        rc |= kern_conv_forward(kn, &d.cv, y, d.x, packed, &(struct kern_epilogue){ .bn = bn });
        rc |= kern_conv_forward(kn, &d.cv, y, d.x, packed, &(struct kern_epilogue){ .bn = &sums });
        rc |= kern_bn_finalise(kn, &bn[1], c);
        ok(rc == 0, "%s: batch norm behind a convolution", check_isa(i));
        const float *one[] = { bn[0].scale, bn[0].shift, bn[0].rstd, bn[0].running_mean,
                               bn[0].running_var };
        const float *two[] = { bn[1].scale, bn[1].shift, bn[1].rstd, bn[1].running_mean,
                               bn[1].running_var };
        for (size_t j = 0; j < ARRAY_LEN(one); j++)
            check_near(one[j], two[j], c, 4 * FLT_EPSILON * check_most(two[j], c), "number %zu", j);
        check_close(kn);
    }
    check_release();
}

/* Many layers' weights, of two types, packed in one go and one by one. */
static void check_packing(void)
{
    enum { N = 70 };
    struct kern_conv_weights list[N];
    struct kern *kn = check_open(check_best_isa(), 2);
    bool same = true;
    int rc = 0;
    for (size_t i = 0; i < N; i++) {
        struct kern_conv cv = conv_of(&shapes[i % 12]);
        cv.type = i < N - 2 ? KERN_BF16 : KERN_F32;
        list[i] = (struct kern_conv_weights){ cv, check_bytes(kern_conv_packed(kn, &cv)),
                                              check_normal(cv.k * cv.c * cv.kh * cv.kw) };
    }
    rc = kern_conv_pack(kn, list, N);
    for (size_t i = 0; i < N; i++) {
        struct kern_conv_weights alone = list[i];
        size_t bytes = kern_conv_packed(kn, &alone.cv);
        alone.packed = check_bytes(bytes);
        rc |= kern_conv_pack(kn, &alone, 1);
        same = same && memcmp(alone.packed, list[i].packed, bytes) == 0;
    }
    ok(rc == 0 && same, "%d layers' weights are packed together as one by one", N);
    check_close(kn);
    check_release();
}

int main(void)
{
    check_init();
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        check_shape(&shapes[i]);
    for (enum kern_type type = KERN_F32; type <= check_last_type(); type++) {
        check_many_threads(&shapes[1], type);
        check_many_threads(&shapes[3], type);
        check_many_threads(&(struct shape){ 40, 16, 16, 16, 32, 3, 3, 2, 1, 1, 1 }, type);
        check_many_threads(&(struct shape){ 3, 40, 36, 3, 40, 3, 3, 1, 1, 1, 1 }, type);
        check_many_threads(&(struct shape){ 1, 24, 24, 32, 96, 3, 3, 1, 1, 1, 1 }, type);
        /* tasks that many threads cut by channels */
        check_many_threads(&(struct shape){ 2, 12, 12, 160, 96, 3, 3, 1, 1, 1, 1 }, type);
        check_many_threads(&(struct shape){ 8, 14, 14, 160, 192, 1, 1, 1, 0, 0, 0 }, type);
        check_many_threads(&(struct shape){ 8, 14, 14, 160, 96, 3, 3, 2, 1, 1, 1 }, type);
    }
    check_memory();
    check_cancellation();
    check_packing();
    check_batch_norm(&shapes[1]);
    check_batch_norm(&shapes[19]);
    check_others();
    return done();
}
