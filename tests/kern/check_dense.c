/*
 * check_dense.c - matrix products, biases, unit vectors and row copies against their definition.
 */
#include "tests/kern/check.h"
#include <errno.h>
#include <float.h>
#include <string.h>

struct shape {
    size_t m, n, k;
    float alpha, beta;
};
static const struct shape shapes[] = {
    { 1, 1, 1, 1, 0 },         { 3, 5, 7, 1, 0 },        { 65, 130, 33, 1, 1 },
    { 300, 520, 40, 1, 0 },    { 17, 300, 64, 0.5f, 2 }, { 200, 1, 70, 1, 0 },
    { 1, 200, 70, 1, 1 },      { 10, 33, 5000, 1, 0 }, /* k is cut */
    { 10, 33, 5001, 2, 0.5f }, { 64, 64, 2048, 1, 0 },
};

static float *product(struct kern *kn, const struct shape *s, bool ta, bool tb, const float *a,
                      const float *b, const float *c0)
{
    float *c = s->beta != 0 ? check_copy(c0, s->m * s->n) : check_buf(s->m * s->n); /* or NaN */
    int rc = kern_gemm(kn, ta, tb, s->m, s->n, s->k, s->alpha, a, b, s->beta, c);
    if (rc)
        printf("# gemm returned %d\n", rc);
    return c;
}

/* In what order a CUDA device's library sums is its own; the CPU's adds in short runs, so that sums
 * of k products wander to sqrt(k), and so do their roundings. */
static double tolerance(size_t k, double size)
{
    double any = check_sum_error(k, size);
    bool device = strcmp(check_best_isa(), "cuda") == 0;
    return device ? any : fmin(any, 48 * FLT_EPSILON * (1 + sqrt((double)k)) * size);
}

static void check_product(const struct shape *s, bool ta, bool tb)
{
    float *a = check_normal(s->m * s->k), *b = check_normal(s->k * s->n),
          *c0 = check_normal(s->m * s->n);
    struct kern *ref = check_open("ref", 1);
    float *want = product(ref, s, ta, tb, a, b, c0), *first = NULL;
    double tol = tolerance(s->k, fmax(s->alpha, 1));
    for (int t = 0; t < check_nthreads; t++) {
        struct kern *kn = check_open(check_best_isa(), check_threads[t]);
        float *got = product(kn, s, ta, tb, a, b, c0);
        first = first ? first : got;
        check_near(got, want, s->m * s->n, tol, "%zu x %zu x %zu%s%s", s->m, s->n, s->k,
                   ta ? ", a transposed" : "", tb ? ", b transposed" : "");
        check_same(got, first, s->m * s->n * 4, "whatever the threads");
        check_close(kn);
    }
    check_close(ref);
    check_release();
}

/* a = [1 2; 3 4], b = [5 6; 7 8] */
static void check_orientation(void)
{
    static const float want[4][4] = {
        { 19, 22, 43, 50 }, { 17, 23, 39, 53 }, { 26, 30, 38, 44 }, { 23, 31, 34, 46 }
    };
    const float a[] = { 1, 2, 3, 4 }, b[] = { 5, 6, 7, 8 };
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        for (int t = 0; t < 4; t++) {
            float c[4] = { 1, 1, 1, 1 };
            ok(kern_gemm(kn, t & 2, t & 1, 2, 2, 2, 1, a, b, 0, c) == 0, "%s", check_isa(i));
            check_near(c, want[t], 4, 0, "op(a) op(b), transposed %d %d", t >> 1, t & 1);
        }
        float c[1] = { 7 };
        ok(kern_gemm(kn, false, false, 1, 1, 0, 1, a, b, 1, c) == -EINVAL, "k = 0 is refused");
        check_close(kn);
    }
}

/* TF32 where it is allowed, and no trace of it where it is not. */
static void check_tf32_product(void)
{
    const struct shape s = { 33, 40, 24, 1, 0 };
    size_t n = s.m * s.n;
    float *a = check_normal(s.m * s.k), *b = check_normal(s.k * s.n);
    struct kern *kn = check_open(check_best_isa(), 1);
    float *plain = product(kn, &s, false, false, a, b, NULL);
    if (kern_tf32(kn, true) < 0) {
        ok(strcmp(check_best_isa(), "cuda") != 0, "the CPU has no TF32");
        check_close(kn);
        return;
    }
    float *fast = product(kn, &s, false, false, a, b, NULL);
    ok(kern_tf32(kn, false) == 0, "TF32, and no longer");
    check_same(product(kn, &s, false, false, a, b, NULL), plain, n * 4, "the same bits as before");
    check_near(fast, plain, n, 0x1p-10 * (double)s.k * check_most(a, s.m * s.k), "in TF32");
    if (check_tf32_always(kn)) {
        float *want =
            product(kn, &s, false, false, check_tf32(a, s.m * s.k), check_tf32(b, s.k * s.n), NULL);
        check_near(fast, want, n, 1e-5, "a product of rounded factors");
        ok(memcmp(fast, plain, n * 4) != 0, "which is another");
    }
    check_close(kn);
    check_release();
}

/* -- rows ---------------------------------------------------------------------------------- */

struct rows {
    float *biased, *dbias, *y, *r, *du;
};

static struct rows rows_of(struct kern *kn, size_t n, size_t d, const float *x, const float *dy,
                           const float *bias)
{
    struct rows o = { check_copy(x, n * d), check_copy(bias, d), check_buf(n * d), check_buf(n),
                      check_copy(dy, n * d) };
    int rc = kern_bias_forward(kn, o.biased, bias, n, d);
    rc |= kern_bias_backward(kn, o.dbias, dy, n, d);
    rc |= kern_l2norm_forward(kn, o.y, o.r, x, n, d);
    rc |= kern_l2norm_backward(kn, o.du, o.du, o.y, o.r, n, d); /* in place */
    if (rc)
        printf("# a pass returned %d\n", rc);
    return o;
}

static void check_rows(size_t n, size_t d)
{
    float *x = check_normal(n * d), *dy = check_normal(n * d), *bias = check_normal(d);
    struct kern *ref = check_open("ref", 1);
    struct rows want = rows_of(ref, n, d, x, dy, bias), first = { 0 };
    double steep = check_most(want.r, n);
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            struct rows got = rows_of(kn, n, d, x, dy, bias);
            check_near(got.biased, want.biased, n * d, 0, "%s: bias, %zu x %zu", check_isa(i), n,
                       d);
            check_near(got.dbias, want.dbias, d, 8 * FLT_EPSILON * sqrt((double)n) + 1e-6,
                       "its gradient");
            check_near(got.y, want.y, n * d, FLT_EPSILON, "unit vectors");
            check_near(got.r, want.r, n, FLT_EPSILON * steep, "their factors");
            check_near(got.du, want.du, n * d, 16 * FLT_EPSILON * steep, "their gradient");
            if (t == 0)
                first = got;
            check_same(got.dbias, first.dbias, d * 4, "whatever the threads");
            check_same(got.du, first.du, n * d * 4, "whatever the threads");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

static void check_units(struct kern *kn, const char *isa)
{
    float u[3][20] = { { 0 }, { 3, 4 }, { NAN } }, y[3][20], r[3];
    kern_l2norm_forward(kn, y[0], r, u[0], 3, 20);
    near(y[1][0], 0.6, 1e-7, "%s: (3, 4) has length 5", isa);
    near(r[1], 0.2, 1e-7, "%s: its factor", isa);
    ok(y[0][0] == 0 && fabsf(r[0] - 1e6f) < 1, "%s: nothing stays nothing", isa);
    ok(isnan(y[2][1]) && isnan(r[2]), "%s: NaN is not hidden", isa);
}

static void check_copies(struct kern *kn, const char *isa)
{
    const float src[] = { 0, 1, 10, 11, 20, 21 };
    const int32_t to[] = { 2, 0 }, from[] = { 1, 1 };
    float dst[] = { -1, -1, -1, -1, -1, -1 };
    const float want[] = { 10, 11, -1, -1, 10, 11 };
    ok(kern_copy_rows(kn, dst, to, src, from, 2, 2) == 0, "%s: copies rows", isa);
    check_near(dst, want, 6, 0, "from and to where the lists say");
    kern_copy_rows(kn, dst, NULL, src, NULL, 3, 2);
    check_near(dst, src, 6, 0, "or as they lie");
    const int32_t some[] = { -1, 2, 1 }, any[] = { 0, 0, -1 };
    kern_copy_rows(kn, dst, some, src, any, 3, 2);
    const float mixed[] = { 0, 1, 10, 11, 0, 1 };
    check_near(dst, mixed, 6, 0, "-1 is no row");
}

int main(void)
{
    check_init();
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int t = 0; t < 4; t++)
            check_product(&shapes[i], t & 2, t & 1);
    check_orientation();
    check_tf32_product();
    check_rows(1, 1);
    check_rows(7, 33);
    check_rows(300, 128);
    check_rows(129, 1000);
    check_rows(5000, 10);
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 2);
        check_units(kn, check_isa(i));
        check_copies(kn, check_isa(i));
        check_close(kn);
    }
    return done();
}
