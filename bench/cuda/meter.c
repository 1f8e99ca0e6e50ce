/*
 * meter.c - see meter.h. What the plugin does in each call: kernels/cuda.
 */
#include "bench/cuda/meter.h"
#include "common/base/log.h"
#include <math.h>

const char *const meter_names[METER_KINDS] = { "convolutions, and sums of their outputs",
                                               "their gradient of inputs",
                                               "their gradient of weights",
                                               "batch norm",
                                               "its gradient",
                                               "pooling",
                                               "heads, unit length",
                                               "optimiser",
                                               "weights packed",
                                               "zeros and copies" };

enum { F = sizeof(float), PACKED = 60 }; /* layers that one kernel packs */

static struct meter *on;

/* A piece of work of a call. */
static void node_at(enum meter_kind kind, double bytes, double work, double rate)
{
    struct meter_sum *s = &on->sum[kind];
    s->nodes++;
    s->bytes += bytes;
    s->work += work;
    s->floor += fmax(bytes / on->copy, work / rate) + on->node;
}

static void node(enum meter_kind kind, double bytes)
{
    node_at(kind, bytes, 0, on->product);
}

static int timed(struct kern *kn, struct meter_sum *s)
{
    struct kern_recording *r = NULL;
    double start = 0;
    int rc = on->ops.record_end(kn, &r);
    s->recorded += (double)MAX(rc, 0) / on->times;
    for (int i = 0; i < 2 && rc >= 0; i++) { /* the first warms up */
        start = log_seconds();
        rc = on->ops.replay(kn, r);
        if (rc == 0)
            rc = on->ops.sync(kn);
    }
    s->seconds += (log_seconds() - start) / on->times;
    if (r)
        on->ops.recording_free(kn, r);
    return MIN(rc, 0);
}

/* The end of a slot: the call itself. */
#define CALL(kind, call)                                                                           \
    do {                                                                                           \
        int rc = on->times > 0 ? on->ops.record(kn) : 0;                                           \
        on->sum[kind].calls++;                                                                     \
        for (int i = 0; i < on->times && rc == 0; i++)                                             \
            rc = on->ops.call;                                                                     \
        return rc < 0 || on->times == 0 ? rc : timed(kn, &on->sum[kind]);                          \
    } while (0)

/* -- convolutions ---- */

static double size(enum kern_type type)
{
    return (double)kern_sizeof(type);
}

static double inputs(const struct kern_conv *cv)
{
    return size(cv->type) * (double)(cv->n * cv->h * cv->w * cv->c);
}

static double outputs(const struct kern_conv *cv)
{
    return size(cv->type) * (double)(cv->n * cv->oh * cv->ow * cv->k);
}

static double weights(const struct kern_conv *cv)
{
    return (double)(cv->k * cv->c * cv->kh * cv->kw);
}

/* The input as an engine sees it, in blocks of 8 or 16 channels; a copy, if it is not so itself. */
static double form(enum meter_kind kind, const struct kern_conv *cv)
{
    double blocks = cv->stride == 2 && cv->c <= 4 ? 4 : 1, c = (double)cv->c;
    double seen = inputs(cv) / blocks / c * ceil(blocks * c / 8) * 8;
    if (cv->c % 8 != 0)
        node(kind, inputs(cv) + seen);
    return seen;
}

static void engine(enum meter_kind kind, const struct kern_conv *cv, double bytes)
{
    node_at(kind, bytes + size(cv->type) * weights(cv),
            2 * weights(cv) * (double)(cv->n * cv->oh * cv->ow),
            cv->type == KERN_F32 ? on->product / 16 : on->product);
}

static int conv_pack(struct kern *kn, const struct kern_conv_weights *list, size_t n)
{
    double bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += weights(&list[i].cv) * (F + size(list[i].cv.type));
        if ((i + 1) % PACKED != 0 && i + 1 < n)
            continue;
        node(METER_PACK, bytes);
        bytes = 0;
    }
    CALL(METER_PACK, conv_pack(kn, list, n));
}

static int conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                        const void *packed, const struct kern_epilogue *ep)
{
    engine(METER_FORWARD, cv, form(METER_FORWARD, cv) + outputs(cv));
    if (ep->bn)
        node(METER_FORWARD, outputs(cv));
    CALL(METER_FORWARD, conv_forward(kn, cv, y, x, packed, ep));
}

static int conv_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                              const void *packed, bool add)
{
    engine(METER_DATA, cv, outputs(cv) + inputs(cv) * (add ? 2 : 1)); /* by an engine that adds */
    CALL(METER_DATA, conv_backward_data(kn, cv, dx, dy, packed, add));
}

static int conv_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw,
                                 const void *x, const void *dy)
{
    engine(METER_WEIGHTS, cv, form(METER_WEIGHTS, cv) + outputs(cv));
    node(METER_WEIGHTS, weights(cv) * (2 * F + size(cv->type)));
    CALL(METER_WEIGHTS, conv_backward_weights(kn, cv, dw, x, dy));
}

/* -- batch norm and pooling ---- */

static int bn_stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn, const void *x,
                    size_t rows, size_t c)
{
    node(METER_NORM, size(type) * (double)(kern_bn_groups(bn->groups) * rows * c));
    if (bn->groups > 1 && bn->scale) /* what groups have in common; so below */
        node(METER_NORM, 0);
    CALL(METER_NORM, bn_stats(kn, type, bn, x, rows, c));
}

static int bn_forward(struct kern *kn, const struct kern_bn_forward *f)
{
    double numbers = (double)(kern_bn_groups(f->groups) * f->rows * f->c);
    double bits = f->above ? numbers / 8 : 0;
    node(METER_NORM, size(f->type) * numbers * (f->residual ? 3 : 2) + bits);
    CALL(METER_NORM, bn_forward(kn, f));
}

/* Passes over the tensor: kernels/cuda/norm.cu. */
static int bn_backward(struct kern *kn, const struct kern_bn_backward *b)
{
    double numbers = (double)(kern_bn_groups(b->groups) * b->rows * b->c);
    double tensor = size(b->type) * numbers;
    double bits = b->relu && b->above ? numbers / 8 : 0;
    node(METER_NORM_BACK, 2 * tensor + bits);
    if (b->groups > 1)
        node(METER_NORM_BACK, 0);
    node(METER_NORM_BACK, tensor * (3 + (!b->dresidual ? 0 : b->residual_add ? 2 : 1)) + bits);
    CALL(METER_NORM_BACK, bn_backward(kn, b));
}

static double pool_bytes(const struct kern_maxpool *mp)
{
    return size(mp->type) * (double)(mp->n * mp->c) *
           ((double)(mp->h * mp->w) + (double)(mp->oh * mp->ow));
}

static int maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y, const void *x)
{
    node(METER_POOL, pool_bytes(mp));
    CALL(METER_POOL, maxpool_forward(kn, mp, y, x));
}

static int maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx,
                            const void *dy, const void *x, const void *y)
{
    node(METER_POOL, 2 * pool_bytes(mp));
    CALL(METER_POOL, maxpool_backward(kn, mp, dx, dy, x, y));
}

static int avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x, size_t n,
                           size_t cells, size_t c)
{
    node(METER_POOL, size(type) * (double)(n * cells * c));
    CALL(METER_POOL, avgpool_forward(kn, type, y, x, n, cells, c));
}

static int avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy,
                            size_t n, size_t cells, size_t c)
{
    node(METER_POOL, size(type) * (double)(n * cells * c));
    CALL(METER_POOL, avgpool_backward(kn, type, dx, dy, n, cells, c));
}

/* -- heads, float32: without matrix units, so at about a sixteenth of the rate ---- */

static int gemm(struct kern *kn, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                const float *a, const float *b, float beta, float *c)
{
    double bytes = F * (double)(m * k + k * n + m * n * (beta == 0 ? 1 : 2));
    node_at(METER_DENSE, bytes, 2.0 * (double)m * (double)n * (double)k, on->product / 16);
    CALL(METER_DENSE, gemm(kn, ta, tb, m, n, k, alpha, a, b, beta, c));
}

static int bias_forward(struct kern *kn, float *y, const float *bias, size_t rows, size_t c)
{
    node(METER_DENSE, 2 * F * (double)(rows * c));
    CALL(METER_DENSE, bias_forward(kn, y, bias, rows, c));
}

static int bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows, size_t c)
{
    node(METER_DENSE, F * (double)(rows * c));
    CALL(METER_DENSE, bias_backward(kn, dbias, dy, rows, c));
}

static int l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n, size_t d)
{
    node(METER_DENSE, 2 * F * (double)(n * d));
    CALL(METER_DENSE, l2norm_forward(kn, y, r, u, n, d));
}

static int l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                           const float *r, size_t n, size_t d)
{
    node(METER_DENSE, 3 * F * (double)(n * d));
    CALL(METER_DENSE, l2norm_backward(kn, du, dy, y, r, n, d));
}

/* -- the rest of a step ---- */

static int update(struct kern *kn, const struct kern_update *u)
{
    double all = 0, adapted = 0;
    for (size_t i = 0; i < u->nseg; i++) {
        all += (double)u->seg[i].count;
        adapted += u->seg[i].excluded ? 0 : (double)u->seg[i].count;
    }
    if (u->rule == KERN_LARS)
        node(METER_UPDATE, 2 * F * adapted);
    node(METER_UPDATE,
         F * (all * (u->rule == KERN_ADAMW ? 7 : 5) + 2 * fmin((double)u->ntarget, all)));
    CALL(METER_UPDATE, update(kn, u));
}

static int zero(struct kern *kn, void *dev, size_t nbytes)
{
    node(METER_REST, (double)nbytes);
    CALL(METER_REST, zero(kn, dev, nbytes));
}

static int copy_rows(struct kern *kn, float *dst, const int32_t *dst_row, const float *src,
                     const int32_t *src_row, size_t n, size_t d)
{
    node(METER_REST, 2 * F * (double)(n * d));
    CALL(METER_REST, copy_rows(kn, dst, dst_row, src, src_row, n, d));
}

void meter_on(struct kern *kn, struct meter *m)
{
    m->ops = kn->ops;
    on = m;
    kn->ops.conv_pack = conv_pack;
    kn->ops.conv_forward = conv_forward;
    kn->ops.conv_backward_data = conv_backward_data;
    kn->ops.conv_backward_weights = conv_backward_weights;
    kn->ops.bn_stats = bn_stats;
    kn->ops.bn_forward = bn_forward;
    kn->ops.bn_backward = bn_backward;
    kn->ops.maxpool_forward = maxpool_forward;
    kn->ops.maxpool_backward = maxpool_backward;
    kn->ops.avgpool_forward = avgpool_forward;
    kn->ops.avgpool_backward = avgpool_backward;
    kn->ops.gemm = gemm;
    kn->ops.bias_forward = bias_forward;
    kn->ops.bias_backward = bias_backward;
    kn->ops.l2norm_forward = l2norm_forward;
    kn->ops.l2norm_backward = l2norm_backward;
    kn->ops.update = update;
    kn->ops.zero = zero;
    kn->ops.copy_rows = copy_rows;
}

void meter_off(struct kern *kn, struct meter *m)
{
    kn->ops = m->ops;
}
