/*
 * ceiling_isa.c - see ceiling.h: multiply-adds and reads, once for each instruction set; of pairs
 * of bfloat16 the multiply-adds only.
 */
#include "bench/ceiling.h"
#include "kernels/cpu/conv_pairs.h"

enum { CHAINS = 12, ROUNDS = 20000 };

ceiling_fma_fn ISA(ceiling_fma);
ceiling_read_fn ISA(ceiling_read);

/* Of pairs the accumulator can only be what is added to. */
INLINE vec step(vec a, vec x, vec y)
{
#if PAIRS
    return multiply_add(a, x, y[0]);
#else
    return a * x + y;
#endif
}

/* Chains that do not wait for one another, and go to and fro between random numbers. */
double ISA(ceiling_fma)(float *out, const float *x)
{
    vec x0 = vec_load(x, LANES), x1 = vec_load(x + 16, LANES);
    vec y0 = vec_load(x + 32, LANES), y1 = vec_load(x + 48, LANES), a[CHAINS], sum = x0;
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; j++)
        a[j] = x0 * (float)j;
    for (int r = 0; r < ROUNDS; r++) {
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++)
            a[j] = step(a[j], x0, y0);
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++)
            a[j] = step(a[j], x1, y1);
    }
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; j++)
        sum += a[j];
    *out = sum[0];
    return 2.0 * 2 * CHAINS * ROUNDS * LANES * (1 + PAIRS);
}

#if !PAIRS
uint32_t ISA(ceiling_read)(const void *p, size_t nbytes)
{
    enum { AT_ONCE = 8 };
    ivec sum[AT_ONCE] = { { 0 } };
    const ivec *v = p, *end = v + nbytes / sizeof(*v);
    for (; v < end; v += AT_ONCE)
#pragma GCC unroll 8
        for (int j = 0; j < AT_ONCE; j++)
            sum[j] ^= v[j];
    for (int j = 1; j < AT_ONCE; j++)
        sum[0] ^= sum[j];
    return (uint32_t)sum[0][0];
}
#endif
