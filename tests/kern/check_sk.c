/*
 * check_sk.c - selective kernels against their definition: every instruction set, both types of
 * storage, odd sizes, thread counts.
 */
#include "tests/kern/check.h"
#include <errno.h>
#include <float.h>
#include <string.h>

static const struct kern_sk shapes[] = {
    { .n = 2, .cells = 28 * 28, .m = 64 }, { .n = 3, .cells = 49, .m = 33 },
    { .n = 7, .cells = 1, .m = 20 },       { .n = 1, .cells = 33, .m = 1 },
    { .n = 2, .cells = 1000, .m = 8 },
};

/* One call each way; all buffers of the activations' type, as floats. */
struct results {
    float *s, *v, *du, *dz;
};

static int run(struct kern *kn, const struct kern_sk *sk, const float *u, const float *dv,
               const float *z, const float *ds, struct results *r)
{
    size_t n = sk->n * sk->m, nv = n * sk->cells, each = kern_sizeof(sk->type);
    void *tu = check_typed(sk->type, u, 2 * nv), *tdv = check_typed(sk->type, dv, nv);
    void *v = check_bytes(nv * each), *du = check_bytes(2 * nv * each);
    r->s = check_buf(n);
    r->dz = check_buf(2 * n);
    int rc = kern_sk_squeeze_forward(kn, sk, r->s, tu);
    rc |= kern_sk_select_forward(kn, sk, v, tu, z);
    rc |= kern_sk_select_backward(kn, sk, du, r->dz, tdv, tu, z);
    rc |= kern_sk_squeeze_backward(kn, sk, du, ds);
    r->v = check_floats(sk->type, v, nv);
    r->du = check_floats(sk->type, du, 2 * nv);
    return rc;
}

/* Sums are of normal numbers, in dz of products of two, so that errors grow with the root of the
 * cells; du, at most 4 or so before ds / cells comes, is rounded in between. */
static void check_shape(enum kern_type type, struct kern_sk sk)
{
    size_t n = sk.n * sk.m, nv = n * sk.cells;
    const float *u = check_rounded(type, check_normal(2 * nv), 2 * nv), *z = check_normal(2 * n),
                *dv = check_rounded(type, check_normal(nv), nv), *ds = check_normal(n);
    struct results want, got, first = { 0 };
    struct kern *ref = check_open("ref", 1);
    int rc = run(ref, &sk, u, dv, z, ds, &want); /* in float32 */
    sk.type = type;
    double between = type == KERN_F32 ? 0 : 4 * check_half_unit(type),
           size = sqrt((double)sk.cells);
    for (int i = 1; check_isa(i); i++)
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(check_isa(i), check_threads[t]);
            rc |= run(kn, &sk, u, dv, z, ds, &got);
            if (t == 0)
                first = got;
            ok(rc == 0, "%s: %zu cells, 2 x %zu channels, %s", check_isa(i), sk.cells, sk.m,
               check_type_name(type));
            check_near(got.s, want.s, n, 16 * FLT_EPSILON, "squeeze");
            check_near_as(type, got.v, want.v, nv, 16 * FLT_EPSILON, "select");
            check_near_as(type, got.du, want.du, 2 * nv, between + 16 * FLT_EPSILON, "backward");
            check_near(got.dz, want.dz, 2 * n, 64 * FLT_EPSILON * size, "by the scores");
            check_same(got.s, first.s, n * 4, "whatever the threads: s");
            check_same(got.du, first.du, 2 * nv * 4, "du");
            check_same(got.dz, first.dz, 2 * n * 4, "dz");
            check_close(kn);
        }
    check_close(ref);
    check_release();
}

/* Two cells of one channel, by hand; scores whose exponentials no float holds. */
static void check_definition(void)
{
    const float u[] = { 1, 5, 3, 9 }, zero[] = { 0, 0 }, far[] = { 500, -500 }, ds[] = { 8 },
                dv[] = { 2, 4 };
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        struct kern_sk sk = { KERN_F32, 1, 2, 1 };
        float s[1], v[2], du[4], dz[2];
        kern_sk_squeeze_forward(kn, &sk, s, u);
        ok(s[0] == 9, "%s: the mean of the branches' sum", check_isa(i));
        kern_sk_select_forward(kn, &sk, v, u, zero);
        ok(v[0] == 3 && v[1] == 6, "%s: equal scores, equal shares", check_isa(i));
        kern_sk_select_forward(kn, &sk, v, u, far);
        ok(v[0] == 1 && v[1] == 3, "%s: the first branch alone", check_isa(i));
        kern_sk_select_backward(kn, &sk, du, dz, dv, u, zero);
        ok(dz[0] == -8 && dz[1] == 8, "%s: a quarter of sum dv (u0 - u1)", check_isa(i));
        kern_sk_squeeze_backward(kn, &sk, du, ds);
        ok(du[0] == 5 && du[1] == 5 && du[2] == 6 && du[3] == 6, "%s: half of dv, and ds",
           check_isa(i));
        sk.m = 0;
        ok(kern_sk_squeeze_forward(kn, &sk, s, u) == -EINVAL, "no channels are refused");
        check_close(kn);
    }
}

int main(void)
{
    check_init();
    for (enum kern_type type = KERN_F32; type <= check_last_type(); type++)
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            check_shape(type, shapes[i]);
    check_definition();
    return done();
}
