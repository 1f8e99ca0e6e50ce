/*
 * kern.c - the front door of every kernel: arguments are checked here, once for all backends, and
 * what is empty goes no further.
 */
#include "kernels/kern.h"
#include "kernels/ops.h"
#include <errno.h>
#include <math.h>

/* -- checks -------------------------------------------------------------------------------- */

/* Is a*b*c*d floats something that memory can hold? */
static bool fits(size_t a, size_t b, size_t c, size_t d)
{
    size_t n;
    return !__builtin_mul_overflow(a, b, &n) && !__builtin_mul_overflow(n, c, &n) &&
           !__builtin_mul_overflow(n, d, &n) && n <= PTRDIFF_MAX / sizeof(float);
}

static int type_check(const struct kern *kn, enum kern_type type)
{
    if (type != KERN_F32 && type != KERN_BF16 && type != KERN_F16)
        return -EINVAL;
    return kern_has(kn, type) ? 0 : -ENOTSUP;
}

/* One axis of windows: each of the n windows touches at least one of the size cells. */
static bool axis_ok(size_t size, size_t window, size_t stride, size_t pad, size_t n)
{
    enum { MOST = 1 << 20 }; /* far above any picture; keeps the sums below from wrapping */
    return size >= 1 && window >= 1 && stride >= 1 && n >= 1 && size <= MOST && window <= MOST &&
           stride <= MOST && n <= MOST && pad < window && (n - 1) * stride < size + pad;
}

static int conv_check(const struct kern *kn, const struct kern_conv *cv)
{
    bool good = cv->c >= 1 && cv->k >= 1 &&
                axis_ok(cv->h, cv->kh, cv->stride, cv->pad_top, cv->oh) &&
                axis_ok(cv->w, cv->kw, cv->stride, cv->pad_left, cv->ow) &&
                fits(cv->n, cv->h, cv->w, cv->c) && fits(cv->n, cv->oh, cv->ow, cv->k) &&
                fits(cv->k, cv->c, cv->kh, cv->kw);
    return good ? type_check(kn, cv->type) : -EINVAL;
}

static int bn_check(const struct kern_bn *bn)
{
    bool finished = bn->scale != NULL;
    bool good = bn->mean && bn->var && !bn->running_mean == !bn->running_var &&
                (!finished || (bn->shift && bn->gamma && bn->beta));
    return good ? 0 : -EINVAL;
}

static int epilogue_check(const struct kern_conv *cv, const struct kern_epilogue *ep)
{
    bool affine = ep->scale || ep->shift;
    if (ep->bn && (bn_check(ep->bn) < 0 || ep->bn->groups > 1 || affine || cv->n == 0))
        return -EINVAL;
    if (affine && (!ep->scale || !ep->shift))
        return -EINVAL;
    return !affine && (ep->residual || ep->relu) ? -EINVAL : 0;
}

static int maxpool_check(const struct kern *kn, const struct kern_maxpool *mp)
{
    bool good = mp->c >= 1 && axis_ok(mp->h, mp->side, mp->stride, mp->pad_top, mp->oh) &&
                axis_ok(mp->w, mp->side, mp->stride, mp->pad_left, mp->ow) &&
                fits(mp->n, mp->h, mp->w, mp->c) && fits(mp->n, mp->oh, mp->ow, mp->c);
    return good ? type_check(kn, mp->type) : -EINVAL;
}

static int avgpool2_check(const struct kern *kn, const struct kern_avgpool2 *ap)
{
    bool good = ap->h >= 1 && ap->w >= 1 && ap->c >= 1 && ap->stride >= 1 && ap->stride <= 2 &&
                fits(ap->n, ap->h, ap->w, ap->c);
    return good ? type_check(kn, ap->type) : -EINVAL;
}

static int sk_check(const struct kern *kn, const struct kern_sk *sk)
{
    bool good = sk->cells >= 1 && sk->m >= 1 && fits(sk->n, sk->cells, sk->m, 2);
    return good ? type_check(kn, sk->type) : -EINVAL;
}

static int contrast_check(const struct kern_contrast *ct)
{
    bool good = ct->d >= 1 && ct->ne >= 1 && ct->tau > 0 && isfinite(ct->tau) &&
                fits(ct->n, ct->d, 1, 1) && ct->n <= INT32_MAX && ct->ne < INT32_MAX &&
                fits(ct->n, ct->ne + 1, 1, 1);
    return good ? 0 : -EINVAL;
}

static bool view_fits(const struct kern_view *v, const struct kern_picture *of)
{
    unsigned seen = 0;
    for (int i = 0; i < 4; i++)
        seen |= v->order[i] < 4 ? 1u << v->order[i] : 0;
    return v->height >= 1 && v->width >= 1 && v->height <= of->h && v->width <= of->w &&
           v->top <= of->h - v->height && v->left <= of->w - v->width &&
           (!v->jitter || seen == 15) && v->sigma >= 0 && isfinite(v->sigma) &&
           (!v->masked || (v->fill >= 0 && v->fill <= 1));
}

static int views_check(const struct kern_views *v)
{
    bool good = fits(v->n, v->each, 1, 1);
    for (size_t j = 0; good && j < v->each; j++)
        good = v->side[j] >= 1 && fits(v->n, v->side[j], v->side[j], 3);
    for (size_t i = 0; good && i < v->n; i++) {
        const struct kern_picture *p = &v->picture[i];
        good = p->rgb && p->h >= 1 && p->w >= 1 && fits(p->h, p->w, 3, 1);
        for (size_t j = 0; good && j < v->each; j++)
            good = view_fits(&v->view[i * v->each + j], p);
    }
    return good ? 0 : -EINVAL;
}

/* -- convolution --------------------------------------------------------------------------- */

size_t kern_conv_packed(struct kern *kn, const struct kern_conv *cv)
{
    return conv_check(kn, cv) ? 0 : kn->ops.conv_packed(kn, cv);
}

int kern_conv_pack(struct kern *kn, const struct kern_conv_weights *list, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = conv_check(kn, &list[i].cv);
    return rc || n == 0 ? rc : kn->ops.conv_pack(kn, list, n);
}

int kern_conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                      const void *packed, const struct kern_epilogue *ep)
{
    static const struct kern_epilogue none;
    int rc = conv_check(kn, cv);
    ep = ep ? ep : &none;
    if (rc == 0)
        rc = epilogue_check(cv, ep);
    if (rc || cv->n == 0)
        return rc;
    return kn->ops.conv_forward(kn, cv, y, x, packed, ep);
}

int kern_conv_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                            const void *packed, bool add)
{
    int rc = conv_check(kn, cv);
    if (rc || cv->n == 0)
        return rc;
    return kn->ops.conv_backward_data(kn, cv, dx, dy, packed, add);
}

int kern_conv_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw,
                               const void *x, const void *dy)
{
    int rc = conv_check(kn, cv);
    if (rc || cv->n == 0)
        return rc;
    return kn->ops.conv_backward_weights(kn, cv, dw, x, dy);
}

/* -- batch normalisation and pooling ------------------------------------------------------- */

int kern_bn_stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn, const void *x,
                  size_t rows, size_t c)
{
    if (rows == 0 || c == 0 || !fits(kern_bn_groups(bn->groups), rows, c, 1) || bn_check(bn) < 0)
        return -EINVAL;
    int rc = type_check(kn, type);
    return rc ? rc : kn->ops.bn_stats(kn, type, bn, x, rows, c);
}

int kern_bn_finalise(struct kern *kn, const struct kern_bn *bn, size_t c)
{
    if (c == 0 || !fits(kern_bn_groups(bn->groups), c, 1, 1) || !bn->scale || bn_check(bn) < 0)
        return -EINVAL;
    return kn->ops.bn_finalise(kn, bn, c);
}

int kern_bn_forward(struct kern *kn, const struct kern_bn_forward *f)
{
    if (f->c == 0 || !fits(kern_bn_groups(f->groups), f->rows, f->c, 1))
        return -EINVAL;
    int rc = type_check(kn, f->type);
    return rc || f->rows == 0 ? rc : kn->ops.bn_forward(kn, f);
}

int kern_bn_backward(struct kern *kn, const struct kern_bn_backward *b)
{
    bool known = !b->relu || b->above || (b->scale && b->shift);
    if (b->c == 0 || !fits(kern_bn_groups(b->groups), b->rows, b->c, 1) || !known)
        return -EINVAL;
    int rc = type_check(kn, b->type);
    return rc || b->rows == 0 ? rc : kn->ops.bn_backward(kn, b);
}

int kern_maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y, const void *x)
{
    int rc = maxpool_check(kn, mp);
    return rc || mp->n == 0 ? rc : kn->ops.maxpool_forward(kn, mp, y, x);
}

int kern_maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx, const void *dy,
                          const void *x, const void *y)
{
    int rc = maxpool_check(kn, mp);
    return rc || mp->n == 0 ? rc : kn->ops.maxpool_backward(kn, mp, dx, dy, x, y);
}

int kern_avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x, size_t n,
                         size_t cells, size_t c)
{
    if (cells == 0 || c == 0 || !fits(n, cells, c, 1))
        return -EINVAL;
    int rc = type_check(kn, type);
    return rc || n == 0 ? rc : kn->ops.avgpool_forward(kn, type, y, x, n, cells, c);
}

int kern_avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy, size_t n,
                          size_t cells, size_t c)
{
    if (cells == 0 || c == 0 || !fits(n, cells, c, 1))
        return -EINVAL;
    int rc = type_check(kn, type);
    return rc || n == 0 ? rc : kn->ops.avgpool_backward(kn, type, dx, dy, n, cells, c);
}

int kern_avgpool2_forward(struct kern *kn, const struct kern_avgpool2 *ap, void *y, const void *x)
{
    int rc = avgpool2_check(kn, ap);
    return rc || ap->n == 0 ? rc : kn->ops.avgpool2_forward(kn, ap, y, x);
}

int kern_avgpool2_backward(struct kern *kn, const struct kern_avgpool2 *ap, void *dx,
                           const void *dy)
{
    int rc = avgpool2_check(kn, ap);
    return rc || ap->n == 0 ? rc : kn->ops.avgpool2_backward(kn, ap, dx, dy);
}

/* -- selective kernels --------------------------------------------------------------------- */

int kern_sk_squeeze_forward(struct kern *kn, const struct kern_sk *sk, float *s, const void *u)
{
    int rc = sk_check(kn, sk);
    return rc || sk->n == 0 ? rc : kn->ops.sk_squeeze_forward(kn, sk, s, u);
}

int kern_sk_squeeze_backward(struct kern *kn, const struct kern_sk *sk, void *du, const float *ds)
{
    int rc = sk_check(kn, sk);
    return rc || sk->n == 0 ? rc : kn->ops.sk_squeeze_backward(kn, sk, du, ds);
}

int kern_sk_select_forward(struct kern *kn, const struct kern_sk *sk, void *v, const void *u,
                           const float *z)
{
    int rc = sk_check(kn, sk);
    return rc || sk->n == 0 ? rc : kn->ops.sk_select_forward(kn, sk, v, u, z);
}

int kern_sk_select_backward(struct kern *kn, const struct kern_sk *sk, void *du, float *dz,
                            const void *dv, const void *u, const float *z)
{
    int rc = sk_check(kn, sk);
    return rc || sk->n == 0 ? rc : kn->ops.sk_select_backward(kn, sk, du, dz, dv, u, z);
}

/* -- dense layers and vectors -------------------------------------------------------------- */

int kern_gemm(struct kern *kn, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
              const float *a, const float *b, float beta, float *c)
{
    if (k == 0 || !fits(m, k, 1, 1) || !fits(k, n, 1, 1) || !fits(m, n, 1, 1) || m > INT32_MAX ||
        n > INT32_MAX || k > INT32_MAX)
        return -EINVAL;
    if (m == 0 || n == 0)
        return 0;
    return kn->ops.gemm(kn, ta, tb, m, n, k, alpha, a, b, beta, c);
}

int kern_bias_forward(struct kern *kn, float *y, const float *bias, size_t rows, size_t c)
{
    if (c == 0 || !fits(rows, c, 1, 1))
        return -EINVAL;
    return rows ? kn->ops.bias_forward(kn, y, bias, rows, c) : 0;
}

int kern_bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows, size_t c)
{
    if (c == 0 || !fits(rows, c, 1, 1))
        return -EINVAL;
    return rows ? kn->ops.bias_backward(kn, dbias, dy, rows, c) : 0;
}

int kern_l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n, size_t d)
{
    if (d == 0 || !fits(n, d, 1, 1))
        return -EINVAL;
    return n ? kn->ops.l2norm_forward(kn, y, r, u, n, d) : 0;
}

int kern_l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                         const float *r, size_t n, size_t d)
{
    if (d == 0 || !fits(n, d, 1, 1))
        return -EINVAL;
    return n ? kn->ops.l2norm_backward(kn, du, dy, y, r, n, d) : 0;
}

int kern_copy_rows(struct kern *kn, float *dst, const int32_t *dst_row, const float *src,
                   const int32_t *src_row, size_t n, size_t d)
{
    if (d == 0 || !fits(n, d, 1, 1))
        return -EINVAL;
    return n ? kn->ops.copy_rows(kn, dst, dst_row, src, src_row, n, d) : 0;
}

/* -- the loss ------------------------------------------------------------------------------ */

int kern_contrast_forward(struct kern *kn, const struct kern_contrast *ct, float *p, float *loss)
{
    int rc = contrast_check(ct);
    return rc || ct->n == 0 ? rc : kn->ops.contrast_forward(kn, ct, p, loss);
}

int kern_contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                           const float *g)
{
    int rc = contrast_check(ct);
    return rc || ct->n == 0 ? rc : kn->ops.contrast_backward(kn, ct, do_, g);
}

int kern_contrast_grad(struct kern *kn, float *g, const float *p, const int32_t *pos,
                       const float *weight, size_t n, size_t ne)
{
    if (ne == 0 || ne >= INT32_MAX || !fits(n, ne + 1, 1, 1))
        return -EINVAL;
    return n ? kn->ops.contrast_grad(kn, g, p, pos, weight, n, ne) : 0;
}

int kern_kl(struct kern *kn, float *kl, float *g, const float *p, const float *q,
            const int32_t *pos, const float *weight, size_t n, size_t ne)
{
    if (ne == 0 || ne >= INT32_MAX || !fits(n, ne + 1, 1, 1))
        return -EINVAL;
    return n ? kn->ops.kl(kn, kl, g, p, q, pos, weight, n, ne) : 0;
}

int kern_weights(struct kern *kn, const struct kern_weights *w, float *weight)
{
    if (!fits(w->n, 1, 1, 1) || !(w->share > 0))
        return -EINVAL;
    return w->count ? kn->ops.weights(kn, w, weight) : 0;
}

/* -- pseudo-labels and positives ----------------------------------------------------------- */

int kern_vote(struct kern *kn, const struct kern_vote *v, int32_t *ballot, float *similarity,
              int32_t *label, float *share, int32_t *fill)
{
    if (v->k == 0 || v->searches == 0 || !fits(v->n, v->k, v->searches, 1))
        return -EINVAL;
    return v->n ? kn->ops.vote(kn, v, ballot, similarity, label, share, fill) : 0;
}

int kern_positives(struct kern *kn, const struct kern_positives *p, int32_t *pos)
{
    if (!fits(p->n, p->pairs, p->each, 1))
        return -EINVAL;
    return p->n && p->pairs && p->each ? kn->ops.positives(kn, p, pos) : 0;
}

/* -- neighbours, optimiser, views ---------------------------------------------------------- */

/* An empty bank (m = 0) is passed on: the answer, "none", has to be written on the device. */
int kern_knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    if (q->d == 0 || q->k == 0 || q->m > INT32_MAX || !fits(q->n, q->d, 1, 1) ||
        !fits(q->m, q->d, 1, 1) || !fits(q->n, q->k, 1, 1) || !q->query_id != !q->bank_id)
        return -EINVAL;
    return q->n ? kn->ops.knn(kn, q, idx, sim) : 0;
}

int kern_update(struct kern *kn, const struct kern_update *u)
{
    if ((u->ntarget && !u->xi) || (u->rule == KERN_ADAMW && (!u->s || u->t < 1)) ||
        !(u->grad_factor > 0))
        return -EINVAL;
    for (size_t i = 0; i < u->nseg; i++) /* a segment is of the target or not, never both */
        if (u->seg[i].offset < u->ntarget && u->seg[i].count > u->ntarget - u->seg[i].offset)
            return -EINVAL;
    return u->nseg ? kn->ops.update(kn, u) : 0;
}

int kern_norm(struct kern *kn, double *norm, const float *x, size_t n)
{
    *norm = 0;
    return n ? kn->ops.norm(kn, norm, x, n) : 0;
}

int kern_augment(struct kern *kn, const struct kern_views *v)
{
    int rc = views_check(v) ? -EINVAL : type_check(kn, v->type);
    return rc || v->n == 0 || v->each == 0 ? rc : kn->ops.augment(kn, v);
}
