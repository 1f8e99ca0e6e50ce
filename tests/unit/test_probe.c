/*
 * test_probe.c - the linear probe: its gradient, its minimum, toy data, the choice of strength.
 */
#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/model/lbfgs.h"
#include "common/model/probe.h"
#include "tests/t.h"
#include <string.h>

static struct pool *pool;
static struct kern *kn;

/* n rows of d: class c is a cloud around its own point. */
static void clouds(float *x, int32_t *label, uint64_t *id, size_t n, size_t d, int classes,
                   float noise)
{
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, n * 1000 + d, 0);
    for (size_t i = 0; i < n; i++) {
        label[i] = (int32_t)(i % (size_t)classes);
        id[i] = i * 7919;
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = ((int)j % classes == label[i] ? 3.f : 0.f) + noise * rng_normal(&r) +
                           100.f * (float)(j + 1);
    }
}

static void test_gradient(void)
{
    enum { N = 300, D = 5, C = 4, P = C * (D + 1) };
    static float x[N * D];
    static int32_t label[N];
    static uint64_t id[N];
    double w[P], grad[P], scratch[P], f;
    struct rng r;
    struct probe_work *k = NULL;
    clouds(x, label, id, N, D, C, 1);
    for (int i = 0; i < N * D; i++)
        x[i] -= 100.f * (float)(i % D + 1);
    struct probe_data data = { N, D, C, kern_alloc(kn, sizeof x), label };
    kern_put(kn, data.x, x, sizeof x);
    rng_init(&r, t_seed(), RNG_TEST, 1, 0, 0);
    for (int i = 0; i < P; i++)
        w[i] = 0.3 * rng_normal(&r);
    ok(probe_work_open(&k, kn, pool, &data) == 0, "an objective opens");
    ok(probe_objective(k, w, 0.7, &f, grad) == 0, "and can be evaluated");

    double want = 0; /* the definition, in double */
    for (int i = 0; i < N; i++) {
        double s[C], sum = 0;
        for (int c = 0; c < C; c++) {
            s[c] = w[c * (D + 1) + D];
            for (int j = 0; j < D; j++)
                s[c] += w[c * (D + 1) + j] * x[i * D + j];
            sum += exp(s[c]);
        }
        want += (log(sum) - s[label[i]]) / N;
    }
    for (int i = 0; i < P; i++)
        want += i % (D + 1) < D ? 0.35 * w[i] * w[i] : 0;
    near(f, want, 1e-5, "the value is the definition's");

    double worst = 0;
    for (int i = 0; i < P; i++) {
        double lo, hi, keep = w[i], h = 1e-2;
        w[i] = keep + h;
        probe_objective(k, w, 0.7, &hi, scratch);
        w[i] = keep - h;
        probe_objective(k, w, 0.7, &lo, scratch);
        w[i] = keep;
        worst = fmax(worst, fabs((hi - lo) / (2 * h) - grad[i]));
    }
    ok(worst < 2e-4, "the gradient agrees with finite differences (largest difference %.2g)",
       worst);

    memset(w, 0, sizeof w);
    double at_zero, f2;
    probe_objective(k, w, 0, &at_zero, grad);
    near(at_zero, log(C), 1e-6, "equal scores cost log C");
    ok(probe_minimise(k, w, 0.7, &f2, NULL) == 0 && f2 < at_zero, "minimising lowers it");
    probe_objective(k, w, 0.7, &f, grad);
    double most = 0;
    for (int i = 0; i < P; i++)
        most = fmax(most, fabs(grad[i]));
    ok(most < 1e-4, "and ends where the gradient vanishes (largest entry %.2g)", most);
    probe_work_close(k);
    kern_free(kn, data.x);
}

/* Two rows, one column, x = +1 and -1: by symmetry w1 = -w0 = v and 2 g'(2v) = strength * 2v. */
static void test_closed(double strength, double tolerance)
{
    float x[2] = { 1, -1 };
    int32_t label[2] = { 1, 0 };
    double w[4] = { 0 }, v = 0;
    struct probe_work *k = NULL;
    struct probe_data data = { 2, 1, 2, kern_alloc(kn, sizeof x), label };
    kern_put(kn, data.x, x, sizeof x);
    for (double lo = 0, hi = 1 / strength; hi - lo > 1e-9;) { /* v (1 + exp(2v)) = 1/strength */
        v = (lo + hi) / 2;
        *(v * (1 + exp(2 * v)) < 1 / strength ? &lo : &hi) = v;
    }
    ok(probe_work_open(&k, kn, pool, &data) == 0 && probe_minimise(k, w, strength, NULL, NULL) == 0,
       "the smallest problem is solved");
    near(w[2], v, tolerance, "its weight is the one of the closed form");
    near(w[0], -v, tolerance, "and the other class's the opposite");
    near(w[1], 0, 1e-4, "the bias stays 0");
    probe_work_close(k);
    kern_free(kn, data.x);
}

static double accuracy(const struct probe *p, const float *x, const int32_t *label, size_t n)
{
    float *score = malloc(n * p->nclasses * sizeof *score);
    size_t right = 0;
    if (probe_score(p, kn, x, n, score) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        size_t best = 0;
        for (size_t c = 1; c < p->nclasses; c++)
            if (score[i * p->nclasses + c] > score[i * p->nclasses + best])
                best = c;
        right += best == (size_t)label[i];
    }
    free(score);
    return (double)right / (double)n;
}

static void test_fit(void)
{
    enum { N = 700, D = 12, C = 6 };
    static float x[2 * N * D];
    static int32_t label[2 * N];
    static uint64_t id[2 * N];
    uint32_t row[N];
    struct probe p, q, s;
    for (uint32_t i = 0; i < N; i++)
        row[i] = i;
    clouds(x, label, id, (size_t)2 * N, D, C, 0.3f);
    for (int i = 0; i < 2 * N; i++)
        x[i * D + 3] = 5; /* a column that tells nothing */
    ok(probe_fit(&p, kn, pool, x, row, label, id, N, D, C, 1) == 0, "a probe is fitted");
    near(accuracy(&p, x + N * D, label + N, N), 1, 0,
         "separable classes are all found in new rows");
    ok(p.held >= N / 5 - C && p.held <= N / 5 + C, "a fifth was held out (%zu)", p.held);
    near(p.held_accuracy, 1, 0, "and all of it was right");
    ok(p.scale[3] == 0, "a constant column is left out");

    ok(probe_fit(&q, kn, pool, x, row, label, id, N, D, C, 1) == 0 && q.strength == p.strength &&
           memcmp(q.w, p.w, C * (D + 1) * sizeof *q.w) == 0,
       "the same again, to the bit");
    probe_release(&q);
    struct pool *three = NULL;
    struct kern *kn3 = NULL;
    ok(pool_open(&three, 3) == 0 && kern_open(&kn3, three) == 0 &&
           probe_fit(&s, kn3, three, x, row, label, id, N, D, C, 1) == 0 &&
           memcmp(s.w, p.w, C * (D + 1) * sizeof *s.w) == 0,
       "and with three threads");
    probe_release(&s);
    kern_close(kn3);
    pool_close(three);
    probe_release(&p);

    clouds(x, label, id, (size_t)2 * N, D, C, 4);
    ok(probe_fit(&p, kn, pool, x, row, label, id, N, D, C, 1) == 0, "noisy classes are fitted");
    double a = accuracy(&p, x + N * D, label + N, N);
    ok(a > 0.4 && a < 0.99, "and found more often than by chance (%.3f)", a);
    near(a, p.held_accuracy, 0.1, "about as often as in the held-out part");
    probe_release(&p);
}

static void test_few(void)
{
    float x[12] = { 0, 1, 2, 1, 0, 2, 5, 5, 5, 6, 6, 5 };
    int32_t one[4] = { 0, 0, 0, 0 }, each[2] = { 0, 1 };
    uint64_t id[4] = { 1, 2, 3, 4 };
    uint32_t row[4] = { 0, 1, 2, 3 }, far[2] = { 0, 3 };
    struct probe p;
    ok(probe_fit(&p, kn, pool, x, row, one, id, 4, 3, 2, 0) == -EINVAL &&
           strstr(fail_text(), "two classes"),
       "one class is refused");
    ok(probe_fit(&p, kn, pool, x, far, each, id, 2, 3, 2, 0) == 0 && p.held == 0 &&
           isnan(p.held_accuracy) && p.strength == PROBE_DEFAULT_STRENGTH,
       "one row a class: nothing is held out, the strength is the default");
    int32_t want[4] = { 0, 0, 1, 1 };
    near(accuracy(&p, x, want, 4), 1, 0, "and it works");
    probe_release(&p);
}

/* Rosenbrock's valley. */
static int valley(void *arg, const double *x, double *f, double *g)
{
    double a = 1 - x[0], b = x[1] - x[0] * x[0];
    ++*(int *)arg;
    *f = a * a + 100 * b * b;
    g[0] = -2 * a - 400 * x[0] * b;
    g[1] = 200 * b;
    return 0;
}

static int nowhere(void *arg UNUSED, const double *x UNUSED, double *f, double *g)
{
    *f = g[0] = g[1] = NAN;
    return 0;
}

static void test_lbfgs(void)
{
    struct lbfgs l = { .n = 2, .most = 500, .tolerance = 1e-8 };
    double x[2] = { -1.2, 1 };
    int calls = 0;
    ok(lbfgs_run(&l, x, valley, &calls) == 0, "Rosenbrock's valley is walked");
    near(x[0], 1, 1e-5, "to its end, x");
    near(x[1], 1, 1e-5, "to its end, y");
    ok(calls < 200, "in %d evaluations", calls);
    ok(lbfgs_run(&l, x, nowhere, NULL) == -ENUMERIC, "a function that is not finite is refused");
}

int main(void)
{
    if (pool_open(&pool, 1) < 0 || kern_open(&kn, pool) < 0)
        return 1;
    test_lbfgs();
    test_gradient();
    test_closed(0.1, 1e-4);
    test_closed(1e-4, 2e-3); /* the curvature is 1e-3: so far does a gradient of 2e-6 reach */
    test_fit();
    test_few();
    kern_close(kn);
    pool_close(pool);
    return done();
}
