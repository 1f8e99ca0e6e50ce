/*
 * net_exec.c - what training and inference share in running the list: each layer's geometry for the
 * kernels, layers that need no more than one call, packed weights.
 */
#include "common/model/net_exec.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <stdlib.h>
#include <string.h>

enum kern_type net_tensor_type(const struct net *net, int tensor)
{
    int i = 0;
    while (i < net->nnodes && net->node[i].out != tensor)
        i++;
    if (i == net->nnodes) /* the input */
        return net->type;
    enum node_kind kind = net->node[i].kind;
    bool vector = kind == NODE_LINEAR || kind == NODE_AVGPOOL || kind == NODE_SK_SQUEEZE;
    return vector ? KERN_F32 : net->type;
}

size_t net_tensor_bytes(const struct net *net, int tensor, size_t n)
{
    const struct net_tensor *t = &net->tensor[tensor];
    return (n * t->h * t->w * t->c * kern_sizeof(net_tensor_type(net, tensor)) + 63) / 64 * 64;
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

struct kern_avgpool2 net_avgpool2(const struct net *net, const struct net_node *node, size_t n)
{
    struct net_tensor in = net->tensor[node->in];
    return (struct kern_avgpool2){
        .type = net->type, .n = n, .h = in.h, .w = in.w, .c = in.c, .stride = node->stride
    };
}

struct kern_sk net_sk(const struct net *net, const struct net_node *node, size_t n)
{
    struct net_tensor in = net->tensor[node->in];
    return (struct kern_sk){ .type = net->type, .n = n, .cells = in.h * in.w, .m = in.c / 2 };
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

int net_plain_forward(struct kern *kn, const struct net *net, const struct net_node *node, void *y,
                      const void *x, const void *second, size_t n)
{
    const struct net_tensor *in = &net->tensor[node->in];
    struct kern_maxpool mp = net_maxpool(net, node, n);
    struct kern_avgpool2 ap = net_avgpool2(net, node, n);
    struct kern_sk sk = net_sk(net, node, n);
    switch (node->kind) {
    case NODE_MAXPOOL:
        return kern_maxpool_forward(kn, &mp, y, x);
    case NODE_AVGPOOL2:
        return kern_avgpool2_forward(kn, &ap, y, x);
    case NODE_SK_SQUEEZE:
        return kern_sk_squeeze_forward(kn, &sk, y, x);
    case NODE_SK_SELECT:
        return kern_sk_select_forward(kn, &sk, y, x, second);
    default:
        return kern_avgpool_forward(kn, net_tensor_type(net, node->in), y, x, n, in->h * in->w,
                                    in->c);
    }
}

/* -- packed weights ---- */

static int packed_open(struct kern *kn, const struct net *net, const struct kern_conv *cv,
                       void **packed)
{
    size_t bytes = kern_conv_packed(kn, cv);
    if (!*packed)
        *packed = kern_alloc(kn, bytes);
    return *packed
               ? 0
               : fail(-ENOMEM, "%s: no memory for %zu bytes of packed weights", net->part, bytes);
}

int net_pack(struct kern *kn, const struct net *net, struct net_weights *w)
{
    if (!w->packed) {
        w->packed = calloc((size_t)net->nnodes, sizeof *w->packed);
        if (!w->packed)
            return fail(-ENOMEM, "%s: no memory for packed weights", net->part);
    }
    struct kern_conv_weights *list = mem_alloc((size_t)net->nnodes, sizeof *list, "packing");
    size_t n = 0;
    int rc = list ? 0 : -ENOMEM;
    for (int i = 0; i < net->nnodes && rc == 0; i++) {
        const struct net_node *node = &net->node[i];
        if (node->kind != NODE_CONV)
            continue;
        struct kern_conv cv = net_conv(net, node, 1);
        rc = packed_open(kn, net, &cv, &w->packed[i]);
        list[n++] =
            (struct kern_conv_weights){ cv, w->packed[i], net_at(net, w->param, node->weight) };
    }
    if (rc == 0 && (rc = kern_conv_pack(kn, list, n)) < 0)
        fail(rc, "%s: packing the weights failed: %s", net->part, strerror(-rc));
    free(list);
    return rc;
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

uint64_t net_packed_bytes(struct kern *kn, const struct net *net)
{
    uint64_t sum = 0;
    for (int i = 0; i < net->nnodes; i++) {
        if (net->node[i].kind != NODE_CONV)
            continue;
        struct kern_conv cv = net_conv(net, &net->node[i], 1);
        sum += kern_conv_packed(kn, &cv);
    }
    return sum;
}

uint64_t net_overhead(struct kern *kn, const struct net *net, size_t n)
{
    uint64_t most = 0;
    for (int i = 0; i < net->nnodes; i++) {
        if (net->node[i].kind != NODE_CONV)
            continue;
        struct kern_conv cv = net_conv(net, &net->node[i], n);
        most = MAX(most, kern_overhead(kn, &cv));
    }
    return most;
}

int net_failed(const struct net *net, int node, const char *what, int rc)
{
    int weight = net->node[node].weight;
    return fail(rc, "%s: %s of %s failed: %s", net->part, what,
                weight >= 0 ? net->param[weight].name : "a layer without weights", strerror(-rc));
}
