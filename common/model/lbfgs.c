/*
 * lbfgs.c - see lbfgs.h.
 */
#include "common/model/lbfgs.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 10, TRIALS = 30 };

struct run {
    struct lbfgs *l;
    lbfgs_function *function;
    void *arg;
    double *x, *grad, *dir, *trial, *trial_grad;
    double *s[PAIRS], *y[PAIRS], rho[PAIRS]; /* steps, gradient changes, 1 / <s, y> */
    size_t stored;
    double *block;
};

static double dot(const double *a, const double *b, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static double largest(const double *a, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++)
        m = fmax(m, fabs(a[i]));
    return m;
}

/* dir = -H grad by the two loops over the stored pairs. */
static void direction(struct run *r)
{
    size_t n = r->l->n, m = MIN(r->stored, (size_t)PAIRS);
    double alpha[PAIRS];
    for (size_t i = 0; i < n; i++)
        r->dir[i] = -r->grad[i];
    for (size_t back = 1; back <= m; back++) {
        size_t j = (r->stored - back) % PAIRS;
        alpha[j] = r->rho[j] * dot(r->s[j], r->dir, n);
        for (size_t i = 0; i < n; i++)
            r->dir[i] -= alpha[j] * r->y[j][i];
    }
    if (m > 0) {
        size_t j = (r->stored - 1) % PAIRS;
        double scale = 1 / (r->rho[j] * dot(r->y[j], r->y[j], n));
        for (size_t i = 0; i < n; i++)
            r->dir[i] *= scale;
    }
    for (size_t back = m; back >= 1; back--) {
        size_t j = (r->stored - back) % PAIRS;
        double beta = r->rho[j] * dot(r->y[j], r->dir, n);
        for (size_t i = 0; i < n; i++)
            r->dir[i] += (alpha[j] - beta) * r->s[j][i];
    }
}

/*
 * A step along dir that lowers f enough and flattens the slope: 1 with trial, trial_grad and *f
 * set; 0 if there is none to be found in floating point.
 */
static int search(struct run *r, double *f, double slope)
{
    size_t n = r->l->n;
    double lo = 0, hi = INFINITY, t = 1, f0 = *f;
    if (r->stored == 0) /* no scale is known yet */
        t = fmin(1, 1 / sqrt(dot(r->grad, r->grad, n)));
    for (int trial = 0; trial < TRIALS; trial++) {
        double ft;
        for (size_t i = 0; i < n; i++)
            r->trial[i] = r->x[i] + t * r->dir[i];
        int rc = r->function(r->arg, r->trial, &ft, r->trial_grad);
        if (rc < 0)
            return rc;
        if (!(ft <= f0 + 1e-4 * t * slope)) {
            hi = t;
        } else if (dot(r->trial_grad, r->dir, n) < 0.9 * slope) {
            lo = t;
        } else {
            *f = ft;
            return 1;
        }
        t = isfinite(hi) ? (lo + hi) / 2 : 2 * lo;
    }
    return 0;
}

/* Keeps the step's pair and moves. */
static void move(struct run *r)
{
    size_t n = r->l->n, j = r->stored % PAIRS;
    for (size_t i = 0; i < n; i++) {
        r->s[j][i] = r->trial[i] - r->x[i];
        r->y[j][i] = r->trial_grad[i] - r->grad[i];
    }
    double sy = dot(r->s[j], r->y[j], n);
    if (sy > 0) {
        r->rho[j] = 1 / sy;
        r->stored++;
    }
    memcpy(r->x, r->trial, n * sizeof *r->x);
    memcpy(r->grad, r->trial_grad, n * sizeof *r->grad);
}

static int iterate(struct run *r)
{
    struct lbfgs *l = r->l;
    int rc = r->function(r->arg, r->x, &l->f, r->grad);
    if (rc >= 0 && !isfinite(l->f))
        rc = fail(-ENUMERIC, "the function to minimise is not finite at its start");
    for (l->iterations = 0; rc >= 0 && l->iterations < l->most; l->iterations++) {
        double before = l->f;
        if (largest(r->grad, l->n) < l->tolerance)
            break;
        direction(r);
        double slope = dot(r->grad, r->dir, l->n);
        if (!(slope < 0)) { /* rounding has spoilt the pairs: steepest descent */
            r->stored = 0;
            direction(r);
            slope = dot(r->grad, r->dir, l->n);
        }
        if ((rc = search(r, &l->f, slope)) <= 0)
            break;
        move(r);
        if (before - l->f <= 1e-9 * fmax(1, fabs(l->f)))
            break;
    }
    return MIN(rc, 0);
}

int lbfgs_run(struct lbfgs *l, double *x, lbfgs_function *function, void *arg)
{
    struct run r = { .l = l, .function = function, .arg = arg, .x = x };
    size_t vectors = 4 + 2 * PAIRS, total;
    int rc = mem_product(&total, l->n, vectors);
    if (rc < 0)
        return rc;
    if (!(r.block = mem_alloc(total, sizeof *r.block, "the optimiser's history")))
        return -ENOMEM;
    double *at = r.block;
    double **all[] = { &r.grad, &r.dir, &r.trial, &r.trial_grad };
    for (size_t i = 0; i < ARRAY_LEN(all); i++, at += l->n)
        *all[i] = at;
    for (size_t j = 0; j < PAIRS; j++, at += 2 * l->n) {
        r.s[j] = at;
        r.y[j] = at + l->n;
    }
    rc = iterate(&r);
    free(r.block);
    return rc;
}
