/*
 * ceiling_amx.c - see ceiling.h: the tile unit at its full speed, with operands in the first cache.
 */
#include "bench/ceiling.h"
#include "kernels/cpu/amx.h"

double ceiling_tile_amx(float *out, const uint16_t *ab)
{
    enum { ROUNDS = 1000, WIDTH = CEILING_STEPS * AMX_DEPTH };
    static const struct amx_step step[] = {
        { 0, 0 }, { AMX_DEPTH, 1 }, { 2 * AMX_DEPTH, 2 }, { 3 * AMX_DEPTH, 3 }
    };
    struct amx_block k = { .rows = AMX_SIDE,
                           .cols = AMX_SIDE,
                           .c = out,
                           .a0 = ab,
                           .a1 = ab + AMX_TILE * WIDTH,
                           .b0 = ab + AMX_SIDE * WIDTH,
                           .b1 = ab + AMX_SIDE * WIDTH + AMX_B,
                           .stride = WIDTH * sizeof *ab,
                           .b_each = 2 * AMX_B,
                           .step = step,
                           .n = CEILING_STEPS };
    amx_begin();
    amx_block_begin(&k);
    for (int r = 0; r < ROUNDS; r++)
        amx_steps_22(&k, 0, CEILING_STEPS);
    amx_block_end(&k);
    _tile_release();
    return 2.0 * AMX_SIDE * AMX_SIDE * WIDTH * (ROUNDS + 1);
}
