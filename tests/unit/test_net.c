/*
 * test_net.c - networks with all kinds of layers, forwards and backwards, against each other. Their
 * gradients are compared with finite differences in tests/double/.
 */
#include "kernels/ops.h"
#include "tests/unit/net_data.h"
#include <errno.h>

/* From now on its activations are bfloat16; x: its input in float32. So are its weights, which only
 * some instruction sets round. */
static void rig_bfloat16(struct rig *g, const float *x)
{
    g->net.type = KERN_BF16;
    net_unpack(g->kn, &g->net, &g->w);
    for (size_t i = 0; i < g->nx; i++)
        kern_store(KERN_BF16, g->x, i, x[i]);
    for (size_t i = 0; i < g->net.floats; i++) {
        uint16_t rounded;
        kern_store(KERN_BF16, &rounded, 0, g->w.param[i]);
        g->w.param[i] = kern_load(KERN_BF16, &rounded, 0);
    }
    if (net_pack(g->kn, &g->net, &g->w) < 0)
        exit(1);
}

static double distance(const float *a, const float *b, size_t n)
{
    double far = 0;
    for (size_t i = 0; i < n; i++)
        far = fmax(far, fabs((double)a[i] - b[i]));
    return far;
}

/* A pass without keep, inference and a second backward, all against one kept pass. */
static void agreements(struct rig *g)
{
    const float *out, *other;
    const char *what = g->net.part;
    struct net_pass *p = there_and_back(g, &(float){ 1 }, &out), *q;
    net_pass_open(&q, g->kn, &g->net, N, 1, false);
    net_forward(q, &g->w, g->x, NULL, &other);
    ok(memcmp(out, other, g->nout * sizeof *out) == 0, "%s: a pass that is not kept agrees", what);
    net_pass_close(q);

    struct net_infer *inf;
    net_infer_open(&inf, g->kn, &g->net, &g->w, N);
    net_infer_run(inf, g->x, N, &other);
    near(distance(out, other, g->nout), 0, 1e-4,
         "%s: inference agrees when statistics are the batch's", what);
    net_infer_run(inf, g->x, 1, &other);
    near(distance(out, other, g->nout / N), 0, 1e-4, "%s: so does a smaller batch", what);
    ok(net_infer_run(inf, g->x, N + 1, &other) == -EINVAL, "%s: too large a batch is refused",
       what);
    net_infer_close(inf);

    float *once = malloc(g->net.floats * sizeof *once);
    memcpy(once, g->grad, g->net.floats * sizeof *once);
    net_backward(p, &g->w, g->dout, g->grad, NULL);
    for (size_t i = 0; i < g->net.floats; i++)
        once[i] *= 2;
    near(distance(once, g->grad, g->net.floats), 0, 1e-3, "%s: gradients are added to", what);
    free(once);
    net_pass_close(p);
}

/* Views that are alive at once do not disturb each other. */
static void two_views(struct rig *g)
{
    const float *out;
    struct net_pass *p = there_and_back(g, NULL, &out), *q;
    float *alone = malloc(g->net.floats * sizeof *alone), *x2 = malloc(g->nx * sizeof *x2);
    memcpy(alone, g->grad, g->net.floats * sizeof *alone);
    fill(x2, g->nx, 1002);
    memset(g->grad, 0, g->net.floats * sizeof(float));
    net_forward(p, &g->w, g->x, NULL, &out);
    net_pass_open(&q, g->kn, &g->net, N, 1, true);
    net_forward(q, &g->w, x2, NULL, &out);
    net_backward(p, &g->w, g->dout, g->grad, NULL);
    ok(memcmp(alone, g->grad, g->net.floats * sizeof *alone) == 0,
       "%s: another view in between changes nothing", g->net.part);
    net_pass_close(q);
    net_pass_close(p);
    free(alone);
    free(x2);
}

/* Views that pass at once: as one after another. The rig's statistics are moved. */
static void at_once(struct rig *g)
{
    enum { VIEWS = 2 };
    const float weight[VIEWS] = { 1, 0.25f }, *out, *both;
    size_t nstat = g->net.stat_floats, floats = g->net.floats;
    float *x = malloc(VIEWS * g->nx * sizeof *x), *dout = malloc(VIEWS * g->nout * sizeof *dout);
    float *apart = malloc(VIEWS * g->nout * sizeof *apart), *grad = calloc(floats, sizeof *grad);
    float *before = malloc(nstat * sizeof *before), *run = malloc(nstat * sizeof *run);
    struct net_pass *p;
    fill(x, VIEWS * g->nx, 1003);
    fill(dout, VIEWS * g->nout, 1004);
    for (size_t i = g->nx; i < VIEWS * g->nx; i++) /* another mean and deviation */
        x[i] = 2 * x[i] + 1;
    memcpy(before, g->w.running, nstat * sizeof *before);
    net_pass_open(&p, g->kn, &g->net, N, 1, true);
    for (size_t v = 0; v < VIEWS; v++) {
        net_forward(p, &g->w, x + v * g->nx, &weight[v], &out);
        memcpy(apart + v * g->nout, out, g->nout * sizeof *out);
        net_backward(p, &g->w, dout + v * g->nout, grad, NULL);
    }
    net_pass_close(p);
    memcpy(run, g->w.running, nstat * sizeof *run);
    memcpy(g->w.running, before, nstat * sizeof *run);
    memset(g->grad, 0, floats * sizeof(float));
    net_pass_open(&p, g->kn, &g->net, VIEWS * N, VIEWS, true);
    net_forward(p, &g->w, x, weight, &both);
    net_backward(p, &g->w, dout, g->grad, NULL);
    near(distance(both, apart, VIEWS * g->nout), 0, 1e-4, "%s: two views at once", g->net.part);
    near(distance(g->grad, grad, floats), 0, 2e-3, "%s: their gradient", g->net.part);
    near(distance(g->w.running, run, nstat), 0, 1e-4, "%s: and statistics", g->net.part);
    net_pass_close(p);
    free(x);
    free(dout);
    free(apart);
    free(grad);
    free(before);
    free(run);
}

static void check_all(struct rig *g)
{
    agreements(g);
    two_views(g);
    at_once(g);
}

/* The CPU's own kernels: near the definitions, and the same bits for any number of threads. */
static void backends(void (*build)(struct net *net, bool same))
{
    struct rig g[3] = { 0 };
    struct net_pass *p[3];
    const float *out[3];
    for (int i = 0; i < 3; i++) {
        rig_open(&g[i], i == 0, i == 2 ? 3 : 1);
        build(&g[i].net, true);
        rig_fill(&g[i]);
        p[i] = there_and_back(&g[i], &(float){ 0.1f }, &out[i]);
    }
    near(distance(out[0], out[1], g->nout), 0, 1e-4, "%s: output near the definition",
         kern_describe(g[1].kn));
    near(distance(g[0].grad, g[1].grad, g->net.floats), 0, 2e-3, "gradients near the definition");
    ok(memcmp(out[1], out[2], g->nout * sizeof **out) == 0 &&
           memcmp(g[1].grad, g[2].grad, g->net.floats * sizeof **out) == 0 &&
           memcmp(g[1].w.running, g[2].w.running, g->net.stat_floats * sizeof **out) == 0,
       "one thread and three give the same bits");
    for (int i = 0; i < 3; i++) {
        net_pass_close(p[i]);
        rig_close(&g[i]);
    }
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

/*
 * Activations of bfloat16: near those of float32, as far as 8 bits go, also on the tile unit. Of
 * gradients that is not so: a ReLU or maximum that changes sides takes its gradient along, for the
 * definitions as well. With theirs of bfloat16 they are compared.
 */
static void bfloat16(void (*build)(struct net *net, bool same))
{
    enum { F32, DEFINED, FAST, RIGS };
    struct rig g[RIGS] = { 0 };
    struct net_pass *p[RIGS];
    const float *out[RIGS];
    for (int i = 0; i < RIGS; i++) {
        rig_open(&g[i], i != FAST, 2);
        build(&g[i].net, true);
        rig_fill(&g[i]);
        if (i != F32)
            rig_bfloat16(&g[i], g[F32].x);
        p[i] = there_and_back(&g[i], &(float){ 0.1f }, &out[i]);
    }
    const char *name = kern_describe(g[FAST].kn);
    near(cosine(out[F32], out[FAST], g->nout), 1, 1e-3, "%s: output in bfloat16", name);
    near(cosine(g[DEFINED].grad, g[FAST].grad, g->net.floats), 1, 0.01, "and gradients");
    ok(distance(out[F32], out[FAST], g->nout) > 0, "it is another computation");
    for (int i = 0; i < RIGS; i++) {
        net_pass_close(p[i]);
        rig_close(&g[i]);
    }
}

/* Buffers that are alive together keep apart, and a chain needs only two or three at a time. */
static void memory(void)
{
    struct settings s;
    struct net net;
    settings_preset(&s, 1);
    encoder_build(&net, &s, 32);
    size_t backward, forward, kept = net_pass_bytes(&net, 8, 1, true, &backward);
    size_t lean = net_pass_bytes(&net, 8, 1, false, &forward),
           plane = 8 * 32 * 32 * 64 * sizeof(float);
    ok(lean + forward < 4 * plane, "a pass that is not kept has room for three activations (%zu)",
       lean + forward);
    ok(backward < 4 * plane, "so has the scratch of the backward pass (%zu)", backward);
    ok(kept > 20 * plane / 2, "a kept pass keeps them all (%zu)", kept);
    net_release(&net);
}

/* Of a residual's sum the gradient wants no more than a bit each, and of what a mean is made of,
 * nothing. */
static void memory_of_sums(void)
{
    struct net net;
    size_t shared, plane = N * 16 * 16 * 8 * sizeof(float), channels = 4 * 8 * sizeof(float);
    net_init(&net, "sums", KERN_F32, 16, 16, 8);
    int a = net_add_conv(&net, 0, "a", 8, 3, 1, false, "a_bn", 1, -1, true);
    int b = net_add_conv(&net, a, "b", 8, 3, 1, false, "b_bn", 1, a, true);
    net_add_avgpool(&net, b);
    size_t kept = net_pass_bytes(&net, N, 1, true, &shared);
    size_t result = N * 8 * sizeof(float);
    ok(kept == 3 * plane + plane / 32 + 2 * channels + result,
       "kept are two outputs and an input of convolutions, and bits (%zu)", kept);
    net_release(&net);
}

int main(void)
{
    void (*const build[])(struct net * net, bool same) = { build_trunk, build_sk };
    for (int k = 0; k < 2; k++) {
        for (int same = 0; same < 2; same++) {
            struct rig g = { 0 };
            rig_open(&g, true, 1);
            build[k](&g.net, same);
            rig_fill(&g);
            check_all(&g);
            rig_close(&g);
        }
        backends(build[k]);
        bfloat16(build[k]);
    }
    struct rig g = { 0 };
    rig_open(&g, true, 1);
    if (head_build(&g.net, "head", 11, 17, 6) < 0)
        return 1;
    rig_fill(&g);
    check_all(&g);
    rig_close(&g);
    memory();
    memory_of_sums();
    return done();
}
