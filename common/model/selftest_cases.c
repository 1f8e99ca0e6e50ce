/*
 * selftest_cases.c - every family of kernels once. A case draws its arrays, the same on every
 * device, makes calls of kern.h, and gives what they write; it looks at none of it.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/encoder.h"
#include "common/model/selftest.h"
#include "kernels/number.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 20230501 };

/* -- arrays -------------------------------------------------------------------------------- */

static void *keep(struct trial *t, void *dev)
{
    if (!dev)
        t->rc = t->rc < 0 ? t->rc : -ENOMEM;
    else
        t->dev[t->ndev++] = dev;
    return dev;
}

/* A copy on the device. */
static void *put(struct trial *t, const void *host, size_t bytes)
{
    void *dev = t->rc == 0 ? keep(t, kern_alloc(t->kn, bytes)) : NULL;
    if (dev)
        t->rc = kern_put(t->kn, dev, host, bytes);
    return dev;
}

/* n numbers of type about mean, of deviation dev; what is the same for each id. */
static void *draw(struct trial *t, enum kern_type type, size_t n, unsigned id, float mean,
                  float dev)
{
    float *x = mem_alloc(n, sizeof *x, "a self-test");
    struct rng r;
    void *on = NULL;
    rng_init(&r, SEED, RNG_TEST, 0, id, 0);
    for (size_t i = 0; x && i < n; i++) {
        kern_store(type, x, i, mean + dev * rng_normal2(&r));
    }
    if (x)
        on = put(t, x, n * kern_sizeof(type));
    else
        t->rc = -ENOMEM;
    free(x);
    return on;
}

static void *numbers(struct trial *t, size_t n, unsigned id)
{
    return draw(t, t->type, n, id, 0, 1);
}

static float *floats(struct trial *t, size_t n, unsigned id)
{
    return draw(t, KERN_F32, n, id, 0, 1);
}

/* What a batch norm's var and the like are: above 0. */
static float *positive(struct trial *t, size_t n, unsigned id)
{
    return draw(t, KERN_F32, n, id, 1.5f, 0.5f);
}

static void *empty(struct trial *t, enum kern_type type, size_t n)
{
    return t->rc == 0 ? keep(t, kern_alloc(t->kn, n * kern_sizeof(type))) : NULL;
}

/* -- results ------------------------------------------------------------------------------- */

static float *grow(struct trial *t, const char *name, size_t n, double most)
{
    if (t->rc == 0)
        t->rc = mem_grow(&t->out, &t->room, t->n + n, sizeof *t->out);
    if (t->rc < 0)
        return NULL;
    t->array[t->narrays].name = name;
    t->array[t->narrays].first = t->n;
    t->array[t->narrays].n = n;
    t->array[t->narrays++].most = most;
    t->n += n;
    return t->out + t->n - n;
}

static void give_within(struct trial *t, const char *name, enum kern_type type, const void *dev,
                        size_t n, double most, bool together)
{
    float *to = grow(t, name, n, most);
    if (!to)
        return;
    t->array[t->narrays - 1].together = together;
    t->rc = kern_get(t->kn, to, dev, n * kern_sizeof(type));
    for (size_t i = n; i-- > 0;) /* from the back: where they lie is overwritten */
        to[i] = kern_load(type, to, i);
}

/* With two bytes a number devices also round the weights of convolutions and, on the way, their
 * gradients, which the definitions do not. */
static void give(struct trial *t, const char *name, enum kern_type type, const void *dev, size_t n)
{
    static const double most[] = { 1e-4, 1.0 / 32, 1.0 / 256 };
    give_within(t, name, type, dev, n, most[t->type], false);
}

/* Whole numbers, of which none may differ. */
static void give_ints(struct trial *t, const char *name, const int32_t *dev, size_t n)
{
    int32_t *host = mem_alloc(n, sizeof *host, "a self-test");
    float *to = grow(t, name, n, 0);
    int rc = !host ? -ENOMEM : to ? kern_get(t->kn, host, dev, n * sizeof *host) : t->rc;
    for (size_t i = 0; i < n && to && rc == 0; i++)
        to[i] = (float)host[i];
    t->rc = t->rc < 0 ? t->rc : rc;
    free(host);
}

#define DO(call)                                                                                   \
    do {                                                                                           \
        if (t->rc == 0)                                                                            \
            t->rc = (call);                                                                        \
    } while (0)

/* -- the families -------------------------------------------------------------------------- */

static void convolve(struct trial *t, const struct kern_conv *cv)
{
    size_t nx = cv->n * cv->h * cv->w * cv->c, ny = cv->n * cv->oh * cv->ow * cv->k;
    size_t nw = cv->k * cv->c * cv->kh * cv->kw;
    void *x = numbers(t, nx, 1), *dy = numbers(t, ny, 2), *residual = numbers(t, ny, 3);
    float *w = draw(t, KERN_F32, nw, 4, 0, 1 / sqrtf((float)(nw / cv->k)));
    float *scale = positive(t, cv->k, 5), *shift = floats(t, cv->k, 6), *dw = floats(t, nw, 7);
    float *mean = empty(t, KERN_F32, cv->k), *var = empty(t, KERN_F32, cv->k);
    void *packed = keep(t, kern_alloc(t->kn, MAX(kern_conv_packed(t->kn, cv), (size_t)1)));
    void *y = empty(t, t->type, ny), *dx = numbers(t, nx, 8);
    struct kern_bn bn = { .mean = mean, .var = var };
    struct kern_epilogue sums = { .bn = &bn };
    struct kern_epilogue fold = {
        .scale = scale, .shift = shift, .residual = residual, .relu = true
    };
    DO(kern_conv_pack(t->kn, &(struct kern_conv_weights){ *cv, packed, w }, 1));
    DO(kern_conv_forward(t->kn, cv, y, x, packed, &sums));
    give(t, "output", t->type, y, ny);
    give(t, "mean", KERN_F32, mean, cv->k);
    give(t, "variance", KERN_F32, var, cv->k);
    DO(kern_conv_forward(t->kn, cv, y, x, packed, &fold));
    give(t, "output with batch norm", t->type, y, ny);
    DO(kern_conv_backward_data(t->kn, cv, dx, dy, packed, true));
    give(t, "input's gradient", t->type, dx, nx);
    DO(kern_conv_backward_weights(t->kn, cv, dw, x, dy));
    give(t, "weights' gradient", KERN_F32, dw, nw);
}

static void case_conv3(struct trial *t)
{
    struct kern_conv cv = {
        t->type, 2, 9, 7, 16, 24, 3, 3, .stride = 1, .pad_top = 1, .pad_left = 1, .oh = 9, .ow = 7
    };
    convolve(t, &cv);
}

static void case_conv1(struct trial *t)
{
    struct kern_conv cv = { t->type, 3, 8, 8, 32, 40, 1, 1, .stride = 2, .oh = 4, .ow = 4 };
    convolve(t, &cv);
}

static void case_stem(struct trial *t)
{
    struct kern_conv cv = {
        t->type, 2, 18, 18, 3, 16, 7, 7, .stride = 2, .pad_top = 2, .pad_left = 2, .oh = 9, .ow = 9
    };
    convolve(t, &cv);
}

static void case_norm(struct trial *t)
{
    enum { ROWS = 70, C = 24, N = ROWS * C };
    void *x = numbers(t, N, 1), *residual = numbers(t, N, 2), *dy = numbers(t, N, 3);
    void *y = empty(t, t->type, N), *dx = empty(t, t->type, N), *dresidual = numbers(t, N, 4);
    float *mean = empty(t, KERN_F32, C), *var = empty(t, KERN_F32, C);
    float *scale = empty(t, KERN_F32, C), *shift = empty(t, KERN_F32, C);
    float *rstd = empty(t, KERN_F32, C), *gamma = positive(t, C, 5), *beta = floats(t, C, 6);
    float *run_mean = floats(t, C, 7), *run_var = positive(t, C, 8), *weight = positive(t, 1, 9);
    float *dgamma = floats(t, C, 10), *dbeta = floats(t, C, 11);
    uint8_t *above = empty(t, KERN_F32, kern_above_bytes(N) / sizeof(float));
    struct kern_bn_forward f = { .type = t->type,
                                 .rows = ROWS,
                                 .c = C,
                                 .relu = true,
                                 .y = y,
                                 .x = x,
                                 .residual = residual,
                                 .scale = scale,
                                 .shift = shift,
                                 .above = above };
    struct kern_bn_backward b = { .type = t->type,
                                  .rows = ROWS,
                                  .c = C,
                                  .relu = true,
                                  .residual_add = true,
                                  .dx = dx,
                                  .dresidual = dresidual,
                                  .dy = dy,
                                  .x = x,
                                  .above = above,
                                  .dgamma = dgamma,
                                  .dbeta = dbeta,
                                  .mean = mean,
                                  .rstd = rstd,
                                  .gamma = gamma };
    struct kern_bn bn = {
        mean, var, gamma, beta, scale, shift, rstd, run_mean, run_var, weight, 1
    };
    DO(kern_bn_stats(t->kn, t->type, &bn, x, ROWS, C));
    DO(kern_bn_forward(t->kn, &f));
    give(t, "mean", KERN_F32, mean, C);
    give(t, "variance", KERN_F32, var, C);
    give(t, "running mean", KERN_F32, run_mean, C);
    give(t, "running variance", KERN_F32, run_var, C);
    give(t, "output", t->type, y, N);
    DO(kern_bn_backward(t->kn, &b));
    give(t, "input's gradient", t->type, dx, N);
    give(t, "residual's gradient", t->type, dresidual, N);
    give(t, "scale's gradient", KERN_F32, dgamma, C);
    give(t, "shift's gradient", KERN_F32, dbeta, C);
}

static void case_pool(struct trial *t)
{
    enum { N = 2, H = 9, W = 8, C = 16, IN = N * H * W * C, OUT = N * 5 * 4 * C };
    struct kern_maxpool mp = { t->type, N, H, W, C, 3, 2, 1, 1, .oh = 5, .ow = 4 };
    struct kern_avgpool2 ap = { t->type, N, H, W, C, 2 };
    void *x = numbers(t, IN, 1), *dy = numbers(t, OUT, 2), *y = empty(t, t->type, OUT);
    void *dx = empty(t, t->type, IN);
    float *mean = empty(t, KERN_F32, N * C), *dmean = floats(t, N * C, 3);
    DO(kern_maxpool_forward(t->kn, &mp, y, x));
    give(t, "maxima", t->type, y, OUT);
    DO(kern_maxpool_backward(t->kn, &mp, dx, dy, x, y));
    give(t, "maxima's gradient", t->type, dx, IN);
    DO(kern_avgpool_forward(t->kn, t->type, mean, x, N, (size_t)H * W, C));
    give(t, "means", KERN_F32, mean, N * C);
    DO(kern_avgpool_backward(t->kn, t->type, dx, dmean, N, (size_t)H * W, C));
    give(t, "means' gradient", t->type, dx, IN);
    DO(kern_avgpool2_forward(t->kn, &ap, y, x));
    give(t, "means of 2 x 2", t->type, y, OUT);
    DO(kern_avgpool2_backward(t->kn, &ap, dx, dy));
    give(t, "their gradient", t->type, dx, IN);
}

static void case_sk(struct trial *t)
{
    enum { N = 2, CELLS = 12, M = 16, U = N * CELLS * 2 * M };
    struct kern_sk sk = { t->type, N, CELLS, M };
    void *u = numbers(t, U, 1), *v = empty(t, t->type, U / 2), *dv = numbers(t, U / 2, 2);
    void *du = empty(t, t->type, U);
    float *s = empty(t, KERN_F32, N * M), *ds = floats(t, N * M, 3);
    float *z = floats(t, N * 2 * M, 4), *dz = empty(t, KERN_F32, N * 2 * M);
    DO(kern_sk_squeeze_forward(t->kn, &sk, s, u));
    give(t, "squeezed", KERN_F32, s, N * M);
    DO(kern_sk_select_forward(t->kn, &sk, v, u, z));
    give(t, "selected", t->type, v, U / 2);
    DO(kern_sk_select_backward(t->kn, &sk, du, dz, dv, u, z));
    DO(kern_sk_squeeze_backward(t->kn, &sk, du, ds));
    give(t, "input's gradient", t->type, du, U);
    give(t, "scores' gradient", KERN_F32, dz, N * 2 * M);
}

static void case_dense(struct trial *t)
{
    enum { M = 17, N = 40, K = 65 };
    static const char *const names[] = { "a b", "a b'", "a' b", "a' b'" };
    float *a = floats(t, (size_t)M * K, 1), *b = floats(t, (size_t)K * N, 2);
    float *bias = floats(t, N, 3), *dbias = floats(t, N, 4);
    float *c = floats(t, (size_t)M * N, 5);
    for (int i = 0; i < 4; i++) {
        DO(kern_gemm(t->kn, i & 2, i & 1, M, N, K, 0.5f, a, b, 0.25f, c));
        give(t, names[i], KERN_F32, c, (size_t)M * N);
    }
    DO(kern_bias_forward(t->kn, c, bias, M, N));
    give(t, "with bias", KERN_F32, c, (size_t)M * N);
    DO(kern_bias_backward(t->kn, dbias, c, M, N));
    give(t, "bias' gradient", KERN_F32, dbias, N);
}

static void case_unit(struct trial *t)
{
    enum { N = 9, D = 100 };
    static const int32_t from[N] = { 3, 1, 8, 0, 2, 7, 7, 5, 4 };
    static const int32_t to[N] = { 0, 2, -1, 4, 5, 6, 7, 8, 1 };
    float *u = floats(t, N * D, 1), *dy = floats(t, N * D, 2), *y = empty(t, KERN_F32, N * D);
    float *r = empty(t, KERN_F32, N), *du = empty(t, KERN_F32, N * D);
    float *rows = floats(t, N * D, 3);
    int32_t *src = put(t, from, sizeof from), *dst = put(t, to, sizeof to);
    DO(kern_l2norm_forward(t->kn, y, r, u, N, D));
    give(t, "rows", KERN_F32, y, N * D);
    give(t, "factors", KERN_F32, r, N);
    DO(kern_l2norm_backward(t->kn, du, dy, y, r, N, D));
    give(t, "gradient", KERN_F32, du, N * D);
    DO(kern_copy_rows(t->kn, rows, dst, u, src, N, D));
    give(t, "copies", KERN_F32, rows, N * D);
}

static void case_loss(struct trial *t)
{
    enum { N = 8, D = 40, NE = 3, P = N * (1 + NE) };
    static const int32_t negatives[N * NE] = { 1, 2, 3, 0, 2, -1, 4, 5, 6, 7, 0, 1,
                                               3, 3, 2, 6, 7, 0,  1, 2, 4, 5, 6, 0 };
    static const int32_t positives[N] = { 4, -1, 0, 2, 2, 7, 1, 3 };
    float *u = floats(t, N * D, 1), *v = floats(t, N * D, 2), *r = empty(t, KERN_F32, N);
    float *o = empty(t, KERN_F32, N * D), *tg = empty(t, KERN_F32, N * D);
    float *p = empty(t, KERN_F32, P), *q = empty(t, KERN_F32, P), *g = empty(t, KERN_F32, P);
    float *loss = empty(t, KERN_F32, N), *grad = empty(t, KERN_F32, N * D);
    float *weight = positive(t, 1, 3);
    int32_t *neg = put(t, negatives, sizeof negatives), *pos = put(t, positives, sizeof positives);
    struct kern_contrast ct = {
        .n = N, .d = D, .ne = NE, .tau = 0.2f, .o = o, .t = tg, .bank = tg, .pos = pos, .neg = neg
    };
    DO(kern_l2norm_forward(t->kn, o, r, u, N, D));
    DO(kern_l2norm_forward(t->kn, tg, r, v, N, D));
    DO(kern_contrast_forward(t->kn, &ct, p, loss));
    give(t, "probabilities", KERN_F32, p, P);
    give(t, "losses", KERN_F32, loss, N);
    DO(kern_contrast_grad(t->kn, g, p, pos, weight, N, NE));
    ct.target_anchored = true;
    DO(kern_contrast_forward(t->kn, &ct, q, loss));
    give(t, "probabilities from targets", KERN_F32, q, P);
    DO(kern_kl(t->kn, loss, g, p, q, pos, weight, N, NE));
    give(t, "divergences", KERN_F32, loss, N);
    give(t, "scores' gradient", KERN_F32, g, P);
    ct.target_anchored = false;
    DO(kern_contrast_backward(t->kn, &ct, grad, g));
    give(t, "gradient", KERN_F32, grad, N * D);
}

static void case_votes(struct trial *t)
{
    enum { N = 4, K = 3, SLOTS = 6, COUNT = 2 };
    static const int32_t slots[N * K] = { 0, 1, 2, 5, 4, -1, 3, 3, 1, -1, -1, -1 };
    static const int32_t labels[SLOTS] = { 2, 0, 2, 1, 1, 0 }, given[N] = { -1, 1, -1, -1 };
    static const int32_t starts[4] = { 0, 2, 4, 6 }, by_class[SLOTS] = { 1, 5, 3, 4, 0, 2 };
    static const int64_t steps[1] = { 12 };
    static const uint64_t ids[N] = { 11, 22, 33, 44 };
    static const uint32_t keys[2] = { 0, 3 };
    static const double wholes[COUNT] = { 0.5, 0 }, parts[COUNT] = { 0, 2 };
    int32_t *slot = put(t, slots, sizeof slots), *label = put(t, labels, sizeof labels);
    int32_t *ballot = empty(t, KERN_F32, N * K), *winner = empty(t, KERN_F32, N);
    int32_t *fill = put(t, given, sizeof given), *start = put(t, starts, sizeof starts);
    int32_t *members = put(t, by_class, sizeof by_class), *pos = empty(t, KERN_F32, N * 4);
    float *sim = floats(t, N * K, 1), *cosine = empty(t, KERN_F32, N * K);
    float *share = empty(t, KERN_F32, N), *weight = empty(t, KERN_F32, COUNT);
    int64_t *step = put(t, steps, sizeof steps);
    uint64_t *id = put(t, ids, sizeof ids);
    uint32_t *key = put(t, keys, sizeof keys);
    double *whole = put(t, wholes, sizeof wholes), *part = put(t, parts, sizeof parts);
    struct kern_vote v = { .n = N,
                           .k = K,
                           .searches = 1,
                           .slot = slot,
                           .sim = sim,
                           .slot_label = label,
                           .by_similarity = true,
                           .seed = SEED,
                           .stride = 1,
                           .step = step,
                           .id = id };
    struct kern_positives ps = { N, 2, 2, SEED, step, key, winner, start, members };
    struct kern_weights w = {
        .n = N, .count = COUNT, .pos = pos, .whole = whole, .part = part, .share = 0.5
    };
    DO(kern_vote(t->kn, &v, ballot, cosine, winner, share, fill));
    give_ints(t, "ballots", ballot, N * K);
    give_ints(t, "winners", winner, N);
    give_ints(t, "labels filled in", fill, N);
    give(t, "shares", KERN_F32, share, N);
    DO(kern_positives(t->kn, &ps, pos));
    give_ints(t, "positives", pos, N * 4);
    DO(kern_weights(t->kn, &w, weight));
    give(t, "weights", KERN_F32, weight, COUNT);
}

static void case_knn(struct trial *t)
{
    enum { N = 5, M = 300, D = 40, K = 7 };
    float *query = floats(t, N * D, 1), *bank = floats(t, (size_t)M * D, 2);
    int32_t *idx = empty(t, KERN_F32, N * K);
    float *sim = empty(t, KERN_F32, N * K);
    struct kern_knn q = { .n = N, .m = M, .d = D, .k = K, .query = query, .bank = bank };
    DO(kern_knn(t->kn, &q, idx, sim));
    give_ints(t, "neighbours", idx, N * K);
    give(t, "similarities", KERN_F32, sim, N * K);
}

static void case_update(struct trial *t)
{
    enum { N = 200, TARGET = 150 };
    static const struct kern_segment seg[] = { { 0, 100, false },
                                               { 112, 38, true },
                                               { 150, 50, false } };
    static const char *const names[][3] = {
        { "weights (LARS)", "momentum (LARS)", "target (LARS)" },
        { "weights (SGD)", "momentum (SGD)", "target (SGD)" },
        { "weights (AdamW)", "momentum (AdamW)", "target (AdamW)" }
    };
    float *grad = floats(t, N, 1);
    for (enum kern_rule rule = KERN_LARS; rule <= KERN_ADAMW; rule++) {
        float *w = floats(t, N, 2), *v = floats(t, N, 3), *s = positive(t, N, 4);
        float *xi = floats(t, TARGET, 5);
        struct kern_update u = { .rule = rule,
                                 .lr = 0.1f,
                                 .mu = 0.9f,
                                 .eta = 0.1f,
                                 .wd = 0.01f,
                                 .gamma = 0.9f,
                                 .beta2 = 0.99,
                                 .t = 3,
                                 .w = w,
                                 .v = v,
                                 .s = s,
                                 .xi = xi,
                                 .grad = grad,
                                 .grad_factor = 1,
                                 .ntarget = TARGET,
                                 .seg = seg,
                                 .nseg = ARRAY_LEN(seg) };
        DO(kern_update(t->kn, &u));
        give(t, names[rule][0], KERN_F32, w, N);
        give(t, names[rule][1], KERN_F32, v, N);
        give(t, names[rule][2], KERN_F32, xi, TARGET);
    }
    double norm = 0;
    DO(kern_norm(t->kn, &norm, grad, N));
    float *to = grow(t, "norm", 1, 1e-6);
    if (to)
        *to = (float)norm;
}

static void case_views(struct trial *t)
{
    enum { H = 24, W = 30, EACH = 2 };
    const size_t side[EACH] = { 16, 12 };
    uint8_t rgb[H * W * 3];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(128 + 100 * sin(0.02 * (double)(i % 1000)) + (double)(i % 17));
    const struct kern_picture picture = { .rgb = rgb, .h = H, .w = W };
    const struct kern_view view[EACH] = {
        { .top = 3,
          .left = 2,
          .height = 20,
          .width = 25,
          .flip = true,
          .jitter = true,
          .order = { 2, 0, 3, 1 },
          .brightness = 0.1f,
          .contrast = 1.2f,
          .saturation = 0.8f,
          .hue = 0.05f,
          .sigma = 1.1f },
        { .height = H, .width = W, .grey = true, .solarise = true },
    };
    void *out[EACH];
    for (int j = 0; j < EACH; j++)
        out[j] = empty(t, t->type, side[j] * side[j] * 3);
    const struct kern_views all = {
        t->type, 1, EACH, &picture, view, side, out, { 0.5f, 0.4f, 0.3f }, { 0.2f, 0.25f, 0.3f }
    };
    DO(kern_augment(t->kn, &all));
    for (int j = 0; j < EACH; j++)
        give(t, j == 0 ? "a view" : "another view", t->type, out[j], side[j] * side[j] * 3);
}

/* The weights of a network, drawn. */
static float *draw_weights(struct trial *t, const struct net *net)
{
    float *w = mem_alloc(net->floats, sizeof *w, "a self-test"), *dev = NULL;
    for (int i = 0; w && i < net->nparams; i++) {
        const struct net_param *q = &net->param[i];
        struct rng r;
        rng_init(&r, SEED, RNG_TEST, 1, (uint64_t)i, 0);
        for (size_t j = 0; j < q->count; j++)
            w[q->offset + j] = q->fan_in ? rng_normal2(&r) / sqrtf((float)q->fan_in)
                                         : q->constant + 0.1f * rng_normal2(&r);
    }
    if (w)
        dev = put(t, w, net->floats * sizeof *w);
    else
        t->rc = -ENOMEM;
    free(w);
    return dev;
}

/* Forwards and backwards through an encoder. Here ReLUs are decided by what the device computed, so
 * that a rounding may turn some, and with it much of a number that is a sum of random signs: what
 * is allowed is for all numbers together. */
static void case_network(struct trial *t)
{
    enum { N = 4, SIDE = 16 };
    struct settings set;
    struct net net = { 0 };
    struct net_weights w = { 0 };
    struct net_pass *pass = NULL;
    const float *out = NULL;
    settings_preset(&set, 1);
    set.encoder = 0; /* tiny */
    DO(encoder_build(&net, &set, SIDE));
    if (t->rc < 0)
        return;
    net.type = t->type;
    size_t features = net_outputs(&net);
    void *x = numbers(t, (size_t)N * SIDE * SIDE * 3, 1);
    float *dout = floats(t, N * features, 2), *grad = empty(t, KERN_F32, net.floats);
    w.param = draw_weights(t, &net);
    DO(net_pack(t->kn, &net, &w));
    DO(net_pass_open(&pass, t->kn, &net, N, 1, true));
    DO(net_forward(pass, &w, x, NULL, &out));
    double most = t->type == KERN_F32 ? 0.01 : 0.5;
    give_within(t, "features", KERN_F32, out, N * features, most, true);
    DO(net_backward(pass, &w, dout, grad, NULL));
    for (int i = 0; i < net.nparams && t->rc == 0; i++)
        if (i == 0 || i == net.nparams - 1)
            give_within(t, i ? "last layer's gradient" : "first layer's gradient", KERN_F32,
                        grad + net.param[i].offset, net.param[i].count, most, true);
    net_pass_close(pass);
    net_unpack(t->kn, &net, &w);
    net_release(&net);
}

const struct selftest_case selftest_cases[] = {
    { "convolution 3 x 3", true, case_conv3 },
    { "convolution 1 x 1", true, case_conv1 },
    { "convolution 7 x 7", true, case_stem },
    { "batch norm", true, case_norm },
    { "pooling", true, case_pool },
    { "selective kernels", true, case_sk },
    { "matrix products", false, case_dense },
    { "unit length", false, case_unit },
    { "contrastive loss", false, case_loss },
    { "votes and positives", false, case_votes },
    { "neighbours", false, case_knn },
    { "optimisers", false, case_update },
    { "views", true, case_views },
    { "an encoder", true, case_network },
    { NULL, false, NULL },
};
