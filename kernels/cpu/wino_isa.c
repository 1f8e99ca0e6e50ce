/*
 * wino_isa.c - see wino.h: packs weights, forward and backward-data.
 *
 * Turned inputs lie as [cell][places of WINO_PLACES tiles][inputs / 16][tile][16], so that a
 * product finds all it needs at constant distances from one pointer. With PAIRS these inputs are
 * pairs of channels.
 */
#include "kernels/cpu/wino_tile.h"

enum { GROUP = 2 * LANES, DEPTH = 16, PIECE = 16 }; /* inputs side by side; tiles summed in float */

/* -- weights ------------------------------------------------------------------------------- */

/* Of G, three numbers to four. */
INLINE void turn_weights(vec *to, size_t step, vec g0, vec g1, vec g2)
{
    vec ends = 0.5f * (g0 + g2), middle = 0.5f * g1;
    to[0] = g0;
    to[step] = ends + middle;
    to[2 * step] = ends - middle;
    to[3 * step] = g2;
}

/* G g G' of LANES windows, out floats from one to the next; turned round for backward-data. */
INLINE void turn_windows(vec cell[WINO_CELLS], const float *w, size_t out, bool round)
{
    vec tap[9], rows[12];
    for (int t = 0; t < 9; t++)
        for (size_t l = 0; l < LANES; l++)
            tap[round ? 8 - t : t][l] = w[l * out + (size_t)t];
    UNROLL for (int s = 0; s < 3; s++) turn_weights(rows + s, 3, tap[s], tap[3 + s], tap[6 + s]);
    UNROLL for (int r = 0; r < 4; r++)
        turn_weights(cell + 4 * r, 1, rows[3 * r], rows[3 * r + 1], rows[3 * r + 2]);
}

/* A group of outputs and up to WINO_BLOCK inputs, of one pass. */
static int pack_task(void *arg, size_t i, int worker UNUSED)
{
    const struct wino_pack *a = arg;
    size_t forward = a->k / GROUP * wino_pack_pieces(a->c);
    bool backward = i >= forward;
    size_t ic = backward ? a->k : a->c, at = backward ? i - forward : i;
    size_t g = at / wino_pack_pieces(ic), first = at % wino_pack_pieces(ic) * WINO_BLOCK;
    size_t out = 9 * (backward ? 1 : a->c), in = 9 * (backward ? a->c : 1);
    float *to = a->packed[backward] + g * WINO_CELLS * (ic / PAIR) * GROUP;
    for (size_t c = first; c < MIN(first + WINO_BLOCK, ic); c += PAIR)
        for (size_t v = 0; v < 2; v++) {
            const float *w = a->w + (g * GROUP + v * LANES) * out + c * in;
            vec cell[PAIR][WINO_CELLS];
            for (size_t i = 0; i < PAIR; i++)
                turn_windows(cell[i], w + i * in, out, backward);
            UNROLL for (size_t e = 0; e < WINO_CELLS; e++) wino_store(
                to + (e * ic + c) / PAIR * GROUP + v * LANES, cell[0][e], cell[PAIR - 1][e]);
        }
    return 0;
}

/* -- inputs -------------------------------------------------------------------------------- */

/* Numbers i and on of floats, or of pairs. */
INLINE void store_turned(float *to, size_t i, vec v)
{
#if PAIRS
    store_rounded((uint16_t *)to + i, v);
#else
    vec_store(to + i, v, LANES);
#endif
}

INLINE void turn_inputs(enum kern_type type, const struct wino *w, size_t first, size_t tiles,
                        float *to, const float *zeros)
{
    size_t inputs = w->ic / PAIR, apart = w->each * inputs + WINO_SET;
    for (size_t t = 0; t < tiles; t++) {
        struct wino_place p = wino_place(w, first + t);
        const void *cell[WINO_CELLS];
        wino_cells(type, cell, 4, w->x, p.image, p.row - w->top, p.col - w->left, w->ih, w->iw,
                   w->ic, zeros);
        float *at = to + t / WINO_PLACES * WINO_PLACES * inputs + t % WINO_PLACES * DEPTH;
        for (size_t c = 0; c < w->ic; c += PAIR * DEPTH, at += WINO_PLACES * DEPTH)
            for (size_t l = 0; l < PAIR * DEPTH; l += LANES) {
                vec v[WINO_CELLS];
                wino_turn_input(type, v, cell, c + l);
                UNROLL for (size_t e = 0; e < WINO_CELLS; e++)
                    store_turned(at + e * apart, l, v[e]);
            }
    }
}

/* -- products ------------------------------------------------------------------------------ */

enum { AT_ONCE = LANES == 16 ? 12 : LANES == 8 ? 6 : 4 }; /* tiles whose sums fit registers */

/* to [AT_ONCE][GROUP] = x [AT_ONCE][inputs] times u [inputs][GROUP] */
static void multiply(float *to, const float *x, const float *u, size_t inputs)
{
    vec acc[AT_ONCE][2];
    UNROLL for (int i = 0; i < AT_ONCE; i++) acc[i][0] = acc[i][1] = (vec){ 0 };
    for (size_t c = 0; c < inputs; c += DEPTH, x += WINO_PLACES * DEPTH) {
        UNROLL for (int d = 0; d < DEPTH; d++, u += GROUP)
        {
            vec u0 = vec_load(u, LANES), u1 = vec_load(u + LANES, LANES);
            UNROLL for (int i = 0; i < AT_ONCE; i++)
            {
                float f = x[i * DEPTH + d];
                acc[i][0] = multiply_add(acc[i][0], u0, f);
                acc[i][1] = multiply_add(acc[i][1], u1, f);
            }
        }
    }
    UNROLL for (int i = 0; i < AT_ONCE; i++)
    {
        vec_store(to + i * GROUP, acc[i][0], LANES);
        vec_store(to + i * GROUP + LANES, acc[i][1], LANES);
    }
}

/* -- outputs ------------------------------------------------------------------------------- */

/* Sums of some outputs, as differences to the first of them: a large mean costs no digits. */
struct piece {
    vec first, sum, square;
    size_t n;
};

static inline void add_to(struct piece *p, vec y)
{
    if (p->n++ == 0)
        *p = (struct piece){ .first = y, .n = 1 };
    vec d = y - p->first;
    p->sum += d;
    p->square += d * d;
}

static void add_up(struct piece *p, double *sum, double *square)
{
    double n = (double)p->n;
    for (size_t l = 0; l < LANES; l++) {
        double shift = p->first[l], d = p->sum[l];
        sum[l] += d + n * shift;
        square[l] += p->square[l] + shift * (2 * d + n * shift);
    }
    p->n = 0;
}

/* Scale, shift, residual and ReLU of channels k and on, and of element at. NaN stays. */
INLINE vec affine(enum kern_type type, const struct wino *w, vec v, size_t k, size_t at)
{
    if (w->scale)
        v = v * vec_load(w->scale + k, LANES) + vec_load(w->shift + k, LANES);
    if (w->residual)
        v += vec_load_as(type, w->residual, at, LANES);
    return w->relu ? vec_select(v < 0, (vec){ 0 }, v) : v;
}

/* A' m A of a tile and LANES channels, cells apart floats from one another. */
INLINE void turn_back(vec y[4], const float *m, size_t apart)
{
    vec rows[2][4];
    UNROLL for (size_t s = 0; s < 4; s++)
    {
        vec a = vec_load(m + s * apart, LANES), b = vec_load(m + (4 + s) * apart, LANES);
        vec c = vec_load(m + (8 + s) * apart, LANES), d = vec_load(m + (12 + s) * apart, LANES);
        rows[0][s] = a + b + c;
        rows[1][s] = b - c - d;
    }
    UNROLL for (int r = 0; r < 2; r++)
    {
        y[2 * r] = rows[r][0] + rows[r][1] + rows[r][2];
        y[2 * r + 1] = rows[r][1] - rows[r][2] - rows[r][3];
    }
}

/* sum: of the task, from channel 0 on, or NULL. */
INLINE void write_outputs(enum kern_type type, const struct wino *w, size_t first, size_t tiles,
                          size_t k, const float *m, double *sum)
{
    size_t apart = w->each * GROUP + WINO_SET;
    struct piece piece[2] = { { .n = 0 }, { .n = 0 } };
    for (size_t t = 0; t < tiles; t++) {
        struct wino_place p = wino_place(w, first + t);
        for (size_t v = 0; v < 2; v++) {
            size_t channel = k + v * LANES;
            vec y[4];
            turn_back(y, m + t * GROUP + v * LANES, apart);
            for (size_t i = 0; i < 4; i++) {
                size_t row = p.row + i / 2, col = p.col + i % 2;
                if (row >= w->oh || col >= w->ow)
                    continue;
                size_t at = ((p.image * w->oh + row) * w->ow + col) * w->oc + channel;
                if (sum)
                    add_to(&piece[v], y[i]);
                vec_store_as(type, w->y, at, affine(type, w, y[i], channel, at), LANES);
            }
            if (sum && ((t + 1) % PIECE == 0 || t + 1 == tiles))
                add_up(&piece[v], sum + channel, sum + w->oc + channel);
        }
    }
}

/* -- tasks --------------------------------------------------------------------------------- */

INLINE void forward(enum kern_type type, const struct wino *w, size_t i, int worker)
{
    size_t task = i / w->parts, part = i % w->parts;
    size_t from = w->groups * part / w->parts * GROUP,
           to = w->groups * (part + 1) / w->parts * GROUP;
    size_t first = task * w->each, tiles = MIN(w->each, w->tiles - first), inputs = w->ic / PAIR;
    double *sum = w->sums ? w->sums + task * 2 * w->oc : NULL;
    for (size_t half = 0; sum && half < 2; half++)
        memset(sum + half * w->oc + from, 0, (to - from) * sizeof *sum);
    size_t turned = w->each * inputs + WINO_SET, apart = w->each * GROUP + WINO_SET;
    float *zeros = kern_scratch_of(w->kn, worker), *x = zeros + w->ic, *m = x + WINO_CELLS * turned;
    memset(zeros, 0, w->ic * sizeof *zeros);
    turn_inputs(type, w, first, tiles, x, zeros);
    const float *u = w->packed + from * WINO_CELLS * inputs;
    for (size_t k = from; k < to; k += GROUP) {
        for (size_t e = 0; e < WINO_CELLS; e++, u += inputs * GROUP)
            for (size_t t = 0; t < tiles; t += AT_ONCE) /* beyond the last: nothing reads them */
                multiply(m + e * apart + t * GROUP,
                         x + e * turned + t / WINO_PLACES * WINO_PLACES * inputs +
                             t % WINO_PLACES * DEPTH,
                         u, inputs);
        write_outputs(type, w, first, tiles, k, m, sum);
    }
}

static int forward_task(void *arg, size_t i, int worker)
{
    const struct wino *w = arg;
    if (!PAIRS && w->type == KERN_F32)
        forward(KERN_F32, w, i, worker);
    else
        forward(KERN_BF16, w, i, worker);
    return 0;
}

const struct wino_kernels ISA(wino_kernels) = {
    GROUP, PAIR, pack_task, forward_task, ISA(wino_sums_task), ISA(wino_reduce_task)
};
