/*
 * mirror.c - see mirror.h.
 */
#include "tests/kern/mirror.h"
#include "kernels/ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kern_ops device; /* its own table */

enum { F = sizeof(float), MOST = 16, GUARD = 256, PATTERN = 0xff };

/* An array of the call, or several that overlap. */
struct block {
    uint8_t *host;
    size_t bytes;
    uint8_t *dev;         /* with its guards, GUARD bytes or more before and behind */
    uint8_t *sent, *came; /* the same on the host, before and after the call */
    size_t before, all;   /* the guard before; all bytes */
};

struct call {
    struct kern *kn;
    const char *name;
    struct block block[MOST];
    struct {
        uint8_t *host;
        size_t bytes;
    } written[MOST];
    int nblocks, nwritten;
};

__attribute__((noreturn)) static void die(const struct call *k, const char *what)
{
    printf("Bail out! %s: %s\n", k->name, what);
    exit(1);
}

/* -- what a call touches ------------------------------------------------------------------- */

static void reads(struct call *k, const void *p, size_t bytes)
{
    uint8_t *from = (uint8_t *)(uintptr_t)p, *to = from + bytes;
    if (!p || bytes == 0)
        return;
    for (int i = 0; i < k->nblocks;) {
        struct block *b = &k->block[i];
        if (b->host >= to || b->host + b->bytes <= from) {
            i++;
            continue;
        }
        from = MIN(from, b->host);
        to = MAX(to, b->host + b->bytes);
        *b = k->block[--k->nblocks];
        i = 0; /* the longer one may meet those that it did not before */
    }
    if (k->nblocks == MOST)
        die(k, "too many arrays");
    k->block[k->nblocks++] = (struct block){ .host = from, .bytes = (size_t)(to - from) };
}

static void writes(struct call *k, void *p, size_t bytes)
{
    if (!p || bytes == 0)
        return;
    reads(k, p, bytes);
    k->written[k->nwritten].host = p;
    k->written[k->nwritten++].bytes = bytes;
}

static struct block *block_of(struct call *k, const void *p)
{
    for (int i = 0; i < k->nblocks; i++) {
        struct block *b = &k->block[i];
        if ((const uint8_t *)p >= b->host && (const uint8_t *)p < b->host + b->bytes)
            return b;
    }
    return NULL;
}

/* Where p lies on the device; NULL if the call has no business there. */
static void *at(struct call *k, const void *p)
{
    struct block *b = block_of(k, p);
    return b ? b->dev + b->before + ((const uint8_t *)p - b->host) : NULL;
}

/* -- there and back ------------------------------------------------------------------------ */

static void send(struct call *k)
{
    for (int i = 0; i < k->nblocks; i++) {
        struct block *b = &k->block[i];
        b->before = GUARD + (uintptr_t)b->host % GUARD;
        b->all = b->before + b->bytes + GUARD;
        b->dev = device.alloc(k->kn, b->all);
        b->sent = malloc(b->all);
        b->came = malloc(b->all);
        if (!b->dev || !b->sent || !b->came)
            die(k, "no memory");
        memset(b->sent, PATTERN, b->all);
        memcpy(b->sent + b->before, b->host, b->bytes);
        if (device.put(k->kn, b->dev, b->sent, b->all))
            die(k, "the device took no copy");
    }
}

static int receive(struct call *k, int rc)
{
    for (int i = 0; i < k->nblocks; i++)
        if (device.get(k->kn, k->block[i].came, k->block[i].dev, k->block[i].all))
            die(k, "the device failed");
    for (int i = 0; i < k->nwritten; i++) {
        struct block *b = block_of(k, k->written[i].host);
        size_t offset = b->before + (size_t)(k->written[i].host - b->host);
        memcpy(b->sent + offset, b->came + offset, k->written[i].bytes);
        memcpy(k->written[i].host, b->came + offset, k->written[i].bytes);
    }
    for (int i = 0; i < k->nblocks; i++) {
        struct block *b = &k->block[i];
        if (memcmp(b->sent, b->came, b->all) != 0)
            die(k, "an input or bytes around an array were written");
        device.free(k->kn, b->dev);
        free(b->sent);
        free(b->came);
    }
    return rc;
}

/* One slot: its arrays are listed before, the device's pointers are at(&k, p). */
#define CALL(what) struct call k = { .kn = kn, .name = what }
#define RUN(expression) (send(&k), receive(&k, (expression)))

/* Rows that a list of them reaches. */
static size_t rows_of(const int32_t *list, size_t n)
{
    size_t most = list ? 0 : n;
    for (size_t i = 0; list && i < n; i++)
        most = list[i] >= 0 ? MAX(most, (size_t)list[i] + 1) : most;
    return most;
}

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

static int conv_pack(struct kern *kn, const struct kern_conv *cv, void *packed, const float *w)
{
    CALL("conv_pack");
    writes(&k, packed, device.conv_packed(kn, cv));
    reads(&k, w, weight_bytes(cv));
    return RUN(device.conv_pack(kn, cv, at(&k, packed), at(&k, w)));
}

static int conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                        const void *packed, const struct kern_epilogue *ep)
{
    CALL("conv_forward");
    struct kern_epilogue e = *ep;
    writes(&k, y, output_bytes(cv));
    reads(&k, x, input_bytes(cv));
    reads(&k, packed, device.conv_packed(kn, cv));
    writes(&k, ep->mean, cv->k * F);
    writes(&k, ep->var, cv->k * F);
    reads(&k, ep->scale, cv->k * F);
    reads(&k, ep->shift, cv->k * F);
    reads(&k, ep->residual, output_bytes(cv));
    send(&k);
    e.mean = at(&k, ep->mean);
    e.var = at(&k, ep->var);
    e.scale = at(&k, ep->scale);
    e.shift = at(&k, ep->shift);
    e.residual = at(&k, ep->residual);
    return receive(&k, device.conv_forward(kn, cv, at(&k, y), at(&k, x), at(&k, packed), &e));
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

static int bn_stats(struct kern *kn, enum kern_type type, float *mean, float *var, const void *x,
                    size_t rows, size_t c)
{
    CALL("bn_stats");
    writes(&k, mean, c * F);
    writes(&k, var, c * F);
    reads(&k, x, rows * c * kern_sizeof(type));
    return RUN(device.bn_stats(kn, type, at(&k, mean), at(&k, var), at(&k, x), rows, c));
}

static int bn_finalise(struct kern *kn, float *scale, float *shift, float *rstd, const float *mean,
                       const float *var, const float *gamma, const float *beta, float *running_mean,
                       float *running_var, const float *weight, size_t c)
{
    CALL("bn_finalise");
    reads(&k, running_mean ? weight : NULL, F);
    writes(&k, scale, c * F);
    writes(&k, shift, c * F);
    writes(&k, rstd, c * F);
    reads(&k, mean, c * F);
    reads(&k, var, c * F);
    reads(&k, gamma, c * F);
    reads(&k, beta, c * F);
    writes(&k, running_mean, c * F);
    writes(&k, running_var, c * F);
    return RUN(device.bn_finalise(kn, at(&k, scale), at(&k, shift), at(&k, rstd), at(&k, mean),
                                  at(&k, var), at(&k, gamma), at(&k, beta), at(&k, running_mean),
                                  at(&k, running_var), at(&k, weight), c));
}

static int bn_forward(struct kern *kn, enum kern_type type, void *y, const void *x,
                      const void *residual, const float *scale, const float *shift, size_t rows,
                      size_t c, bool relu)
{
    CALL("bn_forward");
    size_t bytes = rows * c * kern_sizeof(type);
    writes(&k, y, bytes);
    reads(&k, x, bytes);
    reads(&k, residual, bytes);
    reads(&k, scale, c * F);
    reads(&k, shift, c * F);
    return RUN(device.bn_forward(kn, type, at(&k, y), at(&k, x), at(&k, residual), at(&k, scale),
                                 at(&k, shift), rows, c, relu));
}

static int bn_backward(struct kern *kn, const struct kern_bn_backward *b)
{
    CALL("bn_backward");
    struct kern_bn_backward d = *b;
    size_t bytes = b->rows * b->c * kern_sizeof(b->type), c = b->c * F;
    writes(&k, b->dx, bytes);
    writes(&k, b->dresidual, bytes);
    writes(&k, b->dgamma, c);
    writes(&k, b->dbeta, c);
    reads(&k, b->dy, bytes);
    reads(&k, b->x, bytes);
    reads(&k, b->relu ? b->y : NULL, bytes);
    reads(&k, b->mean, c);
    reads(&k, b->rstd, c);
    reads(&k, b->gamma, c);
    reads(&k, b->relu && !b->y ? b->scale : NULL, c);
    reads(&k, b->relu && !b->y ? b->shift : NULL, c);
    send(&k);
    d.dx = at(&k, b->dx);
    d.dresidual = at(&k, b->dresidual);
    d.dgamma = at(&k, b->dgamma);
    d.dbeta = at(&k, b->dbeta);
    d.dy = at(&k, b->dy);
    d.x = at(&k, b->x);
    d.y = at(&k, b->y);
    d.mean = at(&k, b->mean);
    d.rstd = at(&k, b->rstd);
    d.gamma = at(&k, b->gamma);
    d.scale = at(&k, b->scale);
    d.shift = at(&k, b->shift);
    return receive(&k, device.bn_backward(kn, &d));
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

/* -- the loss ------------------------------------------------------------------------------ */

/* ct's arrays, but o where it is not read. */
static void reads_contrast(struct call *k, const struct kern_contrast *ct)
{
    reads(k, ct->o, ct->n * ct->d * F);
    reads(k, ct->target_anchored ? NULL : ct->t, ct->n * ct->d * F);
    reads(k, ct->bank, rows_of(ct->pos, ct->n) * ct->d * F);
    reads(k, ct->pos, ct->n * sizeof *ct->pos);
    reads(k, ct->neg, ct->n * ct->ne * sizeof *ct->neg);
}

static struct kern_contrast contrast_at(struct call *k, const struct kern_contrast *ct)
{
    struct kern_contrast d = *ct;
    d.o = at(k, ct->o);
    d.t = at(k, ct->t);
    d.bank = at(k, ct->bank);
    d.pos = at(k, ct->pos);
    d.neg = at(k, ct->neg);
    return d;
}

static int contrast_forward(struct kern *kn, const struct kern_contrast *ct, float *p, float *loss)
{
    CALL("contrast_forward");
    reads_contrast(&k, ct);
    writes(&k, p, ct->n * (1 + ct->ne) * F);
    writes(&k, loss, ct->n * F);
    send(&k);
    struct kern_contrast d = contrast_at(&k, ct);
    return receive(&k, device.contrast_forward(kn, &d, at(&k, p), at(&k, loss)));
}

static int contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                             const float *g)
{
    CALL("contrast_backward");
    reads_contrast(&k, ct);
    writes(&k, do_, ct->n * ct->d * F);
    reads(&k, g, ct->n * (1 + ct->ne) * F);
    send(&k);
    struct kern_contrast d = contrast_at(&k, ct);
    return receive(&k, device.contrast_backward(kn, &d, at(&k, do_), at(&k, g)));
}

static int contrast_grad(struct kern *kn, float *g, const float *p, const int32_t *pos,
                         const float *weight, size_t n, size_t ne)
{
    CALL("contrast_grad");
    reads(&k, weight, F);
    writes(&k, g, n * (1 + ne) * F);
    reads(&k, p, n * (1 + ne) * F);
    reads(&k, pos, n * sizeof *pos);
    return RUN(device.contrast_grad(kn, at(&k, g), at(&k, p), at(&k, pos), at(&k, weight), n, ne));
}

static int kl(struct kern *kn, float *div, float *g, const float *p, const float *q,
              const int32_t *pos, const float *weight, size_t n, size_t ne)
{
    CALL("kl");
    reads(&k, weight, F);
    writes(&k, div, n * F);
    writes(&k, g, n * (1 + ne) * F);
    reads(&k, p, n * (1 + ne) * F);
    reads(&k, q, n * (1 + ne) * F);
    reads(&k, pos, n * sizeof *pos);
    return RUN(device.kl(kn, at(&k, div), at(&k, g), at(&k, p), at(&k, q), at(&k, pos),
                         at(&k, weight), n, ne));
}

static int weights(struct kern *kn, const struct kern_weights *w, float *weight)
{
    struct kern_weights there = *w;
    CALL("weights");
    reads(&k, w->pos, w->n * sizeof *w->pos);
    reads(&k, w->whole, w->count * sizeof *w->whole);
    reads(&k, w->part, w->count * sizeof *w->part);
    writes(&k, weight, w->count * F);
    send(&k);
    there.pos = at(&k, w->pos);
    there.whole = at(&k, w->whole);
    there.part = at(&k, w->part);
    return receive(&k, device.weights(kn, &there, at(&k, weight)));
}

static int vote(struct kern *kn, const struct kern_vote *v, int32_t *ballot, float *similarity,
                int32_t *label, float *share, int32_t *fill)
{
    struct kern_vote there = *v;
    size_t found = v->searches * v->n * v->k, ballots = v->n * v->searches * (v->drawn ? 1 : v->k);
    CALL("vote");
    reads(&k, v->slot, found * sizeof *v->slot);
    reads(&k, v->sim, found * F);
    reads(&k, v->slot_label, rows_of(v->slot, found) * sizeof *v->slot_label);
    reads(&k, v->step, sizeof *v->step);
    reads(&k, v->id, v->n * sizeof *v->id);
    writes(&k, ballot, ballots * sizeof *ballot);
    writes(&k, similarity, ballots * F);
    writes(&k, label, v->n * sizeof *label);
    writes(&k, share, v->n * F);
    writes(&k, fill, v->n * sizeof *fill);
    send(&k);
    there.slot = at(&k, v->slot);
    there.sim = at(&k, v->sim);
    there.slot_label = at(&k, v->slot_label);
    there.step = at(&k, v->step);
    there.id = at(&k, v->id);
    return receive(&k, device.vote(kn, &there, at(&k, ballot), at(&k, similarity), at(&k, label),
                                   at(&k, share), at(&k, fill)));
}

static int positives(struct kern *kn, const struct kern_positives *p, int32_t *pos)
{
    struct kern_positives there = *p;
    size_t classes = rows_of(p->label, p->n);
    CALL("positives");
    reads(&k, p->step, sizeof *p->step);
    reads(&k, p->key, p->pairs * sizeof *p->key);
    reads(&k, p->label, p->n * sizeof *p->label);
    reads(&k, p->start, (classes + 1) * sizeof *p->start);
    reads(&k, p->slot, (size_t)p->start[classes] * sizeof *p->slot);
    writes(&k, pos, p->pairs * p->each * p->n * sizeof *pos);
    send(&k);
    there.step = at(&k, p->step);
    there.key = at(&k, p->key);
    there.label = at(&k, p->label);
    there.start = at(&k, p->start);
    there.slot = at(&k, p->slot);
    return receive(&k, device.positives(kn, &there, at(&k, pos)));
}

/* -- neighbours, optimiser, views ---------------------------------------------------------- */

static int knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    CALL("knn");
    struct kern_knn d = *q;
    writes(&k, idx, q->n * q->k * sizeof *idx);
    writes(&k, sim, q->n * q->k * F);
    reads(&k, q->query, q->n * q->d * F);
    reads(&k, q->bank, q->m * q->d * F);
    reads(&k, q->query_id, q->n * sizeof *q->query_id);
    reads(&k, q->bank_id, q->m * sizeof *q->bank_id);
    send(&k);
    d.query = at(&k, q->query);
    d.bank = at(&k, q->bank);
    d.query_id = at(&k, q->query_id);
    d.bank_id = at(&k, q->bank_id);
    return receive(&k, device.knn(kn, &d, at(&k, idx), at(&k, sim)));
}

static int update(struct kern *kn, const struct kern_update *u)
{
    CALL("update");
    struct kern_update d = *u;
    size_t floats = 0;
    for (size_t i = 0; i < u->nseg; i++)
        floats = MAX(floats, u->seg[i].offset + u->seg[i].count);
    writes(&k, u->w, floats * F);
    writes(&k, u->v, floats * F);
    writes(&k, u->rule == KERN_ADAMW ? u->s : NULL, floats * F);
    writes(&k, u->xi, u->ntarget * F);
    reads(&k, u->grad, floats * F);
    send(&k);
    d.w = at(&k, u->w);
    d.v = at(&k, u->v);
    d.s = at(&k, u->s);
    d.xi = at(&k, u->xi);
    d.grad = at(&k, u->grad);
    return receive(&k, device.update(kn, &d));
}

static int norm(struct kern *kn, double *value, const float *x, size_t n)
{
    CALL("norm");
    reads(&k, x, n * F);
    return RUN(device.norm(kn, value, at(&k, x), n));
}

static int augment(struct kern *kn, const struct kern_views *v)
{
    CALL("augment");
    struct kern_views there = *v;
    void *out[MOST];
    if (v->each > MOST)
        die(&k, "too many views");
    for (size_t j = 0; j < v->each; j++)
        writes(&k, v->out[j], v->n * v->side[j] * v->side[j] * 3 * kern_sizeof(v->type));
    send(&k);
    for (size_t j = 0; j < v->each; j++)
        out[j] = at(&k, v->out[j]);
    there.out = out;
    return receive(&k, device.augment(kn, &there));
}

void mirror(struct kern *kn)
{
    device = kn->ops;
    kn->ops = (struct kern_ops){
        .conv_packed = device.conv_packed,
        .conv_pack = conv_pack,
        .conv_forward = conv_forward,
        .conv_backward_data = conv_backward_data,
        .conv_backward_weights = conv_backward_weights,
        .bn_stats = bn_stats,
        .bn_finalise = bn_finalise,
        .bn_forward = bn_forward,
        .bn_backward = bn_backward,
        .maxpool_forward = maxpool_forward,
        .maxpool_backward = maxpool_backward,
        .avgpool_forward = avgpool_forward,
        .avgpool_backward = avgpool_backward,
        .avgpool2_forward = avgpool2_forward,
        .avgpool2_backward = avgpool2_backward,
        .sk_squeeze_forward = sk_squeeze_forward,
        .sk_squeeze_backward = sk_squeeze_backward,
        .sk_select_forward = sk_select_forward,
        .sk_select_backward = sk_select_backward,
        .gemm = gemm,
        .bias_forward = bias_forward,
        .bias_backward = bias_backward,
        .l2norm_forward = l2norm_forward,
        .l2norm_backward = l2norm_backward,
        .copy_rows = copy_rows,
        .contrast_forward = contrast_forward,
        .contrast_backward = contrast_backward,
        .contrast_grad = contrast_grad,
        .kl = kl,
        .weights = weights,
        .vote = vote,
        .positives = positives,
        .knn = knn,
        .update = update,
        .norm = norm,
        .augment = augment,
        .alloc = ops_ref.alloc,
        .free = ops_ref.free,
        .available = ops_ref.available,
        .overhead = ops_ref.overhead,
        .put = ops_ref.put,
        .get = ops_ref.get,
        .zero = ops_ref.zero,
        .sync = device.sync,
        .record = ops_ref.record,
    };
}
