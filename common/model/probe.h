/*
 * probe.h - the linear probe: multinomial logistic regression on frozen embeddings, fitted by
 * L-BFGS.
 *
 * Each column is standardised with the training rows' mean and deviation (a column that never
 * changes becomes 0) and divided by sqrt(d), so that rows have a length of about 1. The objective
 * is
 *
 *   f(W, b) = 1/n sum_i -log softmax(W x_i + b)[label_i] + strength/2 |W|^2
 *
 * with the bias not decayed; the strength is chosen on a held-out part. This is the usual linear
 * transfer protocol (BYOL, SimCLR: L2-regularised, L-BFGS, log-spaced strengths on a validation
 * set). Data and products are float32, the objective and the parameters double; the same for any
 * number of threads.
 */
#ifndef SEMPPL_PROBE_H
#define SEMPPL_PROBE_H

#include "kernels/kern.h"

/* Labelled rows, standardised on the device. */
struct probe_data {
    size_t n, d, nclasses;
    float *x;             /* [n][d] on the device */
    const int32_t *label; /* [n], all in 0 .. nclasses-1 */
};

struct probe {
    size_t d, nclasses;
    double *mean, *scale;    /* [d] of the standardisation: (x - mean) * scale */
    double *w;               /* [nclasses][d + 1], the bias last */
    double strength;         /* chosen */
    double held_accuracy;    /* on the held-out rows under it; NaN if nothing could be held out */
    size_t held, iterations; /* rows held out; L-BFGS steps of the last fit */
    double objective;        /* of the last fit, per row */
};

#define PROBE_HELD_OUT 0.2          /* share of each class */
#define PROBE_DEFAULT_STRENGTH 1e-3 /* where no class has two rows */

/*
 * Fits: x [n][d] host rows (row[i] of it), label [n], id [n] the rows' hashes, which with seed
 * decide who is held out. -EINVAL (worded) for fewer than two classes; -ENUMERIC if the objective
 * is not finite.
 */
int probe_fit(struct probe *p, struct kern *kn, struct pool *pool, const float *x,
              const uint32_t *row, const int32_t *label, const uint64_t *id, size_t n, size_t d,
              size_t nclasses, uint64_t seed);
void probe_release(struct probe *p);

/* Scores (logits) [n][nclasses] of x [n][d], host memory. */
int probe_score(const struct probe *p, struct kern *kn, const float *x, size_t n, float *score);

/* -- the objective (probe_objective.c), for fitting and for tests ---- */

struct probe_work; /* room for up to data->n rows, which the caller may lower between calls */
int probe_work_open(struct probe_work **k, struct kern *kn, struct pool *pool,
                    const struct probe_data *data);
void probe_work_close(struct probe_work *k); /* NULL is fine */
/* The objective and its gradient [nclasses][d + 1] at w. */
int probe_objective(struct probe_work *k, const double *w, double strength, double *f,
                    double *grad);
/* Minimises from w (in and out). *iterations and *f may be NULL. */
int probe_minimise(struct probe_work *k, double *w, double strength, double *f, size_t *iterations);
/* Scores W x + b of all rows, [n][nclasses] in host memory that is k's. */
int probe_logits(struct probe_work *k, const double *w, const float **score);

#endif
