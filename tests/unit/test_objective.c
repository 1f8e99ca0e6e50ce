/*
 * test_objective.c - losses, invariance and gradients against values worked out independently, the
 * draws of negatives and positives, and all terms together, in every form that the settings give
 * them, against plain loops and their finite differences.
 */
#include "common/base/rng.h"
#include "common/model/objective.h"
#include "tests/t.h"
#include "tests/unit/plain.h"
#include <stdlib.h>
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

static size_t anchors_of(const struct queue *q, const int32_t *label, size_t n)
{
    size_t anchors = 0;
    for (size_t b = 0; b < n; b++)
        anchors += queue_has(q, label[b]);
    return anchors;
}

/* Draws of step k, losses, gradient. */
static int run(struct objective *ob, int64_t k, const int32_t *label, const float *const *o,
               const float *const *t, const struct queue *q, float *const *do_,
               struct objective_value *v)
{
    int rc = objective_negatives(ob, k, label);
    rc = rc < 0 ? rc : objective_run(ob, &k, label, o, t, q, do_);
    return rc < 0 ? rc : objective_get(ob, anchors_of(q, label, ob->n), v);
}

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
    queue_push(&q, label, 3, label, id);
    queue_write(&q, z);
    ok(objective_open(&ob, kn, &set, 1) == 0 && ob.ne == 2,
       "fewer others than negatives: all of them");
    ok(run(&ob, 0, label, o, t, &q, do_, &v) == 0 && anchors_of(&q, label, 3) == 3, "run");

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

/* Mean over the three images of a loss or divergence of pair (0, 1). */
static double mean01(const struct objective *ob, const float *x)
{
    const float *at = x + objective_term(ob, 0, 1, 0) * 3;
    return ((double)at[0] + at[1] + at[2]) / 3;
}

/* The same pair of views in the other forms. */
static void forms(void)
{
    struct settings set = settings(2, 0, 3, 2);
    struct objective ob;
    struct queue q;
    struct objective_value v;
    const int32_t label[] = { -1, -1, -1 };
    const float *const o[] = { unit[0], unit[1] }, *const t[] = { unit[2], unit[3] };
    float d0[6], d1[6], *const do_[] = { d0, d1 };
    queue_open(&q, kn, 2, 4, 2, 3, 3);
    set.alpha = 0;
    set.invariance = INV_T;
    objective_open(&ob, kn, &set, 1);
    run(&ob, 0, label, o, t, &q, do_, &v);
    double same = 0; /* pairs (0, 0) and (1, 1) */
    for (size_t b = 0; b < 3; b++)
        same += (ob.loss[objective_term(&ob, 0, 0, 0) * 3 + b] +
                 ob.loss[objective_term(&ob, 1, 1, 0) * 3 + b]) /
                3;
    near(4 * v.inv - same, 0.345262, 2e-6, "T of the pair");
    objective_close(&ob);

    set.invariance = INV_R;
    objective_open(&ob, kn, &set, 1);
    run(&ob, 0, label, o, t, &q, do_, &v);
    near(ob.kl[objective_term(&ob, 0, 1, 0) * 3], 0.08874300, 5e-7, "R of image 0");
    near(mean01(&ob, ob.kl), 0.04638881, 5e-7, "mean of R");
    objective_close(&ob);

    set.loss_orientation = ORIENT_TARGET;
    objective_open(&ob, kn, &set, 1);
    run(&ob, 0, label, o, t, &q, do_, &v);
    near(ob.loss[objective_term(&ob, 0, 1, 0) * 3 + 1], 0.093110, 1e-6, "l where t is the anchor");
    near(mean01(&ob, ob.loss), 0.037837, 1e-6, "its mean");
    near(mean01(&ob, ob.kl), 0.04638881, 5e-7, "R is the same");
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
    objective_open(&ob, kn, &set, 1);
    run(&ob, 0, label, o, t, &q, do_, &v);
    near(v.augm, 0.037415, 1e-6, "mean of l");
    ok(isnan(v.sempos) && ob.positives == 0, "alpha 0 leaves no semantic term");
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
                int32_t slot = ob->pos_dev[(pair * P + r) * B + b];
                class &= slot < 0 ? label[b] < 0 || label[b] == 3 : q->label[slot] == label[b];
            }
        }
    }
    size_t neg = B * NE, pos = P * B;
    shared &= memcmp(ob->neg + neg, ob->neg + 2 * neg, neg * sizeof(int32_t)) == 0;
    slots &= memcmp(ob->pos_dev + pos, ob->pos_dev + 2 * pos, pos * sizeof(int32_t)) == 0;
    own |= memcmp(ob->neg + 4 * neg, ob->neg + 5 * neg, neg * sizeof(int32_t)) != 0;
    ok(distinct, "negatives are other images, each once");
    ok(shared, "pairs (0, 1) and (1, 0) share their negatives");
    ok(own, "pairs of a small crop have their own");
    ok(class, "positives are of the anchor's class");
    ok(slots, "the invariance shares their slots between (0, 1) and (1, 0)");
}

/* Uniform: over many steps each other image comes up as often. */
static void uniform(struct objective *ob, const int32_t *label)
{
    int count[B] = { 0 };
    bool even = true;
    for (int k = 0; k < 2000; k++) {
        objective_negatives(ob, k, label);
        for (size_t c = 0; c < NE; c++)
            count[ob->neg[4 * NE + c]]++; /* anchor 4 of pair (0, 0) */
    }
    for (int b = 0; b < B; b++)
        even &= b == 4 ? count[b] == 0 : abs(count[b] - 1000) < 110; /* 5 deviations */
    ok(even, "negatives are uniform");
}

/* However many pairs there are, none repeats the negatives of another. */
static void many_pairs(void)
{
    enum { N = 12 };
    struct settings set = settings(CROPS_LARGE, CROPS_SMALL, N, D);
    struct objective ob;
    struct queue q;
    int32_t label[N];
    memset(label, -1, sizeof label);
    set.negatives = NE;
    ok(queue_open(&q, kn, CROPS_LARGE, SLOTS, D, 1, N) == 0 &&
           objective_open(&ob, kn, &set, 1) == 0 && objective_negatives(&ob, 0, label) == 0,
       "%d views", CROPS);
    size_t neg = N * NE, pairs = CROPS * CROPS_LARGE, first = CROPS_LARGE * CROPS_LARGE, same = 0;
    for (size_t a = first; a < pairs; a++)
        for (size_t b = first; b < a; b++)
            same += memcmp(ob.neg + a * neg, ob.neg + b * neg, neg * sizeof(int32_t)) == 0;
    ok(same == 0, "%zu pairs of small crops have their own negatives", pairs - first);
    objective_close(&ob);
    queue_close(&q);
}

static const int32_t label_of[B] = { 0, 1, -1, 2, 3, 0, -1, 1, 1 };
static float x[L + S][B * D], y[L][B * D];
static const float *const o_all[] = { x[0], x[1], x[2] }, *const t_all[] = { y[0], y[1] };

/* Predictions, targets, and a queue of six slots that lacks class 3. */
static void inputs(struct queue *q)
{
    static float z[L][6 * D];
    const float *const ring[] = { z[0], z[1] };
    const int32_t row[] = { 0, 1, 2, 3, 4, 5 }, slot[] = { 0, 1, 0, 2, 1, 0 };
    const uint64_t id[6] = { 0 };
    for (size_t i = 0; i < L + S; i++)
        random_unit(x[i], B, i);
    for (size_t j = 0; j < L; j++) {
        random_unit(y[j], B, 10 + j);
        random_unit(z[j], 6, 20 + j);
    }
    queue_open(q, kn, L, SLOTS, D, 4, 6);
    queue_push(q, row, 6, slot, id);
    queue_write(q, ring);
}

static struct settings all_terms(void)
{
    struct settings set = settings(L, S, B, D);
    set.negatives = NE;
    set.positives = P;
    set.contrast_weight = 0.3;
    set.alpha = 0.7;
    set.invariance_weight = 5;
    return set;
}

/* Value and gradient of one form against plain loops. */
static void form(const struct queue *q, const struct settings *set, const char *name)
{
    struct objective ob;
    struct objective_value v;
    double wide[L + S][B * D], held[L + S][B * D], worst = 0;
    float g[L + S][B * D], again[L + S][B * D];
    double *const wides[] = { wide[0], wide[1], wide[2] };
    double *const helds[] = { held[0], held[1], held[2] };
    float *const do_[] = { g[0], g[1], g[2] }, *const do_again[] = { again[0], again[1], again[2] };
    objective_open(&ob, kn, set, 1);
    run(&ob, 3, label_of, o_all, t_all, q, do_, &v);
    for (size_t i = 0; i < L + S; i++)
        for (size_t c = 0; c < B * D; c++)
            wide[i][c] = held[i][c] = x[i][c];
    struct plain plain = { &ob, q, t_all, wides, helds };
    near(v.total, plain_total(&plain), 1e-5, "%s: the loss in plain loops", name);
    near(v.total, 0.3 * (v.augm + 0.7 * v.sempos) + ob.invariance * v.inv, 1e-9, "its parts");
    for (size_t i = 0; i < L + S; i++)
        for (size_t c = 0; c < B * D; c++) {
            double both[2];
            for (int side = 0; side < 2; side++) {
                wide[i][c] = x[i][c] + (side ? 1e-5 : -1e-5);
                both[side] = plain_total(&plain);
            }
            wide[i][c] = x[i][c];
            worst = fmax(worst, fabs((both[1] - both[0]) / 2e-5 - g[i][c]));
        }
    near(worst, 0, 1e-5, "its gradient by their differences");
    run(&ob, 3, label_of, o_all, t_all, q, do_again, &v);
    ok(memcmp(again, g, sizeof again) == 0, "the same bits again");
    objective_close(&ob);
}

static void all_forms(const struct queue *q)
{
    static const char *const modes[] = { "none", "S", "R", "T" };
    for (int anchor = 0; anchor < 2; anchor++)
        for (int mode = INV_NONE; mode <= INV_T; mode++)
            for (int exclude = 0; exclude < 2; exclude++) {
                char name[64];
                struct settings set = all_terms();
                set.loss_orientation = anchor;
                set.invariance = mode;
                set.exclude_class = exclude;
                set.negatives = exclude ? B - 2 : NE;
                snprintf(name, sizeof name, "orientation %s, invariance %s%s",
                         anchor ? "target" : "online", modes[mode],
                         exclude ? ", other classes" : "");
                form(q, &set, name);
            }
}

/* Without the anchor's class: fewer negatives where there are not enough others. */
static void excluded(void)
{
    struct settings set = all_terms();
    struct objective ob, any;
    bool other = true, count = true, alike = true;
    set.exclude_class = 1;
    set.negatives = 7;
    objective_open(&ob, kn, &set, 1);
    set.exclude_class = 0;
    objective_open(&any, kn, &set, 1);
    objective_negatives(&ob, 3, label_of);
    objective_negatives(&any, 3, label_of);
    for (size_t pair = 0; pair < (L + S) * L; pair++)
        for (size_t b = 0; b < B; b++) {
            const int32_t *neg = ob.neg + (pair * B + b) * 7;
            size_t drawn = 0, others = 0;
            for (size_t c = 0; c < B; c++)
                others += c != b && (label_of[b] < 0 || label_of[c] != label_of[b]);
            for (size_t c = 0; c < 7; c++) {
                other &= neg[c] < 0 || label_of[b] < 0 || label_of[neg[c]] != label_of[b];
                count &= (neg[c] >= 0) == (c < others);
                drawn += neg[c] >= 0;
            }
            count &= drawn == MIN(others, 7);
            if (label_of[b] < 0)
                alike &= memcmp(neg, any.neg + (pair * B + b) * 7, 7 * sizeof *neg) == 0;
        }
    ok(other, "exclude_class: no negative is of the anchor's class");
    ok(count, "all others if they are fewer than asked for");
    ok(alike, "an anchor without a class has any");
    objective_close(&ob);
    objective_close(&any);
}

static void random_inputs(void)
{
    struct settings set = all_terms();
    struct objective ob;
    struct objective_value v;
    float g[L + S][B * D], *const do_[] = { g[0], g[1], g[2] };
    struct queue q;
    inputs(&q);
    objective_open(&ob, kn, &set, 1);
    run(&ob, 3, label_of, o_all, t_all, &q, do_, &v);
    ok(anchors_of(&q, label_of, B) == 6, "anchors whose class is in the queue");
    draws(&ob, &q, label_of);
    uniform(&ob, label_of);
    objective_close(&ob);
    excluded();
    all_forms(&q);
    queue_close(&q);
}

int main(void)
{
    pool_open(&pool, 2);
    kern_open(&kn, pool);
    values();
    forms();
    gradient();
    many_pairs();
    random_inputs();
    kern_close(kn);
    pool_close(pool);
    return done();
}
