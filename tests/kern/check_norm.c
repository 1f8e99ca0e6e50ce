/*
 * check_norm.c - batch normalisation against its definition: every instruction set, all types of
 * storage, odd shapes, groups, large means, thread counts.
 */
#include "kernels/ops.h"
#include "tests/kern/check.h"
#include <errno.h>
#include <float.h>
#include <string.h>

static const size_t shapes[][2] = {
    { 1, 1 },    { 5, 3 },     { 300, 8 },   { 1000, 16 }, { 513, 17 },  { 2049, 64 }, { 70, 100 },
    { 97, 512 }, { 33, 1001 }, { 64, 4096 }, { 3, 5000 },  { 40000, 8 }, { 131, 24 },
};

/* What all passes of one case make; variant: bit 0 ReLU, bit 1 residual, bit 2 added to, bit 3
 * what the ReLU lets through is told by x. */
struct result {
    float *mean, *var, *run_mean, *run_var, *y, *dx, *dres, *dgamma, *dbeta;
    uint8_t *above;
};

struct data {
    size_t groups, rows, c;
    float *x, *dy, *residual, *gamma, *beta, *dres, *dgamma, *dbeta;
};

/* Numbers that type can hold. */
static struct data data_of(enum kern_type type, size_t groups, size_t rows, size_t c, float mean)
{
    size_t n = groups * rows * c;
    struct data d = { groups,
                      rows,
                      c,
                      check_normal(n),
                      check_normal(n),
                      check_normal(n),
                      check_normal(c),
                      check_normal(c),
                      check_normal(n),
                      check_normal(c),
                      check_normal(c) };
    for (size_t i = 0; i < n; i++)
        d.x[i] += mean * (float)(1 + i / (rows * c));
    d.x = check_rounded(type, d.x, n);
    d.dy = check_rounded(type, d.dy, n);
    d.residual = check_rounded(type, d.residual, n);
    d.dres = check_rounded(type, d.dres, n);
    return d;
}

/* Every pass of one case, into buffers of NaN: what a kernel does not write shows. */
static struct result results(struct kern *kn, enum kern_type type, const struct data *d,
                             int variant)
{
    size_t c = d->c, all = d->groups * c, n = d->rows * all, each = kern_sizeof(type);
    bool relu = variant & 1, residual = variant & 2, add = variant & 4, by_x = variant & 8;
    struct result r = { .mean = check_buf(all),
                        .var = check_buf(all),
                        .run_mean = check_copy(d->beta, c),
                        .run_var = check_copy(d->gamma, c),
                        .dgamma = check_copy(d->dgamma, c),
                        .dbeta = check_copy(d->dbeta, c),
                        .above = by_x ? NULL : check_bytes(kern_above_bytes(n)) };
    float *scale = check_buf(all), *shift = check_buf(all), *rstd = check_buf(all);
    float *weight = check_buf(d->groups);
    for (size_t g = 0; g < d->groups; g++)
        weight[g] = 1 / (float)(2 + g);
    void *x = check_typed(type, d->x, n), *dy = check_typed(type, d->dy, n);
    void *y = check_bytes(n * each), *dres = check_typed(type, d->dres, n);
    void *dx = add ? dy : check_bytes(n * each); /* dx may be dy */
    struct kern_bn bn = { r.mean, r.var,      d->gamma,  d->beta, scale,    shift,
                          rstd,   r.run_mean, r.run_var, weight,  d->groups };
    int rc = kern_bn_stats(kn, type, &bn, x, d->rows, c);
    struct kern_bn_forward f = { .type = type,
                                 .rows = d->rows,
                                 .c = c,
                                 .relu = relu,
                                 .y = y,
                                 .x = x,
                                 .residual = residual ? check_typed(type, d->residual, n) : NULL,
                                 .scale = scale,
                                 .shift = shift,
                                 .above = r.above,
                                 .groups = d->groups };
    rc |= kern_bn_forward(kn, &f);
    struct kern_bn_backward b = { .type = type,
                                  .rows = d->rows,
                                  .c = c,
                                  .relu = relu,
                                  .residual_add = add,
                                  .dx = dx,
                                  .dresidual = residual ? dres : NULL,
                                  .dy = dy,
                                  .x = x,
                                  .above = relu ? r.above : NULL,
                                  .dgamma = r.dgamma,
                                  .dbeta = r.dbeta,
                                  .mean = r.mean,
                                  .rstd = rstd,
                                  .gamma = d->gamma,
                                  .scale = scale,
                                  .shift = shift,
                                  .groups = d->groups };
    rc |= kern_bn_backward(kn, &b);
    if (rc)
        printf("# a pass returned %d\n", rc);
    r.y = check_floats(type, y, n);
    r.dx = check_floats(type, dx, n);
    r.dres = check_floats(type, dres, n);
    return r;
}

/* Does each bit say whether a number is above 0? */
static bool tells(const uint8_t *above, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((above[i / 8] >> i % 8 & 1) != (y[i] > 0)) {
            printf("# number %zu is %g, and its bit %d\n", i, y[i], above[i / 8] >> i % 8 & 1);
            return false;
        }
    return true;
}

/*
 * Sums over rows carry float32 errors of runs of 64 numbers of size 1 to 4; those of the variance
 * are squares of distances to one of the rows, up to 4 deviations away.
 */
static void compare(enum kern_type type, const struct data *d, const struct result *got,
                    const struct result *want, int variant, const char *isa)
{
    size_t c = d->c, all = d->groups * c, n = d->rows * all;
    double unit = 16 * FLT_EPSILON, sums = unit * sqrt((double)d->rows);
    double steep = 1; /* largest gamma / deviation: few rows of one channel lie close together */
    for (size_t j = 0; j < all; j++)
        steep = fmax(steep, fabs(d->gamma[j % c]) / sqrt(want->var[j] + KERN_BN_EPS));
    check_near(got->mean, want->mean, all, unit, "%s: mean, %zu x %zu x %zu", isa, d->groups,
               d->rows, c);
    check_near(got->var, want->var, all, 6 * unit, "%s: variance", isa);
    check_near(got->run_mean, want->run_mean, c, unit, "%s: running mean", isa);
    check_near(got->run_var, want->run_var, c, 6 * unit, "%s: running variance", isa);
    check_near_as(type, got->y, want->y, n, 4 * unit * steep, "%s: forward, variant %d, %s", isa,
                  variant, check_type_name(type));
    if (got->above)
        ok(tells(got->above, got->y, n), "%s: bits", isa);
    check_near_as(type, got->dx, want->dx, n, 8 * unit * steep, "%s: backward", isa);
    check_near_as(type, got->dres, want->dres, n, unit, "%s: residual's gradient", isa);
    check_near(got->dbeta, want->dbeta, c, 2 * sums, "%s: dbeta", isa);
    check_near(got->dgamma, want->dgamma, c, 4 * sums, "%s: dgamma", isa);
}

/* y > 0 decides about gradients: where rounding could decide, the ReLU is kept away from 0. */
static void keep_off_zero(struct kern *ref, enum kern_type type, struct data *d)
{
    size_t n = d->groups * d->rows * d->c;
    float *y = results(ref, KERN_F32, d, 0).y, *both = results(ref, KERN_F32, d, 2).y;
    for (size_t i = 0; i < n; i++) {
        if (fabsf(both[i]) < 1e-2f)
            d->residual[i] += 0.1f;
        if (fabsf(y[i]) < 1e-3f && d->rows > 1)
            d->dy[i] = 0;
    }
    d->residual = check_rounded(type, d->residual, n);
}

/* want: of float32, from numbers that all types hold. */
static void check_shape(enum kern_type type, size_t groups, size_t rows, size_t c)
{
    struct data d = data_of(type, groups, rows, c, 2);
    struct kern *ref = check_open("ref", 1);
    keep_off_zero(ref, type, &d);
    for (int variant = 0; variant < 10; variant++) {
        if ((variant & 4 && !(variant & 2)) || variant == 8) /* adds to nothing; no ReLU */
            continue;
        struct result want = results(ref, KERN_F32, &d, variant);
        for (int i = 1; check_isa(i); i++) {
            struct kern *kn = check_open(check_isa(i), 2);
            struct result got = results(kn, type, &d, variant);
            compare(type, &d, &got, &want, variant, check_isa(i));
            check_close(kn);
        }
    }
    check_close(ref);
    check_release(", %zu x %zu", rows, c);
}

static void check_many_threads(enum kern_type type, size_t rows, size_t c)
{
    struct data d = data_of(type, 1, rows, c, 2);
    struct result first = { 0 };
    bool same = true;
    for (int t = 0; t < check_nthreads; t++) {
        struct kern *kn = check_open(check_best_isa(), check_threads[t]);
        struct result r = results(kn, type, &d, 3);
        check_close(kn);
        if (t == 0)
            first = r;
        same = same && check_same_(r.mean, first.mean, c * 4) &&
               check_same_(r.var, first.var, c * 4) && check_same_(r.y, first.y, rows * c * 4) &&
               check_same_(r.dx, first.dx, rows * c * 4) &&
               check_same_(r.dgamma, first.dgamma, c * 4) &&
               check_same_(r.dbeta, first.dbeta, c * 4) && tells(r.above, r.y, rows * c);
    }
    ok(same, "the same bits for 1, 2, 48 threads, %zu x %zu, %s", rows, c, check_type_name(type));
    check_release();
}

/* A large mean: float32 sums of squares would lose the variance. */
static void check_cancellation(void)
{
    struct data d = data_of(KERN_F32, 1, 5000, 48, 4000);
    struct kern *ref = check_open("ref", 1);
    struct result want = results(ref, KERN_F32, &d, 0);
    for (int i = 1; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        struct result got = results(kn, KERN_F32, &d, 0);
        check_near(got.var, want.var, d.c, 1e-5, "%s: variance of 1 about a mean of 4000",
                   check_isa(i));
        check_near(got.mean, want.mean, d.c, 4000 * FLT_EPSILON, "%s: that mean", check_isa(i));
        check_close(kn);
    }
    check_close(ref);
    check_release();
}

static void check_finalise(struct kern *kn)
{
    const float gamma[] = { 3, 0.5f }, beta[] = { 1, 2 };
    float mean[] = { 2, -1 }, var[] = { 4, 0 }, scale[2], shift[2], rstd[2], rm[2] = { 0 },
          rv[2] = { 0 };
    double hidden = 0, decay = 1;
    for (int t = 1; t <= 4; t++) { /* dm-haiku's average: hidden / (1 - 0.9^t) */
        float now[] = { (float)t, -1 };
        decay *= 0.9;
        hidden = 0.9 * hidden + 0.1 * t;
        float weight = (float)(0.1 / (1 - decay));
        struct kern_bn bn = { now, var, gamma, beta, scale, shift, rstd, rm, rv, &weight, 1 };
        kern_bn_finalise(kn, &bn, 2);
        near(rm[0], hidden / (1 - decay), 1e-6, "zero-debiased average after %d", t);
    }
    near(rv[0], 4, 1e-6, "of a constant: the constant");
    struct kern_bn bn = { mean, var, gamma, beta, scale, shift, NULL, NULL, NULL, NULL, 1 };
    kern_bn_finalise(kn, &bn, 2);
    near(scale[0], 3 / sqrt(4.00001), 1e-6, "scale");
    near(shift[0], 1 - 2 * 3 / sqrt(4.00001), 1e-6, "shift");
    near(scale[1], 0.5 / sqrt(1e-5), 1e-4, "epsilon under the root");
    near(rstd[0], 1 / sqrt(4.00001), 1e-7, "rstd");
}

/* Every number of bfloat16 or float16 times some: ties and others, denormals, what vanishes or
 * overflows, infinities and NaN are rounded as defined. */
static void check_rounding(enum kern_type type)
{
    enum { ALL = 1 << 16, C = 4, N = ALL * C };
    const float scale[C] = { 1.5f, 1.375f, 0.5f, 0.51f }, shift[C] = { 0 };
    uint16_t *x = check_bytes(N * 2), *want = check_bytes(N * 2), *got = check_bytes(N * 2);
    uint8_t *above = check_bytes(kern_above_bytes(N));
    for (size_t i = 0; i < N; i++)
        x[i] = (uint16_t)(i / C);
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        struct kern_bn_forward f = {
            type,           ALL,           C, .y = i ? got : want, .x = x, .scale = scale,
            .shift = shift, .above = above
        };
        int rc = kern_bn_forward(kn, &f);
        check_close(kn);
        check_one_nan(type, i ? got : want, N);
        ok(tells(above, check_floats(type, i ? got : want, N), N), "%s: what is above 0, %s",
           check_isa(i), check_type_name(type));
        if (i)
            ok(rc == 0 && check_same_(got, want, N * 2), "%s: rounds to even, %s", check_isa(i),
               check_type_name(type));
    }
    check_release();
}

/* NaN is not hidden by the ReLU; worked values; no rows. */
static void check_others(void)
{
    for (int i = 0; check_isa(i); i++) {
        struct kern *k = check_open(check_isa(i), 1);
        float in[20] = { NAN, -1 }, out[20], one[20], zero[20] = { 0 };
        for (int j = 0; j < 20; j++)
            one[j] = 1;
        struct kern_bn_forward f = { KERN_F32, 1, 20, true, out, in, .scale = one, .shift = zero };
        kern_bn_forward(k, &f);
        ok(isnan(out[0]) && out[1] == 0, "%s: the ReLU keeps NaN", check_isa(i));
        check_finalise(k);
        check_close(k);
    }
    struct kern *kn = check_open(check_best_isa(), 1);
    float x = 0;
    struct kern_bn bn = { .mean = &x, .var = &x };
    ok(kern_bn_stats(kn, KERN_F32, &bn, &x, 0, 1) == -EINVAL, "no rows, no statistics");
    bn.scale = &x;
    ok(kern_bn_stats(kn, KERN_F32, &bn, &x, 1, 1) == -EINVAL,
       "a scale without the rest is refused");
    check_close(kn);
}

int main(void)
{
    check_init();
    for (enum kern_type type = KERN_F32; type <= check_last_type(); type++) {
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            check_shape(type, 1, shapes[i][0], shapes[i][1]);
        check_shape(type, 4, 49, 64);
        check_shape(type, 2, 1200, 8);
        check_shape(type, 3, 7, 17);
        check_shape(type, 2, 3, 5000);
        check_many_threads(type, 5000, 24);
        check_many_threads(type, 1030, 512);
        check_many_threads(type, 70, 4096);
    }
    for (enum kern_type type = KERN_BF16; type <= check_last_type(); type++)
        check_rounding(type);
    check_cancellation();
    check_others();
    return done();
}
