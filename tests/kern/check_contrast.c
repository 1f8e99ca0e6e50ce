/*
 * check_contrast.c - the contrastive loss: numbers worked out by hand for three images in the
 * plane, then every instruction set against the definition, and thread counts.
 */
#include "tests/kern/check.h"
#include <errno.h>
#include <float.h>
#include <string.h>

/* -- three images, all others as negatives, tau 0.2 ----------------------------------------- */

static const float o0[] = { 1, 0.2f, 0.1f, 1, -1, 0.3f }, t1[] = { 1, 0, 0.3f, 0.9f, -0.8f, 0.1f },
                   o1[] = { 0.9f, 0.1f, 0.2f, 0.8f, -0.7f, 0.6f },
                   t0[] = { 0.8f, 0.3f, -0.1f, 1, -1, -0.2f },
                   semantic[] = { 0.95f, 0.2f, 0.2f, 1, -0.9f, 0.4f };
static const int32_t others[] = { 1, 2, 0, 2, 0, 1 };

/* Loss and probabilities of o against t, from vectors of any length; unit: normalised o, and r. */
static void three(struct kern *kn, const float *o, const float *t, const float *bank, float p[9],
                  float loss[3], float unit[6], float r[3])
{
    float candidates[6], positives[6], unused[3];
    kern_l2norm_forward(kn, unit, r, o, 3, 2);
    kern_l2norm_forward(kn, candidates, unused, t, 3, 2);
    kern_l2norm_forward(kn, positives, unused, bank, 3, 2);
    struct kern_contrast ct = { 3, 2, 2, 0.2f, unit, candidates, positives, NULL, others, false };
    ok(kern_contrast_forward(kn, &ct, p, loss) == 0, "forward");
}

static void near_three(const float *got, double a, double b, double c, double tol, const char *what)
{
    const float want[] = { (float)a, (float)b, (float)c };
    check_near(got, want, 3, tol, "%s", what);
}

static void check_numbers(struct kern *kn)
{
    float p01[9], p10[9], ps[9], loss[3], unit[6], r[3], kl[3], g[9] = { 0 }, unused[6], ru[3];
    three(kn, o1, t0, t0, p10, loss, unused, ru);
    near_three(loss, 0.008316, 0.144622, 0.995094, 1e-6, "loss of view 1 against 0");
    near((loss[0] + loss[1] + loss[2]) / 3, 0.382677, 1e-6, "its mean");
    three(kn, o0, t1, semantic, ps, loss, unused, ru);
    near_three(loss, 0.077512, 0.018975, 0.006068, 1e-6, "loss with semantic positives");
    near((loss[0] + loss[1] + loss[2]) / 3, 0.034185, 1e-6, "its mean");
    three(kn, o0, t1, t1, p01, loss, unit, r);
    near_three(loss, 0.085067, 0.020928, 0.006249, 1e-6, "loss of view 0 against 1");
    near((loss[0] + loss[1] + loss[2]) / 3, 0.037415, 1e-6, "its mean");
    near_three(p01, 0.918451, 0.081490, 0.000059, 1e-6, "probabilities of image 0");

    ok(kern_kl(kn, kl, g, p01, p10, NULL, &(float){ 3 }, 3, 2) == 0, "divergence of the pair");
    near_three(kl, 0.11636896, 0.11053029, 0.95396036, 5e-7, "of each image");
    near((kl[0] + kl[1] + kl[2]) / 3, 0.39361987, 5e-7, "its mean");
    near(g[4], 3 * (p10[4] - p01[4]), 1e-7, "its gradient is the difference");

    float candidates[6], du[6], do_[6] = { 0 };
    kern_l2norm_forward(kn, candidates, ru, t1, 3, 2);
    struct kern_contrast ct = { 3, 2, 2, 0.2f, unit, candidates, candidates, NULL, others, false };
    int rc = kern_contrast_grad(kn, g, p01, NULL, &(float){ 1 }, 3, 2);
    rc |= kern_contrast_backward(kn, &ct, do_, g);
    rc |= kern_l2norm_backward(kn, du, do_, unit, r, 3, 2);
    ok(rc == 0, "backward");
    near(du[0], -0.08342788, 2e-7, "by the first number of image 0's prediction");
    near(du[1], 0.41713941, 2e-7, "by the second");
}

/* -- against the definition ---------------------------------------------------------------- */

struct shape {
    size_t n, d, ne, bank;
    bool positives, few; /* of a bank, not for all; negatives not everywhere */
};
static const struct shape shapes[] = {
    { 1, 1, 1, 1, false, false },    { 33, 128, 10, 33, false, true },
    { 70, 37, 10, 200, true, true }, { 17, 256, 16, 5, true, false },
    { 5, 19, 300, 9, true, true },   { 9, 6, 3, 4, true, false },
    { 3000, 3, 10, 40, true, true },
};

struct data {
    struct shape s;
    struct kern_contrast ct;
    float *do_, *g, *q;
};

struct result {
    float *p, *loss, *do_, *g, *kl, *gkl;
};

static struct data data_of(const struct shape *s, bool target_anchored)
{
    struct data d = { .s = *s };
    size_t n = s->n, dim = s->d, np = n * (s->ne + 1);
    float *o = check_normal(n * dim), *t = check_normal(n * dim),
          *bank = check_normal(s->bank * dim);
    struct kern *ref = check_open("ref", 1);
    float *r = check_buf(n + s->bank);
    kern_l2norm_forward(ref, o, r, o, n, dim);
    kern_l2norm_forward(ref, t, r, t, n, dim);
    kern_l2norm_forward(ref, bank, r, bank, s->bank, dim);
    int32_t *pos = s->positives ? check_ints(n, -2, (int32_t)s->bank) : NULL;
    int32_t *neg = check_ints(n * s->ne, s->few ? -1 - (int32_t)n / 4 : 0, (int32_t)n);
    for (size_t i = 0; i < n * s->ne; i++)
        neg[i] = neg[i] < 0 ? -1 : neg[i];
    d.ct = (struct kern_contrast){ n, dim, s->ne, 0.2f, o, t, bank, pos, neg, target_anchored };
    d.do_ = check_normal(n * dim);
    d.g = check_normal(np);
    /* another softmax, as of the swapped pair */
    struct kern_contrast other = d.ct;
    other.o = t;
    other.t = o;
    d.q = check_buf(np);
    kern_contrast_forward(ref, &other, d.q, r);
    check_close(ref);
    return d;
}

static struct result results(struct kern *kn, const struct data *d)
{
    const struct kern_contrast *ct = &d->ct;
    size_t np = ct->n * (ct->ne + 1);
    struct result r = { check_buf(np), check_buf(ct->n), check_copy(d->do_, ct->n * ct->d),
                        check_buf(np), check_buf(ct->n), check_copy(d->g, np) };
    int rc = kern_contrast_forward(kn, ct, r.p, r.loss);
    rc |= kern_contrast_grad(kn, r.g, r.p, ct->pos, &(float){ 0.7f }, ct->n, ct->ne);
    rc |= kern_contrast_backward(kn, ct, r.do_, d->g);
    rc |= kern_kl(kn, r.kl, r.gkl, r.p, d->q, ct->pos, &(float){ 0.3f }, ct->n, ct->ne);
    if (rc)
        printf("# a pass returned %d\n", rc);
    return r;
}

/*
 * A probability p of scores that are off by ds, or p - 1, is off by 2 p (1 - p) ds at most, and by
 * a unit of the last place of both. Scores are sums in float32 of parts of 1, over tau.
 */
static bool probabilities_near(const float *got, const float *want, const float *p, size_t n,
                               double tau)
{
    float *off = check_buf(n), *zero = check_zeros(n); /* in units of what is allowed */
    for (size_t i = 0; i < n; i++) {
        double by_scores = 2 * (double)p[i] * (1 - (double)p[i]) / tau;
        double size = fmax(fabs((double)want[i]), (double)p[i]);
        double most = FLT_EPSILON * (by_scores + size) + FLT_MIN;
        off[i] = (float)(((double)got[i] - (double)want[i]) / most);
    }
    return check_near_(off, zero, n, 1);
}

static void check_shape(const struct shape *s, bool target_anchored)
{
    struct data d = data_of(s, target_anchored);
    size_t n = s->n, np = n * (s->ne + 1);
    struct kern *ref = check_open("ref", 1);
    struct result want = results(ref, &d), first = { 0 };
    double sum = 16 * FLT_EPSILON * 5 * sqrt((double)s->ne + 1);
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            struct result got = results(kn, &d);
            ok(probabilities_near(got.p, want.p, want.p, np, d.ct.tau),
               "%s: probabilities, %zu of %zu, ne %zu%s", check_isa(i), n, s->d, s->ne,
               target_anchored ? ", target anchored" : "");
            check_near(got.loss, want.loss, n, 8 * FLT_EPSILON, "losses");
            ok(probabilities_near(got.g, want.g, want.p, np, d.ct.tau), "gradient by the scores");
            check_near(got.do_, want.do_, n * s->d, sum, "gradient by the predictions");
            check_near(got.kl, want.kl, n, 4e-6, "divergences");
            check_near(got.gkl, want.gkl, np, 4 * FLT_EPSILON, "their gradient");
            if (t == 0)
                first = got;
            check_same(got.p, first.p, np * 4, "whatever the threads");
            check_same(got.do_, first.do_, n * s->d * 4, "whatever the threads");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

/* Without a positive: no loss, no probabilities, no gradient. */
static void check_none(struct kern *kn)
{
    const float v[] = { 1, 0, 0, 1 };
    const int32_t pos[] = { -1, 0 }, neg[] = { 1, 0 };
    struct kern_contrast ct = { 2, 2, 1, 1, v, v, v, pos, neg, false };
    float p[4] = { 9, 9, 9, 9 }, loss[2] = { 9, 9 }, g[4] = { 9, 9, 9, 9 }, do_[4] = { 5, 5, 5, 5 },
          kl[2] = { 9, 9 };
    kern_contrast_forward(kn, &ct, p, loss);
    ok(loss[0] == 0 && p[0] == 0 && p[1] == 0, "no positive, no loss");
    near(loss[1], log(2), 1e-6, "another anchor has one");
    kern_contrast_grad(kn, g, p, pos, &(float){ 2 }, 2, 1);
    ok(g[0] == 0 && g[1] == 0 && g[2] == 2 * (p[2] - 1), "nor a gradient by scores");
    const float ones[] = { 1, 1, 1, 1 };
    kern_contrast_backward(kn, &ct, do_, ones);
    ok(do_[0] == 5 && do_[1] == 5 && do_[2] == 7 && do_[3] == 5, "nor by predictions");
    kern_kl(kn, kl, g, p, p, pos, &(float){ 1 }, 2, 1);
    ok(kl[0] == 0 && kl[1] == 0, "nor a divergence");
    ct.target_anchored = true; /* image 1's target meets both predictions */
    memcpy(do_, (float[]){ 5, 5, 5, 5 }, sizeof do_);
    kern_contrast_backward(kn, &ct, do_, ones);
    ok(do_[0] == 6 && do_[1] == 5 && do_[2] == 6 && do_[3] == 5,
       "but another's, whose negative it is, reaches it where targets are anchors");
}

/* -1 is no negative: what is left is a softmax over fewer, and nothing else changes. */
static void check_few(struct kern *kn)
{
    const float o[] = { 1, 0, 0.6f, 0.8f, 0, 1 }, t[] = { 0.8f, 0.6f, 0, 1, 1, 0 };
    const int32_t some[] = { 1, -1, -1, -1, -1, 0 }, one[] = { 1, 0, 0 };
    for (int anchored = 0; anchored < 2; anchored++) {
        struct kern_contrast ct = { 3, 2, 2, 0.5f, o, t, t, NULL, some, anchored };
        struct kern_contrast few = { 3, 2, 1, 0.5f, o, t, t, NULL, one, anchored };
        float p[9], loss[3], want[6], want_loss[3];
        kern_contrast_forward(kn, &ct, p, loss);
        kern_contrast_forward(kn, &few, want, want_loss);
        ok(p[0] == want[0] && p[1] == want[1] && p[2] == 0, "an anchor with one negative");
        ok(p[6] == want[4] && p[7] == 0 && p[8] == want[5], "wherever it stands");
        ok(loss[0] == want_loss[0] && loss[2] == want_loss[2], "has the loss of one");
        ok(loss[1] == 0 && p[3] == 1 && p[4] == 0 && p[5] == 0, "none: no loss");
    }
}

/* Scores of thousands would overflow without the maximum taken off. NaN has to show. */
static void check_extremes(struct kern *kn)
{
    const float o[] = { 1, 0, NAN, 0 }, t[] = { -1, 0, 1, 0 };
    const int32_t neg[] = { 1, 0 };
    struct kern_contrast ct = { 2, 2, 1, 1e-4f, o, t, t, NULL, neg, false };
    float p[4], loss[2], kl[2], g[4] = { 0 };
    kern_contrast_forward(kn, &ct, p, loss);
    near(loss[0], 20000, 0.1, "a loss of 20000");
    ok(p[0] == 0 && p[1] == 1, "probabilities 0 and 1");
    ok(isnan(loss[1]), "NaN is not hidden in the loss");
    kern_kl(kn, kl, g, p, p, NULL, &(float){ 1 }, 2, 1);
    ok(kl[0] == 0 && isnan(kl[1]), "nor in the divergence");
    const float half[] = { 0.5f, 0.5f, 1, 0 }, sure[] = { 1, 0, 1, 0 };
    kern_kl(kn, kl, g, half, sure, NULL, &(float){ 1 }, 2, 1);
    near(kl[0], log(0.5) - 0.5 * log(FLT_MIN), 1e-5, "what underflowed is no infinity");
    ok(kl[1] == 0, "the same is no divergence");
    ct.tau = 0;
    ok(kern_contrast_forward(kn, &ct, p, loss) == -EINVAL, "tau 0 is refused");
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 2);
        printf("# %s\n", check_isa(i));
        check_numbers(kn);
        check_none(kn);
        check_few(kn);
        check_extremes(kn);
        check_close(kn);
    }
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int target_anchored = 0; target_anchored < 2; target_anchored++)
            check_shape(&shapes[i], target_anchored);
    return done();
}
