/*
 * conv_isa.c - the inner loops of forward and backward-data, compiled once an instruction set.
 *
 * A macro writes the tile functions with their accumulators as arrays of constant size, which the
 * compiler keeps in registers, and numbers of x are broadcast.
 */
#include "kernels/cpu/conv_band.h"

typedef int bits __attribute__((vector_size(4 * LANES))); /* of a comparison */

/* -- tiles of the forward pass ------------------------------------------------------------- */

struct tile {
    const float *band;
    size_t block_floats, nblocks, last;
    const struct conv_tap *tap;
    size_t ntaps, ntaps_packed;
    size_t space;   /* of neighbours in a plain band */
    const float *w; /* of the group */
};

/* One input channel: a row of weights times a number of each pixel. */
#define TILE_STEP(PLACES, RUN, NV, SPACE)                                                          \
    do {                                                                                           \
        vec wv[NV];                                                                                \
        UNROLL for (int v = 0; v < (NV); v++) wv[v] = *(const vec *)(w + v * LANES);               \
        UNROLL for (int i = 0; i < (PLACES); i++) UNROLL for (int j = 0; j < (RUN); j++)           \
        {                                                                                          \
            float f = x[i][j * (SPACE) + c];                                                       \
            UNROLL for (int v = 0; v < (NV); v++) acc[i * (RUN) + j][v] += wv[v] * f;              \
        }                                                                                          \
        w += (NV)*LANES;                                                                           \
    } while (0)

/*
 * A tile of PLACES x RUN pixels by NV vectors of output channels. in has the place of every pixel;
 * the RUN pixels from a place on are neighbours in the band, SPACE floats apart. sums [pixel][NV *
 * LANES] comes out.
 */
#define TILE(name, PLACES, RUN, NV, SPACE)                                                         \
    static void name(const struct tile *t, const size_t *in, float *sums)                          \
    {                                                                                              \
        vec acc[(PLACES) * (RUN)][NV];                                                             \
        UNROLL for (int i = 0; i < (PLACES) * (RUN); i++) UNROLL for (int v = 0; v < (NV); v++)    \
            acc[i][v] = (vec){ 0 };                                                                \
        const float *band = t->band, *block = t->w;                                                \
        for (size_t b = 0; b < t->nblocks; b++) {                                                  \
            size_t cn = b + 1 < t->nblocks ? CONV_BLOCK : t->last;                                 \
            for (size_t a = 0; a < t->ntaps; a++) {                                                \
                const float *w = block + t->tap[a].weight * cn * ((NV)*LANES), *x[PLACES];         \
                UNROLL for (int i = 0; i < (PLACES); i++) x[i] =                                   \
                    band + t->tap[a].in + in[i * (RUN)];                                           \
                if (cn == CONV_BLOCK) {                                                            \
                    UNROLL for (int c = 0; c < CONV_BLOCK; c++) TILE_STEP(PLACES, RUN, NV, SPACE); \
                } else {                                                                           \
                    for (size_t c = 0; c < cn; c++)                                                \
                        TILE_STEP(PLACES, RUN, NV, SPACE);                                         \
                }                                                                                  \
            }                                                                                      \
            band += t->block_floats;                                                               \
            block += CONV_BLOCK * t->ntaps_packed * ((NV)*LANES);                                  \
        }                                                                                          \
        UNROLL for (int i = 0; i < (PLACES) * (RUN); i++) UNROLL for (int v = 0; v < (NV); v++)    \
        {                                                                                          \
            *(vec *)(sums + (i * (NV) + v) * LANES) = acc[i][v];                                   \
        }                                                                                          \
    }

/*
 * Registers decide: 32 (AVX-512) or 16 hold the accumulators, a row of weights and the number that
 * is broadcast; 12 places at most leave general registers for their addresses. A wider tile reads
 * each weight once for more pixels, a second vector of channels each number of x once for two.
 */
#if LANES == 16
TILE(tile_one, 12, 1, 1, CONV_BLOCK)
TILE(tile_one_pairs, 12, 2, 1, CONV_BLOCK)
TILE(tile_two, 12, 1, 2, CONV_BLOCK)
TILE(tile_two_pairs, 6, 2, 2, CONV_BLOCK)
TILE(tile_one_plain, 10, 2, 1, t->space)
TILE(tile_two_plain, 6, 2, 2, t->space)
#elif LANES == 8
TILE(tile_one, 6, 1, 2, CONV_BLOCK)
TILE(tile_one_pairs, 3, 2, 2, CONV_BLOCK)
#else
TILE(tile_one, 2, 1, 4, CONV_BLOCK)
TILE(tile_one_pairs, 1, 2, 4, CONV_BLOCK)
#endif

struct tile_kind {
    size_t pixels;
    void (*run)(const struct tile *t, const size_t *in, float *sums);
};

static struct tile_kind tile_kind(size_t width, bool pairs, bool plain)
{
#if LANES == 16
    bool two = width > CONV_BLOCK;
    if (pairs && plain)
        return two ? (struct tile_kind){ 12, tile_two_plain }
                   : (struct tile_kind){ 20, tile_one_plain };
    if (pairs)
        return two ? (struct tile_kind){ 12, tile_two_pairs }
                   : (struct tile_kind){ 24, tile_one_pairs };
    return (struct tile_kind){ 12, two ? tile_two : tile_one };
#else
    (void)width;
    return (struct tile_kind){ LANES == 8 ? 6 : 2, pairs && !plain ? tile_one_pairs : tile_one };
#endif
}

/* -- what happens to a tile on its way to memory ------------------------------------------- */

struct sink {
    const struct conv_forward *f;
    size_t k, width, valid; /* first channel, channels in the tile, of them stored */
    size_t base;            /* of the task in the output */
    double *sum, *squares;  /* of the task, from channel k on; or NULL */
};

/*
 * Sums and sums of squares, the latter as squares about the tile's own mean in float plus the
 * mean's in double: nothing is lost when the mean is large.
 */
static void add_sums(const struct sink *s, const float *sums, size_t pixels)
{
    size_t whole = pixels / 4 * 4, width = s->width;
    for (size_t v = 0; v < width; v += LANES) {
        vec sum[4] = { { 0 } }, about[4] = { { 0 } }; /* four chains, for their latency */
        const float *at = sums + v;
        for (size_t i = 0; i < whole; i += 4)
            UNROLL for (size_t j = 0; j < 4; j++) sum[j] += *(const vec *)(at + (i + j) * width);
        for (size_t i = whole; i < pixels; i++)
            sum[0] += *(const vec *)(at + i * width);
        vec all = (sum[0] + sum[1]) + (sum[2] + sum[3]), mean = all * (1 / (float)pixels);
        for (size_t i = 0; i < whole; i += 4)
            UNROLL for (size_t j = 0; j < 4; j++)
            {
                vec off = *(const vec *)(at + (i + j) * width) - mean;
                about[j] += off * off;
            }
        for (size_t i = whole; i < pixels; i++) {
            vec off = *(const vec *)(at + i * width) - mean;
            about[0] += off * off;
        }
        vec squares = (about[0] + about[1]) + (about[2] + about[3]);
        for (size_t l = 0; l < LANES; l++) {
            double m = mean[l], rest = all[l] - m * (double)pixels;
            s->sum[v + l] += all[l];
            s->squares[v + l] += squares[l] + m * (all[l] + rest);
        }
    }
}

/* scale, shift, residual and ReLU, of a pixel in place. A negative number becomes 0, NaN stays. */
static void affine(const struct sink *s, float *pixel, size_t at)
{
    const struct conv_forward *f = s->f;
    const float *scale = f->scale ? f->scale + s->k : NULL,
                *shift = f->scale ? f->shift + s->k : NULL;
    const float *residual = f->residual ? f->residual + at : NULL;
    size_t k = 0;
    for (; k + LANES <= s->valid; k += LANES) {
        vec v = *(const vec *)(pixel + k);
        if (scale)
            v = v * *(const vec *)(scale + k) + *(const vec *)(shift + k);
        if (residual)
            v += *(const vec *)(residual + k);
        if (f->relu)
            v = (vec)((bits)v & ~(v < 0));
        *(vec *)(pixel + k) = v;
    }
    for (; k < s->valid; k++) {
        float v = pixel[k];
        if (scale)
            v = v * scale[k] + shift[k];
        if (residual)
            v += residual[k];
        pixel[k] = f->relu && v < 0 ? 0 : v;
    }
}

static void store(const struct sink *s, float *sums, const size_t *out, size_t pixels)
{
    float *y = s->f->y;
    size_t first = s->base + s->k, width = s->width, valid = s->valid;
    if (s->f->scale || s->f->residual)
        for (size_t i = 0; i < pixels; i++)
            affine(s, sums + i * width, first + out[i]);
    for (size_t i = 0; i < pixels; i++, sums += width) {
        float *to = y + first + out[i];
        size_t k = 0;
        for (; k + LANES <= valid; k += LANES)
            *(vec *)(to + k) = *(const vec *)(sums + k);
        for (; k < valid; k++)
            to[k] = sums[k];
    }
}

/* -- tasks --------------------------------------------------------------------------------- */

/*
 * Input of the task that this worker will probably get next, asked for a little with each tile so
 * that it arrives from memory while there is something to calculate.
 */
struct ahead {
    const float *at, *end;
    size_t each; /* floats a tile */
};

static struct ahead ahead_of(const struct conv_forward *f, size_t spatial, size_t tiles)
{
    const struct conv_plan *p = f->plan;
    size_t next = spatial + (size_t)pool_threads(p->kn->pool);
    if (next >= p->ntasks)
        return (struct ahead){ 0 };
    struct conv_share s = conv_share_of(p, next);
    size_t from = (s.image * p->ih + MIN(s.row * p->step, p->ih)) * p->iw * p->ic;
    size_t end =
        ((s.image + s.images - 1) * p->ih + MIN((s.row + s.rows) * p->step, p->ih)) * p->iw * p->ic;
    return (struct ahead){ f->x + from, f->x + end, (end - from) / tiles + CONV_BLOCK };
}

static void look_ahead(struct ahead *a)
{
    if (a->at == a->end)
        return;
    const float *to = a->at + MIN(a->each, (size_t)(a->end - a->at));
    for (; a->at < to; a->at += CONV_BLOCK)
        __builtin_prefetch(a->at, 0, 2);
    a->at = MIN(a->at, a->end);
}

/* A run of groups of one width, as many as have weights that stay near. */
struct groups {
    size_t first, end, width;
};

static struct groups groups_from(const struct conv_plan *p, size_t first, size_t end)
{
    struct groups g = { first, first + 1, conv_group_width(p, first) };
    size_t floats = conv_input_channels(p) * p->ntaps_packed * g.width;
    while (g.end < end && (g.end + 1 - first) * floats <= CONV_HELD &&
           conv_group_width(p, g.end) == g.width)
        g.end++;
    return g;
}

/*
 * All pixels of a phase in a share, for some groups: a tile's pixels stay in the first cache for
 * all of them, and its outputs are written one behind the other.
 */
static void run_phase(const struct conv_forward *f, const struct conv_phase *ph,
                      const struct conv_share *sh, const struct groups *groups, struct tile *t,
                      double *sum, struct ahead *ahead)
{
    const struct conv_plan *p = f->plan;
    float sums[CONV_MAX_TILE * 2 * CONV_BLOCK] __attribute__((aligned(64)));
    struct tile_kind kind = tile_kind(groups->width, ph->cols % 2 == 0, p->plain || p->in_place);
    size_t rows = sh->row < ph->rows ? MIN(sh->rows, ph->rows - sh->row) : 0;
    size_t total = sh->images * rows * ph->cols, padded = p->ngroups * p->group;
    struct sink s = { .f = f, .width = groups->width };
    s.base = (sh->image * p->oh + sh->row * p->out_step) * p->ow * p->oc;
    t->tap = ph->tap;
    t->ntaps = ph->ntaps;
    for (size_t i = 0; i < total; i += kind.pixels) {
        size_t pixels = MIN(kind.pixels, total - i), tail[CONV_MAX_TILE];
        const size_t *in = ph->in + i;
        if (pixels < kind.pixels) { /* the rest repeats pixels, and is not stored */
            for (size_t j = 0; j < kind.pixels; j++)
                tail[j] = in[j < pixels ? j : 0];
            in = tail;
        }
        for (size_t g = groups->first; g < groups->end; g++) {
            s.k = g * p->group;
            s.valid = MIN(s.width, p->oc - s.k);
            t->w = f->packed + s.k * conv_input_channels(p) * p->ntaps_packed;
            look_ahead(ahead);
            kind.run(t, in, sums);
            if (sum) {
                s.sum = sum + s.k;
                s.squares = s.sum + padded;
                add_sums(&s, sums, pixels);
            }
            store(&s, sums, ph->out + i, pixels);
        }
    }
}

static int forward_task(void *arg, size_t i, int worker)
{
    const struct conv_forward *f = arg;
    const struct conv_plan *p = f->plan;
    size_t spatial = i / f->group_parts, part = i % f->group_parts;
    size_t from = p->ngroups * part / f->group_parts, to = p->ngroups * (part + 1) / f->group_parts;
    struct conv_share sh = conv_share_of(p, spatial);
    struct tile t = { .nblocks = p->nblocks,
                      .last = p->last,
                      .ntaps_packed = p->ntaps_packed,
                      .space = p->step * p->ic };
    if (p->in_place) {
        t.band = f->x + (sh.image * p->ih + sh.row * p->step) * p->row_floats;
        t.block_floats = CONV_BLOCK;
    } else {
        float *band = kern_scratch_of(p->kn, worker);
        t.band = band;
        t.block_floats = conv_pack_band(p, band, f->x, &sh);
    }
    size_t pixels = sh.images * sh.rows * p->phase[0].cols * p->nphases;
    struct ahead ahead = ahead_of(f, spatial, (to - from) * pixels / CONV_MAX_TILE + 1);
    double *sum = f->sums ? f->sums + spatial * 2 * p->ngroups * p->group : NULL;
    for (struct groups g = { .end = from }; g.end < to;) {
        g = groups_from(p, g.end, to);
        for (size_t ph = 0; ph < p->nphases; ph++)
            run_phase(f, &p->phase[ph], &sh, &g, &t, sum, &ahead);
    }
    return 0;
}

const struct conv_kernels ISA(conv_kernels) = {
    .group = LANES == 16 ? 2 * CONV_BLOCK : CONV_BLOCK,
    .forward = forward_task,
    .weights = ISA(conv_weights_task),
    .reduce = ISA(conv_reduce_task),
};
