/*
 * conv_isa.c - the inner loops of the convolutions, compiled once an instruction set.
 *
 * GCC's vector types keep one source for all: a vector has as many lanes as the registers, a
 * macro writes the tile functions with their accumulators as constant-size arrays that the
 * compiler keeps in registers, and numbers of x are broadcast.
 */
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

/* -- the band ------------------------------------------------------------------------------ */

/* Channels of one cell into their blocks, or zeros. */
static void pack_cell(const struct conv_plan *p, float *to, size_t block_floats, const float *x)
{
    for (size_t b = 0; b < p->nblocks; b++, to += block_floats) {
        size_t have = !x ? 0 : b + 1 < p->nblocks ? CONV_BLOCK : p->last;
        if (have == CONV_BLOCK) {
            UNROLL for (int v = 0; v < VECTORS; v++) * (vec *)(to + v * LANES) =
                *(const vec *)(x + b * CONV_BLOCK + v * LANES);
            continue;
        }
        for (size_t c = 0; c < CONV_BLOCK; c++)
            to[c] = c < have ? x[b * CONV_BLOCK + c] : 0;
    }
}

/* One row of the band; x is the image's row, or NULL outside. */
static void pack_row(const struct conv_plan *p, float *to, size_t block_floats, const float *x)
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

static void pack_plain_row(const struct conv_plan *p, float *to, const float *x)
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

/* Rows of the band for one image of a share. */
static size_t share_rows(const struct conv_plan *p, const struct conv_share *s)
{
    return (s->rows - 1) * p->step + p->span_rows;
}

/* Returns the floats of a block. */
static size_t pack_band(const struct conv_plan *p, float *band, const float *x,
                        const struct conv_share *s)
{
    size_t rows = share_rows(p, s), block_floats = s->images * rows * p->row_floats;
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
        UNROLL for (int i = 0; i < (PLACES) * (RUN); i++) UNROLL for (int v = 0; v < (NV); v++) *  \
            (vec *)(sums + (i * (NV) + v) * LANES) = acc[i][v];                                    \
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

static void affine(const struct sink *s, float *pixel, const float *residual)
{
    const struct conv_forward *f = s->f;
    for (size_t k = 0; k < s->valid; k++) {
        float v = pixel[k];
        if (f->scale)
            v = v * f->scale[s->k + k] + f->shift[s->k + k];
        if (residual)
            v += residual[k];
        pixel[k] = f->relu && v < 0 ? 0 : v;
    }
}

static void store(const struct sink *s, float *sums, const size_t *out, size_t pixels)
{
    const struct conv_forward *f = s->f;
    for (size_t i = 0; i < pixels; i++, sums += s->width) {
        size_t at = s->base + out[i] + s->k, k = 0;
        if (f->scale || f->residual)
            affine(s, sums, f->residual ? f->residual + at : NULL);
        for (; k + LANES <= s->valid; k += LANES)
            *(vec *)(f->y + at + k) = *(const vec *)(sums + k);
        for (; k < s->valid; k++)
            f->y[at + k] = sums[k];
    }
}

/* Asks for the lines of memory that a tile will be stored to, before it is calculated. */
static void expect(const struct sink *s, const size_t *out, size_t pixels)
{
    const float *to = s->f->y + s->base + s->k;
    for (size_t i = 0; i < pixels; i++)
        for (size_t k = 0; k < s->valid; k += CONV_BLOCK)
            __builtin_prefetch(to + out[i] + k, 1, 3);
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
    const float *to = a->at + MIN(a->each, (size_t)(a->end - a->at));
    for (; a->at < to; a->at += CONV_BLOCK)
        __builtin_prefetch(a->at, 0, 2);
    a->at = MIN(a->at, a->end);
}

/* All pixels of a phase in a share, for the channels of one group. */
static void run_phase(const struct conv_plan *p, const struct conv_phase *ph,
                      const struct conv_share *sh, struct tile *t, const struct sink *s,
                      struct ahead *ahead)
{
    float sums[CONV_MAX_TILE * 2 * CONV_BLOCK] __attribute__((aligned(64)));
    struct tile_kind kind = tile_kind(s->width, ph->cols % 2 == 0, p->plain);
    size_t rows = sh->row < ph->rows ? MIN(sh->rows, ph->rows - sh->row) : 0;
    size_t total = sh->images * rows * ph->cols;
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
        expect(s, ph->out + i, pixels);
        look_ahead(ahead);
        kind.run(t, in, sums);
        if (s->sum)
            add_sums(s, sums, pixels);
        store(s, sums, ph->out + i, pixels);
    }
}

static int forward_task(void *arg, size_t i, int worker)
{
    const struct conv_forward *f = arg;
    const struct conv_plan *p = f->plan;
    size_t spatial = i / f->group_parts, part = i % f->group_parts;
    size_t from = p->ngroups * part / f->group_parts, to = p->ngroups * (part + 1) / f->group_parts;
    size_t padded = p->ngroups * p->group;
    struct conv_share sh = conv_share_of(p, spatial);
    float *band = kern_scratch_of(p->kn, worker);
    struct tile t = { .band = band,
                      .block_floats = pack_band(p, band, f->x, &sh),
                      .nblocks = p->nblocks,
                      .last = p->last,
                      .ntaps_packed = p->ntaps_packed,
                      .space = p->step * p->ic };
    size_t pixels = sh.images * sh.rows * p->phase[0].cols * p->nphases;
    struct ahead ahead = ahead_of(f, spatial, (to - from) * pixels / CONV_MAX_TILE + 1);
    for (size_t g = from; g < to; g++) {
        struct sink s = { .f = f, .k = g * p->group, .width = conv_group_width(p, g) };
        s.valid = MIN(s.width, p->oc - s.k);
        s.base = (sh.image * p->oh + sh.row * p->out_step) * p->ow * p->oc;
        if (f->sums) {
            s.sum = f->sums + spatial * 2 * padded + s.k;
            s.squares = s.sum + padded;
        }
        t.w = f->packed + s.k * conv_input_channels(p) * p->ntaps_packed;
        for (size_t ph = 0; ph < p->nphases; ph++)
            run_phase(p, &p->phase[ph], &sh, &t, &s, &ahead);
    }
    return 0;
}

/* -- backward-weights ---------------------------------------------------------------------- */

/*
 * dw [ROWS][NV * LANES] += sum over pixels of x [ROWS] (broadcast) times dy [NV * LANES]; RUN
 * pixels from each place on are neighbours.
 */
#define SUMS(name, ROWS, RUN, NV)                                                                  \
    static void name(float *dw, const float *x, const size_t *in, const float *dy, size_t pixels)  \
    {                                                                                              \
        vec acc[ROWS][NV];                                                                         \
        UNROLL for (int r = 0; r < (ROWS); r++) UNROLL for (int v = 0; v < (NV); v++) acc[r][v] =  \
            (vec){ 0 };                                                                            \
        for (size_t i = 0; i < pixels; i += (RUN)) {                                               \
            const float *from = x + in[i];                                                         \
            UNROLL for (int j = 0; j < (RUN); j++)                                                 \
            {                                                                                      \
                vec d[NV];                                                                         \
                UNROLL for (int v = 0; v < (NV); v++) d[v] = *(const vec *)(dy + v * LANES);       \
                UNROLL for (int r = 0; r < (ROWS); r++)                                            \
                {                                                                                  \
                    float f = from[j * CONV_BLOCK + r];                                            \
                    UNROLL for (int v = 0; v < (NV); v++) acc[r][v] += d[v] * f;                   \
                }                                                                                  \
                dy += (NV)*LANES;                                                                  \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int r = 0; r < (ROWS); r++) UNROLL for (int v = 0; v < (NV); v++) *            \
            (vec *)(dw + (r * (NV) + v) * LANES) += acc[r][v];                                     \
    }

#if LANES == 16
SUMS(sums_one, 16, 1, 1)
SUMS(sums_one_pairs, 16, 2, 1)
SUMS(sums_two, 8, 1, 2)
SUMS(sums_two_pairs, 8, 2, 2)
SUMS(sums_one_plain, 9, 1, 1) /* 3 x 3 of a picture */
SUMS(sums_two_plain, 9, 1, 2)
#elif LANES == 8
SUMS(sums_one, 4, 1, 2)
SUMS(sums_one_pairs, 4, 2, 2)
#else
SUMS(sums_one, 2, 1, 4)
SUMS(sums_one_pairs, 2, 2, 4)
#endif

struct sums_kind {
    size_t rows;
    void (*run)(float *dw, const float *x, const size_t *in, const float *dy, size_t pixels);
};

static struct sums_kind sums_kind(size_t width, bool pairs, bool plain)
{
#if LANES == 16
    bool two = width > CONV_BLOCK;
    if (plain)
        return (struct sums_kind){ 9, two ? sums_two_plain : sums_one_plain };
    if (two)
        return (struct sums_kind){ 8, pairs ? sums_two_pairs : sums_two };
    return (struct sums_kind){ 16, pairs ? sums_one_pairs : sums_one };
#else
    (void)width;
    return (struct sums_kind){ LANES / 2, pairs && !plain ? sums_one_pairs : sums_one };
#endif
}

/* The group's channels of dy for the pixels of a share, side by side; zeros behind the last. */
static void pack_dy(const struct conv_plan *p, float *to, const float *dy, size_t pixels,
                    size_t width, size_t valid)
{
    for (size_t i = 0; i < pixels; i++, dy += p->oc, to += width) {
        size_t k = 0;
        for (; k + LANES <= valid; k += LANES)
            *(vec *)(to + k) = *(const vec *)(dy + k);
        for (; k < width; k++)
            to[k] = k < valid ? dy[k] : 0;
    }
}

/* One group of output channels over a fixed part of the pixels: shard by shard, each band in turn
 * small enough for the first cache. */
static int weights_task(void *arg, size_t i, int worker)
{
    const struct conv_weights *d = arg;
    const struct conv_plan *p = d->plan;
    const struct conv_phase *ph = &p->phase[0];
    size_t g = i % p->ngroups, shard = i / p->ngroups;
    size_t width = conv_group_width(p, g), valid = MIN(width, p->oc - g * p->group);
    struct sums_kind kind = sums_kind(width, ph->cols % 2 == 0, p->plain);
    float *band = kern_scratch_of(p->kn, worker), *dy = band + p->band_floats;
    float *partial = d->partial + i * d->partial_floats;
    memset(partial, 0, d->partial_floats * sizeof(float));
    for (size_t t = p->ntasks * shard / d->nshards; t < p->ntasks * (shard + 1) / d->nshards; t++) {
        struct conv_share sh = conv_share_of(p, t);
        size_t pixels = sh.images * sh.rows * p->ow, block_floats = pack_band(p, band, d->x, &sh);
        pack_dy(p, dy, d->dy + (sh.image * p->oh + sh.row) * p->ow * p->oc + g * p->group, pixels,
                width, valid);
        for (size_t b = 0; b < p->nblocks; b++) {
            size_t cn = b + 1 < p->nblocks ? CONV_BLOCK : p->last;
            for (size_t a = 0; a < ph->ntaps; a++)
                for (size_t c = 0; c < cn; c += kind.rows)
                    kind.run(partial + ((b * ph->ntaps + a) * d->row_stride + c) * width,
                             band + b * block_floats + ph->tap[a].in + c, ph->in, dy, pixels);
        }
    }
    return 0;
}

/* Adds the shards of one group and block, in order, to dw [k][c][kh][kw]. */
static int reduce_task(void *arg, size_t i, int worker UNUSED)
{
    const struct conv_weights *d = arg;
    const struct conv_plan *p = d->plan;
    size_t g = i / p->nblocks, b = i % p->nblocks, width = conv_group_width(p, g);
    size_t valid = MIN(width, p->oc - g * p->group), ntaps = p->phase[0].ntaps;
    size_t cn = b + 1 < p->nblocks ? CONV_BLOCK : p->last, kw = p->plain ? p->last / p->ic : 1;
    size_t taps = ntaps * kw; /* of the whole window */
    for (size_t a = 0; a < ntaps; a++)
        for (size_t c = 0; c < cn; c++) {
            float sum[2 * CONV_BLOCK] = { 0 };
            const float *from =
                d->partial + g * d->partial_floats + ((b * ntaps + a) * d->row_stride + c) * width;
            for (size_t s = 0; s < d->nshards; s++, from += p->ngroups * d->partial_floats)
                for (size_t k = 0; k < width; k++)
                    sum[k] += from[k];
            size_t channel = p->plain ? c % p->ic : b * CONV_BLOCK + c;
            size_t tap = p->plain ? a * kw + c / p->ic : a;
            float *to = d->dw + (g * p->group * p->ic + channel) * taps + tap;
            for (size_t k = 0; k < valid; k++)
                to[k * p->ic * taps] += sum[k];
        }
    return 0;
}

const struct conv_kernels ISA(conv_kernels) = {
    .group = LANES == 16 ? 2 * CONV_BLOCK : CONV_BLOCK,
    .forward = forward_task,
    .weights = weights_task,
    .reduce = reduce_task,
};
