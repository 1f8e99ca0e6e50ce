/*
 * frozen.h - the loss as a function that finite differences can follow: in the invariance term
 * KL(sg p || q) the softmax p stays what it was when it was frozen.
 */
#ifndef SEMPPL_FROZEN_H
#define SEMPPL_FROZEN_H

#include "common/model/objective.h"
#include <math.h>
#include <stdlib.h>

struct frozen {
    float *p, *now; /* [views][targets][1 + positives][n][1 + ne] */
};

static inline size_t frozen_size(const struct objective *ob)
{
    return ob->views * ob->targets * (1 + ob->positives) * ob->n * (1 + ob->ne);
}

/* After objective_run(). */
static inline void freeze(struct frozen *f, const struct objective *ob)
{
    f->p = malloc(frozen_size(ob) * sizeof(float));
    f->now = malloc(frozen_size(ob) * sizeof(float));
    kern_get(ob->kn, f->p, ob->p_dev, frozen_size(ob) * sizeof(float));
}

static inline void thaw(struct frozen *f)
{
    free(f->p);
    free(f->now);
}

/* total, with its invariance computed anew from the frozen p and the q of the last run. */
static inline double frozen_loss(struct frozen *f, const struct objective *ob, double total,
                                 double inv)
{
    size_t m = ob->n * (1 + ob->ne);
    double sum = 0;
    kern_get(ob->kn, f->now, ob->p_dev, frozen_size(ob) * sizeof(float));
    for (size_t i = 0; i < ob->targets; i++) {
        for (size_t j = 0; j < ob->targets; j++) {
            for (size_t term = 0; i != j && term < ob->terms; term++) {
                const float *p = f->p + objective_term(ob, i, j, term) * m;
                const float *q = f->now + objective_term(ob, j, i, term) * m;
                double kl = 0;
                for (size_t c = 0; c < m; c++)
                    kl += p[c] > 0 ? p[c] * log((double)p[c] / q[c]) : 0;
                double count = term == 0 ? (double)ob->n : (double)(ob->positives * ob->anchors);
                sum += kl / count / (double)(ob->views * ob->targets);
            }
        }
    }
    return total - ob->invariance * inv + ob->invariance * sum;
}

#endif
