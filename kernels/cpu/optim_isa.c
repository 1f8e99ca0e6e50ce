/*
 * optim_isa.c - squares and the update of LARS, a stretch of floats at a time; bound by memory.
 */
#include "kernels/cpu/optim.h"
#include "kernels/cpu/vec.h"

static double square(const float *x, const float *y, double f, size_t n)
{
    return y ? vec_square(x, y, f, n) : vec_square(x, NULL, 0, n);
}

INLINE void update_step(float *w, float *v, float *xi, const float *grad, size_t n,
                        struct cpu_lars_step s)
{
    vec old = vec_load(w, n), g = s.ratio * (vec_load(grad, n) + s.wd * old);
    vec speed = s.mu * vec_load(v, n) + g, new = old - s.lr *speed;
    vec_store(v, speed, n);
    vec_store(w, new, n);
    if (xi) {
        vec x = vec_load(xi, n);
        vec_store(xi, x + s.part * (new - x), n);
    }
}

static void update(float *w, float *v, float *xi, const float *grad, size_t n,
                   struct cpu_lars_step s)
{
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        update_step(w + j, v + j, xi ? xi + j : NULL, grad + j, LANES, s);
    if (j < n)
        update_step(w + j, v + j, xi ? xi + j : NULL, grad + j, n - j, s);
}

const struct cpu_optim ISA(cpu_optim) = { square, update };
