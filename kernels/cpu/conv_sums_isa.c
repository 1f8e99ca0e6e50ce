/*
 * conv_sums_isa.c - the inner loops of backward-weights, compiled once an instruction set.
 *
 * For a tap, a block of input channels and a group of output channels, a piece of dw is summed in
 * registers over all pixels of a band; bands follow one another in a task, and the sums of the
 * tasks are added in their order.
 */
#include "kernels/cpu/conv_band.h"

/*
 * dw [ROWS][NV * LANES] += sum over pixels of x [ROWS] (broadcast) times dy [NV * LANES]; in has
 * the place of every pixel in x. With PAIRS, of pixels, they lie one behind the other.
 */
#define SUMS(name, ROWS, NV)                                                                       \
    static void name(float *dw, const float *x, const size_t *in, const float *dy, size_t pixels)  \
    {                                                                                              \
        vec acc[ROWS][NV];                                                                         \
        UNROLL for (int r = 0; r < (ROWS); r++) UNROLL for (int v = 0; v < (NV); v++) acc[r][v] =  \
            (vec){ 0 };                                                                            \
        _Pragma("GCC unroll 2") for (size_t i = 0; i < pixels; i++)                                \
        {                                                                                          \
            const float *from = x + (PAIRS ? i * CONV_PAIR : in[i]);                               \
            vec d[NV];                                                                             \
            UNROLL for (int v = 0; v < (NV); v++) d[v] = *(const vec *)(dy + v * LANES);           \
            UNROLL for (int r = 0; r < (ROWS); r++)                                                \
            {                                                                                      \
                float f = from[r];                                                                 \
                UNROLL for (int v = 0; v < (NV); v++) acc[r][v] =                                  \
                    multiply_add(acc[r][v], d[v], f);                                              \
            }                                                                                      \
            dy += (NV)*LANES;                                                                      \
        }                                                                                          \
        UNROLL for (int r = 0; r < (ROWS); r++) UNROLL for (int v = 0; v < (NV); v++)              \
        {                                                                                          \
            *(vec *)(dw + (r * (NV) + v) * LANES) += acc[r][v];                                    \
        }                                                                                          \
    }

#if LANES == 16
SUMS(sums_1, 8, 1)
SUMS(sums_2, 8, 2)
SUMS(sums_3, 4, 3)
SUMS(sums_4, 4, 4)
SUMS(sums_4_plain, 3, 4) /* a cell of a picture */
#elif LANES == 8
SUMS(sums_2, 4, 2)
#else
SUMS(sums_4, 2, 4)
#endif

struct sums_kind {
    size_t rows;
    void (*run)(float *dw, const float *x, const size_t *in, const float *dy, size_t pixels);
};

static struct sums_kind sums_kind(size_t width, bool plain)
{
#if LANES == 16
    static const struct sums_kind blocks[] = {
        { 8, sums_1 }, { 8, sums_2 }, { 4, sums_3 }, { 4, sums_4 }
    };
    if (plain && width == 4 * CONV_BLOCK)
        return (struct sums_kind){ 3, sums_4_plain };
    return blocks[width / CONV_BLOCK - 1];
#else
    (void)width;
    (void)plain;
#if LANES == 8
    return (struct sums_kind){ 4, sums_2 };
#else
    return (struct sums_kind){ 2, sums_4 };
#endif
#endif
}

/* The group's channels of dy for the pixels of a share, side by side; zeros behind the last. */
#if PAIRS
static void pack_dy(const struct conv_plan *p, float *to, const void *dy, size_t at, size_t pixels,
                    size_t width, size_t valid)
{
    const uint16_t *a = (const uint16_t *)dy + at;
    for (size_t i = 0; i < pixels; i += 2, a += 2 * p->oc) {
        const uint16_t *b = i + 1 < pixels ? a + p->oc : NULL;
        for (size_t k = 0; k < width; k += LANES, to += LANES)
            vec_store(to, pair_up(a + k, b ? b + k : NULL, MIN(valid - k, (size_t)LANES)), LANES);
    }
}

/* A block of x at a tap, in pairs of pixels. */
static const float *x_of(const float *x, const size_t *in, size_t pixels, float *room)
{
    float *to = room;
    for (size_t i = 0; i < pixels; i += 2, to += CONV_PAIR) {
        const uint16_t *a = (const void *)(x + in[i]);
        const uint16_t *b = i + 1 < pixels ? (const void *)(x + in[i + 1]) : NULL;
        vec_store(to, pair_up(a, b, LANES), LANES);
        vec_store(to + LANES, pair_up(a + LANES, b ? b + LANES : NULL, LANES), LANES);
    }
    return room;
}
#else
INLINE void pack_as(enum kern_type type, const struct conv_plan *p, float *to, const void *dy,
                    size_t at, size_t pixels, size_t width, size_t valid)
{
    for (size_t i = 0; i < pixels; i++, at += p->oc, to += width) {
        size_t k = 0;
        for (; k + LANES <= valid; k += LANES)
            vec_store(to + k, vec_load_as(type, dy, at + k, LANES), LANES);
        for (; k < width; k++)
            to[k] = k < valid ? kern_load(type, dy, at + k) : 0;
    }
}

static void pack_dy(const struct conv_plan *p, float *to, const void *dy, size_t at, size_t pixels,
                    size_t width, size_t valid)
{
    if (p->type == KERN_F32)
        pack_as(KERN_F32, p, to, dy, at, pixels, width, valid);
    else
        pack_as(KERN_BF16, p, to, dy, at, pixels, width, valid);
}

static const float *x_of(const float *x, const size_t *in UNUSED, size_t pixels UNUSED,
                         float *room UNUSED)
{
    return x;
}
#endif

/* A share's band, packed into scratch or the input itself. */
static const float *band_of(const struct conv_weights *d, const struct conv_share *sh, float *room,
                            size_t *block_floats)
{
    const struct conv_plan *p = d->plan;
    if (!p->in_place) {
        *block_floats = conv_pack_band(p, room, d->x, sh);
        return room;
    }
    *block_floats = CONV_BLOCK;
    return (const float *)d->x + (sh->image * p->ih + sh->row * p->step) * p->row_floats;
}

/* Its dy for a group, packed or, if there is one group of float32, in place. */
static const float *dy_of(const struct conv_weights *d, const struct conv_share *sh, size_t g,
                          float *room)
{
    const struct conv_plan *p = d->plan;
    size_t width = conv_group_width(p, g);
    size_t at = (sh->image * p->oh + sh->row) * p->ow * p->oc + g * p->group;
    size_t pixels = sh->images * sh->rows * p->ow, valid = MIN(width, p->oc - g * p->group);
    if (p->type == KERN_F32 && width == p->oc)
        return (const float *)d->dy + at;
    pack_dy(p, room, d->dy, at, pixels, width, valid);
    return room;
}

/* Asks for a block of some pixels of an input in place, which lie too far apart to be foreseen. */
static void look_ahead(const float *block, const size_t *in, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        __builtin_prefetch(block + in[i], 0, 2);
}

static size_t block_channels(const struct conv_plan *p, size_t b)
{
    return (b + 1 < p->nblocks ? CONV_BLOCK : p->last) * p->pair;
}

/* One group of output channels over a fixed part of the pixels: shard by shard, each band in turn
 * small enough for the first cache. */
int ISA(conv_weights_task)(void *arg, size_t i, int worker)
{
    const struct conv_weights *d = arg;
    const struct conv_plan *p = d->plan;
    const struct conv_phase *ph = &p->phase[0];
    size_t g = i % p->ngroups, shard = i / p->ngroups, width = conv_group_width(p, g);
    struct sums_kind kind = sums_kind(width, p->plain);
    float *room = kern_scratch_of(p->kn, worker), *partial = d->partial + i * d->partial_floats;
    memset(partial, 0, d->partial_floats * sizeof(float));
    for (size_t t = p->ntasks * shard / d->nshards; t < p->ntasks * (shard + 1) / d->nshards; t++) {
        struct conv_share sh = conv_share_of(p, t);
        size_t pixels = sh.images * sh.rows * p->ow, block_floats;
        size_t n = (pixels + PAIRS) / (1 + PAIRS);
        float *pairs = room + p->band_floats + n * width;
        const float *band = band_of(d, &sh, room, &block_floats);
        const float *dy = dy_of(d, &sh, g, room + p->band_floats);
        for (size_t b = 0; b < p->nblocks; b++, band += block_floats) {
            size_t cn = block_channels(p, b);
            bool more = p->in_place && b + 1 < p->nblocks;
            for (size_t a = 0; a < ph->ntaps; a++) {
                const float *x = x_of(band + ph->tap[a].in, ph->in, pixels, pairs);
                for (size_t c = 0; c < cn; c += kind.rows) {
                    if (more)
                        look_ahead(band + block_floats, ph->in, pixels * c / cn,
                                   pixels * (c + kind.rows) / cn);
                    kind.run(partial + ((b * ph->ntaps + a) * d->row_stride + c) * width, x + c,
                             ph->in, dy, n);
                }
            }
        }
    }
    return 0;
}

/*
 * Adds the shards of one group and block, in order, to dw [k][c][kh][kw]: of a tap and some input
 * channels at a time, which are neighbours there. Output channels are often 4096 bytes apart.
 */
int ISA(conv_reduce_task)(void *arg, size_t i, int worker UNUSED)
{
    const struct conv_weights *d = arg;
    const struct conv_plan *p = d->plan;
    size_t g = i / p->nblocks, b = i % p->nblocks, width = conv_group_width(p, g);
    size_t valid = MIN(width, p->oc - g * p->group), ntaps = p->phase[0].ntaps;
    size_t ic = p->ic * p->pair, cn = block_channels(p, b), kw = p->plain ? p->last / ic : 1;
    size_t taps = ntaps * kw; /* of the whole window */
    float *to = d->dw + g * p->group * ic * taps;
    for (size_t a = 0; a < ntaps; a++)
        for (size_t first = 0, n; first < cn; first += n) {
            float sum[CONV_BLOCK * 4 * CONV_BLOCK] = { 0 };
            size_t place[CONV_BLOCK]; /* of a channel in [c][kh][kw] */
            const float *from = d->partial + g * d->partial_floats +
                                ((b * ntaps + a) * d->row_stride + first) * width;
            n = MIN(cn - first, (size_t)CONV_BLOCK);
            for (size_t s = 0; s < d->nshards; s++, from += p->ngroups * d->partial_floats)
                for (size_t k = 0; k < n * width; k++)
                    sum[k] += from[k];
            for (size_t r = 0, c = first; r < n; r++, c++)
                place[r] = p->plain ? c % ic * taps + a * kw + c / ic
                                    : (b * CONV_BLOCK * p->pair + c) * taps + a;
            for (size_t k = 0; k < valid; k++)
                for (size_t r = 0; r < n; r++)
                    to[k * ic * taps + place[r]] += sum[r * width + k];
        }
    return 0;
}
