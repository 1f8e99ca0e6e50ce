/*
 * conv_sums_isa.c - the inner loops of backward-weights, compiled once an instruction set.
 *
 * For a tap, a block of input channels and a group of output channels, a part of dw is summed in
 * registers over all pixels of a share, for which both are packed; a task does so for all of a
 * piece of dw and share after share of a shard, and the sums of the shards are added in their
 * order.
 */
#include "kernels/cpu/ahead.h"
#include "kernels/cpu/conv_band.h"
#if LANES == 16
#include "kernels/cpu/transpose.h"
#endif

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

enum { MOST_ROWS = LANES == 16 ? 8 : LANES == 8 ? 4 : 2 };

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
    for (size_t i = 0; i < pixels; i += 2, a += 2 * p->oc, to += width) {
        const uint16_t *b = i + 1 < pixels ? a + p->oc : NULL;
        size_t k = 0;
        for (; k + CONV_PAIR <= valid; k += CONV_PAIR)
            pair_up(to + k, a + k, b ? b + k : NULL, CONV_PAIR);
        if (k < valid)
            pair_up(to + k, a + k, b ? b + k : NULL, valid - k);
    }
}

/* A block of x at a tap, in pairs of pixels. */
static const float *x_of(const float *x, const size_t *in, size_t pixels, float *room)
{
    float *to = room;
    for (size_t i = 0; i < pixels; i += 2, to += CONV_PAIR)
        pair_up(to, (const void *)(x + in[i]),
                i + 1 < pixels ? (const void *)(x + in[i + 1]) : NULL, CONV_PAIR);
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

/* Groups and blocks of one piece of dw. */
struct piece {
    size_t group, groups;
    struct blocks blocks;
};

static struct piece piece_of(const struct conv_weights *d, size_t i)
{
    const struct conv_plan *p = d->plan;
    size_t group = i / d->nblocks * d->groups, block = i % d->nblocks * d->blocks;
    return (struct piece){ group,
                           MIN(d->groups, p->ngroups - group),
                           { block, MIN(block + d->blocks, p->nblocks) } };
}

/* Where the sums of a piece for its group and block begin. */
static size_t piece_at(const struct conv_weights *d, size_t group, size_t block, size_t width)
{
    size_t rows = d->plan->phase[0].ntaps * d->row_stride;
    return rows * (group * d->blocks * d->plan->group + block * width);
}

static const float *in_place(const struct conv_weights *d, const struct conv_share *sh,
                             struct blocks of)
{
    const struct conv_plan *p = d->plan;
    size_t row = sh->image * p->ih + sh->row * p->step;
    return (const float *)d->x + row * p->row_floats + of.first * CONV_BLOCK;
}

/* A share's band, packed into scratch or the input itself. */
static const float *band_of(const struct conv_weights *d, struct blocks of,
                            const struct conv_share *sh, float *room, size_t *block_floats)
{
    const struct conv_plan *p = d->plan;
    if (!p->in_place) {
        *block_floats = conv_pack_band(p, of, room, d->x, sh);
        return room;
    }
    *block_floats = CONV_BLOCK;
    return in_place(d, sh, of);
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

/*
 * Some bytes of each of a share's pixels, which lie too far apart to be foreseen: asked for a
 * little with each product.
 */
struct spread {
    const uint8_t *from;
    const size_t *place; /* of a pixel, in numbers of so many bytes */
    size_t number, bytes;
    size_t at, end, each; /* pixels */
};

static void spread_look(struct spread *a)
{
    for (size_t end = MIN(a->at + a->each, a->end); a->at < end; a->at++)
        for (size_t i = 0; i < a->bytes; i += AHEAD_LINE)
            __builtin_prefetch(a->from + a->place[a->at] * a->number + i, 0, 2);
}

/* A block of x in place, while there are so many products. */
static struct spread x_ahead(const struct conv_phase *ph, const float *block, size_t pixels,
                             size_t products)
{
    return (struct spread){ (const uint8_t *)block,     ph->in, sizeof(float),
                            CONV_BLOCK * sizeof(float), 0,      pixels,
                            pixels / products + 1 };
}

/* The next share's dy, while there are so many products with this one's. */
static struct spread dy_ahead(const struct conv_weights *d, const struct piece *pc,
                              const struct conv_share *next, size_t products)
{
    const struct conv_plan *p = d->plan;
    size_t first = pc->group * p->group, number = kern_sizeof(p->type);
    size_t at = (next->image * p->oh + next->row) * p->ow * p->oc + first;
    size_t pixels = next->images * next->rows * p->ow;
    return (struct spread){ (const uint8_t *)d->dy + at * number,
                            p->phase[0].out,
                            number,
                            MIN(pc->groups * p->group, p->oc - first) * number,
                            0,
                            pixels,
                            pixels / products + 1 };
}

static size_t block_channels(const struct conv_plan *p, size_t b)
{
    return p->plain ? p->span_cols * p->ic : (b + 1 < p->nblocks ? CONV_BLOCK : p->last) * p->pair;
}

/* A share of the pixels, ready to be multiplied. */
struct operands {
    const float *dy[CONV_GROUPS];
    const size_t *in;
    size_t n;               /* pixels, or pairs of them */
    struct spread ahead[2]; /* x, dy */
};

/* Adds the products of cn channels of x, at one tap, and of all groups to their sums. */
static void add_tap(const struct conv_weights *d, const struct piece *pc, struct operands *o,
                    float *sums, size_t block, size_t tap, const float *x, size_t cn)
{
    const struct conv_plan *p = d->plan;
    for (size_t g = 0; g < pc->groups; g++) {
        size_t width = conv_group_width(p, pc->group + g);
        struct sums_kind kind = sums_kind(width, p->plain);
        float *to = sums + piece_at(d, g, block, width) + tap * d->row_stride * width;
        for (size_t c = 0; c < cn; c += kind.rows) {
            spread_look(&o->ahead[0]);
            spread_look(&o->ahead[1]);
            kind.run(to + c * width, x + c, o->in, o->dy[g], o->n);
        }
    }
}

/* Adds the products of one share to the sums of a piece; next: the share that follows, or NULL. */
static void add_share(const struct conv_weights *d, const struct piece *pc,
                      const struct conv_share *sh, const struct conv_share *next, float *sums,
                      float *room)
{
    const struct conv_plan *p = d->plan;
    const struct conv_phase *ph = &p->phase[0];
    size_t pixels = sh->images * sh->rows * p->ow, block_floats;
    struct operands o = { .in = ph->in, .n = (pixels + PAIRS) / (1 + PAIRS) };
    float *packed = room + p->band_floats, *pairs = packed + d->groups * o.n * p->group;
    const float *band = band_of(d, pc->blocks, sh, room, &block_floats);
    for (size_t g = 0; g < pc->groups; g++)
        o.dy[g] = dy_of(d, sh, pc->group + g, packed + g * o.n * p->group);
    size_t blocks = pc->blocks.end - pc->blocks.first;
    size_t products = pc->groups * ph->ntaps * CONV_BLOCK * p->pair / MOST_ROWS; /* of a block */
    if (next)
        o.ahead[1] = dy_ahead(d, pc, next, products * blocks);
    for (size_t b = 0; b < blocks; b++, band += block_floats) {
        if (p->in_place && b + 1 < blocks)
            o.ahead[0] = x_ahead(ph, band + block_floats, pixels, products);
        else if (p->in_place && next)
            o.ahead[0] = x_ahead(ph, in_place(d, next, pc->blocks), pixels, products);
        for (size_t a = 0; a < ph->ntaps; a++)
            add_tap(d, pc, &o, sums, b, a, x_of(band + ph->tap[a].in, ph->in, pixels, pairs),
                    block_channels(p, pc->blocks.first + b));
    }
}

/*
 * Adds lanes of sums [n][width], of one tap, to n channels of as many outputs, which are apart
 * floats from one another; near: these are a whole block of neighbours there.
 */
static void scatter(float *to, size_t apart, const size_t *place, bool near, const float *sums,
                    size_t n, size_t width, size_t outputs)
{
#if LANES == 16
    if (near) {
        vec rows[CONV_BLOCK];
        for (size_t r = 0; r < CONV_BLOCK; r++)
            rows[r] = vec_load(sums + r * width, LANES);
        transpose((__m512i *)rows);
        for (size_t k = 0; k < outputs; k++, to += apart)
            *(vec *)(to + place[0]) += rows[k];
        return;
    }
#endif
    (void)near;
    for (size_t k = 0; k < outputs; k++, to += apart)
        for (size_t r = 0; r < n; r++)
            to[place[r]] += sums[r * width + k];
}

/*
 * Adds one group and block of a piece, sums of shard after shard, to dw [k][c][kh][kw]: of a tap
 * and some input channels at a time, which are neighbours there. Output channels are often 4096
 * bytes apart.
 */
static void reduce(const struct conv_weights *d, const float *sums, size_t g, size_t b)
{
    const struct conv_plan *p = d->plan;
    size_t width = conv_group_width(p, g), valid = MIN(width, p->oc - g * p->group);
    size_t ntaps = p->phase[0].ntaps, ic = p->plain ? p->ic : p->ic * p->pair;
    size_t cn = block_channels(p, b), kw = p->plain ? p->span_cols : 1,
           taps = ntaps * kw; /* of the whole window */
    float *to = d->dw + g * p->group * ic * taps;
    sums += piece_at(d, g % d->groups, b % d->blocks, width);
    for (size_t a = 0; a < ntaps; a++, sums += d->row_stride * width)
        for (size_t first = 0, n; first < cn; first += n) {
            float sum[CONV_BLOCK * 4 * CONV_BLOCK] = { 0 };
            size_t place[CONV_BLOCK]; /* of a channel in [c][kh][kw] */
            const float *from = sums + first * width;
            n = MIN(cn - first, (size_t)CONV_BLOCK);
            for (size_t s = 0; s < d->nshards; s++, from += d->npieces * d->piece_floats)
                for (size_t k = 0; k < n * width; k++)
                    sum[k] += from[k];
            for (size_t r = 0, c = first; r < n; r++, c++)
                place[r] = p->plain ? c % ic * taps + a * kw + c / ic
                                    : (b * CONV_BLOCK * p->pair + c) * taps + a;
            for (size_t k = 0; k < valid; k += LANES)
                scatter(to + k * ic * taps, ic * taps, place, taps == 1 && n == CONV_BLOCK, sum + k,
                        n, width, MIN(valid - k, (size_t)LANES));
        }
}

/*
 * One piece over a shard of the pixels, share by share, each small enough for the first cache. Sums
 * of the only shard go to dw while they are near.
 */
int ISA(conv_weights_task)(void *arg, size_t i, int worker)
{
    const struct conv_weights *d = arg;
    const struct conv_plan *p = d->plan;
    size_t shard = i / d->npieces;
    struct piece pc = piece_of(d, i % d->npieces);
    float *room = kern_scratch_of(p->kn, worker);
    float *sums = d->partial ? d->partial + i * d->piece_floats : room + d->operand_floats;
    memset(sums, 0, d->piece_floats * sizeof(float));
    size_t begin = p->ntasks * shard / d->nshards, end = p->ntasks * (shard + 1) / d->nshards;
    struct conv_share sh, next = conv_share_of(p, begin);
    for (size_t t = begin; t < end; t++) {
        sh = next;
        if (t + 1 < end)
            next = conv_share_of(p, t + 1);
        add_share(d, &pc, &sh, t + 1 < end ? &next : NULL, sums, room);
    }
    for (size_t g = 0; !d->partial && g < pc.groups; g++)
        for (size_t b = pc.blocks.first; b < pc.blocks.end; b++)
            reduce(d, sums, pc.group + g, b);
    return 0;
}

/* All shards of one group and block. */
int ISA(conv_reduce_task)(void *arg, size_t i, int worker UNUSED)
{
    const struct conv_weights *d = arg;
    size_t g = i / d->plan->nblocks, b = i % d->plan->nblocks;
    size_t piece = g / d->groups * d->nblocks + b / d->blocks;
    reduce(d, d->partial + piece * d->piece_floats, g, b);
    return 0;
}
