/*
 * mirror_network.c - the slots of networks: convolution, batch norm, pooling, selective kernels,
 * dense layers.
 */
#include "tests/kern/mirror_call.h"

/* -- convolution --------------------------------------------------------------------------- */

static size_t input_bytes(const struct kern_conv *cv)
{
    return cv->n * cv->h * cv->w * cv->c * kern_sizeof(cv->type);
}

static size_t output_bytes(const struct kern_conv *cv)
{
    return cv->n * cv->oh * cv->ow * cv->k * kern_sizeof(cv->type);
}

static size_t weight_bytes(const struct kern_conv *cv)
{
    return cv->k * cv->c * cv->kh * cv->kw * F;
}

/* mean and var are read where they are not asked for. */
static void list_bn(struct call *k, const struct kern_bn *bn, size_t c)
{
    size_t all = kern_bn_groups(bn->groups) * c;
    writes(k, bn->mean, all * F);
    writes(k, bn->var, all * F);
    if (!bn->scale)
        return;
    reads(k, bn->gamma, c * F);
    reads(k, bn->beta, c * F);
    writes(k, bn->scale, all * F);
    writes(k, bn->shift, all * F);
    writes(k, bn->rstd, all * F);
    writes(k, bn->running_mean, c * F);
    writes(k, bn->running_var, c * F);
    reads(k, bn->running_mean ? bn->weight : NULL, kern_bn_groups(bn->groups) * F);
}

static struct kern_bn bn_at(struct call *k, const struct kern_bn *bn)
{
    return (struct kern_bn){
        at(k, bn->mean),        at(k, bn->var),    at(k, bn->gamma), at(k, bn->beta),
        at(k, bn->scale),       at(k, bn->shift),  at(k, bn->rstd),  at(k, bn->running_mean),
        at(k, bn->running_var), at(k, bn->weight), bn->groups
    };
}

static int conv_pack(struct kern *kn, const struct kern_conv_weights *list, size_t n)
{
    CALL("conv_pack");
    struct kern_conv_weights there[MOST / 2];
    if (n > ARRAY_LEN(there))
        die(&k, "has too many arrays");
    for (size_t i = 0; i < n; i++) {
        writes(&k, list[i].packed, device.conv_packed(kn, &list[i].cv));
        reads(&k, list[i].w, weight_bytes(&list[i].cv));
    }
    call_send(&k);
    for (size_t i = 0; i < n; i++)
        there[i] =
            (struct kern_conv_weights){ list[i].cv, at(&k, list[i].packed), at(&k, list[i].w) };
    return call_receive(&k, device.conv_pack(kn, there, n));
}

static int conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                        const void *packed, const struct kern_epilogue *ep)
{
    CALL("conv_forward");
    struct kern_epilogue e = *ep;
    writes(&k, y, output_bytes(cv));
    reads(&k, x, input_bytes(cv));
    reads(&k, packed, device.conv_packed(kn, cv));
    if (ep->bn)
        list_bn(&k, ep->bn, cv->k);
    reads(&k, ep->scale, cv->k * F);
    reads(&k, ep->shift, cv->k * F);
    reads(&k, ep->residual, output_bytes(cv));
    call_send(&k);
    struct kern_bn there;
    if (ep->bn) {
        there = bn_at(&k, ep->bn);
        e.bn = &there;
    }
    e.scale = at(&k, ep->scale);
    e.shift = at(&k, ep->shift);
    e.residual = at(&k, ep->residual);
    return call_receive(&k, device.conv_forward(kn, cv, at(&k, y), at(&k, x), at(&k, packed), &e));
}

static int conv_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                              const void *packed, bool add)
{
    CALL("conv_backward_data");
    writes(&k, dx, input_bytes(cv));
    reads(&k, dy, output_bytes(cv));
    reads(&k, packed, device.conv_packed(kn, cv));
    return RUN(device.conv_backward_data(kn, cv, at(&k, dx), at(&k, dy), at(&k, packed), add));
}

static int conv_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw,
                                 const void *x, const void *dy)
{
    CALL("conv_backward_weights");
    writes(&k, dw, weight_bytes(cv));
    reads(&k, x, input_bytes(cv));
    reads(&k, dy, output_bytes(cv));
    return RUN(device.conv_backward_weights(kn, cv, at(&k, dw), at(&k, x), at(&k, dy)));
}

/* -- batch normalisation and pooling ------------------------------------------------------- */

static int bn_stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn, const void *x,
                    size_t rows, size_t c)
{
    CALL("bn_stats");
    list_bn(&k, bn, c);
    reads(&k, x, kern_bn_groups(bn->groups) * rows * c * kern_sizeof(type));
    call_send(&k);
    struct kern_bn there = bn_at(&k, bn);
    return call_receive(&k, device.bn_stats(kn, type, &there, at(&k, x), rows, c));
}

static int bn_finalise(struct kern *kn, const struct kern_bn *bn, size_t c)
{
    CALL("bn_finalise");
    list_bn(&k, bn, c);
    call_send(&k);
    struct kern_bn there = bn_at(&k, bn);
    return call_receive(&k, device.bn_finalise(kn, &there, c));
}

static int bn_forward(struct kern *kn, const struct kern_bn_forward *f)
{
    CALL("bn_forward");
    struct kern_bn_forward d = *f;
    size_t groups = kern_bn_groups(f->groups), n = groups * f->rows * f->c;
    size_t bytes = n * kern_sizeof(f->type), c = groups * f->c * F;
    writes(&k, f->y, bytes);
    writes(&k, f->above, kern_above_bytes(n));
    reads(&k, f->x, bytes);
    reads(&k, f->residual, bytes);
    reads(&k, f->scale, c);
    reads(&k, f->shift, c);
    call_send(&k);
    d.y = at(&k, f->y);
    d.above = at(&k, f->above);
    d.x = at(&k, f->x);
    d.residual = at(&k, f->residual);
    d.scale = at(&k, f->scale);
    d.shift = at(&k, f->shift);
    return call_receive(&k, device.bn_forward(kn, &d));
}

static int bn_backward(struct kern *kn, const struct kern_bn_backward *b)
{
    CALL("bn_backward");
    struct kern_bn_backward d = *b;
    size_t groups = kern_bn_groups(b->groups), n = groups * b->rows * b->c;
    size_t bytes = n * kern_sizeof(b->type), c = b->c * F;
    writes(&k, b->dx, bytes);
    writes(&k, b->dresidual, bytes);
    writes(&k, b->dgamma, c);
    writes(&k, b->dbeta, c);
    reads(&k, b->dy, bytes);
    reads(&k, b->x, bytes);
    reads(&k, b->relu ? b->above : NULL, kern_above_bytes(n));
    reads(&k, b->mean, groups * c);
    reads(&k, b->rstd, groups * c);
    reads(&k, b->gamma, c);
    reads(&k, b->relu && !b->above ? b->scale : NULL, groups * c);
    reads(&k, b->relu && !b->above ? b->shift : NULL, groups * c);
    call_send(&k);
    d.dx = at(&k, b->dx);
    d.dresidual = at(&k, b->dresidual);
    d.dgamma = at(&k, b->dgamma);
    d.dbeta = at(&k, b->dbeta);
    d.dy = at(&k, b->dy);
    d.x = at(&k, b->x);
    d.above = at(&k, b->above);
    d.mean = at(&k, b->mean);
    d.rstd = at(&k, b->rstd);
    d.gamma = at(&k, b->gamma);
    d.scale = at(&k, b->scale);
    d.shift = at(&k, b->shift);
    return call_receive(&k, device.bn_backward(kn, &d));
}

static int maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y, const void *x)
{
    CALL("maxpool_forward");
    size_t each = kern_sizeof(mp->type);
    writes(&k, y, mp->n * mp->oh * mp->ow * mp->c * each);
    reads(&k, x, mp->n * mp->h * mp->w * mp->c * each);
    return RUN(device.maxpool_forward(kn, mp, at(&k, y), at(&k, x)));
}

static int maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx,
                            const void *dy, const void *x, const void *y)
{
    CALL("maxpool_backward");
    size_t each = kern_sizeof(mp->type);
    size_t in = mp->n * mp->h * mp->w * mp->c * each, out = mp->n * mp->oh * mp->ow * mp->c * each;
    writes(&k, dx, in);
    reads(&k, dy, out);
    reads(&k, x, in);
    reads(&k, y, out);
    return RUN(device.maxpool_backward(kn, mp, at(&k, dx), at(&k, dy), at(&k, x), at(&k, y)));
}

static int avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x, size_t n,
                           size_t cells, size_t c)
{
    CALL("avgpool_forward");
    writes(&k, y, n * c * F);
    reads(&k, x, n * cells * c * kern_sizeof(type));
    return RUN(device.avgpool_forward(kn, type, at(&k, y), at(&k, x), n, cells, c));
}

static int avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy,
                            size_t n, size_t cells, size_t c)
{
    CALL("avgpool_backward");
    writes(&k, dx, n * cells * c * kern_sizeof(type));
    reads(&k, dy, n * c * F);
    return RUN(device.avgpool_backward(kn, type, at(&k, dx), at(&k, dy), n, cells, c));
}

static size_t avgpool2_in(const struct kern_avgpool2 *ap)
{
    return ap->n * ap->h * ap->w * ap->c * kern_sizeof(ap->type);
}

static size_t avgpool2_out(const struct kern_avgpool2 *ap)
{
    size_t oh = (ap->h + ap->stride - 1) / ap->stride, ow = (ap->w + ap->stride - 1) / ap->stride;
    return ap->n * oh * ow * ap->c * kern_sizeof(ap->type);
}

static int avgpool2_forward(struct kern *kn, const struct kern_avgpool2 *ap, void *y, const void *x)
{
    CALL("avgpool2_forward");
    writes(&k, y, avgpool2_out(ap));
    reads(&k, x, avgpool2_in(ap));
    return RUN(device.avgpool2_forward(kn, ap, at(&k, y), at(&k, x)));
}

static int avgpool2_backward(struct kern *kn, const struct kern_avgpool2 *ap, void *dx,
                             const void *dy)
{
    CALL("avgpool2_backward");
    writes(&k, dx, avgpool2_in(ap));
    reads(&k, dy, avgpool2_out(ap));
    return RUN(device.avgpool2_backward(kn, ap, at(&k, dx), at(&k, dy)));
}

/* -- selective kernels --------------------------------------------------------------------- */

static size_t branches(const struct kern_sk *sk)
{
    return sk->n * sk->cells * 2 * sk->m * kern_sizeof(sk->type);
}

static int sk_squeeze_forward(struct kern *kn, const struct kern_sk *sk, float *s, const void *u)
{
    CALL("sk_squeeze_forward");
    writes(&k, s, sk->n * sk->m * F);
    reads(&k, u, branches(sk));
    return RUN(device.sk_squeeze_forward(kn, sk, at(&k, s), at(&k, u)));
}

static int sk_squeeze_backward(struct kern *kn, const struct kern_sk *sk, void *du, const float *ds)
{
    CALL("sk_squeeze_backward");
    writes(&k, du, branches(sk));
    reads(&k, ds, sk->n * sk->m * F);
    return RUN(device.sk_squeeze_backward(kn, sk, at(&k, du), at(&k, ds)));
}

static int sk_select_forward(struct kern *kn, const struct kern_sk *sk, void *v, const void *u,
                             const float *z)
{
    CALL("sk_select_forward");
    writes(&k, v, branches(sk) / 2);
    reads(&k, u, branches(sk));
    reads(&k, z, sk->n * 2 * sk->m * F);
    return RUN(device.sk_select_forward(kn, sk, at(&k, v), at(&k, u), at(&k, z)));
}

static int sk_select_backward(struct kern *kn, const struct kern_sk *sk, void *du, float *dz,
                              const void *dv, const void *u, const float *z)
{
    CALL("sk_select_backward");
    writes(&k, du, branches(sk));
    writes(&k, dz, sk->n * 2 * sk->m * F);
    reads(&k, dv, branches(sk) / 2);
    reads(&k, u, branches(sk));
    reads(&k, z, sk->n * 2 * sk->m * F);
    return RUN(device.sk_select_backward(kn, sk, at(&k, du), at(&k, dz), at(&k, dv), at(&k, u),
                                         at(&k, z)));
}

/* -- dense layers and vectors -------------------------------------------------------------- */

static int gemm(struct kern *kn, bool ta, bool tb, size_t m, size_t n, size_t depth, float alpha,
                const float *a, const float *b, float beta, float *c)
{
    CALL("gemm");
    reads(&k, a, m * depth * F);
    reads(&k, b, depth * n * F);
    writes(&k, c, m * n * F);
    return RUN(device.gemm(kn, ta, tb, m, n, depth, alpha, at(&k, a), at(&k, b), beta, at(&k, c)));
}

static int bias_forward(struct kern *kn, float *y, const float *bias, size_t rows, size_t c)
{
    CALL("bias_forward");
    writes(&k, y, rows * c * F);
    reads(&k, bias, c * F);
    return RUN(device.bias_forward(kn, at(&k, y), at(&k, bias), rows, c));
}

static int bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows, size_t c)
{
    CALL("bias_backward");
    writes(&k, dbias, c * F);
    reads(&k, dy, rows * c * F);
    return RUN(device.bias_backward(kn, at(&k, dbias), at(&k, dy), rows, c));
}

static int l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n, size_t d)
{
    CALL("l2norm_forward");
    writes(&k, y, n * d * F);
    writes(&k, r, n * F);
    reads(&k, u, n * d * F);
    return RUN(device.l2norm_forward(kn, at(&k, y), at(&k, r), at(&k, u), n, d));
}

static int l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                           const float *r, size_t n, size_t d)
{
    CALL("l2norm_backward");
    writes(&k, du, n * d * F);
    reads(&k, dy, n * d * F);
    reads(&k, y, n * d * F);
    reads(&k, r, n * F);
    return RUN(device.l2norm_backward(kn, at(&k, du), at(&k, dy), at(&k, y), at(&k, r), n, d));
}

static int copy_rows(struct kern *kn, float *dst, const int32_t *dst_row, const float *src,
                     const int32_t *src_row, size_t n, size_t d)
{
    CALL("copy_rows");
    writes(&k, dst, rows_of(dst_row, n) * d * F);
    reads(&k, dst_row, n * sizeof *dst_row);
    reads(&k, src, rows_of(src_row, n) * d * F);
    reads(&k, src_row, n * sizeof *src_row);
    return RUN(
        device.copy_rows(kn, at(&k, dst), at(&k, dst_row), at(&k, src), at(&k, src_row), n, d));
}

void mirror_network(struct kern_ops *ops)
{
    ops->conv_pack = conv_pack;
    ops->conv_forward = conv_forward;
    ops->conv_backward_data = conv_backward_data;
    ops->conv_backward_weights = conv_backward_weights;
    ops->bn_stats = bn_stats;
    ops->bn_finalise = bn_finalise;
    ops->bn_forward = bn_forward;
    ops->bn_backward = bn_backward;
    ops->maxpool_forward = maxpool_forward;
    ops->maxpool_backward = maxpool_backward;
    ops->avgpool_forward = avgpool_forward;
    ops->avgpool_backward = avgpool_backward;
    ops->avgpool2_forward = avgpool2_forward;
    ops->avgpool2_backward = avgpool2_backward;
    ops->sk_squeeze_forward = sk_squeeze_forward;
    ops->sk_squeeze_backward = sk_squeeze_backward;
    ops->sk_select_forward = sk_select_forward;
    ops->sk_select_backward = sk_select_backward;
    ops->gemm = gemm;
    ops->bias_forward = bias_forward;
    ops->bias_backward = bias_backward;
    ops->l2norm_forward = l2norm_forward;
    ops->l2norm_backward = l2norm_backward;
    ops->copy_rows = copy_rows;
}
