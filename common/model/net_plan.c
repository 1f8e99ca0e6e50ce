/*
 * net_plan.c - many buffers in one block of memory, by the times at which they are needed.
 *
 * A pass that is kept owns what the backward pass reads: each convolution's output before and after
 * its batch norm, means and deviations, bits of residual sums. All else (activations of a pass that
 * is not kept, gradients of activations) lies in the net's shared scratch, where buffers that are
 * never alive together share their place: a pass runs from end to end before another one starts.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/net_exec.h"
#include <stdlib.h>
#include <string.h>

static bool at_once(const struct net_span *a, const struct net_span *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which s fits among the placed spans: 0, or the end of one of them. */
static size_t lowest(const struct net_span *span, const int *placed, int nplaced,
                     const struct net_span *s)
{
    size_t best = SIZE_MAX;
    for (int c = -1; c < nplaced; c++) {
        size_t at = c < 0 ? 0 : span[placed[c]].offset + span[placed[c]].bytes;
        bool free_here = at < best;
        for (int i = 0; i < nplaced && free_here; i++) {
            const struct net_span *o = &span[placed[i]];
            free_here = !at_once(o, s) || at + s->bytes <= o->offset || o->offset + o->bytes <= at;
        }
        if (free_here)
            best = at;
    }
    return best;
}

int net_plan(struct net_span *span, int n, size_t *total)
{
    int *order = calloc((size_t)n + 1, sizeof *order), m = 0;
    if (!order)
        return fail(-ENOMEM, "no memory to plan the network's buffers");
    for (int i = 0; i < n; i++) {
        if (span[i].bytes == 0)
            continue;
        int at = m++;
        for (; at > 0 && span[order[at - 1]].bytes < span[i].bytes; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    *total = 0;
    for (int i = 0; i < m; i++) {
        struct net_span *s = &span[order[i]];
        s->offset = lowest(span, order, i, s);
        *total = MAX(*total, s->offset + s->bytes);
    }
    free(order);
    return 0;
}

/* -- where a pass has its buffers ---- */

/* Does the backward pass read this activation? */
static bool needed(const struct net *net, int tensor)
{
    for (int i = 0; i < net->nnodes; i++) {
        const struct net_node *node = &net->node[i];
        bool mean = node->kind == NODE_AVGPOOL || node->kind == NODE_AVGPOOL2 ||
                    node->kind == NODE_SK_SQUEEZE;
        bool input = node->in == tensor && !mean;
        bool scores = node->second == tensor && node->kind == NODE_SK_SELECT;
        bool output = node->out == tensor && node->kind == NODE_MAXPOOL;
        if (input || scores || output)
            return true;
    }
    return false;
}

static size_t claim(size_t *total, size_t bytes)
{
    size_t at = *total;
    *total += (bytes + 63) / 64 * 64;
    return at;
}

/* The activations: kept ones in the pass's block, the others in the scratch behind the folds. */
static int place_activations(struct net_pass *p, struct net_span *span, size_t *shared)
{
    const struct net *net = p->net;
    int result = net->node[net->nnodes - 1].out;
    memset(span, 0, (size_t)net->ntensors * sizeof *span);
    for (int i = 0; i < net->nnodes; i++) {
        const struct net_node *node = &net->node[i];
        span[node->out].first = span[node->out].last = i;
        span[node->in].last = i;
        if (node->second >= 0)
            span[node->second].last = i;
    }
    for (int t = 1; t < net->ntensors; t++) {
        size_t bytes = net_tensor_bytes(net, t, p->n);
        p->act[t].own = t == result || (p->keep && needed(net, t));
        if (p->act[t].own)
            p->act[t].offset = claim(&p->own_bytes, bytes);
        else
            span[t].bytes = bytes;
    }
    int rc = net_plan(span, net->ntensors, shared);
    for (int t = 1; t < net->ntensors; t++)
        if (!p->act[t].own)
            p->act[t].offset = NET_FOLDS * p->fold_each + span[t].offset;
    return rc;
}

/* Gradients of activations: from the last consumer's turn to the producer's, time running back. */
static int place_gradients(struct net_pass *p, struct net_span *span, size_t *shared)
{
    const struct net *net = p->net;
    int result = net->node[net->nnodes - 1].out;
    memset(span, 0, (size_t)net->ntensors * sizeof *span);
    for (int i = 0; i < net->nnodes; i++) {
        const struct net_node *node = &net->node[i];
        int now = net->nnodes - 1 - i;
        span[node->out].last = now;
        span[node->in].first = now;
        if (node->second >= 0)
            span[node->second].first = now;
        if (node->out != result)
            span[node->out].bytes = net_tensor_bytes(net, node->out, p->n);
    }
    int rc = net_plan(span, net->ntensors, shared);
    for (int t = 1; t < net->ntensors; t++)
        p->grad[t] = NET_FOLDS * p->fold_each + span[t].offset;
    return rc;
}

int net_lay_out(struct net_pass *p)
{
    const struct net *net = p->net;
    size_t ntensors = (size_t)net->ntensors, nnodes = (size_t)net->nnodes, widest = 0;
    size_t forward = 0, backward = 0;
    p->act = mem_alloc(ntensors, sizeof *p->act, "the network's buffers");
    p->grad = mem_alloc(ntensors, sizeof *p->grad, "the network's buffers");
    p->written = mem_alloc(ntensors, sizeof *p->written, "the network's buffers");
    p->raw = mem_alloc(nnodes, sizeof *p->raw, "the network's buffers");
    p->stats = mem_alloc(nnodes, sizeof *p->stats, "the network's buffers");
    p->above = mem_alloc(nnodes, sizeof *p->above, "the network's buffers");
    struct net_span *span = mem_alloc(ntensors, sizeof *span, "the network's buffers");
    bool all = p->act && p->grad && p->written && p->raw && p->stats && p->above && span;
    int rc = all ? 0 : -ENOMEM;
    for (int i = 0; i < net->nnodes && rc == 0; i++) {
        const struct net_node *node = &net->node[i];
        size_t c = net->tensor[node->out].c;
        widest = MAX(widest, c);
        if (!p->keep || !node->bn)
            continue;
        p->raw[i] = claim(&p->own_bytes, net_tensor_bytes(net, node->out, p->n));
        p->stats[i] = claim(&p->own_bytes, 4 * p->views * c * sizeof(float));
        if (node->relu && node->second >= 0)
            p->above[i] =
                claim(&p->own_bytes, kern_above_bytes(net_tensor_rows(net, node->out, p->n) * c));
    }
    p->fold_each = (p->views * widest * sizeof(float) + 63) / 64 * 64;
    if (rc == 0)
        rc = place_activations(p, span, &forward);
    if (rc == 0 && p->keep)
        rc = place_gradients(p, span, &backward);
    p->scratch_bytes = NET_FOLDS * p->fold_each + MAX(forward, backward);
    free(span);
    return rc;
}

void net_lay_off(struct net_pass *p)
{
    free(p->act);
    free(p->grad);
    free(p->written);
    free(p->raw);
    free(p->stats);
    free(p->above);
}

size_t net_pass_bytes(const struct net *net, size_t n, size_t views, bool keep, size_t *shared)
{
    struct net_pass p = { .net = net, .n = n, .views = views, .keep = keep };
    bool planned = net_lay_out(&p) == 0;
    *shared = planned ? p.scratch_bytes : 0;
    net_lay_off(&p);
    return planned ? p.own_bytes : 0;
}
