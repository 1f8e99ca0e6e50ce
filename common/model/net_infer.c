/*
 * net_infer.c - a trained network at work: batch norm folded into the layers before it, activations
 * in one block.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/net_exec.h"
#include <stdlib.h>

struct net_infer {
    struct kern *kn;
    const struct net *net;
    struct net_weights w;
    size_t max_n;
    struct net_span *act; /* [ntensors] */
    size_t *fold;         /* [nnodes] scale and shift, in the block */
    uint8_t *block;
    const void *x;
};

static float *scale_of(struct net_infer *inf, int i)
{
    return (float *)(void *)(inf->block + inf->fold[i]);
}

static float *shift_of(struct net_infer *inf, int i)
{
    return scale_of(inf, i) + inf->net->tensor[inf->net->node[i].out].c;
}

/* Spans of all activations, then the block that holds them and the folded batch norms. */
static int lay_out(struct net_infer *inf)
{
    const struct net *net = inf->net;
    size_t total = 0;
    for (int i = 0; i < net->nnodes; i++) {
        const struct net_node *node = &net->node[i];
        inf->act[node->out] = (struct net_span){
            .bytes = net_tensor_bytes(net, node->out, inf->max_n), .first = i, .last = i
        };
        inf->act[node->in].last = i;
        if (node->second >= 0)
            inf->act[node->second].last = i;
    }
    inf->act[0].bytes = 0; /* the caller's */
    int rc = net_plan(inf->act, net->ntensors, &total);
    for (int i = 0; i < net->nnodes && rc == 0; i++) {
        inf->fold[i] = total;
        total += (2 * net->tensor[net->node[i].out].c * sizeof(float) + 63) / 64 * 64;
    }
    if (rc == 0 && !(inf->block = kern_alloc(inf->kn, total)))
        rc = fail(-ENOMEM, "%s: no memory for %zu bytes of activations", net->part, total);
    return rc;
}

static int fold_batch_norms(struct net_infer *inf)
{
    const struct net *net = inf->net;
    for (int i = 0; i < net->nnodes; i++) {
        const struct net_node *node = &net->node[i];
        if (!node->bn)
            continue;
        size_t c = net->tensor[node->out].c;
        float *mean = inf->w.running + net->stat[node->stat].offset;
        struct kern_bn bn = { .mean = mean,
                              .var = mean + c,
                              .gamma = net_at(net, inf->w.param, node->gamma),
                              .beta = net_at(net, inf->w.param, node->beta),
                              .scale = scale_of(inf, i),
                              .shift = shift_of(inf, i) };
        int rc = kern_bn_finalise(inf->kn, &bn, c);
        if (rc < 0)
            return net_failed(net, i, "folding the batch norm", rc);
    }
    return 0;
}

int net_infer_open(struct net_infer **out, struct kern *kn, const struct net *net,
                   const struct net_weights *w, size_t max_n)
{
    *out = NULL;
    struct net_infer *inf = mem_alloc(1, sizeof *inf, "inference");
    if (!inf)
        return -ENOMEM;
    *inf = (struct net_infer){ .kn = kn, .net = net, .w = *w, .max_n = max_n };
    inf->act = mem_alloc((size_t)net->ntensors, sizeof *inf->act, "inference");
    inf->fold = mem_alloc((size_t)net->nnodes, sizeof *inf->fold, "inference");
    int rc = inf->act && inf->fold ? lay_out(inf) : -ENOMEM;
    if (rc == 0)
        rc = fold_batch_norms(inf);
    if (rc < 0)
        net_infer_close(inf);
    else
        *out = inf;
    return rc;
}

static void *activation(struct net_infer *inf, int tensor)
{
    if (tensor < 0)
        return NULL;
    if (tensor == 0)
        return (void *)(uintptr_t)inf->x; /* only read */
    return inf->block + inf->act[tensor].offset;
}

static int node_run(struct net_infer *inf, int i, size_t n)
{
    const struct net *net = inf->net;
    const struct net_node *node = &net->node[i];
    void *y = activation(inf, node->out), *x = activation(inf, node->in);
    void *second = activation(inf, node->second);
    switch (node->kind) {
    case NODE_CONV: {
        struct kern_conv cv = net_conv(net, node, n);
        struct kern_epilogue ep = { 0 };
        if (node->bn) {
            ep.scale = scale_of(inf, i);
            ep.shift = shift_of(inf, i);
            ep.residual = second;
            ep.relu = node->relu;
        }
        return kern_conv_forward(inf->kn, &cv, y, x, inf->w.packed[i], &ep);
    }
    case NODE_LINEAR: {
        int rc = net_linear_forward(inf->kn, net, &inf->w, node, y, x, n);
        if (rc < 0 || !node->bn)
            return rc;
        struct kern_bn_forward f = { .type = KERN_F32,
                                     .rows = n,
                                     .c = net->tensor[node->out].c,
                                     .relu = node->relu,
                                     .y = y,
                                     .x = y,
                                     .scale = scale_of(inf, i),
                                     .shift = shift_of(inf, i) };
        return kern_bn_forward(inf->kn, &f);
    }
    default:
        return net_plain_forward(inf->kn, net, node, y, x, second, n);
    }
}

int net_infer_run(struct net_infer *inf, const void *x, size_t n, const float **out)
{
    if (n > inf->max_n)
        return fail(-EINVAL, "%s: batch of %zu, opened for %zu", inf->net->part, n, inf->max_n);
    inf->x = x;
    for (int i = 0; i < inf->net->nnodes; i++) {
        int rc = node_run(inf, i, n);
        if (rc < 0)
            return net_failed(inf->net, i, "inference", rc);
    }
    *out = activation(inf, inf->net->node[inf->net->nnodes - 1].out);
    return 0;
}

void net_infer_close(struct net_infer *inf)
{
    if (!inf)
        return;
    if (inf->block)
        kern_free(inf->kn, inf->block);
    free(inf->act);
    free(inf->fold);
    free(inf);
}
