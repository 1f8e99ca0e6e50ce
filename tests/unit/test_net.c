/*
 * test_net.c - networks with all kinds of layers, forwards and backwards, against central finite
 * differences and against each other.
 */
#include "tests/t.h"
#include "common/base/rng.h"
#include "common/model/encoder.h"
#include "kernels/ops.h"
#include <errno.h>
#include <string.h>

#define N 4     /* pictures */
#define SIDE 13 /* of the input */

/* A network with its numbers in place, on one device. */
struct rig {
    struct pool *pool;
    struct kern *kn;
    struct net net;
    struct net_weights w;
    float *grad, *x, *dx, *dout;
    size_t nx, nout;
};

static void fill(float *x, size_t n, uint64_t id)
{
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, id, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = rng_normal(&r);
}

/* The definitions (ref), or what the machine has, as far as SEMPPL_ISA lets it. */
static void rig_open(struct rig *g, bool ref, int threads)
{
    static char wish[32];
    const char *given = getenv("SEMPPL_ISA");
    if (!*wish)
        snprintf(wish, sizeof wish, "%s", given ? given : "best");
    setenv("SEMPPL_ISA", ref ? "ref" : wish, 1); /* an unknown word is ignored */
    if (pool_open(&g->pool, threads) < 0 || kern_open(&g->kn, g->pool) < 0)
        exit(1);
}

/* Memory, random weights, inputs and output gradients for the net that was built. */
static void rig_fill(struct rig *g)
{
    const struct net_tensor *in = &g->net.tensor[0];
    g->nx = N * in->h * in->w * in->c;
    g->nout = N * net_outputs(&g->net);
    g->w.param = kern_alloc(g->kn, g->net.floats * sizeof(float));
    g->w.running = kern_alloc(g->kn, g->net.stat_floats * sizeof(float));
    g->grad = kern_alloc(g->kn, g->net.floats * sizeof(float));
    g->x = kern_alloc(g->kn, g->nx * sizeof(float));
    g->dx = kern_alloc(g->kn, g->nx * sizeof(float));
    g->dout = kern_alloc(g->kn, g->nout * sizeof(float));
    fill(g->x, g->nx, 1000);
    fill(g->dout, g->nout, 1001);
    for (int p = 0; p < g->net.nparams; p++) {
        const struct net_param *q = &g->net.param[p];
        float *at = g->w.param + q->offset;
        fill(at, q->count, (uint64_t)p);
        for (size_t i = 0; i < q->count; i++)
            at[i] = q->fan_in ? at[i] / sqrtf((float)q->fan_in) : q->constant + 0.3f * at[i];
    }
    if (net_pack(g->kn, &g->net, &g->w) < 0)
        exit(1);
}

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

static void rig_close(struct rig *g)
{
    net_unpack(g->kn, &g->net, &g->w);
    kern_free(g->kn, g->w.param);
    kern_free(g->kn, g->w.running);
    kern_free(g->kn, g->grad);
    kern_free(g->kn, g->x);
    kern_free(g->kn, g->dx);
    kern_free(g->kn, g->dout);
    net_release(&g->net);
    kern_close(g->kn);
    pool_close(g->pool);
    *g = (struct rig){ 0 };
}

/* Stem, max-pool, a block with identity, a bottleneck with projection, average pool. The input is a
 * residual too, and d is read as residual, by the layer that adds it, and later. */
static void build_trunk(struct net *net, bool same)
{
    net_init(net, "trunk", KERN_F32, SIDE, SIDE, 3);
    int a = net_add_conv(net, 0, "a", 3, 3, 1, same, "a_bn", 1, 0, true);
    int b = net_add_conv(net, a, "b", 6, 7, 2, same, "b_bn", 1, -1, true);
    int c = net_add_maxpool(net, b, 3, 2, same);
    int d = net_add_conv(net, c, "d", 6, 3, 1, same, "d_bn", 1, -1, true);
    d = net_add_conv(net, d, "e", 6, 3, 1, same, "e_bn", 1, c, true);
    int m = net_add_conv(net, d, "m", 6, 3, 1, same, "m_bn", 1, d, true);
    int f = net_add_conv(net, m, "f", 5, 1, 1, same, "f_bn", 1, -1, true);
    f = net_add_conv(net, f, "g", 5, 3, 2, same, "g_bn", 1, -1, true);
    int s = net_add_conv(net, d, "h", 9, 1, 2, same, "h_bn", 1, -1, false);
    f = net_add_conv(net, f, "i", 9, 1, 1, same, "i_bn", 1, s, true);
    f = net_add_conv(net, f, "j", 7, 3, 1, same, NULL, 1, -1, false);
    if (net_add_avgpool(net, f) < 0)
        exit(1);
}

/* A bottleneck with selective kernels and ResNet-D's shortcut. */
static int add_sk_block(struct net *net, int in, size_t stride, bool same)
{
    int m = net_add_conv(net, in, "f", 5, 1, 1, same, "f_bn", 1, -1, true);
    int u = net_add_conv(net, m, "u", 10, 3, stride, same, "u_bn", 1, -1, true);
    int z = net_add_sk_squeeze(net, u);
    z = net_add_linear(net, z, "z", 7, false, "z_bn", true);
    z = net_add_linear(net, z, "y", 10, false, NULL, false);
    int v = net_add_sk_select(net, u, z);
    int s = net_add_avgpool2(net, in, stride);
    s = net_add_conv(net, s, "s", 6, 1, 1, same, "s_bn", 1, -1, false);
    return net_add_conv(net, v, "v", 6, 1, 1, same, "v_bn", 1, s, true);
}

static void build_sk(struct net *net, bool same)
{
    net_init(net, "sk", KERN_F32, SIDE, SIDE, 3);
    int a = net_add_conv(net, 0, "a", 4, 3, 1, same, "a_bn", 1, -1, true);
    a = add_sk_block(net, a, 2, same);
    a = add_sk_block(net, a, 1, same);
    if (net_add_avgpool(net, a) < 0)
        exit(1);
}

static double loss(struct rig *g)
{
    struct net_pass *p;
    const float *out;
    double sum = 0;
    if (net_pack(g->kn, &g->net, &g->w) < 0 || net_pass_open(&p, g->kn, &g->net, N, false) < 0 ||
        net_forward(p, &g->w, g->x, NULL, &out) < 0)
        exit(1);
    for (size_t i = 0; i < g->nout; i++)
        sum += (double)out[i] * g->dout[i];
    net_pass_close(p);
    return sum;
}

/* One way through and back with dx; the pass stays open. */
static struct net_pass *there_and_back(struct rig *g, const float *weight, const float **out)
{
    struct net_pass *p;
    memset(g->grad, 0, g->net.floats * sizeof(float));
    if (net_pass_open(&p, g->kn, &g->net, N, true) < 0 ||
        net_forward(p, &g->w, g->x, weight, out) < 0 ||
        net_backward(p, &g->w, g->dout, g->grad, g->dx) < 0)
        exit(1);
    return p;
}

/*
 * The derivative along a random direction of unit length through count numbers at, which the loss
 * depends on. A ReLU or a maximum may change sides within a step, hardly within all of three; the
 * shortest one is long enough for float32.
 */
static void slope(struct rig *g, float *at, const float *grad, size_t count, const char *what)
{
    enum { MAX_COUNT = 4096 };
    static float dir[MAX_COUNT], was[MAX_COUNT];
    double got = 0, norm = 0, length = 0, best = INFINITY;
    if (count > MAX_COUNT)
        exit(1);
    fill(dir, count, 2000 + count);
    memcpy(was, at, count * sizeof *at);
    for (size_t i = 0; i < count; i++)
        length += (double)dir[i] * dir[i];
    for (size_t i = 0; i < count; i++) {
        dir[i] /= (float)sqrt(length);
        got += (double)grad[i] * dir[i];
        norm += (double)grad[i] * grad[i];
    }
    float step = 9e-3f;
    for (int attempt = 0; attempt < 3; attempt++) {
        step /= 3;
        double side[2];
        for (int k = 0; k < 2; k++) {
            for (size_t i = 0; i < count; i++)
                at[i] = was[i] + (k ? step : -step) * dir[i];
            side[k] = loss(g);
        }
        double want = (side[1] - side[0]) / (2 * (double)step);
        best = fabs(want - got) < fabs(best - got) ? want : best;
    }
    memcpy(at, was, count * sizeof *at);
    near(got, best, 0.12 * sqrt(norm / (double)count) + 3e-3, "%s: gradient of %s", g->net.part,
         what);
}

static void gradients(struct rig *g)
{
    const float *out;
    struct net_pass *p = there_and_back(g, NULL, &out);
    for (int i = 0; i < g->net.nparams; i++) {
        const struct net_param *q = &g->net.param[i];
        slope(g, g->w.param + q->offset, g->grad + q->offset, q->count, q->name);
    }
    slope(g, g->x, g->dx, g->nx, "the input");
    net_pass_close(p);
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
    net_pass_open(&q, g->kn, &g->net, N, false);
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
    net_pass_open(&q, g->kn, &g->net, N, true);
    net_forward(q, &g->w, x2, NULL, &out);
    net_backward(p, &g->w, g->dout, g->grad, NULL);
    ok(memcmp(alone, g->grad, g->net.floats * sizeof *alone) == 0,
       "%s: another view in between changes nothing", g->net.part);
    net_pass_close(q);
    net_pass_close(p);
    free(alone);
    free(x2);
}

static void check_all(struct rig *g)
{
    gradients(g);
    agreements(g);
    two_views(g);
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
    size_t backward, forward, kept = net_pass_bytes(&net, 8, true, &backward);
    size_t lean = net_pass_bytes(&net, 8, false, &forward),
           plane = 8 * 32 * 32 * 64 * sizeof(float);
    ok(lean + forward < 4 * plane, "a pass that is not kept has room for three activations (%zu)",
       lean + forward);
    ok(backward < 4 * plane, "so has the scratch of the backward pass (%zu)", backward);
    ok(kept > 20 * plane / 2, "a kept pass keeps them all (%zu)", kept);
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
    return done();
}
