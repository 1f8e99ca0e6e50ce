/*
 * wino_sums_isa.c - see wino.h: backward-weights. A task sums a block of 64 x 64 channels over some
 * tiles, whose inputs and gradients it turns itself: that costs a tenth of the products.
 */
#include "kernels/cpu/wino_tile.h"

enum { GROUP = 2 * LANES, AT_ONCE = LANES == 16 ? 8 : 4 }; /* rows whose sums fit registers */

/* Of G for two numbers. */
INLINE void turn_pair(vec *to, size_t step, vec g0, vec g1)
{
    to[0] = g0;
    to[step] = 0.5f * (g0 + g1);
    to[2 * step] = 0.5f * (g0 - g1);
    to[3 * step] = g1;
}

INLINE void turn_gradient(enum kern_type type, vec to[WINO_CELLS], const void *const cell[4],
                          size_t k)
{
    vec rows[8];
    UNROLL for (int s = 0; s < 2; s++) turn_pair(rows + s, 2, vec_load_as(type, cell[s], k, LANES),
                                                 vec_load_as(type, cell[2 + s], k, LANES));
    UNROLL for (int r = 0; r < 4; r++) turn_pair(to + 4 * r, 1, rows[2 * r], rows[2 * r + 1]);
}

/* Some tiles' inputs x [cell][tile][WINO_BLOCK], channels c and on, and gradients. */
INLINE void turn(enum kern_type type, const struct wino_sums *s, size_t first, size_t tiles,
                 size_t c, size_t cols, size_t k, size_t rows, float *x, float *dy,
                 const float *zeros)
{
    const struct wino *g = &s->g;
    size_t apart = WINO_CHUNK * WINO_BLOCK;
    for (size_t t = 0; t < tiles; t += PAIR, x += WINO_BLOCK, dy += WINO_BLOCK) {
        const void *in[PAIR][WINO_CELLS], *out[PAIR][4];
        vec v[PAIR][WINO_CELLS];
        for (size_t i = 0; i < PAIR; i++) {
            struct wino_place p = wino_place(g, first + t + i);
            size_t there = t + i < tiles; /* or all zeros */
            wino_cells(type, in[i], 4, g->x, p.image, p.row - g->top, p.col - g->left,
                       there * g->ih, g->iw, g->ic, zeros);
            wino_cells(type, out[i], 2, s->dy, p.image, p.row, p.col, there * g->oh, g->ow, g->oc,
                       zeros);
        }
        for (size_t l = 0; l < cols; l += LANES) {
            for (size_t i = 0; i < PAIR; i++)
                wino_turn_input(type, v[i], in[i], c + l);
            UNROLL for (size_t e = 0; e < WINO_CELLS; e++)
                wino_store(x + e * apart + l, v[0][e], v[PAIR - 1][e]);
        }
        for (size_t l = 0; l < rows; l += LANES) {
            for (size_t i = 0; i < PAIR; i++)
                turn_gradient(type, v[i], out[i], k + l);
            UNROLL for (size_t e = 0; e < WINO_CELLS; e++)
                wino_store(dy + e * apart + l, v[0][e], v[PAIR - 1][e]);
        }
    }
}

/* sums [AT_ONCE][GROUP] (+)= dy' x over tiles. */
static void add_products(float *sums, const float *x, const float *dy, size_t tiles, bool add)
{
    vec acc[AT_ONCE][2];
    UNROLL for (int i = 0; i < AT_ONCE; i++) UNROLL for (int v = 0; v < 2; v++) acc[i][v] =
        add ? *(const vec *)(sums + i * WINO_BLOCK + v * LANES) : (vec){ 0 };
    for (size_t t = 0; t < tiles; t++, x += WINO_BLOCK, dy += WINO_BLOCK) {
        vec x0 = vec_load(x, LANES), x1 = vec_load(x + LANES, LANES);
        UNROLL for (int i = 0; i < AT_ONCE; i++)
        {
            float f = dy[i];
            acc[i][0] = multiply_add(acc[i][0], x0, f);
            acc[i][1] = multiply_add(acc[i][1], x1, f);
        }
    }
    UNROLL for (int i = 0; i < AT_ONCE; i++) UNROLL for (int v = 0; v < 2; v++)
        vec_store(sums + i * WINO_BLOCK + v * LANES, acc[i][v], LANES);
}

/* Of A', four numbers to three. */
INLINE void turn_sums(vec *to, size_t step, vec m0, vec m1, vec m2, vec m3)
{
    to[0] = m0 + m1 + m2;
    to[step] = m1 - m2;
    to[2 * step] = m1 + m2 - m3;
}

/* Channels c and on of one output: adds the shards in their order, turned, to dw. */
static void reduce(const struct wino_sums *s, const float *from, float *dw)
{
    size_t block = WINO_CELLS * WINO_BLOCK * WINO_BLOCK, shard = s->blocks_c * s->blocks_k * block;
    vec m[WINO_CELLS], rows[12], tap[9];
    for (size_t e = 0; e < WINO_CELLS; e++, from += WINO_BLOCK * WINO_BLOCK) {
        m[e] = vec_load(from, LANES);
        for (size_t i = 1; i < s->shards; i++)
            m[e] += vec_load(from + i * shard, LANES);
    }
    UNROLL for (int i = 0; i < 4; i++) turn_sums(rows + i, 4, m[i], m[4 + i], m[8 + i], m[12 + i]);
    UNROLL for (int r = 0; r < 3; r++)
        turn_sums(tap + 3 * r, 1, rows[4 * r], rows[4 * r + 1], rows[4 * r + 2], rows[4 * r + 3]);
    for (size_t l = 0; l < LANES; l++)
        for (size_t t = 0; t < 9; t++)
            *dw++ += tap[t][l];
}

/* Some rows of a block. */
static void reduce_rows(const struct wino_sums *s, const float *sums, size_t pair, size_t from,
                        size_t to)
{
    size_t c = pair % s->blocks_c * WINO_BLOCK, k = pair / s->blocks_c * WINO_BLOCK;
    size_t cols = MIN(s->g.ic - c, (size_t)WINO_BLOCK), rows = MIN(s->g.oc - k, (size_t)WINO_BLOCK);
    for (size_t r = from; r < MIN(to, rows); r++)
        for (size_t l = 0; l < cols; l += LANES)
            reduce(s, sums + r * WINO_BLOCK + l, s->dw + ((k + r) * s->g.ic + c + l) * 9);
}

int ISA(wino_sums_task)(void *arg, size_t i, int worker)
{
    const struct wino_sums *s = arg;
    size_t pairs = s->blocks_c * s->blocks_k, shard = i / pairs, pair = i % pairs;
    size_t c = pair % s->blocks_c * WINO_BLOCK, k = pair / s->blocks_c * WINO_BLOCK;
    size_t cols = MIN(s->g.ic - c, (size_t)WINO_BLOCK), rows = MIN(s->g.oc - k, (size_t)WINO_BLOCK);
    size_t begin = s->g.tiles * shard / s->shards, end = s->g.tiles * (shard + 1) / s->shards;
    size_t most = MAX(s->g.ic, s->g.oc), apart = WINO_CHUNK * WINO_BLOCK;
    float *zeros = kern_scratch_of(s->g.kn, worker), *x = zeros + most,
          *dy = x + WINO_CELLS * apart, *sums = dy + WINO_CELLS * apart;
    if (s->partial)
        sums = s->partial + i * WINO_CELLS * WINO_BLOCK * WINO_BLOCK;
    memset(zeros, 0, most * sizeof *zeros);
    for (size_t t = begin; t < end; t += PAIR * WINO_CHUNK) {
        size_t tiles = MIN((size_t)PAIR * WINO_CHUNK, end - t);
        if (!PAIRS && s->g.type == KERN_F32)
            turn(KERN_F32, s, t, tiles, c, cols, k, rows, x, dy, zeros);
        else
            turn(KERN_BF16, s, t, tiles, c, cols, k, rows, x, dy, zeros);
        for (size_t e = 0; e < WINO_CELLS; e++)
            for (size_t r = 0; r < rows; r += AT_ONCE)
                for (size_t l = 0; l < cols; l += GROUP)
                    add_products(sums + (e * WINO_BLOCK + r) * WINO_BLOCK + l, x + e * apart + l,
                                 dy + e * apart + r, (tiles + PAIR - 1) / PAIR, t > begin);
    }
    if (!s->partial)
        reduce_rows(s, sums, pair, 0, WINO_BLOCK);
    return 0;
}

int ISA(wino_reduce_task)(void *arg, size_t i, int worker UNUSED)
{
    const struct wino_sums *s = arg;
    size_t parts = WINO_BLOCK / WINO_ROWS, pair = i / parts, row = i % parts * WINO_ROWS;
    const float *sums = s->partial + pair * WINO_CELLS * WINO_BLOCK * WINO_BLOCK;
    reduce_rows(s, sums, pair, row, row + WINO_ROWS);
    return 0;
}
