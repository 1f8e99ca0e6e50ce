/*
 * net_exec.h - private to net*.c: what running the list of layers needs, in training and inference.
 */
#ifndef SEMPPL_NET_EXEC_H
#define SEMPPL_NET_EXEC_H

#include "common/model/net.h"

struct net_scratch {
    struct kern *kn;
    uint8_t *block;
    size_t bytes;
    int users; /* open passes; the block goes with the last */
};

/* Where a buffer lies. */
struct place {
    bool own; /* in the pass's block, else in the scratch */
    size_t offset;
};

/* Per-channel numbers of the node at work, at the front of the scratch. */
enum fold { FOLD_MEAN, FOLD_VAR, FOLD_RSTD, FOLD_SCALE, FOLD_SHIFT, NET_FOLDS };

struct net_pass {
    struct kern *kn;
    const struct net *net;
    size_t n, views; /* pictures; views that they are of */
    bool keep, forward_done;
    struct place *act; /* [ntensors] after batch norm and ReLU */
    size_t *raw;       /* [nnodes] before batch norm, in the pass's block; only if kept */
    size_t *stats;     /* [nnodes] mean, rstd, scale and shift of each view, likewise */
    size_t *above; /* [nnodes] where a residual's ReLU lets gradients through (kern.h), likewise */
    size_t *grad;  /* [ntensors] in the scratch */
    bool *written; /* [ntensors] during the backward pass: has a gradient arrived? */
    size_t fold_each; /* bytes of one of the folds */
    size_t own_bytes, scratch_bytes;
    uint8_t *own;
    const void *x; /* input of the last forward */
};

/* Fills in places, sizes and lists for net, n and keep; -ENOMEM (worded). Lists are freed by
 * net_lay_off() in every case. */
int net_lay_out(struct net_pass *p);
void net_lay_off(struct net_pass *p);

/* A buffer that is needed from time first to time last, both included. */
struct net_span {
    size_t bytes; /* a multiple of 64; 0: not needed */
    int first, last;
    size_t offset; /* the answer */
};

/*
 * Places the spans so that those alive at the same time do not overlap, big ones first, each at the
 * lowest place that is free. *total is the size of the block that holds them all. -ENOMEM.
 */
int net_plan(struct net_span *span, int n, size_t *total);

enum kern_type net_tensor_type(const struct net *net, int tensor);
size_t net_tensor_bytes(const struct net *net, int tensor, size_t n); /* a multiple of 64 */
size_t net_tensor_rows(const struct net *net, int tensor, size_t n);  /* n * h * w */
struct kern_conv net_conv(const struct net *net, const struct net_node *node, size_t n);
struct kern_maxpool net_maxpool(const struct net *net, const struct net_node *node, size_t n);
struct kern_avgpool2 net_avgpool2(const struct net *net, const struct net_node *node, size_t n);
struct kern_sk net_sk(const struct net *net, const struct net_node *node, size_t n);
int net_linear_forward(struct kern *kn, const struct net *net, const struct net_weights *w,
                       const struct net_node *node, float *y, const float *x, size_t n);
/* Layers without weights; second: the activation of that input, or NULL. */
int net_plain_forward(struct kern *kn, const struct net *net, const struct net_node *node, void *y,
                      const void *x, const void *second, size_t n);
/* Words the failure of a kernel. */
int net_failed(const struct net *net, int node, const char *what, int rc);

/* A parameter's place in an arena. */
static inline float *net_at(const struct net *net, float *arena, int param)
{
    return arena + net->param[param].offset;
}

#endif
