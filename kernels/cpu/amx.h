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

#include "kernels/cpu/cpu.h"
#include <immintrin.h>

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

/*
 * c [32][32] = sum over steps of a b, added to what is there if add. a0, a1: the upper and lower
 * 16 rows of a, whose rows are stride bytes apart; b: tiles of the left and the right half of a
 * step, one behind the other, steps b_each numbers apart. ROWS and COLS: 1 of 2 leaves out the
 * second half of a or b, and c's.
 */
#define AMX_BLOCK(name, ROWS, COLS)                                                                \
    static inline void name(float *c, const uint16_t *a0, const uint16_t *a1, size_t stride,       \
                            const uint16_t *b, size_t b_each, const struct amx_step *step,         \
                            size_t n, bool add)                                                    \
    {                                                                                              \
        enum { LINE = AMX_SIDE * sizeof(float) };                                                  \
        if (add) {                                                                                 \
            _tile_loadd(0, c, LINE);                                                               \
            if ((COLS) > 1)                                                                        \
                _tile_loadd(1, c + AMX_TILE, LINE);                                                \
            if ((ROWS) > 1)                                                                        \
                _tile_loadd(2, c + AMX_TILE * AMX_SIDE, LINE);                                     \
            if ((ROWS) > 1 && (COLS) > 1)                                                          \
                _tile_loadd(3, c + AMX_TILE * AMX_SIDE + AMX_TILE, LINE);                          \
        } else {                                                                                   \
            _tile_zero(0);                                                                         \
            _tile_zero(1);                                                                         \
            _tile_zero(2);                                                                         \
            _tile_zero(3);                                                                         \
        }                                                                                          \
        for (size_t i = 0; i < n; i++) {                                                           \
            const uint16_t *bs = b + step[i].b * b_each;                                           \
            _tile_loadd(6, bs, 64);                                                                \
            _tile_loadd(4, a0 + step[i].a, stride);                                                \
            _tile_dpbf16ps(0, 4, 6);                                                               \
            if ((COLS) > 1) {                                                                      \
                _tile_loadd(7, bs + AMX_B, 64);                                                    \
                _tile_dpbf16ps(1, 4, 7);                                                           \
            }                                                                                      \
            if ((ROWS) > 1) {                                                                      \
                _tile_loadd(5, a1 + step[i].a, stride);                                            \
                _tile_dpbf16ps(2, 5, 6);                                                           \
                if ((COLS) > 1)                                                                    \
                    _tile_dpbf16ps(3, 5, 7);                                                       \
            }                                                                                      \
        }                                                                                          \
        _tile_stored(0, c, LINE);                                                                  \
        if ((COLS) > 1)                                                                            \
            _tile_stored(1, c + AMX_TILE, LINE);                                                   \
        if ((ROWS) > 1)                                                                            \
            _tile_stored(2, c + AMX_TILE * AMX_SIDE, LINE);                                        \
        if ((ROWS) > 1 && (COLS) > 1)                                                              \
            _tile_stored(3, c + AMX_TILE * AMX_SIDE + AMX_TILE, LINE);                             \
    }
AMX_BLOCK(amx_block_11, 1, 1)
AMX_BLOCK(amx_block_12, 1, 2)
AMX_BLOCK(amx_block_21, 2, 1)
AMX_BLOCK(amx_block_22, 2, 2)

static inline void amx_block(size_t rows, size_t cols, float *c, const uint16_t *a0,
                             const uint16_t *a1, size_t stride, const uint16_t *b, size_t b_each,
                             const struct amx_step *step, size_t n, bool add)
{
    if (rows > AMX_TILE && cols > AMX_TILE)
        amx_block_22(c, a0, a1, stride, b, b_each, step, n, add);
    else if (rows > AMX_TILE)
        amx_block_21(c, a0, a1, stride, b, b_each, step, n, add);
    else if (cols > AMX_TILE)
        amx_block_12(c, a0, a1, stride, b, b_each, step, n, add);
    else
        amx_block_11(c, a0, a1, stride, b, b_each, step, n, add);
}

#endif
