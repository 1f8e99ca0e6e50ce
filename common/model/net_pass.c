/*
 * net_pass.c - the way of pictures through a network in training mode, and back.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/net_exec.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* -- opening and closing ---- */

static int scratch_join(struct net_scratch *s, struct kern *kn, const char *part, size_t bytes)
{
    assert(s->users == 0 || s->kn == kn); /* one device a net */
    s->kn = kn;
    if (bytes > s->bytes) {
        if (s->block)
            kern_free(kn, s->block);
        s->bytes = 0;
        s->block = kern_alloc(kn, bytes);
        if (!s->block)
            return fail(-ENOMEM, "%s: no memory for %zu bytes of scratch", part, bytes);
        s->bytes = bytes;
    }
    s->users++;
    return 0;
}

static void scratch_leave(struct net_scratch *s)
{
    if (--s->users > 0)
        return;
    kern_free(s->kn, s->block);
    *s = (struct net_scratch){ 0 };
}

int net_pass_open(struct net_pass **out, struct kern *kn, const struct net *net, size_t n,
                  size_t views, bool keep)
{
    *out = NULL;
    struct net_pass *p = mem_alloc(1, sizeof *p, "a pass");
    if (!p)
        return -ENOMEM;
    *p = (struct net_pass){ .kn = kn, .net = net, .n = n, .views = views, .keep = keep };
    int rc = net_lay_out(p);
    if (rc == 0) {
        p->own = kern_alloc(kn, p->own_bytes);
        if (!p->own)
            rc = fail(-ENOMEM, "%s: no memory for %zu bytes of activations", net->part,
                      p->own_bytes);
    }
    if (rc == 0)
        rc = scratch_join(net->scratch, kn, net->part, p->scratch_bytes);
    if (rc < 0) {
        if (p->own)
            kern_free(kn, p->own);
        net_lay_off(p);
        free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void net_pass_close(struct net_pass *p)
{
    if (!p)
        return;
    scratch_leave(p->net->scratch);
    kern_free(p->kn, p->own);
    net_lay_off(p);
    free(p);
}

/* -- forward ---- */

static void *activation(struct net_pass *p, int tensor)
{
    if (tensor < 0)
        return NULL;
    if (tensor == 0)
        return (void *)(uintptr_t)p->x; /* only read */
    return (p->act[tensor].own ? p->own : p->net->scratch->block) + p->act[tensor].offset;
}

static float *fold(struct net_pass *p, enum fold which)
{
    return (float *)(void *)(p->net->scratch->block + which * p->fold_each);
}

/* Batch norm's numbers of each view's channels, which the backward pass reads again. */
struct norm {
    float *mean, *rstd, *scale, *shift;
};

static struct norm norm_of(struct net_pass *p, int i)
{
    if (!p->keep)
        return (struct norm){ fold(p, FOLD_MEAN), fold(p, FOLD_RSTD), fold(p, FOLD_SCALE),
                              fold(p, FOLD_SHIFT) };
    float *kept = (float *)(void *)(p->own + p->stats[i]);
    size_t c = p->views * p->net->tensor[p->net->node[i].out].c;
    return (struct norm){ kept, kept + c, kept + 2 * c, kept + 3 * c };
}

/* The same for the kernels that fill them in; var is wanted no longer. */
static struct kern_bn bn_of(struct net_pass *p, const struct net_weights *w, int i,
                            const float *stat_weight)
{
    const struct net *net = p->net;
    const struct net_node *node = &net->node[i];
    struct norm k = norm_of(p, i);
    bool run = stat_weight && w->running;
    float *running = run ? w->running + net->stat[node->stat].offset : NULL;
    return (struct kern_bn){ .mean = k.mean,
                             .var = fold(p, FOLD_VAR),
                             .gamma = net_at(net, w->param, node->gamma),
                             .beta = net_at(net, w->param, node->beta),
                             .scale = k.scale,
                             .shift = k.shift,
                             .rstd = k.rstd,
                             .running_mean = running,
                             .running_var = running ? running + net->tensor[node->out].c : NULL,
                             .weight = stat_weight,
                             .groups = p->views };
}

/* Which sums with a residual were above 0; NULL where that is not kept, or told by raw. */
static uint8_t *above_of(struct net_pass *p, int i)
{
    const struct net_node *node = &p->net->node[i];
    return p->keep && node->relu && node->second >= 0 ? p->own + p->above[i] : NULL;
}

/* raw is normalised into the node's activation (which may be raw itself). */
static int batch_norm(struct net_pass *p, int i, const void *raw)
{
    const struct net *net = p->net;
    const struct net_node *node = &net->node[i];
    struct norm k = norm_of(p, i);
    struct kern_bn_forward f = { .type = net_tensor_type(net, node->out),
                                 .rows = net_tensor_rows(net, node->out, p->n / p->views),
                                 .c = net->tensor[node->out].c,
                                 .relu = node->relu,
                                 .y = activation(p, node->out),
                                 .x = raw,
                                 .residual = activation(p, node->second),
                                 .scale = k.scale,
                                 .shift = k.shift,
                                 .above = above_of(p, i),
                                 .groups = p->views };
    return kern_bn_forward(p->kn, &f);
}

static int node_forward(struct net_pass *p, const struct net_weights *w, int i,
                        const float *stat_weight)
{
    const struct net *net = p->net;
    const struct net_node *node = &net->node[i];
    void *y = activation(p, node->out), *x = activation(p, node->in);
    void *raw = p->keep && node->bn ? p->own + p->raw[i] : y;
    struct kern_bn bn = { 0 };
    bool summed = node->kind == NODE_CONV && p->views == 1; /* on its way to memory */
    int rc;
    if (node->bn)
        bn = bn_of(p, w, i, stat_weight);
    switch (node->kind) {
    case NODE_CONV: {
        struct kern_conv cv = net_conv(net, node, p->n);
        struct kern_epilogue ep = { .bn = node->bn && summed ? &bn : NULL };
        rc = kern_conv_forward(p->kn, &cv, raw, x, w->packed[i], &ep);
        break;
    }
    case NODE_LINEAR:
        rc = net_linear_forward(p->kn, net, w, node, raw, x, p->n);
        break;
    default:
        return net_plain_forward(p->kn, net, node, y, x, activation(p, node->second), p->n);
    }
    if (rc == 0 && node->bn && !summed)
        rc = kern_bn_stats(p->kn, net_tensor_type(net, node->out), &bn, raw,
                           net_tensor_rows(net, node->out, p->n / p->views),
                           net->tensor[node->out].c);
    return rc == 0 && node->bn ? batch_norm(p, i, raw) : rc;
}

int net_forward(struct net_pass *p, const struct net_weights *w, const void *x,
                const float *stat_weight, const float **out)
{
    p->x = x;
    for (int i = 0; i < p->net->nnodes; i++) {
        int rc = node_forward(p, w, i, stat_weight);
        if (rc < 0)
            return net_failed(p->net, i, "the forward pass", rc);
    }
    p->forward_done = true;
    *out = activation(p, p->net->node[p->net->nnodes - 1].out);
    return 0;
}

/* -- backward ---- */

static void *gradient(struct net_pass *p, int tensor, void *dx)
{
    return tensor == 0 ? dx : p->net->scratch->block + p->grad[tensor];
}

/* Through ReLU, residual and batch norm: dy becomes the gradient of the node's raw output. */
static int batch_norm_backward(struct net_pass *p, const struct net_weights *w, int i, void *dy,
                               float *grad, void *dx)
{
    const struct net *net = p->net;
    const struct net_node *node = &net->node[i];
    struct norm k = norm_of(p, i);
    struct kern_bn_backward b = { .type = net_tensor_type(net, node->out),
                                  .rows = net_tensor_rows(net, node->out, p->n / p->views),
                                  .c = net->tensor[node->out].c,
                                  .relu = node->relu,
                                  .dx = dy,
                                  .dy = dy,
                                  .x = p->own + p->raw[i],
                                  .above = above_of(p, i),
                                  .dgamma = net_at(net, grad, node->gamma),
                                  .dbeta = net_at(net, grad, node->beta),
                                  .mean = k.mean,
                                  .rstd = k.rstd,
                                  .gamma = net_at(net, w->param, node->gamma),
                                  .scale = k.scale,
                                  .shift = k.shift,
                                  .groups = p->views };
    if (node->second >= 0) {
        b.dresidual = gradient(p, node->second, dx); /* NULL for an input nobody asks about */
        b.residual_add = p->written[node->second];
        p->written[node->second] = true;
    }
    return kern_bn_backward(p->kn, &b);
}

static int linear_backward(struct net_pass *p, const struct net_weights *w,
                           const struct net_node *node, const float *dy, float *grad, float *dx,
                           bool add)
{
    const struct net *net = p->net;
    size_t in = net->tensor[node->in].c, out = net->tensor[node->out].c;
    int rc = kern_gemm(p->kn, true, false, out, in, p->n, 1, dy, activation(p, node->in), 1,
                       net_at(net, grad, node->weight));
    if (rc == 0 && node->bias >= 0)
        rc = kern_bias_backward(p->kn, net_at(net, grad, node->bias), dy, p->n, out);
    if (rc == 0 && dx)
        rc = kern_gemm(p->kn, false, false, p->n, in, out, 1, dy,
                       net_at(net, w->param, node->weight), add ? 1 : 0, dx);
    return rc;
}

static int conv_backward(struct net_pass *p, const struct net_weights *w, int i, const void *dy,
                         float *grad, void *dx, bool add)
{
    const struct net_node *node = &p->net->node[i];
    struct kern_conv cv = net_conv(p->net, node, p->n);
    int rc = kern_conv_backward_weights(p->kn, &cv, net_at(p->net, grad, node->weight),
                                        activation(p, node->in), dy);
    if (rc == 0 && dx)
        rc = kern_conv_backward_data(p->kn, &cv, dx, dy, w->packed[i], add);
    return rc;
}

/* Of a layer without weights, from dy of its output to din of its input. */
static int plain_backward(struct net_pass *p, const struct net_node *node, const void *dy,
                          void *din, void *dx, bool add)
{
    const struct net *net = p->net;
    const struct net_tensor *in = &net->tensor[node->in];
    struct kern_maxpool mp = net_maxpool(net, node, p->n);
    struct kern_avgpool2 ap = net_avgpool2(net, node, p->n);
    struct kern_sk sk = net_sk(net, node, p->n);
    assert(add == (node->kind == NODE_SK_SQUEEZE)); /* others' inputs are read by no later layer */
    if (!din)
        return 0;
    switch (node->kind) {
    case NODE_MAXPOOL:
        return kern_maxpool_backward(p->kn, &mp, din, dy, activation(p, node->in),
                                     activation(p, node->out));
    case NODE_AVGPOOL2:
        return kern_avgpool2_backward(p->kn, &ap, din, dy);
    case NODE_SK_SQUEEZE:
        return kern_sk_squeeze_backward(p->kn, &sk, din, dy);
    case NODE_SK_SELECT:
        p->written[node->second] = true;
        return kern_sk_select_backward(p->kn, &sk, din, gradient(p, node->second, dx), dy,
                                       activation(p, node->in), activation(p, node->second));
    default:
        return kern_avgpool_backward(p->kn, net_tensor_type(net, node->in), din, dy, p->n,
                                     in->h * in->w, in->c);
    }
}

static int node_backward(struct net_pass *p, const struct net_weights *w, int i, const float *dout,
                         float *grad, void *dx)
{
    const struct net *net = p->net;
    const struct net_node *node = &net->node[i];
    bool top = i == net->nnodes - 1;
    const void *dy = top ? dout : gradient(p, node->out, dx);
    void *din = gradient(p, node->in, dx);
    if (node->bn) {
        int rc = batch_norm_backward(p, w, i, gradient(p, node->out, dx), grad, dx);
        if (rc < 0)
            return rc;
    }
    bool add = p->written[node->in]; /* after the residual, which may be the same tensor */
    p->written[node->in] = true;
    switch (node->kind) {
    case NODE_CONV:
        return conv_backward(p, w, i, dy, grad, din, add);
    case NODE_LINEAR:
        return linear_backward(p, w, node, dy, grad, din, add);
    default:
        return plain_backward(p, node, dy, din, dx, add);
    }
}

int net_backward(struct net_pass *p, const struct net_weights *w, const float *dout, float *grad,
                 void *dx)
{
    const struct net_node *top = &p->net->node[p->net->nnodes - 1];
    assert(p->keep && p->forward_done && !top->bn);
    assert(top->kind == NODE_AVGPOOL || top->kind == NODE_LINEAR);
    memset(p->written, 0, (size_t)p->net->ntensors * sizeof *p->written);
    for (int i = p->net->nnodes - 1; i >= 0; i--) {
        int rc = node_backward(p, w, i, dout, grad, dx);
        if (rc < 0)
            return net_failed(p->net, i, "the backward pass", rc);
    }
    return 0;
}
