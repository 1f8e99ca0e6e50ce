/*
 * test_objective.c - losses, invariance and gradients against values worked out independently, the
 * draws of negatives and positives, and all terms together against finite differences.
 */
#include "common/model/objective.h"
#include "tests/t.h"
#include "tests/unit/frozen.h"
#include <string.h>

static struct pool *pool;
static struct kern *kn;

static struct settings settings(int large, int small, int batch, int dim)
{
    struct settings set;
    settings_preset(&set, 0);
    set.large_crops = large;
    set.small_crops = small;
    set.batch = batch;
    set.dim = dim;
    set.tau = 0.2;
    set.negatives = 10;
    set.positives = 1;
    set.contrast_weight = 1;
    set.alpha = 1;
    set.invariance = INV_S;
    set.invariance_weight = 1;
    set.seed = t_seed();
    return set;
}

/* Three images in the plane, all others as negatives; vectors become unit length first. */
static const float o0[] = { 1, 0.2f, 0.1f, 1, -1, 0.3f },
                   o1[] = { 0.9f, 0.1f, 0.2f, 0.8f, -0.7f, 0.6f };
static const float t0[] = { 0.8f, 0.3f, -0.1f, 1, -1, -0.2f },
                   t1[] = { 1, 0, 0.3f, 0.9f, -0.8f, 0.1f };
static const float z1[] = { 0.95f, 0.2f, 0.2f, 1, -0.9f, 0.4f };
static float unit[5][6], length[3];

static void values(void)
{
    struct settings set = settings(2, 0, 3, 2);
    struct objective ob;
    struct queue q;
    struct objective_value v;
    const int32_t label[] = { 0, 1, 2 };
    const uint64_t id[] = { 7, 8, 9 };
    const float *raw[] = { o0, o1, t0, t1, z1 };
    for (int i = 0; i < 5; i++)
        kern_l2norm_forward(kn, unit[i], length, raw[i], 3, 2);
    const float *const o[] = { unit[0], unit[1] }, *const t[] = { unit[2], unit[3] };
    const float *const z[] = { unit[0], unit[4] }; /* one ring a target view */
    float d0[6], d1[6], *const do_[] = { d0, d1 };
    queue_open(&q, kn, 2, 4, 2, 3, 3);
    queue_push(&q, z, label, 3, label, id);
    ok(objective_open(&ob, kn, &set) == 0 && ob.ne == 2,
       "fewer others than negatives: all of them");
    ok(objective_draw(&ob, 0, label, &q) == 0 && ob.anchors == 3, "draw");
    ok(objective_run(&ob, o, t, &q, do_, &v) == 0, "run");

    const double want01[] = { 0.085067, 0.020928, 0.006249 };
    const double want10[] = { 0.008316, 0.144622, 0.995094 };
    const double wantkl[] = { 0.11636896, 0.11053029, 0.95396036 };
    const double wantsem[] = { 0.077512, 0.018975, 0.006068 };
    for (size_t b = 0; b < 3; b++) {
        near(ob.loss[objective_term(&ob, 0, 1, 0) * 3 + b], want01[b], 1e-6, "l of o0, t1, %zu", b);
        near(ob.loss[objective_term(&ob, 1, 0, 0) * 3 + b], want10[b], 1e-6, "l of o1, t0, %zu", b);
        near(ob.kl[objective_term(&ob, 0, 1, 0) * 3 + b], wantkl[b], 2e-6, "KL of image %zu", b);
        near(ob.loss[objective_term(&ob, 0, 1, 1) * 3 + b], wantsem[b], 1e-6,
             "semantic positive of image %zu", b);
    }
    float p[3];
    kern_get(kn, p, ob.p_dev + objective_term(&ob, 0, 1, 0) * 9, sizeof p);
    near(p[0], 0.918451, 1e-6, "softmax of the positive");
    near(p[1], 0.081490, 1e-6, "and of the negatives");
    near(p[2], 0.000059, 1e-6, "both");
    double augm = 0, sem = 0, inv = 0;
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2; j++)
            for (size_t b = 0; b < 3; b++) {
                augm += ob.loss[objective_term(&ob, i, j, 0) * 3 + b] / 12;
                sem += ob.loss[objective_term(&ob, i, j, 1) * 3 + b] / 12;
                for (size_t term = 0; term < 2 && i != j; term++)
                    inv += ob.kl[objective_term(&ob, i, j, term) * 3 + b] / 12;
            }
    near(v.augm, augm, 1e-6, "mean over pairs and images");
    near(v.sempos, sem, 1e-6, "of the semantic term too");
    near(v.inv, inv, 1e-6, "the invariance counts pairs of two different views");
    near(v.total, augm + sem + inv, 1e-6, "weights of 1 add up");
    objective_close(&ob);
    queue_close(&q);
}

static void gradient(void)
{
    struct settings set = settings(1, 0, 3, 2);
    struct objective ob;
    struct queue q;
    struct objective_value v;
    const int32_t label[] = { -1, -1, -1 };
    const float *const o[] = { unit[0] }, *const t[] = { unit[3] };
    float d0[6], *const do_[] = { d0 };
    set.alpha = 0;
    set.contrast_weight = 3; /* undoes the mean over the images */
    queue_open(&q, kn, 1, 4, 2, 3, 3);
    objective_open(&ob, kn, &set);
    objective_draw(&ob, 0, label, &q);
    objective_run(&ob, o, t, &q, do_, &v);
    near(v.augm, 0.037415, 1e-6, "mean of l");
    ok(isnan(v.sempos) && ob.terms == 1, "alpha 0 leaves no semantic term");
    kern_l2norm_forward(kn, unit[0], length, o0, 3, 2);
    kern_l2norm_backward(kn, d0, d0, unit[0], length, 3, 2);
    near(d0[0], -0.08342788, 1e-6, "gradient before the normalisation");
    near(d0[1], 0.41713941, 1e-6, "both components");
    objective_close(&ob);
    queue_close(&q);
}

enum { L = 2, S = 1, B = 9, D = 5, NE = 4, P = 2, SLOTS = 8 };

static void random_unit(float *x, size_t n, uint64_t what)
{
    struct rng r;
    for (size_t i = 0; i < n; i++) {
        rng_init(&r, t_seed(), RNG_TEST, i, what, 0);
        for (size_t k = 0; k < D; k++)
            x[i * D + k] = rng_normal(&r);
    }
    float each[B];
    kern_l2norm_forward(kn, x, each, x, n, D);
}

static void draws(const struct objective *ob, const struct queue *q, const int32_t *label)
{
    bool distinct = true, shared = true, own = false, class = true, slots = true;
    for (size_t pair = 0; pair < (L + S) * L; pair++) {
        for (size_t b = 0; b < B; b++) {
            const int32_t *neg = ob->neg + (pair * B + b) * NE;
            for (size_t c = 0; c < NE; c++) {
                distinct &= neg[c] >= 0 && neg[c] < B && neg[c] != (int32_t)b;
                for (size_t e = 0; e < c; e++)
                    distinct &= neg[c] != neg[e];
            }
            for (size_t r = 0; r < P; r++) {
                int32_t slot = ob->pos[(pair * P + r) * B + b];
                class &= slot < 0 ? label[b] < 0 || label[b] == 3 : q->label[slot] == label[b];
            }
        }
    }
    size_t neg = B * NE, pos = P * B;
    shared &= memcmp(ob->neg + neg, ob->neg + 2 * neg, neg * sizeof(int32_t)) == 0;
    slots &= memcmp(ob->pos + pos, ob->pos + 2 * pos, pos * sizeof(int32_t)) == 0;
    own |= memcmp(ob->neg + 4 * neg, ob->neg + 5 * neg, neg * sizeof(int32_t)) != 0;
    ok(distinct, "negatives are other images, each once");
    ok(shared, "pairs (0, 1) and (1, 0) share their negatives");
    ok(own, "pairs of a small crop have their own");
    ok(class, "positives are of the anchor's class");
    ok(slots, "the invariance shares their slots between (0, 1) and (1, 0)");
}

/* Uniform: over many steps each other image comes up as often. */
static void uniform(struct objective *ob, const struct queue *q, const int32_t *label)
{
    int count[B] = { 0 };
    bool even = true;
    for (int k = 0; k < 2000; k++) {
        objective_draw(ob, k, label, q);
        for (size_t c = 0; c < NE; c++)
            count[ob->neg[4 * NE + c]]++; /* anchor 4 of pair (0, 0) */
    }
    for (int b = 0; b < B; b++)
        even &= b == 4 ? count[b] == 0 : abs(count[b] - 1000) < 110; /* 5 deviations */
    ok(even, "negatives are uniform");
}

static void differences(void)
{
    struct settings set = settings(L, S, B, D);
    struct objective ob;
    struct queue q;
    struct objective_value v;
    struct frozen frozen;
    float x[L + S][B * D], y[L][B * D], z[L][6 * D], g[L + S][B * D], again[B * D];
    const float *const o[] = { x[0], x[1], x[2] }, *const t[] = { y[0], y[1] };
    const float *const ring[] = { z[0], z[1] };
    float *const do_[] = { g[0], g[1], g[2] };
    const int32_t label[B] = { 0, 1, -1, 2, 3, 0, 2, 1, 1 };
    const int32_t row[] = { 0, 1, 2, 3, 4, 5 }, slot[] = { 0, 1, 0, 2, 1, 0 };
    const uint64_t id[6] = { 0 };
    set.negatives = NE;
    set.positives = P;
    set.contrast_weight = 0.3;
    set.alpha = 0.7;
    set.invariance_weight = 5;
    for (size_t i = 0; i < L + S; i++)
        random_unit(x[i], B, i);
    for (size_t j = 0; j < L; j++) {
        random_unit(y[j], B, 10 + j);
        random_unit(z[j], 6, 20 + j);
    }
    queue_open(&q, kn, L, SLOTS, D, 4, 6);
    queue_push(&q, ring, row, 6, slot, id);
    objective_open(&ob, kn, &set);
    objective_draw(&ob, 3, label, &q);
    ok(ob.anchors == 7, "anchors whose class is in the queue");
    draws(&ob, &q, label);
    uniform(&ob, &q, label);

    objective_draw(&ob, 3, label, &q);
    objective_run(&ob, o, t, &q, do_, &v);
    near(v.total, 0.3 * (v.augm + 0.7 * v.sempos) + 5 * v.inv, 1e-9, "the total's weights");
    freeze(&frozen, &ob);
    near(frozen_loss(&frozen, &ob, v.total, v.inv), v.total, 1e-5, "means over anchors");
    memcpy(again, g[0], sizeof again);
    float scratch[L + S][B * D], *const unused[] = { scratch[0], scratch[1], scratch[2] };
    double worst = 0;
    for (size_t i = 0; i < L + S; i++) {
        for (size_t c = 0; c < B * D; c += 3) {
            double both[2];
            float was = x[i][c], eps = 2e-3f;
            for (int side = 0; side < 2; side++) {
                x[i][c] = side ? was + eps : was - eps;
                objective_run(&ob, o, t, &q, unused, &v);
                both[side] = frozen_loss(&frozen, &ob, v.total, v.inv);
            }
            x[i][c] = was;
            worst = fmax(worst, fabs((both[1] - both[0]) / (2 * eps) - g[i][c]));
        }
    }
    near(worst, 0, 2e-3, "all terms together against finite differences");
    objective_run(&ob, o, t, &q, do_, &v);
    ok(memcmp(again, g[0], sizeof again) == 0, "the same bits again");
    thaw(&frozen);
    objective_close(&ob);
    queue_close(&q);
}

int main(void)
{
    pool_open(&pool, 2);
    kern_open(&kn, KERN_CPU, pool);
    values();
    gradient();
    differences();
    kern_close(kn);
    pool_close(pool);
    return done();
}
