/*
 * optim_isa.c - squares and updates, a stretch of floats at a time; bound by memory.
 */
#include "kernels/cpu/optim.h"
#include "kernels/cpu/vec.h"
#include <math.h>

static double square(const float *x, const float *y, double f, size_t n)
{
    return y ? vec_square(x, y, f, n) : vec_square(x, NULL, 0, n);
}

INLINE void average(float *xi, vec w, float part, size_t n)
{
    if (xi) {
        vec x = vec_load(xi, n);
        vec_store(xi, x + part * (w - x), n);
    }
}

INLINE void momentum_step(float *w, float *v, float *xi, const float *grad, size_t n,
                          struct cpu_momentum m)
{
    vec old = vec_load(w, n), g = m.ratio * (vec_load(grad, n) + m.wd * old);
    vec speed = m.mu * vec_load(v, n) + g, new = old - m.lr *speed;
    vec_store(v, speed, n);
    vec_store(w, new, n);
    average(xi, new, m.part, n);
}

static void momentum(float *w, float *v, float *xi, const float *grad, size_t n,
                     struct cpu_momentum m)
{
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        momentum_step(w + j, v + j, xi ? xi + j : NULL, grad + j, LANES, m);
    if (j < n)
        momentum_step(w + j, v + j, xi ? xi + j : NULL, grad + j, n - j, m);
}

INLINE vec square_root(vec x)
{
    for (size_t i = 0; i < LANES; i++)
        x[i] = sqrtf(x[i]);
    return x;
}

INLINE void adamw_step(float *w, float *v, float *s, float *xi, const float *grad, size_t n,
                       struct cpu_adamw a)
{
    vec old = vec_load(w, n), g = vec_load(grad, n);
    vec mean = a.mu * vec_load(v, n) + (1 - a.mu) * g;
    vec squares = a.beta2 * vec_load(s, n) + a.rest * g * g;
    vec new = old - a.decay *old - a.lr *mean / (square_root(squares) * a.root + KERN_ADAMW_EPS);
    vec_store(v, mean, n);
    vec_store(s, squares, n);
    vec_store(w, new, n);
    average(xi, new, a.part, n);
}

static void adamw(float *w, float *v, float *s, float *xi, const float *grad, size_t n,
                  struct cpu_adamw a)
{
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        adamw_step(w + j, v + j, s + j, xi ? xi + j : NULL, grad + j, LANES, a);
    if (j < n)
        adamw_step(w + j, v + j, s + j, xi ? xi + j : NULL, grad + j, n - j, a);
}

const struct cpu_optim ISA(cpu_optim) = { square, momentum, adamw };
