/*
 * bench.h - what the tables of `make bench` share: one handle over all CPUs, random operands,
 * timing, and the ceilings that every row is a share of. Run through bench/run.sh.
 */
#ifndef SEMPPL_BENCH_H
#define SEMPPL_BENCH_H

#include "bench/measure.h"

struct bench {
    struct pool *pool;
    struct kern *kn;
    double fma;   /* GF/s of float32 multiply-adds */
    double bf16;  /* GF/s of bfloat16 products: of tiles, of pairs, or made in float32 */
    double copy;  /* GB/s from memory to memory, read and written bytes counted */
    char *photos; /* an encoded image shard */
};

/* Peak of products of type. */
static inline double bench_peak(const struct bench *b, enum kern_type type)
{
    return type == KERN_BF16 ? b->bf16 : b->fma;
}

/* -- ceilings, measured now: ceiling.c ---- */

double ceiling_fma(struct bench *b);
double ceiling_bf16(struct bench *b);
/* Over nbytes in pieces of piece bytes (a divisor), each of them again times. */
double ceiling_read(struct bench *b, size_t nbytes, size_t piece, int again);
double ceiling_copy(struct bench *b, size_t nbytes, size_t piece, int again);
/* Measures what the other tables need, and prints its own. */
void ceilings(struct bench *b);

/* -- the other tables ---- */

void layers(struct bench *b); /* convolutions and heads */
void passes(struct bench *b); /* batch norm, pooling, optimiser */
void search(struct bench *b); /* nearest neighbours */
void photos(struct bench *b); /* decoding, cropping, reading shards */

#endif
