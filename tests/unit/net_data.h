/*
 * net_data.h - what tests of networks begin with: networks with all kinds of layers, and random
 * numbers in place.
 */
#ifndef SEMPPL_NET_DATA_H
#define SEMPPL_NET_DATA_H

#include "common/base/rng.h"
#include "common/model/encoder.h"
#include "tests/t.h"
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

static inline void fill(float *x, size_t n, uint64_t id)
{
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, id, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = rng_normal(&r);
}

/* The definitions (ref), or what the machine has, as far as SEMPPL_ISA lets it. */
static inline void rig_open(struct rig *g, bool ref, int threads)
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
static inline void rig_fill(struct rig *g)
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

static inline void rig_close(struct rig *g)
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
static inline void build_trunk(struct net *net, bool same)
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
static inline int add_sk_block(struct net *net, int in, size_t stride, bool same)
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

static inline void build_sk(struct net *net, bool same)
{
    net_init(net, "sk", KERN_F32, SIDE, SIDE, 3);
    int a = net_add_conv(net, 0, "a", 4, 3, 1, same, "a_bn", 1, -1, true);
    a = add_sk_block(net, a, 2, same);
    a = add_sk_block(net, a, 1, same);
    if (net_add_avgpool(net, a) < 0)
        exit(1);
}

/* One way through and back with dx; the pass stays open. */
static inline struct net_pass *there_and_back(struct rig *g, const float *weight, const float **out)
{
    struct net_pass *p;
    memset(g->grad, 0, g->net.floats * sizeof(float));
    if (net_pass_open(&p, g->kn, &g->net, N, 1, true) < 0 ||
        net_forward(p, &g->w, g->x, weight, out) < 0 ||
        net_backward(p, &g->w, g->dout, g->grad, g->dx) < 0)
        exit(1);
    return p;
}

#endif
