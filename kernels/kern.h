/*
 * kern.h - the kernel library: encoder, heads, losses, neighbours, optimiser and augmentation, on
 * one device.
 *
 * A handle names a device and carries its table of kernels; one call is one operation. All pointers
 * marked [dev] are in the memory of the handle's device (kern_alloc); on the CPU that is ordinary
 * memory, and a caller there may pass its own 64-byte aligned arrays. Everything stays the
 * caller's. Calls are ordered; on a device they may return before the work is done, and kern_get()
 * or kern_sync() wait for it; what they were given in host memory may change as soon as they have
 * returned. What one handle does is not ordered with another's calls: between handles kern_sync()
 * comes first. A handle belongs to one thread at a time; the threads inside come from its pool.
 *
 * Activations are channels-last, [n][h][w][c], stored as float32, bfloat16 or IEEE float16 (enum
 * kern_type; the latter two uint16_t in memory). float16 is for CUDA devices and for the
 * definitions; what leaves its range becomes infinity. Weights, gradients of weights, statistics,
 * embeddings and losses are float32, but convolutions of two-byte activations may round the weights
 * that they pack to that type: devices do, and the CPU where it multiplies pairs or tiles of
 * bfloat16; its other kernels and the definitions don't. Windows of 3 x 3 may be multiplied in
 * Winograd's form, whose factors are rounded too where the CPU multiplies pairs
 * (kernels/cpu/wino.h). Sums are accumulated in float32 or better, in an order that depends on
 * shapes only: on the CPU results are the same bits for any number of threads.
 *
 * Every call returns 0 or a negative errno: -EINVAL (a shape or argument that makes no sense),
 * -ENOMEM (no scratch), -ENOTSUP (a type this device has no kernel for), -EIO (the device failed).
 * Kernels word no messages, open no files.
 *
 * kernels/ref/ is the definition (plain loops, double sums); kernels/cpu/ is fast and is tested
 * against it. SEMPPL_ISA=ref|generic|avx2|avx512|avx512bf16 in the environment lowers what the
 * CPU backend uses (isa.h).
 */
#ifndef SEMPPL_KERN_H
#define SEMPPL_KERN_H

#include <errno.h>

#include "common/base/base.h"
#include "common/base/pool.h"

/* Changes whenever a signature or struct here does; a plugin with another number is refused. */
#define KERN_ABI 14

enum kern_type { KERN_F32, KERN_BF16, KERN_F16 };

struct kern;

/* -- the handle ---- */

/* The pool stays the caller's and must outlive the handle. */
int kern_open(struct kern **kn, struct pool *pool);     /* the CPU */
int kern_open_ref(struct kern **kn, struct pool *pool); /* the CPU by the definitions, slowly */
/*
 * CUDA device index, by the plugin (plugin.h). -ENODEV if there is no plugin, no driver or no such
 * device, another errno if what is there does not work; *why then says what is missing or wrong, a
 * sentence without an end that stays valid until the thread's next call.
 */
int kern_open_cuda(struct kern **kn, int index, struct pool *pool, const char **why);
/* How many CUDA devices there are, or a negative errno and why, as above. */
int kern_count_cuda(const char **why);
/* Lines "name: value" on the plugin, the driver, libraries and devices. 0, or as above. */
int kern_report_cuda(char *text, size_t room, const char **why);
/* Another handle, for another thread, on the device of like: they share its memory. */
int kern_open_like(struct kern **kn, const struct kern *like, struct pool *pool);
void kern_close(struct kern *kn);
const char *kern_describe(const struct kern *kn); /* e.g. "cpu avx512", "cuda:0 NVIDIA H200" */
size_t kern_sizeof(enum kern_type type);
/* Kernels of a type that it has not return -ENOTSUP. */
bool kern_has(const struct kern *kn, enum kern_type type);
bool kern_fast_bf16(const struct kern *kn); /* has matrix units for bfloat16 */
/*
 * Products of float32 by TF32 from now on, or no longer: convolutions and kern_gemm() may round
 * their factors to 10 bits behind the point, sums stay float32. A handle begins without. -ENOTSUP,
 * and nothing changes, where there are no such products: on the CPU.
 */
int kern_tf32(struct kern *kn, bool on);
bool kern_apart(const struct kern *kn); /* its memory is none that the host can touch */
/*
 * What a CUDA device can do, measured now, in about a second: bytes a second of a copy on it, read
 * and written ones, and operations a second of large products of bfloat16. -ENOTSUP on the CPU.
 */
int kern_measure(struct kern *kn, double *copy, double *product);
/* The driver's words for a failure of the device (-EIO), NULL if there was none. A device that has
 * failed stays so until the process ends. */
const char *kern_trouble(const struct kern *kn);

/* Zeroed, 64-byte aligned; NULL if there is no room. */
void *kern_alloc(struct kern *kn, size_t nbytes);
void kern_free(struct kern *kn, void *dev);
uint64_t kern_available(struct kern *kn); /* bytes that can still be had, about */
struct kern_conv;
/*
 * About the most bytes that calls take of that memory for themselves, beside the arrays they are
 * given, in a program that trains a network with this convolution: of all it has, the one for which
 * this is most counts. With the handle of another thread that makes its pictures, if it is alike.
 */
uint64_t kern_overhead(struct kern *kn, const struct kern_conv *cv);
int kern_put(struct kern *kn, void *dev, const void *host, size_t nbytes);
int kern_get(struct kern *kn, void *host, const void *dev, size_t nbytes); /* waits */
int kern_zero(struct kern *kn, void *dev, size_t nbytes);
int kern_sync(struct kern *kn);

/*
 * A recording: calls between kern_record() and kern_record_end() are kept and not done;
 * kern_replay() does them all again, with the same pointers and numbers, at the price of one call.
 * They must not wait, nor bring anything from or to the host. What a device cannot record it
 * refuses at kern_record(): -ENOTSUP. kern_record_end() returns how many pieces of work the device
 * will be given, kernels and the like. A recording that failed in between is given up by it, and it
 * then fails too.
 */
struct kern_recording;
int kern_record(struct kern *kn);
int kern_record_end(struct kern *kn, struct kern_recording **r);
int kern_replay(struct kern *kn, struct kern_recording *r);
void kern_recording_free(struct kern *kn, struct kern_recording *r); /* NULL is fine */

/*
 * Calls between kern_fork() and kern_back() may run beside those between kern_back() and
 * kern_join(); neither reads what the other writes, nor brings anything from or to the host. A
 * device without a second lane does them one after the other, in their order. kern_lanes() is 1 on
 * such a device, else 2.
 */
int kern_lanes(const struct kern *kn);
int kern_fork(struct kern *kn);
int kern_back(struct kern *kn); /* also after a call that failed */
int kern_join(struct kern *kn);

/* -- convolution ---- */

/*
 * y[n][p][q][k] = sum over r, s, c of
 *     x[n][p*stride + r - pad_top][q*stride + s - pad_left][c] * w[k][c][r][s]
 *
 * (cross-correlation; cells outside x are zero). No bias. How many cells are padded below and on
 * the right follows from oh and ow.
 */
struct kern_conv {
    enum kern_type type; /* of x, y, dx, dy and residual */
    size_t n, h, w, c;   /* x [n][h][w][c] */
    size_t k, kh, kw;    /* w [k][c][kh][kw] (OIHW) */
    size_t stride;
    size_t pad_top, pad_left;
    size_t oh, ow; /* y [n][oh][ow][k] */
};

/*
 * What happens to a convolution's output on its way to memory: nothing if the struct is all zero
 * (or its pointer NULL), or one of
 *
 * bn             batch norm in training: kern_bn_stats() over n, oh, ow, of y before it is rounded
 *                to its type; one group only
 * scale, shift   batch norm folded: y = y * scale[k] + shift[k] (+ residual), then ReLU if relu
 */
struct kern_bn;
struct kern_epilogue {
    const struct kern_bn *bn;   /* [k] */
    const float *scale, *shift; /* [k] */
    const void *residual;       /* [n][oh][ow][k] of cv->type, or NULL */
    bool relu;
};

/* Packed weights: the backend's own layout, for forward and backward-data, and for any n, h, w. */
size_t kern_conv_packed(struct kern *kn, const struct kern_conv *cv); /* bytes */
struct kern_conv_weights {
    struct kern_conv cv;
    void *packed;   /* out */
    const float *w; /* OIHW */
};
int kern_conv_pack(struct kern *kn, const struct kern_conv_weights *list, size_t n);

int kern_conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                      const void *packed, const struct kern_epilogue *ep);
/* dx = gradient, or dx += gradient if add. */
int kern_conv_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                            const void *packed, bool add);
/* dw[k][c][kh][kw] += gradient. */
int kern_conv_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw,
                               const void *x, const void *dy);

/* -- batch normalisation (method: eps 1e-5, biased variance) ---- */

#define KERN_BN_EPS 1e-5f

/*
 * One call may normalise several groups of rows that lie behind one another, as the views of a
 * batch do: tensors are [groups][rows][c] then, what belongs to a group's channel [groups][c], and
 * what the groups have in common [c], updated or added to by one group after another. groups 0
 * counts as 1, here and below.
 */
static inline size_t kern_bn_groups(size_t groups)
{
    return groups ? groups : 1;
}

/* Numbers of channels, and the weight of these mean and var in the running ones. */
struct kern_bn {
    float *mean, *var;                 /* [groups][c] */
    const float *gamma, *beta;         /* [c] */
    float *scale, *shift, *rstd;       /* [groups][c]; rstd may be NULL */
    float *running_mean, *running_var; /* [c]; both or neither */
    const float *weight;               /* [groups], read only with them */
    size_t groups;
};

/* Mean and biased variance of each of the c columns of x [groups][rows][c]; and then, unless scale
 * is NULL, what kern_bn_finalise() makes of them. */
int kern_bn_stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn, const void *x,
                  size_t rows, size_t c);

/*
 * rstd = 1/sqrt(var + eps), scale = gamma * rstd, shift = beta - mean * scale; and, unless
 * running_mean is NULL, running += *weight * (value - running) for mean and var. With *weight =
 * 0.1/(1 - 0.9^t) at the t-th update this is the zero-debiased average of decay 0.9 (dm-haiku's
 * ExponentialMovingAverage).
 */
int kern_bn_finalise(struct kern *kn, const struct kern_bn *bn, size_t c);

/* Bytes of n bits, of which i is bit i % 8 of byte i / 8: whole words of 4 bytes, and aligned so.
 * What the bits behind the last one are is not said. */
static inline size_t kern_above_bytes(size_t n)
{
    return (n + 31) / 32 * 4;
}

/*
 * y = x * scale + shift (+ residual), then ReLU if relu. y may be x. rows are those of a group.
 *
 * above: bit i tells whether number i of y, as it is stored, is above 0, which NaN is not. All that
 * the gradient of a residual's ReLU must know of y, and a sixteenth of its bytes or less.
 */
struct kern_bn_forward {
    enum kern_type type; /* of y, x, residual: [groups][rows][c] */
    size_t rows, c;
    bool relu;
    void *y;
    const void *x, *residual;   /* residual may be NULL */
    const float *scale, *shift; /* [groups][c] */
    uint8_t *above;             /* kern_above_bytes(groups * rows * c), or NULL */
    size_t groups;
};
int kern_bn_forward(struct kern *kn, const struct kern_bn_forward *f);

/*
 * With g = dy (if relu: where y > 0, else 0), y the forward pass's, and xh = (x - mean) * rstd:
 *
 * dbeta     += sum g
 * dgamma    += sum g*xh
 * dx         = gamma*rstd*(g - mean(g) - xh*mean(g*xh)), means over the rows of a group
 * dresidual  = g (or += g if residual_add), unless NULL
 *
 * dx may be dy. above is read only if relu. Without a residual y > 0 can be told from x, which is
 * read anyway: above NULL means where x * scale + shift > 0, with what the forward pass was given.
 */
struct kern_bn_backward {
    enum kern_type type; /* of dx, dresidual, dy, x: [groups][rows][c] */
    size_t rows, c;
    bool relu, residual_add;
    void *dx, *dresidual;
    const void *dy, *x;
    const uint8_t *above;       /* the forward pass's, or NULL */
    float *dgamma, *dbeta;      /* [c], added to */
    const float *gamma;         /* [c] */
    const float *mean, *rstd;   /* [groups][c] */
    const float *scale, *shift; /* [groups][c], read only if relu and above is NULL */
    size_t groups;
};
int kern_bn_backward(struct kern *kn, const struct kern_bn_backward *b);

/* -- pooling ---- */

/*
 * Maximum over side x side windows; cells outside never win. Backward gives the gradient to the
 * first maximum.
 */
struct kern_maxpool {
    enum kern_type type;
    size_t n, h, w, c;
    size_t side, stride, pad_top, pad_left;
    size_t oh, ow;
};
int kern_maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y, const void *x);
int kern_maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx, const void *dy,
                          const void *x, const void *y); /* dx is overwritten */

/* Mean over the plane: y float32 [n][c] from x [n][cells][c] of type. */
int kern_avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x, size_t n,
                         size_t cells, size_t c);
int kern_avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy, size_t n,
                          size_t cells, size_t c);

/*
 * Mean over 2 x 2 windows that begin with the first cell, for a ResNet-D's shortcut (He et al.,
 * arXiv 1812.01187, as in SimCLRv2): y [n][ceil(h/stride)][ceil(w/stride)][c]. Of a window that
 * overhangs below or on the right, stride 2 counts the missing cells as zeros, stride 1 leaves them
 * out of the mean. Other strides: -EINVAL.
 */
struct kern_avgpool2 {
    enum kern_type type;
    size_t n, h, w, c; /* x [n][h][w][c] */
    size_t stride;
};
int kern_avgpool2_forward(struct kern *kn, const struct kern_avgpool2 *ap, void *y, const void *x);
int kern_avgpool2_backward(struct kern *kn, const struct kern_avgpool2 *ap, void *dx,
                           const void *dy); /* dx is overwritten */

/* -- selective kernels (Li et al., arXiv 1903.06586, as in SimCLRv2) ---- */

/*
 * u [n][cells][2m] of type holds two branches side by side, u0 in channels 0..m-1 and u1 behind.
 *
 * squeeze: s [n][m] float32 = mean over the cells of u0 + u1
 * select:  v [n][cells][m] of type = a * u0 + (1 - a) * u1, a = exp(z0) / (exp(z0) + exp(z1)), of
 * the scores z [n][2m] float32, z0 in 0..m-1 and z1 behind
 *
 * Backward, select overwrites du and dz; squeeze adds to both branches of du.
 */
struct kern_sk {
    enum kern_type type;
    size_t n, cells, m;
};
int kern_sk_squeeze_forward(struct kern *kn, const struct kern_sk *sk, float *s, const void *u);
int kern_sk_squeeze_backward(struct kern *kn, const struct kern_sk *sk, void *du, const float *ds);
int kern_sk_select_forward(struct kern *kn, const struct kern_sk *sk, void *v, const void *u,
                           const float *z);
int kern_sk_select_backward(struct kern *kn, const struct kern_sk *sk, void *du, float *dz,
                            const void *dv, const void *u, const float *z);

/* -- dense layers and vectors, float32 ---- */

/*
 * c [m][n] = alpha * op(a) op(b) + beta * c, row-major; op(a) is [m][k] (stored [k][m] if ta),
 * op(b) is [k][n] (stored [n][k] if tb).
 */
int kern_gemm(struct kern *kn, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
              const float *a, const float *b, float beta, float *c);
/* y [rows][c] += bias [c]; backward: dbias += the sums of dy's columns. */
int kern_bias_forward(struct kern *kn, float *y, const float *bias, size_t rows, size_t c);
int kern_bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows, size_t c);

/* y = u * r, r = 1/sqrt(max(sum u^2, 1e-12)) for each row (method 3.5). r [n] is an output. */
#define KERN_NORM_EPS 1e-12
int kern_l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n, size_t d);
/* du = r * (dy - y <y, dy>), rows of n; du may be dy. */
int kern_l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                         const float *r, size_t n, size_t d);

/* dst[dst_row[i]] = src[src_row[i]] for i < n, rows of d floats. Lists [dev]; NULL: row i is i, -1:
 * nothing is copied. */
int kern_copy_rows(struct kern *kn, float *dst, const int32_t *dst_row, const float *src,
                   const int32_t *src_row, size_t n, size_t d);

/* -- the contrastive loss (method 8.1-8.5, 8.9) ---- */

/*
 * One view pair: for each image b the scores of a positive and ne negatives. Score c is between one
 * row of o and one other vector, s_c = <o[row_c], other_c> / tau:
 *
 *                        row_c, other_c for c = 0   for c = 1..ne, with n = neg[b][c - 1]
 * anchored at o          b, bank[pos[b]]            b, t[n]
 * target_anchored        b, bank[pos[b]]            n, bank[pos[b]]
 *
 * pos NULL: b. A negative of -1 is none: score -inf, p 0.
 *
 * p [n][1+ne] = softmax of the scores, positive first
 * loss [n]    = logsumexp(s) - s_0
 *
 * Images with pos[b] < 0 have no positive: loss 0, and p is all zero.
 */
struct kern_contrast {
    size_t n, d, ne;
    float tau;
    const float *o;       /* [n][d] normalised online predictions */
    const float *t;       /* [n][d] normalised target projections of the same batch */
    const float *bank;    /* [any][d] where positives live: t itself, or a queue */
    const int32_t *pos;   /* [n] rows of bank, or NULL */
    const int32_t *neg;   /* [n][ne] images, or -1 */
    bool target_anchored; /* t is then not read */
};
int kern_contrast_forward(struct kern *kn, const struct kern_contrast *ct, float *p, float *loss);
/*
 * do_[row_c] += g[b][c] * other_c / tau over all c of all images b with a positive; g [n][1+ne] =
 * dL/ds. Sums are in the order of b, then c, whatever the threads.
 */
int kern_contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                           const float *g);

/*
 * The gradient of *weight * loss: g[b] = *weight * (p[b] - (1, 0, ..., 0)) for anchors with a
 * positive (pos NULL: all), else 0. weight [dev].
 */
int kern_contrast_grad(struct kern *kn, float *g, const float *p, const int32_t *pos,
                       const float *weight, size_t n, size_t ne);

/*
 * Invariance S: kl[b] = sum_c p log(p/q), and g[b] += *weight * (q - p), the gradient into the
 * scores of q; p is held. weight [dev].
 */
int kern_kl(struct kern *kn, float *kl, float *g, const float *p, const float *q,
            const int32_t *pos, const float *weight, size_t n, size_t ne);

/*
 * Means over anchors: with a the number of pos[b] >= 0 of n, weight[i] = whole[i] + part[i] *
 * (1 / (share * a)), or whole[i] alone if a is 0, for i < count; in double, then rounded.
 */
struct kern_weights {
    size_t n, count;
    const int32_t *pos;         /* [n] */
    const double *whole, *part; /* [count] */
    double share;
};
int kern_weights(struct kern *kn, const struct kern_weights *w, float *weight);

/* -- pseudo-labels and semantic positives (SemPPL; method 7.2-7.4) ---- */

/*
 * The votes of n images. Each of some searches has found up to k slots of a queue for every image,
 * best first, then -1. All of them vote with their labels; or, drawn, one of those of a search, by
 * rng_init(seed, RNG_VOTE, *step, id[b], search * stride). The label with most votes wins, of equal
 * ones that with the larger sum of similarities (in double, in the order of the ballots; unless
 * that is not asked for), then the smaller label. share: its votes over all; below least, or
 * without any vote, the label is -1.
 */
struct kern_vote {
    size_t n, k, searches;
    const int32_t *slot; /* [searches][n][k] */
    const float *sim;
    const int32_t *slot_label; /* [slots] */
    bool drawn, by_similarity;
    float least;
    uint64_t seed;
    unsigned stride;
    const int64_t *step; /* [1] */
    const uint64_t *id;  /* [n] */
};
/*
 * ballot, similarity [n][searches * (drawn ? 1 : k)]: the labels that voted, -1 for none; label,
 * share [n]. fill [n], unless NULL: where it is below 0 it becomes the image's label.
 */
int kern_vote(struct kern *kn, const struct kern_vote *v, int32_t *ballot, float *similarity,
              int32_t *label, float *share, int32_t *fill);

/*
 * pos[i][j][b]: of the slots of class label[b], those of class c being slot[start[c]] ..
 * slot[start[c+1] - 1], one drawn by the j-th number of rng_init(seed, RNG_POSITIVE, *step,
 * b | (key[i] >> 8) << 32, key[i] & 255); -1 if there is none or label[b] is below 0.
 */
struct kern_positives {
    size_t n, pairs, each;
    uint64_t seed;
    const int64_t *step; /* [1] */
    const uint32_t *key; /* [pairs] */
    const int32_t *label;
    const int32_t *start, *slot;
};
int kern_positives(struct kern *kn, const struct kern_positives *p, int32_t *pos);

/* -- nearest neighbours ---- */

/*
 * The k rows of bank most similar (dot product) to each query, exactly: similarities are dot
 * products summed in double in the order of d, best first, of equals the lower row first. A row
 * whose bank_id equals the query's id is passed over (both NULL: none is), and so is one whose
 * similarity is NaN. Fewer than k: idx -1, sim -inf in the rest. idx [n][k] int32, sim [n][k]
 * float. d is any; m may be 0.
 */
struct kern_knn {
    size_t n, m, d, k;
    const float *query, *bank;          /* [n][d], [m][d] */
    const uint64_t *query_id, *bank_id; /* [n], [m], or NULL */
};
int kern_knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim);

/* -- optimiser ---- */

/* A tensor's place in the flat arenas below. */
struct kern_segment {
    size_t offset, count;
    bool excluded; /* biases and batch norm: no decay, no adaptation (method 9.1) */
};

enum kern_rule { KERN_LARS, KERN_SGD, KERN_ADAMW };
#define KERN_ADAMW_EPS 1e-8f

/*
 * New weights by a gradient g, over all segments:
 *
 * KERN_LARS (method 9.1)       KERN_SGD        KERN_ADAMW (Loshchilov and Hutter, arXiv 1711.05101,
 *                                              algorithm 2, decay times lr), update t from 1
 * g += wd*w                    g += wd*w       v  = mu*v + (1 - mu)*g
 * g *= eta*|w|/|g|             v  = mu*v + g   s  = beta2*s + (1 - beta2)*g^2
 * v  = mu*v + g                w -= lr*v       w -= lr*(v / (1 - mu^t) /
 * w -= lr*v                                         (sqrt(s / (1 - beta2^t)) + eps) + wd*w)
 *
 * Excluded segments have no decay and keep g; norms are over the segment, and if one is 0 g is
 * kept. Then the target's moving average (method 9.4) over the first ntarget floats:
 *
 * xi += (1 - gamma)*(w - xi)
 *
 * g is grad_factor times grad, which itself is read only.
 */
struct kern_update {
    enum kern_rule rule;
    float lr, mu, eta, wd, gamma; /* eta: KERN_LARS only */
    double beta2;                 /* KERN_ADAMW only, as are t and s */
    int64_t t;                    /* at least 1 */
    float *w, *v, *s, *xi;        /* arenas [dev]; xi has ntarget floats */
    const float *grad;
    float grad_factor; /* above 0 */
    size_t ntarget;
    const struct kern_segment *seg; /* [nseg], host memory */
    size_t nseg;
};
int kern_update(struct kern *kn, const struct kern_update *u);

/* *norm = sqrt(sum x^2), host memory; waits. NaN or infinity in x shows in it. */
int kern_norm(struct kern *kn, double *norm, const float *x, size_t n);

/* -- views: from a picture to the network's input ---- */

enum { KERN_BLUR_PART = 20 }; /* a blur reaches a tenth of the side, half of it each way */

struct kern_picture {
    const uint8_t *rgb;  /* [h][w][3] */
    const uint8_t *mask; /* [h][w] or NULL */
    size_t h, w;
};

/* Order of the steps: method 4.1; definitions: 4.2-4.5, 4.8. Drawn by common/data/augment.h. */
struct kern_view {
    bool masked; /* where its mask, if it has one, is below 128, the picture counts as fill */
    float fill;  /* a grey in [0, 1] */
    size_t top, left, height, width; /* the crop, whole pixels inside the picture */
    bool flip;
    bool jitter;
    uint8_t order[4]; /* permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue */
    float brightness, contrast, saturation, hue; /* delta, factor, factor, delta in turns */
    bool grey;
    float sigma; /* Gaussian blur of radius side / KERN_BLUR_PART; 0: none */
    bool solarise;
};

/*
 * The views of n pictures, `each` of every one: view j is cropped, resized to side[j] (Keys cubic a
 * = -0.5, 4 taps, no antialiasing, taps outside the CROP dropped and the rest renormalised),
 * clipped, augmented, then (v - mean[ch]) / dev[ch]. All but what out points to is host memory;
 * pixels and masks are read only within the box around a picture's crops.
 */
struct kern_views {
    enum kern_type type;
    size_t n, each;
    const struct kern_picture *picture; /* [n] */
    const struct kern_view *view;       /* [n][each] */
    const size_t *side;                 /* [each] */
    void *const *out;                   /* [each], number j to [n][side[j]][side[j]][3] of type */
    float mean[3], dev[3];
};
int kern_augment(struct kern *kn, const struct kern_views *v);

#endif
