/*
 * check_optim.c - the optimisers and the target's average: two steps worked out by hand, then every
 * instruction set against the definition, odd sizes, thread counts.
 */
#include "tests/kern/check.h"
#include <float.h>
#include <string.h>

/* -- by hand: w = (3, 4), v = 0; g = (0.6, 0.8), then (0, 2) ------------------------------- */

/* LARS with decay 1e-6, eta 1e-3, mu 0.9, lr 4.8. */
static void check_lars(struct kern *kn, bool excluded)
{
    static const double want[2][2][4] = {
        { { 2.9856, 3.9808, 0.003, 0.004 }, { 2.972639964, 3.9396352, 0.002700007428, 0.008576 } },
        { { 0.12, 0.16, 0.6, 0.8 }, { -2.472, -12.896, 0.54, 2.72 } },
    };
    static const float grads[2][2] = { { 0.6f, 0.8f }, { 0, 2 } };
    float w[] = { 3, 4 }, v[] = { 0, 0 }, xi[] = { 1, 2 };
    double held[] = { 1, 2 };
    struct kern_segment seg = { 0, 2, excluded };
    for (int step = 0; step < 2; step++) {
        struct kern_update u = { .rule = KERN_LARS,
                                 .lr = 4.8f,
                                 .mu = 0.9f,
                                 .eta = 1e-3f,
                                 .wd = 1e-6f,
                                 .gamma = 0.75f,
                                 .w = w,
                                 .v = v,
                                 .xi = xi,
                                 .grad = grads[step],
                                 .grad_factor = 1,
                                 .ntarget = 2,
                                 .seg = &seg,
                                 .nseg = 1 };
        const double *wanted = want[excluded][step];
        ok(kern_update(kn, &u) == 0, "step %d%s", step + 1, excluded ? ", excluded" : "");
        for (int i = 0; i < 2; i++) {
            near(w[i], wanted[i], 1e-6 * fmax(fabs(wanted[i]), 1), "weight %d", i);
            near(v[i], wanted[2 + i], 1e-6 * wanted[2 + i], "momentum %d", i);
            held[i] += 0.25 * (wanted[i] - held[i]);
            near(xi[i], held[i], 2e-6 * fabs(held[i]) + 1e-6, "average %d of the new weights", i);
        }
    }
}

/* No weights or no gradient: the ratio is 1. */
static void check_zeros_in(struct kern *kn)
{
    float w[] = { 0, 0, 2, 0 }, v[4] = { 0 }, grad[] = { 3, 4, 0, 0 };
    struct kern_segment seg[] = { { 0, 2, false }, { 2, 2, false } };
    struct kern_update u = { .rule = KERN_LARS,
                             .lr = 0.5f,
                             .mu = 0.9f,
                             .eta = 1e-3f,
                             .w = w,
                             .v = v,
                             .grad = grad,
                             .grad_factor = 1,
                             .seg = seg,
                             .nseg = 2 };
    kern_update(kn, &u);
    ok(w[0] == -1.5f && w[1] == -2, "weights of 0 take the gradient as it is");
    ok(w[2] == 2 && v[2] == 0, "a gradient of 0 changes nothing");
}

/*
 * Momentum and AdamW with rate 0.1, mu 0.9, beta2 0.999, decay 0.5, which the second segment does
 * not have. AdamW's first step, but for the decay, is the rate against the sign of g.
 */
static void check_others(struct kern *kn, bool adamw)
{
    static const double want[2][2][2] = { { { 2.79, 4 - 0.08 }, { 2.4615, 3.648 } },
                                          { { 2.75, 3.9 }, { 2.545494178, 3.806029258 } } };
    static const float grads[2][2] = { { 0.6f, 0.8f }, { 0, 2 } };
    float w[] = { 3, 4 }, v[] = { 0, 0 }, s[] = { 0, 0 };
    struct kern_segment seg[] = { { 0, 1, false }, { 1, 1, true } };
    for (int step = 0; step < 2; step++) {
        struct kern_update u = { .rule = adamw ? KERN_ADAMW : KERN_SGD,
                                 .lr = 0.1f,
                                 .mu = 0.9f,
                                 .wd = 0.5f,
                                 .beta2 = 0.999,
                                 .t = step + 1,
                                 .w = w,
                                 .v = v,
                                 .s = s,
                                 .grad = grads[step],
                                 .grad_factor = 1,
                                 .seg = seg,
                                 .nseg = 2 };
        ok(kern_update(kn, &u) == 0, "%s, step %d", adamw ? "AdamW" : "momentum", step + 1);
        for (int i = 0; i < 2; i++)
            near(w[i], want[adamw][step][i], 1e-6, i ? "excluded weight" : "weight");
    }
    struct kern_update none = {
        .rule = KERN_ADAMW, .w = w, .v = v, .grad = w, .grad_factor = 1, .t = 1
    };
    ok(kern_update(kn, &none) == -EINVAL, "AdamW wants room for squares");
    none.s = s;
    none.t = 0;
    ok(kern_update(kn, &none) == -EINVAL, "and counts from 1");
    none.t = 1;
    none.grad_factor = 0;
    ok(kern_update(kn, &none) == -EINVAL, "a gradient has a factor");
}

/* -- against the definition ---------------------------------------------------------------- */

/* Segments with gaps between them, of one float to several chunks; three are the target's. */
static const struct kern_segment segs[] = {
    { 0, 1, false },         { 16, 37, true },       { 64, 100000, false },
    { 100080, 33000, true }, { 133088, 129, false }, { 133232, 7, true },
};
enum { NWEIGHTS = 133240, NTARGET = 100064 };

struct state {
    float *w, *v, *s, *xi;
};

static struct state step(struct kern *kn, enum kern_rule rule, const struct state *s,
                         const float *grad, float factor)
{
    struct state n = { check_copy(s->w, NWEIGHTS), check_copy(s->v, NWEIGHTS),
                       check_copy(s->s, NWEIGHTS), check_copy(s->xi, NTARGET) };
    struct kern_update u = { .rule = rule,
                             .lr = 0.7f,
                             .mu = 0.9f,
                             .eta = 0.02f,
                             .wd = 1e-2f,
                             .gamma = 0.99f,
                             .beta2 = 0.999,
                             .w = n.w,
                             .v = n.v,
                             .s = n.s,
                             .xi = n.xi,
                             .grad = grad,
                             .grad_factor = factor,
                             .ntarget = NTARGET,
                             .seg = segs,
                             .nseg = ARRAY_LEN(segs) };
    for (u.t = 1; u.t < 3; u.t++)
        if (kern_update(kn, &u))
            printf("# update failed\n");
    return n;
}

/* Of float16 a gradient comes multiplied: as if it were not. */
static void check_definition(enum kern_rule rule, float factor)
{
    static const char *const names[] = { "LARS", "SGD", "AdamW" };
    struct state s = { check_normal(NWEIGHTS), check_normal(NWEIGHTS), check_normal(NWEIGHTS),
                       check_normal(NTARGET) };
    float *grad = check_normal(NWEIGHTS), *given = check_copy(grad, NWEIGHTS);
    for (size_t i = 0; i < NWEIGHTS; i++) {
        s.s[i] = 0.1f + fabsf(s.s[i]); /* far from 0, which it divides by */
        given[i] = grad[i] / factor;
    }
    struct kern *ref = check_open("ref", 1);
    struct state want = step(ref, rule, &s, grad, 1), first = { 0 };
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            struct state got = step(kn, rule, &s, given, factor);
            check_near(got.w, want.w, NWEIGHTS, 32 * FLT_EPSILON, "%s, factor %g, %s: weights",
                       names[rule], (double)factor, check_isa(i));
            check_near(got.v, want.v, NWEIGHTS, 16 * FLT_EPSILON, "momentum");
            check_near(got.s, want.s, NWEIGHTS, 16 * FLT_EPSILON, "squares");
            check_near(got.xi, want.xi, NTARGET, 16 * FLT_EPSILON, "average");
            if (t == 0)
                first = got;
            check_same(got.w, first.w, NWEIGHTS * 4, "whatever the threads");
            check_same(got.xi, first.xi, NTARGET * 4, "whatever the threads");
            ok(got.w[10] == s.w[10] && got.v[133230] == s.v[133230], "gaps are left alone");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

static void check_norms(void)
{
    static const size_t sizes[] = { 1, 3, 1000, 32768, 100003 };
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        size_t n = sizes[s];
        float *x = check_normal(n);
        double want = sqrt(check_dot(x, x, n)), first = 0;
        for (int i = 0; check_isa(i); i++)
            for (int t = 0; t < check_nthreads; t++) {
                struct kern *kn = check_open(check_isa(i), check_threads[t]);
                double got = -1, none = -1, bad;
                kern_norm(kn, &got, x, n);
                near(got, want, 1e-12 * want, "%s: norm of %zu", check_isa(i), n);
                first = t ? first : got;
                ok(got == first, "whatever the threads");
                kern_norm(kn, &none, x, 0);
                ok(none == 0, "of nothing 0");
                float old = x[n / 2];
                x[n / 2] = NAN;
                kern_norm(kn, &bad, x, n);
                ok(isnan(bad), "NaN shows");
                x[n / 2] = -INFINITY;
                kern_norm(kn, &bad, x, n);
                ok(isinf(bad), "infinity shows");
                x[n / 2] = old;
                check_close(kn);
            }
        check_release();
    }
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 2);
        printf("# %s\n", check_isa(i));
        check_lars(kn, false);
        check_lars(kn, true);
        check_zeros_in(kn);
        check_others(kn, false);
        check_others(kn, true);
        check_close(kn);
    }
    for (enum kern_rule rule = KERN_LARS; rule <= KERN_ADAMW; rule++) {
        check_definition(rule, 1);
        check_definition(rule, 1.0f / 1024);
    }
    check_norms();
    return done();
}
