/*
 * net.h - a network as a list of layers with shapes, and the list at work.
 *
 * The list is built once (encoder.h, heads.h) and drives everything: forward, backward,
 * initialisation, names in checkpoints, counts of parameters and multiply-accumulates. A node is a
 * layer with what follows it: convolution or linear, batch norm, residual sum, ReLU.
 *
 * Parameters live in flat float32 arenas (theta, xi, gradients, momentum), running statistics in
 * another; nets of one network built for different input sides share them (and the packed weights),
 * since offsets and the order of nodes do not depend on the side. Every tensor starts at a multiple
 * of 64 bytes; the floats between them are zero and stay so.
 */
#ifndef SEMPPL_NET_H
#define SEMPPL_NET_H

#include "common/base/base.h"
#include "kernels/kern.h"

enum node_kind {
    NODE_CONV,
    NODE_LINEAR,
    NODE_MAXPOOL,
    NODE_AVGPOOL,    /* mean over the plane */
    NODE_AVGPOOL2,   /* mean over 2 x 2 windows */
    NODE_SK_SQUEEZE, /* of two branches, and their weighted sum (kern.h) */
    NODE_SK_SELECT
};

struct net_tensor { /* an activation of one picture */
    size_t h, w, c;
};

struct net_param {
    char name[64]; /* below its part: "layer1.0.conv1.weight", "0.bias" */
    int ndim;
    size_t dim[4];        /* OIHW; [out][in]; [c] */
    size_t offset, count; /* in the part's arena, floats; offset is a multiple of 16 */
    size_t fan_in;        /* for the initial deviation 1/sqrt(fan_in); 0: constant */
    float constant;       /* initial value if fan_in is 0 */
    bool excluded;        /* from decay and LARS adaptation: biases and batch norm */
};

struct net_stat {  /* one batch norm's running statistics */
    char name[64]; /* "bn1": tensors bn1.running_mean, bn1.running_var, bn1.num_batches_tracked */
    size_t c,
        offset; /* running mean at offset, variance at offset + c, in the part's statistics arena */
};

struct net_node {
    enum node_kind kind;
    int in, out;                            /* tensors */
    int second;                             /* another input, or -1: what is added before the ReLU
                                               (the residual); the scores of a selection */
    bool bn, relu;                          /* a residual or a ReLU needs a batch norm */
    size_t side, stride, pad_top, pad_left; /* of windows */
    int weight, bias, gamma, beta;          /* parameters, or -1 */
    int stat;                               /* or -1 */
};

struct net_scratch; /* working memory that all passes of a net share: they run one after another */

struct net {
    char part[16];       /* "encoder", "projector", "predictor" */
    enum kern_type type; /* of pictures: the input, and what lies between layers as h x w
                            cells; vectors are float32 */
    struct net_node *node;
    struct net_tensor *tensor; /* 0 is the input, the last node's out the output */
    struct net_param *param;
    struct net_stat *stat;
    int nnodes, ntensors, nparams, nstats;
    size_t floats; /* of the parameter arena */
    size_t stat_floats;
    struct net_scratch *scratch;
};

/*
 * Building: net_init() makes the input tensor 0; each net_add_*() appends a node and returns its
 * output tensor, or a negative errno (worded); a negative in is passed on, so that a chain is
 * checked once. same: TensorFlow's SAME padding, else symmetric (side / 2). bn names the batch norm
 * (NULL: none); gamma is its initial scale. The last node is an average pool or a linear layer
 * without batch norm.
 */
int net_init(struct net *net, const char *part, enum kern_type type, size_t h, size_t w, size_t c);
int net_add_conv(struct net *net, int in, const char *name, size_t out_c, size_t side,
                 size_t stride, bool same, const char *bn, float gamma, int residual, bool relu);
int net_add_linear(struct net *net, int in, const char *name, size_t out_c, bool bias,
                   const char *bn, bool relu);
int net_add_maxpool(struct net *net, int in, size_t side, size_t stride, bool same);
int net_add_avgpool(struct net *net, int in);
int net_add_avgpool2(struct net *net, int in, size_t stride);
/* in: two branches, half of the channels each; scores: a vector with as many channels. */
int net_add_sk_squeeze(struct net *net, int in);
int net_add_sk_select(struct net *net, int in, int scores);

void net_release(struct net *net); /* after its passes are closed */
/* The same layers, with working memory apart, for passes that run beside those of net. */
int net_twin(struct net *twin, const struct net *net);
void net_twin_release(struct net *twin);        /* before net */
size_t net_outputs(const struct net *net);      /* width of the output */
size_t net_widest(const struct net *net);       /* bytes of a picture's largest activation */
uint64_t net_parameters(const struct net *net); /* learned numbers (floats counts padding too) */
uint64_t net_macs(const struct net *net); /* multiply-accumulates of one picture's forward pass */

/* Where a network's numbers are, on the device. */
struct net_weights {
    float *param;   /* [floats] */
    float *running; /* [stat_floats], or NULL */
    void **packed;  /* [nnodes] packed convolution weights, NULL elsewhere; made by net_pack() */
};
int net_pack(struct kern *kn, const struct net *net,
             struct net_weights *w); /* allocates at the first call; after each update */
void net_unpack(struct kern *kn, const struct net *net,
                struct net_weights *w);                            /* frees the packed weights */
uint64_t net_packed_bytes(struct kern *kn, const struct net *net); /* of all packed weights */
/* kern_overhead() of n pictures' training; 0 of a network without convolutions. */
uint64_t net_overhead(struct kern *kn, const struct net *net, size_t n);

/*
 * The way of n pictures through a network in training mode: as many of each of so many views, one
 * view behind another, and batch norm goes by the statistics of a view. With keep, everything that
 * the backward pass needs is kept until then; without, only the output.
 */
struct net_pass;
int net_pass_open(struct net_pass **p, struct kern *kn, const struct net *net, size_t n,
                  size_t views, bool keep);
void net_pass_close(struct net_pass *p);
/* Device memory that net_pass_open() will ask for, and *shared once more for all passes of a net
 * (the largest counts). 0: no memory to plan it. */
size_t net_pass_bytes(const struct net *net, size_t n, size_t views, bool keep, size_t *shared);
/* out: float32 [n][net_outputs], inside the pass, valid until its next forward. x must stay until
 * net_backward(). Unless stat_weight is NULL, also updates w->running by these weights (kern.h;
 * [views], device). */
int net_forward(struct net_pass *p, const struct net_weights *w, const void *x,
                const float *stat_weight, const float **out);
/* After the net_forward() of a pass with keep: grad (arena, added to) from dout [n][outputs]; dx
 * (type and shape of the input, overwritten) or NULL. */
int net_backward(struct net_pass *p, const struct net_weights *w, const float *dout, float *grad,
                 void *dx);

/* Inference with running statistics: out [n][outputs] (device, valid until the next run) from x, n
 * <= max_n. net and w (packed, with running statistics) must outlive it; running statistics and
 * gains are folded at open. */
struct net_infer;
int net_infer_open(struct net_infer **inf, struct kern *kn, const struct net *net,
                   const struct net_weights *w, size_t max_n);
int net_infer_run(struct net_infer *inf, const void *x, size_t n, const float **out);
void net_infer_close(struct net_infer *inf);

#endif
