/*
 * conv_sums_amx.h - backward-weights on the tile unit: dw [k][c][tap] is a sum over pixels of dy
 * times x. What its plan (conv_sums_plan_amx.c), its operands (conv_sums_operands_amx.c), its
 * tasks (conv_sums_amx.c) and the way from sums to dw (conv_sums_reduce_amx.c) share.
 *
 * A product needs its first operand, a, in rows of pixels, one a channel, and the second, b, in
 * pairs of pixels (conv_turn_amx.h). Both are made from the tensors, for a share of the pixels that
 * is small enough: while a block's 32 x 32 sums come and go, 32 channels of a and b stay in the
 * first cache. Rows cost a transpose, so they are made once, and of dy; pairs are cheap, so x is
 * made into several versions, in which each tap begins at the beginning of a line:
 *
 * - one for each tap: the pixels of all images one behind the other (small planes, odd widths);
 * - or one for each column of the window and remainder of rows modulo the stride, with all the
 *   image's rows, so that rows of the window are an even number of pixels apart;
 * - or two, the image with its padding, from an even and from an odd pixel on (wide planes).
 *
 * With windows of one cell the tensor of fewer channels is a. A picture's 3 channels make a row
 * of the window into channels: kw * c of them, taps are the window's rows.
 */
#ifndef SEMPPL_CPU_CONV_SUMS_AMX_H
#define SEMPPL_CPU_CONV_SUMS_AMX_H

#include "kernels/cpu/amx.h"
#include "kernels/cpu/conv.h"

/* A version of b: what its taps have in common. */
struct sums_version {
    size_t row, col; /* each: of the tap; wide: 0 and 0 or 1; else: of rows the remainder, column */
};

struct sums {
    struct kern *kn;
    struct conv_plan plan;
    bool each;                         /* a version for each tap */
    bool wide;                         /* two, with the padding */
    bool swapped;                      /* a is x and b is dy; windows of one cell */
    size_t ca, cb, blocks_a, blocks_b; /* channels of the operands, blocks of 32 */
    size_t taps, nversions;
    struct sums_version version[CONV_MAX_TAPS];
    uint8_t version_of[CONV_MAX_TAPS]; /* of each tap */
    size_t pair[CONV_MAX_TAPS];        /* where the tap begins in it, in pairs of pixels */

    size_t nshares, steps;                     /* steps of 32 pixels: of a full share */
    size_t raster_rows;                        /* of a version's image */
    size_t pitch, dy_pitch;                    /* pixels of a row of it, and of dy's */
    size_t pairs;                              /* of a version in a full share */
    size_t step_numbers;                       /* of a: for all blocks */
    size_t a_numbers, b_numbers, band_numbers; /* b: of one block */
    struct amx_step *step;                     /* [steps] */

    size_t parts, each_part, shards; /* tasks: ranges of b's blocks, blocks of one; of shares */
    const uint16_t *x, *dy;
    uint16_t *rows;        /* [shares] a, if several tasks want a share's; else NULL */
    int32_t *run;          /* see conv_sums_reduce_amx.c */
    float *partial;        /* [shards][blocks of b][taps][blocks of a][32][32] */
    size_t partial_floats; /* of a shard */
    float *dw;
};

/* Some pixels of all. */
struct sums_share {
    size_t image, row, col; /* the first */
    size_t images, rows;    /* if they are whole rows: see sums_share_of() */
    size_t pixels, steps;
};

void sums_plan(struct sums *s, const struct kern_conv *cv);
struct sums_share sums_share_of(const struct sums *s, size_t i);
void sums_list_steps(struct sums *s);

/* To [steps][blocks of a][32][32]; zeros: as many as either tensor has channels. */
void sums_make_rows(const struct sums *s, const struct sums_share *sh, uint16_t *to,
                    const uint16_t *zeros);
/* Some of b's blocks, to [blocks][versions][2 tiles' columns][s->pairs][32]; band: room for
 * s->band_numbers. */
void sums_make_pairs(const struct sums *s, const struct sums_share *sh, size_t first, size_t blocks,
                     uint16_t *to, uint16_t *band, const uint16_t *zeros);

size_t sums_run_numbers(const struct sums *s);
void sums_list_run(struct sums *s);
/* One block of b and all of a: adds the shards, in their order, then all to dw. */
void sums_reduce(const struct sums *s, size_t b);

#endif
