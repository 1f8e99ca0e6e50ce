/*
 * conv_isa.c - the inner loops of forward and backward-data, compiled once an instruction set.
 *
 * A macro writes the tile functions with their accumulators as arrays of constant size, which the
 * compiler keeps in registers, and numbers of x are broadcast.
 */
#include "kernels/cpu/ahead.h"
#include "kernels/cpu/conv_band.h"

/* -- tiles of the forward pass ------------------------------------------------------------- */

struct tile {
    const float *band;
    size_t block_floats, nblocks, last;
    const struct conv_tap *tap;
    size_t ntaps, ntaps_packed;
    const float *w; /* of the group */
};

/* One input channel: a row of weights times a number of each pixel. */
#define TILE_STEP(PIXELS, NV)                                                                      \
    do {                                                                                           \
        vec wv[NV];                                                                                \
        UNROLL for (int v = 0; v < (NV); v++) wv[v] = *(const vec *)(w + v * LANES);               \
        UNROLL for (int i = 0; i < (PIXELS); i++)                                                  \
        {                                                                                          \
            float f = x[i][c];                                                                     \
            UNROLL for (int v = 0; v < (NV); v++) acc[i][v] = multiply_add(acc[i][v], wv[v], f);   \
        }                                                                                          \
        w += (NV)*LANES;                                                                           \
    } while (0)

/*
 * A tile of PIXELS by NV vectors of output channels; in has the place of every pixel. sums
 * [pixel][NV * LANES] comes out, added to what was there if add.
 */
#define TILE(name, PIXELS, NV)                                                                     \
    static void name(const struct tile *t, const size_t *in, float *sums, bool add)                \
    {                                                                                              \
        vec acc[PIXELS][NV];                                                                       \
        UNROLL for (int i = 0; i < (PIXELS); i++) UNROLL for (int v = 0; v < (NV); v++)            \
            acc[i][v] = add ? *(const vec *)(sums + (i * (NV) + v) * LANES) : (vec){ 0 };          \
        const float *band = t->band, *block = t->w;                                                \
        for (size_t b = 0; b < t->nblocks; b++) {                                                  \
            size_t cn = b + 1 < t->nblocks ? CONV_BLOCK : t->last;                                 \
            for (size_t a = 0; a < t->ntaps; a++) {                                                \
                const float *w = block + t->tap[a].weight * cn * ((NV)*LANES), *x[PIXELS];         \
                UNROLL for (int i = 0; i < (PIXELS); i++) x[i] = band + t->tap[a].in + in[i];      \
                if (cn == CONV_BLOCK) {                                                            \
                    UNROLL for (int c = 0; c < CONV_BLOCK; c++) TILE_STEP(PIXELS, NV);             \
                } else {                                                                           \
                    for (size_t c = 0; c < cn; c++)                                                \
                        TILE_STEP(PIXELS, NV);                                                     \
                }                                                                                  \
            }                                                                                      \
            band += t->block_floats;                                                               \
            block += CONV_BLOCK * t->ntaps_packed * ((NV)*LANES);                                  \
        }                                                                                          \
        UNROLL for (int i = 0; i < (PIXELS); i++) UNROLL for (int v = 0; v < (NV); v++)            \
        {                                                                                          \
            *(vec *)(sums + (i * (NV) + v) * LANES) = acc[i][v];                                   \
        }                                                                                          \
    }

/*
 * Registers decide: 32 (AVX-512) or 16 hold the accumulators, a row of weights and the number that
 * is broadcast. Six pixels by four vectors load ten times for 24 multiply-adds, and leave general
 * registers for the places of all pixels.
 */
#if LANES == 16
TILE(tile_1, 12, 1)
TILE(tile_2, 12, 2)
TILE(tile_3, 6, 3)
TILE(tile_4, 6, 4)
#elif LANES == 8
TILE(tile_2, 6, 2)
#else
TILE(tile_4, 2, 4)
#endif

enum { MOST_PIXELS = 12, MOST_CHANNELS = LANES == 16 ? 4 * CONV_BLOCK : CONV_BLOCK };

struct tile_kind {
    size_t pixels;
    void (*run)(const struct tile *t, const size_t *in, float *sums, bool add);
};

static struct tile_kind tile_kind(size_t width)
{
#if LANES == 16
    static const struct tile_kind blocks[] = {
        { 12, tile_1 }, { 12, tile_2 }, { 6, tile_3 }, { 6, tile_4 }
    };
    return blocks[width / CONV_BLOCK - 1];
#elif LANES == 8
    (void)width;
    return (struct tile_kind){ 6, tile_2 };
#else
    (void)width;
    return (struct tile_kind){ 2, tile_4 };
#endif
}

/* -- what happens to a tile on its way to memory ------------------------------------------- */

/* Pixels one behind the other in a phase's lists, and a group of output channels. */
struct strip {
    const struct conv_forward *f;
    const size_t *in, *out; /* places of its pixels */
    size_t pixels;
    size_t base;            /* of the task in the output */
    size_t k, width, valid; /* first channel, channels in a tile, of them stored */
};

/*
 * Sums and sums of squares. In float they are about a number of the strip itself, the first, so
 * that nothing is lost when the mean is large; from there on in double.
 */
static void add_sums(const struct strip *s, const float *sums, double *sum_of, double *squares_of)
{
    enum { CHAINS = 4 }; /* for their latency */
    size_t pixels = s->pixels, whole = pixels / CHAINS * CHAINS, width = s->width;
    for (size_t v = 0; v < width; v += LANES) {
        const float *at = sums + v;
        vec about = *(const vec *)at, sum[CHAINS] = { { 0 } }, square[CHAINS] = { { 0 } };
        for (size_t i = 0; i < whole; i += CHAINS)
            UNROLL for (size_t j = 0; j < CHAINS; j++)
            {
                vec off = *(const vec *)(at + (i + j) * width) - about;
                sum[j] += off;
                square[j] += off * off;
            }
        for (size_t i = whole; i < pixels; i++) {
            vec off = *(const vec *)(at + i * width) - about;
            sum[0] += off;
            square[0] += off * off;
        }
        float offs[LANES], squares[LANES];
        *(vec *)offs = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        *(vec *)squares = (square[0] + square[1]) + (square[2] + square[3]);
        for (size_t l = 0; l < LANES; l++) {
            double m = at[l], off = offs[l], all = m * (double)pixels + off;
            sum_of[v + l] += all;
            squares_of[v + l] += squares[l] + m * (all + off);
        }
    }
}

/* scale, shift, residual and ReLU, of a pixel in place. A negative number becomes 0, NaN stays. */
INLINE void affine(enum kern_type type, const struct strip *s, float *pixel, size_t at)
{
    const struct conv_forward *f = s->f;
    const float *scale = f->scale ? f->scale + s->k : NULL,
                *shift = f->scale ? f->shift + s->k : NULL;
    const void *residual = cpu_at(type, f->residual, at);
    size_t k = 0;
    for (; k + LANES <= s->valid; k += LANES) {
        vec v = *(const vec *)(pixel + k);
        if (scale)
            v = v * *(const vec *)(scale + k) + *(const vec *)(shift + k);
        if (residual)
            v += vec_load_as(type, residual, k, LANES);
        if (f->relu)
            v = (vec)((ivec)v & ~(v < 0));
        *(vec *)(pixel + k) = v;
    }
    for (; k < s->valid; k++) {
        float v = pixel[k];
        if (scale)
            v = v * scale[k] + shift[k];
        if (residual)
            v += kern_load(type, residual, k);
        pixel[k] = f->relu && v < 0 ? 0 : v;
    }
}

INLINE void store_as(enum kern_type type, const struct strip *s, float *sums, size_t i,
                     size_t pixels)
{
    size_t first = s->base + s->k;
    for (size_t end = i + pixels; i < end; i++, sums += s->width) {
        if (s->f->scale || s->f->residual)
            affine(type, s, sums, first + s->out[i]);
        void *to = cpu_at(type, s->f->y, first + s->out[i]);
        size_t k = 0;
        for (; k + LANES <= s->valid; k += LANES)
            vec_store_as(type, to, k, vec_load(sums + k, LANES), LANES);
        for (; k < s->valid; k++)
            kern_store(type, to, k, sums[k]);
    }
}

/* Pixels from number i on. */
static void store(const struct strip *s, float *sums, size_t i, size_t pixels)
{
    if (s->f->plan->type == KERN_F32)
        store_as(KERN_F32, s, sums, i, pixels);
    else
        store_as(KERN_BF16, s, sums, i, pixels);
}

/* Asks for the memory that pixels from number i on will be written to: it must come first. */
static void expect(const struct strip *s, size_t i, size_t pixels)
{
    size_t first = s->base + s->k, each = kern_sizeof(s->f->plan->type);
    for (size_t end = i + pixels; i < end; i++) {
        const uint8_t *y = (const uint8_t *)s->f->y + (first + s->out[i]) * each;
        for (size_t b = 0; b < s->valid * each; b += AHEAD_LINE)
            __builtin_prefetch(y + b, 1, 2);
    }
}

/* -- tasks --------------------------------------------------------------------------------- */

/* Input of the task that this worker will probably get next, asked for with so many tiles. */
static struct ahead ahead_of(const struct conv_forward *f, size_t spatial, size_t tiles)
{
    const struct conv_plan *p = f->plan;
    size_t next = spatial + (size_t)pool_threads(p->kn->pool);
    if (next >= p->ntasks)
        return (struct ahead){ 0 };
    struct conv_share s = conv_share_of(p, next);
    size_t row = p->iw * p->ic * kern_sizeof(conv_input_type(p));
    size_t from = s.image * p->ih + MIN(s.row * p->step, p->ih);
    size_t end = (s.image + s.images - 1) * p->ih + MIN((s.row + s.rows) * p->step, p->ih);
    return ahead_begin((const uint8_t *)f->x + from * row, (end - from) * row, tiles);
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
 * All of a strip: some blocks of input channels at a time, whose weights stay in the first cache
 * while all tiles meet them.
 */
static void run_strip(const struct strip *s, const struct tile *task, float *sums,
                      struct ahead *ahead)
{
    const struct conv_plan *p = s->f->plan;
    struct tile_kind kind = tile_kind(s->width);
    /* where no tap meets a phase, there are zeros */
    size_t nblocks = task->ntaps ? p->nblocks : 1, each = 1;
    if (task->ntaps)
        each = MAX(CONV_NEAR / (task->ntaps * CONV_BLOCK * s->width), each);
    const float *w = s->f->packed + s->k * conv_input_channels(p) * p->ntaps_packed;
    for (size_t b = 0; b < nblocks; b += each) {
        struct tile t = *task;
        t.band += b * t.block_floats;
        t.w = w + b * CONV_BLOCK * p->ntaps_packed * s->width;
        t.nblocks = MIN(each, nblocks - b);
        t.last = b + t.nblocks < p->nblocks ? CONV_BLOCK : p->last;
        for (size_t i = 0; i < s->pixels; i += kind.pixels) {
            size_t pixels = MIN(kind.pixels, s->pixels - i), tail[MOST_PIXELS];
            const size_t *in = s->in + i;
            if (pixels < kind.pixels) { /* the rest repeats a pixel, and is not used */
                for (size_t j = 0; j < kind.pixels; j++)
                    tail[j] = in[j < pixels ? j : 0];
                in = tail;
            }
            ahead_look(ahead);
            if (b == 0)
                expect(s, i, pixels);
            kind.run(&t, in, sums + i * s->width, b > 0);
            if (b + each >= nblocks)
                store(s, sums + i * s->width, i, pixels);
        }
    }
}

/*
 * All pixels of a phase in a share, for some groups: a strip's pixels stay in the second cache for
 * all of them, and its outputs are written one behind the other.
 */
static void run_phase(const struct conv_forward *f, const struct conv_phase *ph,
                      const struct conv_share *sh, const struct groups *groups, struct tile *t,
                      double *sum, struct ahead *ahead)
{
    const struct conv_plan *p = f->plan;
    float sums[CONV_STRIP * MOST_CHANNELS] __attribute__((aligned(64)));
    size_t rows = sh->row < ph->rows ? MIN(sh->rows, ph->rows - sh->row) : 0;
    size_t total = sh->images * rows * ph->cols, padded = p->ngroups * p->group;
    struct strip s = { .f = f, .width = groups->width };
    s.base = (sh->image * p->oh + sh->row * p->out_step) * p->ow * p->oc;
    t->tap = ph->tap;
    t->ntaps = ph->ntaps;
    for (size_t i = 0; i < total; i += CONV_STRIP) {
        s.in = ph->in + i;
        s.out = ph->out + i;
        s.pixels = MIN((size_t)CONV_STRIP, total - i);
        for (size_t g = groups->first; g < groups->end; g++) {
            s.k = g * p->group;
            s.valid = MIN(s.width, p->oc - s.k);
            run_strip(&s, t, sums, ahead);
            if (sum)
                add_sums(&s, sums, sum + s.k, sum + padded + s.k);
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
    struct tile t = { .ntaps_packed = p->ntaps_packed };
    if (p->in_place) {
        t.band = (const float *)f->x + (sh.image * p->ih + sh.row * p->step) * p->row_floats;
        t.block_floats = CONV_BLOCK;
    } else {
        float *band = kern_scratch_of(p->kn, worker);
        t.band = band;
        t.block_floats = conv_pack_band(p, (struct blocks){ 0, p->nblocks }, band, f->x, &sh);
    }
    size_t pixels = sh.images * sh.rows * p->phase[0].cols * p->nphases;
    struct ahead ahead = ahead_of(f, spatial, (to - from) * pixels / MOST_PIXELS + 1);
    size_t padded = p->ngroups * p->group;
    double *sum = f->sums ? f->sums + spatial * 2 * padded : NULL;
    for (size_t half = 0; sum && half < 2; half++)
        memset(sum + half * padded + from * p->group, 0, (to - from) * p->group * sizeof *sum);
    for (struct groups g = { .end = from }; g.end < to;) {
        g = groups_from(p, g.end, to);
        for (size_t ph = 0; ph < p->nphases; ph++)
            run_phase(f, &p->phase[ph], &sh, &g, &t, sum, &ahead);
    }
    return 0;
}

const struct conv_kernels ISA(conv_kernels) = {
    .group = MOST_CHANNELS,
    .forward = forward_task,
    .weights = ISA(conv_weights_task),
    .reduce = ISA(conv_reduce_task),
};
