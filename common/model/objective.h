/*
 * objective.h - the loss of a batch over all pairs of views, and its gradient (SemPPL; the
 * contrastive form and the multi-crop pairs are ReLICv2's, arXiv 2201.05119).
 *
 * A pair is an online view i (large views first, then small ones) and a target view j (large ones).
 * A term of a pair is one positive for each anchor: term 0 the target embedding of the anchor's own
 * image in view j, terms 1..P semantic positives from queue j. All terms of a pair share the
 * anchor's negatives N(b): n_e other images of the batch, or as many as there are. With o online
 * predictions, t target projections, z the positive, all of unit length, the scores of image b are
 *
 *   loss_orientation online   <o_i[b], z>/tau and <o_i[b], t_j[n]>/tau for n in N(b)
 *   loss_orientation target   <o_i[b], z>/tau and <o_i[n], z>/tau: the anchor is z
 *
 * (target is the form of NNCLR, arXiv 2104.14548, and of the independent port, which draws the
 * negatives of semantic terms among the images that have a positive; here they are N(b) in all
 * terms). With p_ij the softmax of a term of pair (i, j),
 *
 *   l_ij = -log p_ij[positive]           L_augm, L_sempos: means over anchors, pairs and positives
 *   total = c (L_augm + alpha L_sempos) + lambda (I_augm + I_sempos)
 *
 * and the invariance I, sums over the pairs named, divided by the number of all pairs:
 *
 *   S   KL(sg p_ij || p_ji) for large views i != j
 *   R   KL(sg p_row || p_col) for all pairs: p_row by the scores of orientation online, p_col by
 *       those of orientation target
 *   T   l_ij for i >= j, -sg l_ij for i < j, where small views are numbered from 0 again: the
 *       port's S, in which the expectation of log p is left to the positive
 *
 * p_ij and p_ji are over the same images: the two pairs share their negatives and, in S, the queue
 * slots of their positives. Anchors whose class is not in the queue have no semantic term. alpha 0
 * drops the semantic terms altogether. Gradients reach the online embeddings only: those of the
 * anchor's own row, and with orientation target or in R also those of its negatives.
 */
#ifndef SEMPPL_OBJECTIVE_H
#define SEMPPL_OBJECTIVE_H

#include "common/model/queue.h"
#include "common/model/settings.h"

struct objective {
    struct kern *kn;
    size_t views, targets, n, d;             /* online views; large views; images; width */
    size_t ne, positives;                    /* negatives of an anchor; P, 0 if alpha is 0 */
    double tau, alpha, contrast, invariance; /* invariance 0: none */
    double scale;                            /* of all gradients, not of the losses */
    int mode;                                /* enum invariance, INV_NONE if its weight is 0 */
    bool target_anchored, exclude_class;     /* negatives are not of the anchor's class */
    uint64_t seed;

    /* what was drawn */
    int32_t *neg, *neg_dev; /* [pairs][n][ne] images, then -1 if there are fewer */
    int32_t *pos_dev;       /* [pairs][P][n] queue slots, -1: none */
    uint32_t *key_dev;      /* [pairs] of the draws of positives */
    int32_t *other;         /* [n] scratch: the images to draw from */
    uint64_t *mark, stamp;  /* [n] the last draw that took an image, and the number of this one */

    /* Weights of one anchor's loss in the gradient, [pairs][1 + P], then of its KL in terms 0 and
     * others; and what they are without anchors, and a share of an anchor (kern_weights). */
    float *weight_dev;
    double *whole_dev, *part_dev;

    /* what objective_run() computed; [pairs][1 + P] of the shape at the right */
    float *p_dev, *g_dev;       /* [n][1 + ne] softmax, gradient into the scores */
    float *loss_dev, *kl_dev;   /* [n] */
    float *loss, *kl;           /* [n] host */
    float *turned_p, *turned_g; /* R, one term at a time: of the other orientation */
};

struct objective_value {
    double total, augm, sempos, inv; /* sempos is NAN if there are no semantic positives */
};

/* do_ of objective_run() is scale times the gradient. */
int objective_open(struct objective *ob, struct kern *kn, const struct settings *set, double scale);
void objective_close(struct objective *ob);
size_t objective_bytes(const struct settings *set); /* about */

/*
 * Negatives of step k (steps done before it). label [n], host, of each image, given or voted, -1:
 * none; read only if exclude_class.
 */
int objective_negatives(struct objective *ob, int64_t k, const int32_t *label);

/*
 * Semantic positives from q, then losses, and gradient do_[i] [n][d] (overwritten) with respect to
 * o[i] [n][d], the unit predictions of the online views; t[j] [n][d] are the unit projections of
 * the target views; step [1]: steps done before it; label [n] as above, below the queue's number
 * of classes. All [dev].
 */
int objective_run(struct objective *ob, const int64_t *step, const int32_t *label,
                  const float *const *o, const float *const *t, const struct queue *q,
                  float *const *do_);
/* Of the last run, whose anchors had a semantic positive; waits for it. */
int objective_get(struct objective *ob, size_t anchors, struct objective_value *value);

/* Place of a term in the arrays above, in units of their shape. */
static inline size_t objective_term(const struct objective *ob, size_t i, size_t j, size_t term)
{
    return (i * ob->targets + j) * (1 + ob->positives) + term;
}

#endif
