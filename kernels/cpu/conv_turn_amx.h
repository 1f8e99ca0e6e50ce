/*
 * conv_turn_amx.h - pixels of a channels-last tensor as operands of a sum over pixels: in rows of
 * pixels, one a channel, or in pairs of pixels.
 *
 * Interleaving and transposing work within 128-bit lanes, so channels come out in another order:
 * tile 0 of 32 holds channels 0-3, 8-11, 16-19, 24-27, tile 1 the others.
 */
#ifndef SEMPPL_CPU_CONV_TURN_AMX_H
#define SEMPPL_CPU_CONV_TURN_AMX_H

#include "kernels/cpu/amx.h"
#include "kernels/cpu/transpose.h"

/* The place of a channel in a pair of tiles. */
static inline size_t place_of(size_t channel)
{
    return channel / 4 % 2 * AMX_TILE + channel / 8 * 4 + channel % 4;
}

/* Two pixels of 32 channels, interleaved. */
static inline void interleave(__m512i to[2], const uint16_t *const px[2], size_t channel,
                              __mmask32 valid)
{
    __m512i a = _mm512_maskz_loadu_epi16(valid, px[0] + channel);
    __m512i b = _mm512_maskz_loadu_epi16(valid, px[1] + channel);
    to[0] = _mm512_unpacklo_epi16(a, b);
    to[1] = _mm512_unpackhi_epi16(a, b);
}

/* Rows of a block's tiles for so many channels: half a tile's come from either half of 8. */
static inline size_t tile_rows(size_t channels)
{
    return channels > 4 ? AMX_SIDE : AMX_TILE;
}

static inline __mmask32 channels_left(size_t channels, size_t from)
{
    size_t n = MIN(channels - from, (size_t)AMX_SIDE);
    return (__mmask32)(((uint64_t)1 << n) - 1);
}

/* 32 pixels of 32 channels from c on as rows of pixels: to [32 channels][32 pixels]. */
static inline void make_rows(uint16_t *to, const uint16_t *const *px, size_t c, __mmask32 valid)
{
    __m512i half[2][16];
    for (int i = 0; i < 16; i++) {
        __m512i pair[2];
        interleave(pair, px + 2 * i, c, valid);
        half[0][i] = pair[0];
        half[1][i] = pair[1];
    }
    for (size_t h = 0; h < 2; h++) {
        transpose(half[h]);
        for (size_t i = 0; i < 16; i++)
            _mm512_storeu_si512(to + (h * 16 + i) * AMX_DEPTH, half[h][i]);
    }
}

/* The same as pairs: two tiles, `half` apart. */
static inline void make_pairs(uint16_t *to, size_t half, const uint16_t *const *px, size_t c,
                              __mmask32 valid)
{
    for (size_t i = 0; i < 16; i++, to += AMX_DEPTH) {
        __m512i pair[2];
        interleave(pair, px + 2 * i, c, valid);
        _mm512_storeu_si512(to, pair[0]);
        _mm512_storeu_si512(to + half, pair[1]);
    }
}

#endif
