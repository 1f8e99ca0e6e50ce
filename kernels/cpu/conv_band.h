/*
 * conv_band.h - vectors of one instruction set, and how a task copies its band (conv.h) into
 * scratch: for the files that are compiled once an instruction set.
 *
 * GCC's vector types keep one source for all: a vector has as many lanes as a register.
 */
#ifndef SEMPPL_CPU_CONV_BAND_H
#define SEMPPL_CPU_CONV_BAND_H

#include "kernels/cpu/conv.h"
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define VECTORS (CONV_BLOCK / LANES) /* of a block */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define UNROLL _Pragma("GCC unroll 32")

/* Channels of one cell into their blocks, or zeros. */
static inline void pack_cell(const struct conv_plan *p, float *to, size_t block_floats,
                             const float *x)
{
    for (size_t b = 0; b < p->nblocks; b++, to += block_floats) {
        size_t have = !x ? 0 : b + 1 < p->nblocks ? CONV_BLOCK : p->last;
        if (have == CONV_BLOCK) {
            UNROLL for (int v = 0; v < VECTORS; v++)
            {
                *(vec *)(to + v * LANES) = *(const vec *)(x + b * CONV_BLOCK + v * LANES);
            }
            continue;
        }
        for (size_t c = 0; c < CONV_BLOCK; c++)
            to[c] = c < have ? x[b * CONV_BLOCK + c] : 0;
    }
}

/* One row of the band; x is the image's row, or NULL outside. */
static inline void pack_row(const struct conv_plan *p, float *to, size_t block_floats,
                            const float *x)
{
    for (size_t rest = 0; rest < p->step; rest++, to += p->part * CONV_BLOCK) {
        if (!(p->used_cols >> rest & 1))
            continue;
        float *cell = to;
        for (size_t j = rest; j < p->columns; j += p->step, cell += CONV_BLOCK) {
            size_t col = j + (size_t)p->left; /* wraps far above iw if negative */
            pack_cell(p, cell, block_floats, x && col < p->iw ? x + col * p->ic : NULL);
        }
    }
}

static inline void pack_plain_row(const struct conv_plan *p, float *to, const float *x)
{
    size_t before = p->left < 0 ? MIN((size_t)-p->left, p->columns) : 0;
    size_t have = x ? MIN(p->columns - before, p->iw) : 0;
    if (!x)
        before = 0;
    memset(to, 0, before * p->ic * sizeof(float));
    if (have)
        memcpy(to + before * p->ic, x, have * p->ic * sizeof(float));
    memset(to + (before + have) * p->ic, 0, (p->columns - before - have) * p->ic * sizeof(float));
}

/* Returns the floats of a block. */
static inline size_t conv_pack_band(const struct conv_plan *p, float *band, const float *x,
                                    const struct conv_share *s)
{
    size_t rows = conv_band_rows(p, s->rows), block_floats = s->images * rows * p->row_floats;
    for (size_t g = 0; g < s->images; g++)
        for (size_t i = 0; i < rows; i++, band += p->row_floats) {
            if (!(p->used_rows >> i % p->step & 1))
                continue;
            size_t row = s->row * p->step + i + (size_t)p->top;
            const float *from =
                row < p->ih ? x + ((s->image + g) * p->ih + row) * p->iw * p->ic : NULL;
            if (p->plain)
                pack_plain_row(p, band, from);
            else
                pack_row(p, band, block_floats, from);
        }
    return block_floats;
}

#endif
