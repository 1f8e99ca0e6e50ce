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
    .second = -1, .weight = -1, .bias = -1, .gamma = -1, .beta = -1, .stat = -1
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
    int number = add_tensor(net, h, w, c);
    return MIN(number, 0);
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
    node.second = residual;
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

int net_add_avgpool2(struct net *net, int in, size_t stride)
{
    if (in < 0)
        return in;
    struct net_tensor t = net->tensor[in];
    struct net_node node = blank;
    node.kind = NODE_AVGPOOL2;
    node.in = in;
    node.side = 2;
    node.stride = stride;
    return add_node(net, &node, (t.h + stride - 1) / stride, (t.w + stride - 1) / stride, t.c);
}

int net_add_sk_squeeze(struct net *net, int in)
{
    if (in < 0)
        return in;
    struct net_node node = blank;
    node.kind = NODE_SK_SQUEEZE;
    node.in = in;
    return add_node(net, &node, 1, 1, net->tensor[in].c / 2);
}

int net_add_sk_select(struct net *net, int in, int scores)
{
    if (in < 0 || scores < 0)
        return MIN(in, scores);
    struct net_tensor t = net->tensor[in];
    assert(net->tensor[scores].c == t.c && net_tensor_type(net, scores) == KERN_F32);
    struct net_node node = blank;
    node.kind = NODE_SK_SELECT;
    node.in = in;
    node.second = scores;
    return add_node(net, &node, t.h, t.w, t.c / 2);
}

int net_twin(struct net *twin, const struct net *net)
{
    *twin = *net;
    twin->scratch = mem_alloc(1, sizeof *twin->scratch, "a network beside another");
    return twin->scratch ? 0 : -ENOMEM;
}

void net_twin_release(struct net *twin)
{
    assert(!twin->scratch || twin->scratch->users == 0);
    free(twin->scratch);
    *twin = (struct net){ 0 };
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
