/*
 * lbfgs.h - minimising a smooth function: limited-memory BFGS (Nocedal, "Updating quasi-Newton
 * matrices with limited storage", 1980) with a weak Wolfe line search by bisection (Lewis and
 * Overton, "Nonsmooth optimization via quasi-Newton methods", 2013).
 */
#ifndef SEMPPL_LBFGS_H
#define SEMPPL_LBFGS_H

#include "common/base/base.h"

/* The value and gradient [n] at x [n]; negative on failure. */
typedef int lbfgs_function(void *arg, const double *x, double *f, double *grad);

struct lbfgs {
    size_t n;
    size_t most;      /* iterations */
    double tolerance; /* stop when the largest |gradient| is below, or f no longer falls */
    /* out */
    double f;
    size_t iterations;
};

/* x [n]: start and result. -ENUMERIC (worded) if the function is not finite at the start. */
int lbfgs_run(struct lbfgs *l, double *x, lbfgs_function *function, void *arg);

#endif
