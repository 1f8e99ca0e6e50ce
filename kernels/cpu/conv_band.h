/*
 * conv_band.h - vectors of one instruction set, and how a task copies its band (conv.h) into
 * scratch, as float32 whatever its type: for the files that are compiled once an instruction set.
 */
#ifndef SEMPPL_CPU_CONV_BAND_H
#define SEMPPL_CPU_CONV_BAND_H

#include "kernels/cpu/conv.h"
#include "kernels/cpu/conv_pairs.h"

#define VECTORS (CONV_BLOCK / LANES) /* of a block */

#define UNROLL _Pragma("GCC unroll 32")

/* Blocks of channels, of a band. */
struct blocks {
    size_t first, end;
};

/* Channels of one cell into their blocks, or zeros. */
INLINE void pack_cell(enum kern_type type, const struct conv_plan *p, struct blocks of, float *to,
                      size_t block_floats, const void *x)
{
    for (size_t b = of.first; b < of.end; b++, to += block_floats) {
        size_t have = !x ? 0 : b + 1 < p->nblocks ? CONV_BLOCK : p->last;
        if (have == CONV_BLOCK) {
            UNROLL for (int v = 0; v < VECTORS; v++)
            {
                vec_store(to + v * LANES,
                          vec_load_as(type, x, b * CONV_BLOCK + (size_t)v * LANES, LANES), LANES);
            }
            continue;
        }
        for (size_t c = 0; c < CONV_BLOCK; c++)
            to[c] = c < have ? kern_load(type, x, b * CONV_BLOCK + c) : 0;
    }
}

/* One row of the band; x is the image's row, or NULL outside. */
INLINE void pack_row(enum kern_type type, const struct conv_plan *p, struct blocks of, float *to,
                     size_t block_floats, const void *x)
{
    for (size_t rest = 0; rest < p->step; rest++, to += p->part * CONV_BLOCK) {
        if (!(p->used_cols >> rest & 1))
            continue;
        float *cell = to;
        for (size_t j = rest; j < p->columns; j += p->step, cell += CONV_BLOCK) {
            size_t col = j + (size_t)p->left; /* wraps far above iw if negative */
            pack_cell(type, p, of, cell, block_floats,
                      x && col < p->iw ? cpu_at(type, x, col * p->ic) : NULL);
        }
    }
}

#if PAIRS
/* For each output of a row the numbers of its window, zeros outside and behind the last. What is
 * written beyond is overwritten. */
static void pack_windows(const struct conv_plan *p, float *to, const uint16_t *x)
{
    size_t numbers = p->span_cols * p->ic, row = p->iw * p->ic;
    __mmask32 all = (__mmask32)((1ull << numbers) - 1);
    for (size_t v = 0; v < p->phase[0].cols; v++, to += p->last) {
        ptrdiff_t first = ((ptrdiff_t)(v * p->step) + p->left) * (ptrdiff_t)p->ic;
        size_t before = first < 0 ? MIN((size_t)-first, numbers) : 0;
        size_t have = first < (ptrdiff_t)row ? MIN((size_t)((ptrdiff_t)row - first), numbers) : 0;
        __mmask32 there = (__mmask32)(((1ull << have) - 1) & (all << before));
        __m512i window = _mm512_setzero_si512();
        if (x)
            window = _mm512_maskz_loadu_epi16(there, x + first);
        _mm512_storeu_si512(to, window);
    }
}
#endif

INLINE void pack_plain_row(enum kern_type type, const struct conv_plan *p, float *to, const void *x)
{
    size_t before = p->left < 0 ? MIN((size_t)-p->left, p->columns) : 0;
    size_t have = x ? MIN(p->columns - before, p->iw) : 0;
    if (!x)
        before = 0;
    memset(to, 0, before * p->ic * sizeof(float));
    if (have && type == KERN_F32)
        memcpy(to + before * p->ic, x, have * p->ic * sizeof(float));
    for (size_t i = 0; type != KERN_F32 && i < have * p->ic; i++)
        to[before * p->ic + i] = kern_load(type, x, i);
    memset(to + (before + have) * p->ic, 0, (p->columns - before - have) * p->ic * sizeof(float));
}

INLINE void pack_band(enum kern_type type, const struct conv_plan *p, struct blocks of, float *band,
                      const void *x, const struct conv_share *s, size_t block_floats)
{
    size_t rows = conv_band_rows(p, s->rows);
    for (size_t g = 0; g < s->images; g++)
        for (size_t i = 0; i < rows; i++, band += p->row_floats) {
            if (!(p->used_rows >> i % p->step & 1))
                continue;
            size_t row = s->row * p->step + i + (size_t)p->top;
            size_t at = ((s->image + g) * p->ih + row) * p->iw * p->ic;
            const void *from = row < p->ih ? cpu_at(type, x, at) : NULL;
#if PAIRS
            if (p->plain) {
                pack_windows(p, band, from);
                continue;
            }
#endif
            if (p->plain)
                pack_plain_row(type, p, band, from);
            else
                pack_row(type, p, of, band, block_floats, from);
        }
}

/* Returns the floats of a block. */
static inline size_t conv_pack_band(const struct conv_plan *p, struct blocks of, float *band,
                                    const void *x, const struct conv_share *s)
{
    size_t block_floats = s->images * conv_band_rows(p, s->rows) * p->row_floats;
    if (conv_input_type(p) == KERN_F32)
        pack_band(KERN_F32, p, of, band, x, s, block_floats);
    else
        pack_band(KERN_BF16, p, of, band, x, s, block_floats);
    return block_floats;
}

#endif
