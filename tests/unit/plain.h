/*
 * plain.h - the objective in plain loops of doubles, as its header defines it: what objective_run()
 * is compared with, and a function that finite differences can follow with any small step.
 */
#ifndef SEMPPL_PLAIN_H
#define SEMPPL_PLAIN_H

#include "common/model/objective.h"
#include <math.h>

/* What one evaluation reads; the draws are those of ob. */
struct plain {
    const struct objective *ob;
    const struct queue *q;
    const float *const *t;
    double *const *o, *const
                          *held; /* [views][n * d] predictions; and as they are where sg stands */
};

static inline double plain_dot(const struct plain *c, const double *o, size_t row, const float *z)
{
    double sum = 0;
    for (size_t k = 0; k < c->ob->d; k++)
        sum += o[row * c->ob->d + k] * z[k];
    return sum / c->ob->tau;
}

/* Softmax of image b in a term of pair (i, j) with the predictions o, into p [1 + ne]; false if b
 * has no positive there. */
static inline bool plain_softmax(const struct plain *c, const double *o, size_t i, size_t j,
                                 size_t term, size_t b, bool target_anchored, double *p)
{
    const struct objective *ob = c->ob;
    size_t pair = i * ob->targets + j;
    const int32_t *neg = ob->neg + (pair * ob->n + b) * ob->ne;
    const float *z = c->t[j] + b * ob->d;
    if (term > 0) {
        int32_t slot = ob->pos_dev[(pair * ob->positives + term - 1) * ob->n + b];
        if (slot < 0)
            return false;
        z = queue_vectors(c->q, j) + (size_t)slot * ob->d;
    }
    double sum = p[0] = exp(plain_dot(c, o, b, z));
    for (size_t n = 0; n < ob->ne; n++) {
        p[1 + n] = 0;
        if (neg[n] >= 0)
            p[1 + n] = exp(target_anchored ? plain_dot(c, o, (size_t)neg[n], z)
                                           : plain_dot(c, o, b, c->t[j] + (size_t)neg[n] * ob->d));
        sum += p[1 + n];
    }
    for (size_t n = 0; n <= ob->ne; n++)
        p[n] /= sum;
    return true;
}

static inline double plain_kl(const struct plain *c, const double *p, const double *q)
{
    double sum = 0;
    for (size_t n = 0; n <= c->ob->ne; n++)
        sum += p[n] > 0 ? p[n] * log(p[n] / q[n]) : 0;
    return sum;
}

/* The invariance of image b, whose softmax is p. */
static inline double plain_penalty(const struct plain *c, size_t i, size_t j, size_t term, size_t b,
                                   const double *p)
{
    const struct objective *ob = c->ob;
    bool anchored = ob->target_anchored;
    double held[64], q[64];
    switch (ob->mode) {
    case INV_S:
        if (i >= ob->targets || i == j)
            return 0;
        plain_softmax(c, c->held[i], i, j, term, b, anchored, held);
        plain_softmax(c, c->o[j], j, i, term, b, anchored, q);
        return plain_kl(c, held, q);
    case INV_R:
        plain_softmax(c, c->held[i], i, j, term, b, false, held);
        plain_softmax(c, c->o[i], i, j, term, b, true, q);
        return plain_kl(c, held, q);
    case INV_T:
        plain_softmax(c, c->held[i], i, j, term, b, anchored, held);
        return (i < ob->targets ? i : i - ob->targets) >= j ? -log(p[0]) : log(held[0]);
    default:
        return 0;
    }
}

static inline double plain_total(const struct plain *c)
{
    const struct objective *ob = c->ob;
    double total = 0, p[64];
    for (size_t i = 0; i < ob->views; i++)
        for (size_t j = 0; j < ob->targets; j++)
            for (size_t term = 0; term <= ob->positives; term++) {
                double loss = 0, penalty = 0, anchors = 0;
                for (size_t b = 0; b < ob->n; b++) {
                    if (!plain_softmax(c, c->o[i], i, j, term, b, ob->target_anchored, p))
                        continue;
                    anchors++;
                    loss -= log(p[0]);
                    penalty += plain_penalty(c, i, j, term, b, p);
                }
                loss *= ob->contrast * (term > 0 ? ob->alpha : 1);
                total += (loss + ob->invariance * penalty) /
                         (anchors * (double)(term > 0 ? ob->positives : 1) *
                          (double)(ob->views * ob->targets));
            }
    return total;
}

#endif
