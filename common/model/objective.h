/*
 * objective.h - the loss of a batch over all pairs of views, and its gradient (SemPPL; the
 * contrastive form and the multi-crop pairs are ReLICv2's, arXiv 2201.05119).
 *
 * A pair is an online view i (large views first, then small ones) and a target view j (large ones).
 * A term of a pair is one positive for each anchor: term 0 the target embedding of the anchor's own
 * image in view j, terms 1..P semantic positives from queue j. All terms of a pair share the
 * anchor's negatives: other images' target embeddings in view j. With scores s = <o, z>/tau,
 *
 *   l = -log softmax(s)[positive]        L_augm, L_sempos: means over anchors, pairs and positives
 *   I = KL(sg p_ij || p_ji)              for large views i != j, sum over pairs / number of pairs
 *   total = c (L_augm + alpha L_sempos) + lambda (I_augm + I_sempos)
 *
 * where p_ij is the softmax of a term of pair (i, j). p_ij and p_ji are over the same images: the
 * two pairs share their negatives and, with the invariance on, the queue slots of their positives.
 * Anchors whose class is not in the queue have no semantic term. alpha 0 drops the semantic terms
 * altogether. Gradients reach the online embeddings only.
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
    uint64_t seed;

    /* what objective_draw() drew */
    int32_t *neg;   /* [pairs][n][ne] images */
    int32_t *pos;   /* [pairs][P][n] queue slots, -1: none */
    size_t anchors; /* with a semantic positive */
    size_t terms;   /* of a pair: 1, or 1 + P if there are anchors */
    int32_t *neg_dev, *pos_dev;
    uint64_t *mark, stamp; /* [n] the last draw that took an image, and the number of this one */

    /* what objective_run() computed; [pairs][1 + P] of the shape at the right */
    float *p_dev, *g_dev;     /* [n][1 + ne] softmax, gradient into the scores */
    float *loss_dev, *kl_dev; /* [n] */
    float *loss, *kl;         /* [n] host */
};

struct objective_value {
    double total, augm, sempos, inv; /* sempos is NAN if there are no semantic positives */
};

int objective_open(struct objective *ob, struct kern *kn, const struct settings *set);
void objective_close(struct objective *ob);
size_t objective_bytes(const struct settings *set); /* about */

/*
 * Negatives and semantic positives of step k (steps done before it). label [n]: of each image,
 * given or voted, -1: none.
 */
int objective_draw(struct objective *ob, int64_t k, const int32_t *label, const struct queue *q);

/*
 * Loss, and gradient do_[i] [n][d] (overwritten) with respect to o[i] [n][d], the unit predictions
 * of the online views; t[j] [n][d] are the unit projections of the target views. All [dev].
 */
int objective_run(struct objective *ob, const float *const *o, const float *const *t,
                  const struct queue *q, float *const *do_, struct objective_value *value);

/* Place of a term in the arrays above, in units of their shape. */
static inline size_t objective_term(const struct objective *ob, size_t i, size_t j, size_t term)
{
    return (i * ob->targets + j) * (1 + ob->positives) + term;
}

#endif
