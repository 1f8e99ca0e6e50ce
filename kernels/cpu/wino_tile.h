/*
 * wino_tile.h - a tile's inputs, turned: what wino_isa.c and wino_sums_isa.c share.
 */
#ifndef SEMPPL_CPU_WINO_TILE_H
#define SEMPPL_CPU_WINO_TILE_H

#include "kernels/cpu/conv_pairs.h"
#include "kernels/cpu/wino.h"

#define UNROLL _Pragma("GCC unroll 16")

enum { PAIR = 1 + PAIRS }; /* numbers that are taken for a float */

/* Stores numbers a, or pairs of a and b. */
INLINE void wino_store(float *to, vec a, vec b)
{
#if PAIRS
    store_paired(to, a, b);
#else
    (void)b;
    vec_store(to, a, LANES);
#endif
}

/* Where a tile is. */
struct wino_place {
    size_t image, row, col; /* of its first output */
};

static inline struct wino_place wino_place(const struct wino *w, size_t tile)
{
    size_t plane = w->rows * w->cols, rest = tile % plane;
    return (struct wino_place){ tile / plane, rest / w->cols * WINO_TILE,
                                rest % w->cols * WINO_TILE };
}

/* Cells of a side x side square whose first one is row, col (negative ones wrap); outside: zeros.
 */
INLINE void wino_cells(enum kern_type type, const void **cell, size_t side, const void *x,
                       size_t image, size_t row, size_t col, size_t h, size_t w, size_t c,
                       const void *zeros)
{
    for (size_t r = 0; r < side; r++)
        for (size_t s = 0; s < side; s++, cell++)
            *cell = row + r < h && col + s < w
                        ? cpu_at(type, x, ((image * h + row + r) * w + col + s) * c)
                        : zeros;
}

/* Of B': d0 - d2, d1 + d2, d2 - d1, d1 - d3. */
INLINE void wino_turn(vec *to, size_t step, vec d0, vec d1, vec d2, vec d3)
{
    to[0] = d0 - d2;
    to[step] = d1 + d2;
    to[2 * step] = d2 - d1;
    to[3 * step] = d1 - d3;
}

/* B' d B for channels c and on of a tile's 4 x 4 cells. */
INLINE void wino_turn_input(enum kern_type type, vec to[WINO_CELLS],
                            const void *const cell[WINO_CELLS], size_t c)
{
    vec d[WINO_CELLS], rows[WINO_CELLS];
    UNROLL for (int i = 0; i < WINO_CELLS; i++) d[i] = vec_load_as(type, cell[i], c, LANES);
    UNROLL for (int s = 0; s < 4; s++) wino_turn(rows + s, 4, d[s], d[4 + s], d[8 + s], d[12 + s]);
    UNROLL for (int r = 0; r < 4; r++)
        wino_turn(to + 4 * r, 1, rows[4 * r], rows[4 * r + 1], rows[4 * r + 2], rows[4 * r + 3]);
}

#endif
