/*
 * sk.c - the definition of a selective-kernel unit's own two steps.
 */
#include <math.h>

#include "kernels/ref/ref.h"

int ref_sk_squeeze_forward(struct kern *kn UNUSED, const struct kern_sk *sk, float *s,
                           const void *u)
{
    size_t m = sk->m;
    for (size_t i = 0; i < sk->n; i++)
        for (size_t j = 0; j < m; j++) {
            double sum = 0;
            for (size_t at = i * sk->cells * 2 * m + j; at < (i + 1) * sk->cells * 2 * m; at += m)
                sum += kern_load(sk->type, u, at);
            s[i * m + j] = (float)(sum / (double)sk->cells);
        }
    return 0;
}

int ref_sk_squeeze_backward(struct kern *kn UNUSED, const struct kern_sk *sk, void *du,
                            const float *ds)
{
    size_t row = 2 * sk->m;
    for (size_t i = 0; i < sk->n; i++)
        for (size_t at = i * sk->cells * row; at < (i + 1) * sk->cells * row; at++) {
            double part = (double)ds[i * sk->m + at % sk->m] / (double)sk->cells;
            kern_store(sk->type, du, at, (float)(kern_load(sk->type, du, at) + part));
        }
    return 0;
}

/* The first branch's share, from a picture's scores. */
static double share(const struct kern_sk *sk, const float *z, size_t j)
{
    return 1 / (1 + exp((double)z[sk->m + j] - z[j]));
}

int ref_sk_select_forward(struct kern *kn UNUSED, const struct kern_sk *sk, void *v, const void *u,
                          const float *z)
{
    size_t m = sk->m;
    for (size_t row = 0; row < sk->n * sk->cells; row++)
        for (size_t j = 0; j < m; j++) {
            double a = share(sk, z + row / sk->cells * 2 * m, j);
            double u0 = kern_load(sk->type, u, row * 2 * m + j);
            double u1 = kern_load(sk->type, u, row * 2 * m + m + j);
            kern_store(sk->type, v, row * m + j, (float)(a * u0 + (1 - a) * u1));
        }
    return 0;
}

int ref_sk_select_backward(struct kern *kn UNUSED, const struct kern_sk *sk, void *du, float *dz,
                           const void *dv, const void *u, const float *z)
{
    size_t m = sk->m;
    for (size_t i = 0; i < sk->n; i++)
        for (size_t j = 0; j < m; j++) {
            double a = share(sk, z + i * 2 * m, j), da = 0;
            for (size_t row = i * sk->cells; row < (i + 1) * sk->cells; row++) {
                size_t first = row * 2 * m + j, second = first + m;
                double g = kern_load(sk->type, dv, row * m + j);
                da += g * ((double)kern_load(sk->type, u, first) - kern_load(sk->type, u, second));
                kern_store(sk->type, du, first, (float)(a * g));
                kern_store(sk->type, du, second, (float)((1 - a) * g));
            }
            dz[i * 2 * m + j] = (float)(a * (1 - a) * da);
            dz[i * 2 * m + m + j] = -dz[i * 2 * m + j];
        }
    return 0;
}
