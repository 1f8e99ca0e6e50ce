/*
 * net.c - building the list of layers, and what can be counted from it.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/net_exec.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_FLOATS 16 /* 64 bytes */

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Room for one more element in a list; lists are short, so they grow one by one. */
static void *grow(void *list, int n, size_t size)
{
    void *bigger = realloc(list, ((size_t)n + 1) * size);
    if (!bigger)
        fail(-ENOMEM, "no memory for the list of layers");
    return bigger;
}

static int add_tensor(struct net *net, size_t h, size_t w, size_t c)
{
    struct net_tensor *t = grow(net->tensor, net->ntensors, sizeof *t);
    if (!t)
        return -ENOMEM;
    net->tensor = t;
    t[net->ntensors] = (struct net_tensor){ h, w, c };
    return net->ntensors++;
}

static int add_param(struct net *net, const char *layer, const char *kind, int ndim,
                     const size_t *dim, size_t fan_in, float constant, bool excluded)
{
    struct net_param *p = grow(net->param, net->nparams, sizeof *p);
    if (!p)
        return -ENOMEM;
    net->param = p;
    p += net->nparams;
    *p = (struct net_param){ .ndim = ndim, .count = 1, .offset = net->floats };
    int len = snprintf(p->name, sizeof p->name, "%s.%s", layer, kind);
    assert(len > 0 && (size_t)len < sizeof p->name);
    for (int i = 0; i < ndim; i++) {
        p->dim[i] = dim[i];
        int rc = mem_product(&p->count, p->count, dim[i]);
        if (rc < 0)
            return rc;
    }
    p->fan_in = fan_in;
    p->constant = constant;
    p->excluded = excluded;
    net->floats += round_up(p->count, ALIGN_FLOATS);
    return net->nparams++;
}

static int add_stat(struct net *net, const char *name, size_t c)
{
    struct net_stat *s = grow(net->stat, net->nstats, sizeof *s);
    if (!s)
        return -ENOMEM;
    net->stat = s;
    s += net->nstats;
    *s = (struct net_stat){ .c = c, .offset = net->stat_floats };
    snprintf(s->name, sizeof s->name, "%s", name);
    net->stat_floats += round_up(2 * c, ALIGN_FLOATS);
    return net->nstats++;
}

static int add_bn(struct net *net, struct net_node *node, const char *name, size_t c, float gamma)
{
    node->bn = true;
    node->gamma = add_param(net, name, "weight", 1, &c, 0, gamma, true);
    if (node->gamma < 0)
        return node->gamma;
    node->beta = add_param(net, name, "bias", 1, &c, 0, 0, true);
    if (node->beta < 0)
        return node->beta;
    node->stat = add_stat(net, name, c);
    return MIN(node->stat, 0);
}

/* The node's output tensor, and the node itself. */
static int add_node(struct net *net, struct net_node *node, size_t h, size_t w, size_t c)
{
    struct net_node *list = grow(net->node, net->nnodes, sizeof *list);
    if (!list)
        return -ENOMEM;
    net->node = list;
    node->out = add_tensor(net, h, w, c);
    if (node->out < 0)
        return node->out;
    list[net->nnodes++] = *node;
    return node->out;
}

static const struct net_node blank = {
    .residual = -1, .weight = -1, .bias = -1, .gamma = -1, .beta = -1, .stat = -1
};

/* Outputs and the padding before the first cell, along one axis. */
static size_t window(size_t n, size_t side, size_t stride, bool same, size_t *before)
{
    if (!same) {
        *before = side / 2;
        return (n + 2 * *before - side) / stride + 1;
    }
    size_t out = (n + stride - 1) / stride, reach = (out - 1) * stride + side;
    *before = reach > n ? (reach - n) / 2 : 0;
    return out;
}

int net_init(struct net *net, const char *part, enum kern_type type, size_t h, size_t w, size_t c)
{
    *net = (struct net){ .type = type };
    snprintf(net->part, sizeof net->part, "%s", part);
    net->scratch = calloc(1, sizeof *net->scratch);
    if (!net->scratch)
        return fail(-ENOMEM, "no memory for the list of layers");
    if (h == 0 || w == 0 || c == 0)
        return fail(-EINVAL, "%s: empty input of %zu x %zu x %zu", part, h, w, c);
    return MIN(add_tensor(net, h, w, c), 0);
}

int net_add_conv(struct net *net, int in, const char *name, size_t out_c, size_t side,
                 size_t stride, bool same, const char *bn, float gamma, int residual, bool relu)
{
    if (in < 0 || residual < -1)
        return MIN(in, residual);
    assert(bn || (residual < 0 && !relu));
    struct net_tensor t = net->tensor[in];
    struct net_node node = blank;
    node.kind = NODE_CONV;
    node.in = in;
    node.residual = residual;
    node.relu = relu;
    node.side = side;
    node.stride = stride;
    size_t oh = window(t.h, side, stride, same, &node.pad_top);
    size_t ow = window(t.w, side, stride, same, &node.pad_left);
    size_t dim[4] = { out_c, t.c, side, side };
    node.weight = add_param(net, name, "weight", 4, dim, t.c * side * side, 0, false);
    if (node.weight < 0)
        return node.weight;
    int rc = bn ? add_bn(net, &node, bn, out_c, gamma) : 0;
    if (rc < 0)
        return rc;
    int out = add_node(net, &node, oh, ow, out_c);
    assert(out < 0 || residual < 0 ||
           memcmp(&net->tensor[out], &net->tensor[residual], sizeof *net->tensor) == 0);
    return out;
}

int net_add_linear(struct net *net, int in, const char *name, size_t out_c, bool bias,
                   const char *bn, bool relu)
{
    if (in < 0)
        return in;
    assert(bn || !relu);
    struct net_tensor t = net->tensor[in];
    assert(t.h == 1 && t.w == 1 && net_tensor_type(net, in) == KERN_F32);
    struct net_node node = blank;
    node.kind = NODE_LINEAR;
    node.in = in;
    node.relu = relu;
    size_t dim[2] = { out_c, t.c };
    node.weight = add_param(net, name, "weight", 2, dim, t.c, 0, false);
    if (node.weight < 0)
        return node.weight;
    if (bias && (node.bias = add_param(net, name, "bias", 1, dim, 0, 0, true)) < 0)
        return node.bias;
    int rc = bn ? add_bn(net, &node, bn, out_c, 1) : 0;
    return rc < 0 ? rc : add_node(net, &node, 1, 1, out_c);
}

int net_add_maxpool(struct net *net, int in, size_t side, size_t stride, bool same)
{
    if (in < 0)
        return in;
    struct net_tensor t = net->tensor[in];
    struct net_node node = blank;
    node.kind = NODE_MAXPOOL;
    node.in = in;
    node.side = side;
    node.stride = stride;
    size_t oh = window(t.h, side, stride, same, &node.pad_top);
    size_t ow = window(t.w, side, stride, same, &node.pad_left);
    return add_node(net, &node, oh, ow, t.c);
}

int net_add_avgpool(struct net *net, int in)
{
    if (in < 0)
        return in;
    struct net_node node = blank;
    node.kind = NODE_AVGPOOL;
    node.in = in;
    return add_node(net, &node, 1, 1, net->tensor[in].c);
}

void net_release(struct net *net)
{
    assert(!net->scratch || net->scratch->users == 0);
    free(net->node);
    free(net->tensor);
    free(net->param);
    free(net->stat);
    free(net->scratch);
    *net = (struct net){ 0 };
}

size_t net_outputs(const struct net *net)
{
    return net->tensor[net->node[net->nnodes - 1].out].c;
}

size_t net_widest(const struct net *net)
{
    size_t most = 0;
    for (int i = 0; i < net->ntensors; i++)
        most = MAX(most, net->tensor[i].h * net->tensor[i].w * net->tensor[i].c);
    return most * kern_sizeof(net->type);
}

uint64_t net_parameters(const struct net *net)
{
    uint64_t sum = 0;
    for (int i = 0; i < net->nparams; i++)
        sum += net->param[i].count;
    return sum;
}

uint64_t net_macs(const struct net *net)
{
    uint64_t sum = 0;
    for (int i = 0; i < net->nnodes; i++) {
        const struct net_node *node = &net->node[i];
        if (node->weight < 0)
            continue;
        const struct net_tensor *t = &net->tensor[node->out];
        sum += (uint64_t)t->h * t->w * net->param[node->weight].count;
    }
    return sum;
}

/* -- for those who run the list (net_exec.h) ---- */

enum kern_type net_tensor_type(const struct net *net, int tensor)
{
    for (int i = 0; i < net->nnodes; i++)
        if (net->node[i].out == tensor)
            return net->node[i].kind == NODE_LINEAR || net->node[i].kind == NODE_AVGPOOL
                       ? KERN_F32
                       : net->type;
    return net->type;
}

size_t net_tensor_bytes(const struct net *net, int tensor, size_t n)
{
    const struct net_tensor *t = &net->tensor[tensor];
    return round_up(n * t->h * t->w * t->c * kern_sizeof(net_tensor_type(net, tensor)), 64);
}

size_t net_tensor_rows(const struct net *net, int tensor, size_t n)
{
    return n * net->tensor[tensor].h * net->tensor[tensor].w;
}

struct kern_conv net_conv(const struct net *net, const struct net_node *node, size_t n)
{
    struct net_tensor in = net->tensor[node->in], out = net->tensor[node->out];
    return (struct kern_conv){ .type = net->type,
                               .n = n,
                               .h = in.h,
                               .w = in.w,
                               .c = in.c,
                               .k = out.c,
                               .kh = node->side,
                               .kw = node->side,
                               .stride = node->stride,
                               .pad_top = node->pad_top,
                               .pad_left = node->pad_left,
                               .oh = out.h,
                               .ow = out.w };
}

struct kern_maxpool net_maxpool(const struct net *net, const struct net_node *node, size_t n)
{
    struct net_tensor in = net->tensor[node->in], out = net->tensor[node->out];
    return (struct kern_maxpool){ .type = net->type,
                                  .n = n,
                                  .h = in.h,
                                  .w = in.w,
                                  .c = in.c,
                                  .side = node->side,
                                  .stride = node->stride,
                                  .pad_top = node->pad_top,
                                  .pad_left = node->pad_left,
                                  .oh = out.h,
                                  .ow = out.w };
}

int net_linear_forward(struct kern *kn, const struct net *net, const struct net_weights *w,
                       const struct net_node *node, float *y, const float *x, size_t n)
{
    size_t in = net->tensor[node->in].c, out = net->tensor[node->out].c;
    int rc =
        kern_gemm(kn, false, true, n, out, in, 1, x, net_at(net, w->param, node->weight), 0, y);
    if (rc == 0 && node->bias >= 0)
        rc = kern_bias_forward(kn, y, net_at(net, w->param, node->bias), n, out);
    return rc;
}

int net_pack(struct kern *kn, const struct net *net, struct net_weights *w)
{
    if (!w->packed) {
        w->packed = calloc((size_t)net->nnodes, sizeof *w->packed);
        if (!w->packed)
            return fail(-ENOMEM, "%s: no memory for packed weights", net->part);
    }
    for (int i = 0; i < net->nnodes; i++) {
        const struct net_node *node = &net->node[i];
        if (node->kind != NODE_CONV)
            continue;
        struct kern_conv cv = net_conv(net, node, 1);
        if (!w->packed[i]) {
            size_t bytes = kern_conv_packed(kn, &cv);
            w->packed[i] = kern_alloc(kn, bytes);
            if (!w->packed[i])
                return fail(-ENOMEM, "%s: no memory for %zu bytes of packed weights", net->part,
                            bytes);
        }
        int rc = kern_conv_pack(kn, &cv, w->packed[i], net_at(net, w->param, node->weight));
        if (rc < 0)
            return net_failed(net, i, "packing", rc);
    }
    return 0;
}

void net_unpack(struct kern *kn, const struct net *net, struct net_weights *w)
{
    if (!w->packed)
        return;
    for (int i = 0; i < net->nnodes; i++)
        if (w->packed[i])
            kern_free(kn, w->packed[i]);
    free(w->packed);
    w->packed = NULL;
}

int net_failed(const struct net *net, int node, const char *what, int rc)
{
    int weight = net->node[node].weight;
    return fail(rc, "%s: %s of %s failed: %s", net->part, what,
                weight >= 0 ? net->param[weight].name : "a pooling layer", strerror(-rc));
}
