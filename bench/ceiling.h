/*
 * ceiling.h - the loops that measure what the machine can do, for one thread.
 */
#ifndef SEMPPL_BENCH_CEILING_H
#define SEMPPL_BENCH_CEILING_H

#include "kernels/cpu/cpu.h"

/* Chains of multiply-adds; returns how many operations that were, and writes a result that nobody
 * needs. x: 64 random numbers, or pairs of bfloat16. */
typedef double ceiling_fma_fn(float *out, const float *x);
/* Reads nbytes, a multiple of 512. */
typedef uint32_t ceiling_read_fn(const void *p, size_t nbytes);

ceiling_fma_fn ceiling_fma_generic, ceiling_fma_avx2, ceiling_fma_avx512, ceiling_fma_avx512bf16;
ceiling_read_fn ceiling_read_generic, ceiling_read_avx2, ceiling_read_avx512;

/* Products of tiles; ab: CEILING_TILES random numbers of bfloat16. Returns the operations. */
enum { CEILING_STEPS = 4, CEILING_TILES = CEILING_STEPS * 4 * 16 * 32 };
double ceiling_tile_amx(float *out, const uint16_t *ab);

#endif
