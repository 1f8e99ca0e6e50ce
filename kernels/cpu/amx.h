/*
 * amx.h - the tile unit's inner loop: a block of 32 x 32 sums of bfloat16 products. For files that
 * are compiled for it (*_amx.c).
 *
 * A tile is 16 rows of 64 bytes. TDPBF16PS adds to c [16][16] float32 the product of a [16][32]
 * and b [32][16], where b is stored as [16][16][2]: pairs of rows side by side (Intel, Architecture
 * Instruction Set Extensions Programming Reference, chapter 3). It takes 16 cycles, a load from
 * the first cache 8: two by two tiles of c keep both units busy.
 */
#ifndef SEMPPL_CPU_AMX_H
#define SEMPPL_CPU_AMX_H

#include <immintrin.h>

#include "kernels/cpu/ahead.h"

enum {
    AMX_TILE = 16,                /* rows of a tile, and columns of a tile of c */
    AMX_DEPTH = 32,               /* columns of a tile of a, rows of one of b */
    AMX_SIDE = 2 * AMX_TILE,      /* rows and columns of a block */
    AMX_B = AMX_TILE * AMX_DEPTH, /* numbers of a tile of a or b */
    AMX_C = AMX_SIDE * AMX_SIDE,  /* numbers of a block of c */
};

/* All eight tiles at their full size, for the thread that calls; _tile_release() ends it. */
static inline void amx_begin(void)
{
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } full __attribute__((aligned(64))) = { .palette = 1,
                                            .bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
                                            .rows = { 16, 16, 16, 16, 16, 16, 16, 16 } };
    _tile_loadconfig(&full);
}

/* Where the steps of a block's sum find their tiles: a in numbers from the block's own place, b in
 * steps. */
struct amx_step {
    uint32_t a, b;
};

/* What passes by, and is not to push the other operand, which the next block reads again, out of
 * the first cache: TILELOADDT1. */
enum amx_stream { AMX_STREAM_NONE, AMX_STREAM_A, AMX_STREAM_B };

/*
 * c [32][32] = sum over steps of a b, added to what is there if add. a0, a1: the upper and lower
 * 16 rows of a, whose rows are stride bytes apart; b0, b1: the left and right tile of a step of b,
 * steps b_each numbers apart.
 */
struct amx_block {
    size_t rows, cols; /* up to 16, or up to 32: the second half of a or b, and c's, is left out */
    float *c;
    const uint16_t *a0, *a1, *b0, *b1;
    size_t stride, b_each;
    const struct amx_step *step;
    size_t n;
    bool add;
    enum amx_stream stream;
};

/*
 * A block is begun with its first steps and ended with the others. What is done in between, with
 * other registers, runs beside the tile unit.
 */
#define AMX_BLOCK(ROWS, COLS, NAME, LOAD_A, LOAD_B)                                                \
    static inline void amx_##NAME##_##ROWS##COLS(const struct amx_block *k, size_t from,           \
                                                 size_t to)                                        \
    {                                                                                              \
        const uint16_t *a0 = k->a0, *a1 = k->a1;                                                   \
        const uint16_t *b0 = k->b0, *b1 = k->b1;                                                   \
        size_t stride = k->stride, b_each = k->b_each;                                             \
        for (const struct amx_step *s = k->step + from; s < k->step + to; s++) {                   \
            size_t b = s->b * b_each;                                                              \
            LOAD_B(6, b0 + b, 64);                                                                 \
            LOAD_A(4, a0 + s->a, stride);                                                          \
            _tile_dpbf16ps(0, 4, 6);                                                               \
            if ((COLS) > 1) {                                                                      \
                LOAD_B(7, b1 + b, 64);                                                             \
                _tile_dpbf16ps(1, 4, 7);                                                           \
            }                                                                                      \
            if ((ROWS) > 1) {                                                                      \
                LOAD_A(5, a1 + s->a, stride);                                                      \
                _tile_dpbf16ps(2, 5, 6);                                                           \
                if ((COLS) > 1)                                                                    \
                    _tile_dpbf16ps(3, 5, 7);                                                       \
            }                                                                                      \
        }                                                                                          \
    }
AMX_BLOCK(1, 1, steps, _tile_loadd, _tile_loadd)
AMX_BLOCK(1, 2, steps, _tile_loadd, _tile_loadd)
AMX_BLOCK(2, 1, steps, _tile_loadd, _tile_loadd)
AMX_BLOCK(2, 2, steps, _tile_loadd, _tile_loadd)
AMX_BLOCK(2, 2, stream_a, _tile_stream_loadd, _tile_loadd)
AMX_BLOCK(2, 2, stream_b, _tile_loadd, _tile_stream_loadd)

static inline void amx_steps(const struct amx_block *k, size_t from, size_t to)
{
    bool both = k->rows > AMX_TILE && k->cols > AMX_TILE;
    if (both && k->stream == AMX_STREAM_A)
        amx_stream_a_22(k, from, to);
    else if (both && k->stream == AMX_STREAM_B)
        amx_stream_b_22(k, from, to);
    else if (both)
        amx_steps_22(k, from, to);
    else if (k->rows > AMX_TILE)
        amx_steps_21(k, from, to);
    else if (k->cols > AMX_TILE)
        amx_steps_12(k, from, to);
    else
        amx_steps_11(k, from, to);
}

enum { AMX_LINE = AMX_SIDE * sizeof(float), AMX_FIRST = 4 }; /* bytes of a row of c; steps */

static inline void amx_block_begin(const struct amx_block *k)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (k->add) {
        _tile_loadd(0, k->c, AMX_LINE);
        if (k->cols > AMX_TILE)
            _tile_loadd(1, k->c + AMX_TILE, AMX_LINE);
        if (k->rows > AMX_TILE)
            _tile_loadd(2, k->c + AMX_TILE * AMX_SIDE, AMX_LINE);
        if (k->rows > AMX_TILE && k->cols > AMX_TILE)
            _tile_loadd(3, k->c + AMX_TILE * AMX_SIDE + AMX_TILE, AMX_LINE);
    }
    amx_steps(k, 0, MIN(k->n, (size_t)AMX_FIRST));
}

static inline void amx_block_end(const struct amx_block *k)
{
    amx_steps(k, MIN(k->n, (size_t)AMX_FIRST), k->n);
    _tile_stored(0, k->c, AMX_LINE);
    if (k->cols > AMX_TILE)
        _tile_stored(1, k->c + AMX_TILE, AMX_LINE);
    if (k->rows > AMX_TILE)
        _tile_stored(2, k->c + AMX_TILE * AMX_SIDE, AMX_LINE);
    if (k->rows > AMX_TILE && k->cols > AMX_TILE)
        _tile_stored(3, k->c + AMX_TILE * AMX_SIDE + AMX_TILE, AMX_LINE);
}

#endif
