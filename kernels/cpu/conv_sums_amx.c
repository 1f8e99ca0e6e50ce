/*
 * conv_sums_amx.c - backward-weights on the tile unit: dw [k][c][tap] is a sum over pixels.
 *
 * One operand needs its numbers in rows of pixels (the first, a), the other in pairs of pixels (the
 * second, b). Both are made from the tensors of a share of the pixels, small enough to stay in
 * the caches: pairs are two rows of channels interleaved, rows are the pairs' transpose.
 *
 * The first operand is x, since a tap then is an offset into its rows, and is kept as:
 * - wide: one raster, the image's rows with their padding (stride 1, wide planes);
 * - split: a raster for each column of the window, rows sorted by their remainder modulo the
 *   stride (small planes, strides);
 * - each: a raster for each tap, images one behind the other (planes that do not fill steps).
 * With windows of one cell it is whichever of x and dy has fewer channels: transposing costs more.
 * A picture's 3 channels make windows' rows into channels: kw * c of them, taps are rows.
 */
#include "kernels/cpu/conv_amx.h"
#include "kernels/cpu/conv_turn_amx.h"
#include <errno.h>
#include <string.h>

enum {
    SHARE_PIXELS = 256,       /* of a share, about: a block's operands stay in the first cache */
    SHARE_PIXELS_ONE = 768,   /* if there is one tap: its sums come and go with every share */
    SMALL_PLANE = 64,         /* pixels up to which a raster for each tap is affordable */
    TASKS = 16,               /* wanted */
    TASK_MACS = 16 << 20,     /* that a task has at least */
    HEAVY_FLOATS = 256 << 10, /* sums that are not worth their while */
    SHARD_SHARES = 4,         /* for fewer shares */
    SUMS_BYTES = 768 << 10,   /* of a task's sums: they stay in the second cache */
    PARTIAL_FLOATS = 8 << 20, /* of all partial sums at most */
};

static size_t blocks_of(size_t channels)
{
    return (channels + AMX_SIDE - 1) / AMX_SIDE;
}

/* -- the layout ---------------------------------------------------------------------------- */

enum layout { WIDE, SPLIT, EACH };

struct raster {      /* of x */
    size_t row, col; /* each: of the tap; split: col of the taps */
    size_t at;       /* in the operand, in numbers */
};

/* A pixel of an operand, relative to a share: image, row, and place from the first cell of all. */
struct pixel {
    uint32_t image;
    int32_t row; /* NOWHERE: zeros */
    ptrdiff_t place;
};
enum { NOWHERE = INT32_MIN };

struct sums {
    struct kern *kn;
    struct conv_plan plan;
    enum layout layout;
    bool swapped;  /* dy is the first operand */
    size_t ca, cb; /* channels of the operands */
    size_t taps, nrasters;
    struct raster raster[CONV_MAX_TAPS];
    uint8_t raster_of[CONV_MAX_TAPS];
    size_t wide;          /* pixels of a row of a raster */
    size_t image, rest;   /* pixels from image to image, from remainder to remainder */
    size_t length, steps; /* pixels of a raster, and steps of a share */
    size_t rows_numbers, pairs_numbers, band_numbers;
    struct amx_step *step;  /* [steps] */
    struct pixel *rows_px;  /* [nrasters][length] of the first operand */
    struct pixel *pairs_px; /* [steps][32] of the second */
    uint16_t *pairs;        /* [shares] the second operand, if several tasks want a share's */
    size_t block_parts, shards,
        each;              /* tasks: ranges of a's blocks, of shares; blocks of a range */
    int32_t *run;          /* [taps][32] see list_run() */
    float *partial;        /* [shards][blocks of a][taps][blocks of b][32][32] */
    size_t partial_floats; /* of a shard */
    const uint16_t *x, *dy;
    float *dw;
};

static void add_raster(struct sums *s, size_t tap)
{
    const struct conv_tap *t = &s->plan.phase[0].tap[tap];
    bool same_row = s->layout != EACH;
    for (size_t i = 0; i < s->nrasters; i++)
        if ((same_row || s->raster[i].row == t->row) &&
            (s->layout == WIDE || s->raster[i].col == t->col)) {
            s->raster_of[tap] = (uint8_t)i;
            return;
        }
    s->raster_of[tap] = (uint8_t)s->nrasters;
    s->raster[s->nrasters++] =
        (struct raster){ same_row ? 0 : t->row, s->layout == WIDE ? 0 : t->col, 0 };
}

static void choose_layout(struct sums *s, const struct kern_conv *cv)
{
    struct conv_plan *p = &s->plan;
    size_t plane = cv->oh * cv->ow;
    bool fills = plane % AMX_DEPTH == 0;
    s->layout = cv->kh * cv->kw == 1 || p->plain  ? EACH
                : cv->stride == 1 && cv->ow >= 14 ? WIDE
                : !fills && plane <= SMALL_PLANE  ? EACH
                                                  : SPLIT;
    s->swapped = cv->kh * cv->kw == 1 && cv->k < cv->c;
    s->taps = p->phase[0].ntaps;
    s->ca = s->swapped ? cv->k : p->plain ? cv->kw * cv->c : cv->c;
    s->cb = s->swapped ? cv->c : cv->k;
    for (size_t t = 0; t < s->taps; t++)
        add_raster(s, t);
    s->wide = s->layout == WIDE ? p->columns : cv->ow;
}

/* After the tasks of the plan are cut. */
static void lay_out(struct sums *s)
{
    struct conv_plan *p = &s->plan;
    size_t band = conv_band_rows(p, p->task_rows), cols = p->phase[0].cols, one;
    s->image = s->layout == EACH   ? p->task_rows * cols
               : s->layout == WIDE ? band * s->wide
                                   : (band + p->step - 1) / p->step * cols;
    s->rest = s->layout == SPLIT ? p->task_images * s->image : 0;
    one = (p->task_rows - 1) * s->wide + cols;
    s->steps = s->layout == EACH ? (p->task_images * one + AMX_DEPTH - 1) / AMX_DEPTH
                                 : p->task_images * ((one + AMX_DEPTH - 1) / AMX_DEPTH);
    if (s->layout == WIDE && cols % AMX_DEPTH == 0)
        s->steps = p->task_images * p->task_rows * (cols / AMX_DEPTH);
    /* the step of the last pixels reads on behind them, where dy is zero and x must not be NaN */
    s->length = conv_round_up((s->layout == SPLIT ? p->step * s->rest : p->task_images * s->image) +
                                  AMX_DEPTH - 1,
                              AMX_DEPTH);
    s->rows_numbers = 0;
    for (size_t i = 0; i < s->nrasters; i++) {
        s->raster[i].at = s->rows_numbers;
        s->rows_numbers += blocks_of(s->ca) * AMX_SIDE * s->length;
    }
    s->pairs_numbers = blocks_of(s->cb) * s->steps * 2 * AMX_B;
    s->band_numbers =
        p->plain ? conv_round_up(p->task_images * band * p->columns * p->ic + AMX_SIDE, 32) : 0;
}

/* -- lists of pixels ----------------------------------------------------------------------- */

/* x at row i and column j of the band's cells of image g. */
static struct pixel cell(const struct sums *s, size_t g, size_t i, size_t j)
{
    const struct conv_plan *p = &s->plan;
    size_t band = conv_band_rows(p, p->task_rows), col = j + (size_t)p->left;
    if (p->plain) /* of the band's copy, which has its zeros */
        return (struct pixel){ (uint32_t)g, 0,
                               (ptrdiff_t)(((g * band + i) * p->columns + j) * p->ic) };
    if (i >= band || col >= p->iw)
        return (struct pixel){ .row = NOWHERE };
    ptrdiff_t row = (ptrdiff_t)i + p->top;
    return (struct pixel){ (uint32_t)g, (int32_t)row,
                           (((ptrdiff_t)(g * p->ih) + row) * (ptrdiff_t)p->iw + (ptrdiff_t)col) *
                               (ptrdiff_t)p->ic };
}

/* Pixel i of a raster of x. */
static struct pixel raster_pixel(const struct sums *s, const struct raster *r, size_t i)
{
    const struct conv_plan *p = &s->plan;
    size_t rest = s->layout == SPLIT ? i / s->rest : 0, in_rest = i - rest * s->rest;
    size_t g = in_rest / s->image, row = in_rest % s->image / s->wide;
    size_t col = in_rest % s->image % s->wide;
    if (g >= p->task_images || rest >= p->step)
        return (struct pixel){ .row = NOWHERE };
    if (s->layout == WIDE)
        return cell(s, g, row, col);
    return cell(s, g, row * p->step + (s->layout == EACH ? r->row : rest), col * p->step + r->col);
}

/* Pixel i of image g of dy, in rows as wide as the raster's. */
static struct pixel dy_pixel(const struct sums *s, size_t g, size_t i)
{
    const struct conv_plan *p = &s->plan;
    size_t row = i / s->wide, col = i % s->wide;
    if (g >= p->task_images || row >= p->task_rows || col >= p->ow)
        return (struct pixel){ .row = NOWHERE };
    return (struct pixel){ (uint32_t)g, (int32_t)row,
                           (ptrdiff_t)(((g * p->oh + row) * p->ow + col) * p->oc) };
}

/* The place in a raster of the first pixel of a step, and the pixels of dy. */
static size_t step_pixels(const struct sums *s, size_t step, struct pixel px[AMX_DEPTH])
{
    const struct conv_plan *p = &s->plan;
    size_t cols = p->phase[0].cols, per_row = cols / AMX_DEPTH;
    bool rows = s->layout == WIDE && cols % AMX_DEPTH == 0, each = s->layout == EACH;
    size_t per_image = rows ? p->task_rows * per_row : s->steps / p->task_images;
    size_t g = each ? 0 : step / per_image;
    size_t first = each   ? step * AMX_DEPTH
                   : rows ? step % per_image / per_row * s->wide + step % per_row * AMX_DEPTH
                          : step % per_image * AMX_DEPTH;
    for (size_t i = 0; i < AMX_DEPTH; i++)
        px[i] = each ? dy_pixel(s, (first + i) / s->image, (first + i) % s->image)
                     : dy_pixel(s, g, first + i);
    return g * s->image + first;
}

static size_t list_bytes(const struct sums *s)
{
    return conv_round_up(s->steps * sizeof *s->step, 64) +
           conv_round_up(s->taps * AMX_SIDE * sizeof *s->run, 64) +
           conv_round_up((s->nrasters * s->length + s->steps * AMX_DEPTH) * sizeof *s->rows_px, 64);
}

static void list_pixels(struct sums *s, uint8_t *memory)
{
    s->step = (struct amx_step *)(void *)memory;
    s->rows_px = (struct pixel *)(void *)(memory + conv_round_up(s->steps * sizeof *s->step, 64));
    s->pairs_px = s->rows_px + s->nrasters * s->length;
    for (size_t j = 0; j < s->steps; j++) {
        struct pixel *px = s->pairs_px + j * AMX_DEPTH;
        size_t at = step_pixels(s, j, px);
        s->step[j] = (struct amx_step){ (uint32_t)at, (uint32_t)j };
        for (size_t l = 0; s->swapped && l < AMX_DEPTH; l++)
            px[l] = raster_pixel(s, &s->raster[0], at + l);
    }
    for (size_t r = 0; r < s->nrasters; r++)
        for (size_t i = 0; i < s->length; i++)
            s->rows_px[r * s->length + i] =
                s->swapped ? dy_pixel(s, i / s->image, i % s->image) /* windows of one cell: each */
                           : raster_pixel(s, &s->raster[r], i);
}

/* -- a share's operands -------------------------------------------------------------------- */

/* Rows of few channels with zeros around, so that a row of the window is a piece of them. */
static void copy_band(const struct sums *s, const struct conv_share *sh, uint16_t *band)
{
    const struct conv_plan *p = &s->plan;
    size_t rows = conv_band_rows(p, p->task_rows);
    memset(band, 0, s->band_numbers * sizeof *band);
    for (size_t g = 0; g < sh->images; g++)
        for (size_t i = 0; i < rows; i++) {
            size_t row = sh->row * p->step + i + (size_t)p->top;
            size_t before = p->left < 0 ? (size_t)-p->left : 0;
            size_t n = MIN(p->columns - MIN(before, p->columns), p->iw);
            if (row < p->ih)
                memcpy(band + ((g * rows + i) * p->columns + before) * p->ic,
                       s->x + ((sh->image + g) * p->ih + row) * p->iw * p->ic,
                       n * p->ic * sizeof *band);
        }
}

/* Where the pixels of a share lie: first cell, image and row. */
struct origin {
    const uint16_t *first;
    uint32_t images;
    int32_t top, bottom; /* rows from top to below bottom are there */
};

static struct origin x_origin(const struct sums *s, const struct conv_share *sh,
                              const uint16_t *band)
{
    const struct conv_plan *p = &s->plan;
    size_t row = sh->row * p->step;
    if (p->plain)
        return (struct origin){ band, (uint32_t)sh->images, 0, 1 };
    return (struct origin){ s->x + (sh->image * p->ih + row) * p->iw * p->ic, (uint32_t)sh->images,
                            -(int32_t)row, (int32_t)p->ih - (int32_t)row };
}

static struct origin dy_origin(const struct sums *s, const struct conv_share *sh)
{
    const struct conv_plan *p = &s->plan;
    return (struct origin){ s->dy + (sh->image * p->oh + sh->row) * p->ow * p->oc,
                            (uint32_t)sh->images, 0, (int32_t)sh->rows };
}

static inline void find(const struct origin *o, const struct pixel *px, size_t skip,
                        const uint16_t *to[AMX_DEPTH])
{
    for (size_t l = 0; l < AMX_DEPTH; l++)
        to[l] = px[l].image < o->images && px[l].row >= o->top && px[l].row < o->bottom
                    ? o->first + px[l].place + skip
                    : NULL;
}

/* The first operand: blocks of channels from `first` on. */
static void make_share_rows(const struct sums *s, const struct conv_share *sh, size_t first,
                            size_t blocks, uint16_t *rows, uint16_t *band)
{
    const uint16_t *px[AMX_DEPTH];
    size_t skip = first * AMX_SIDE, channels = MIN(s->ca - skip, blocks * AMX_SIDE);
    if (s->plan.plain)
        copy_band(s, sh, band);
    struct origin o = s->swapped ? dy_origin(s, sh) : x_origin(s, sh, band);
    for (size_t r = 0; r < s->nrasters; r++)
        for (size_t i = 0; i < s->length; i += AMX_DEPTH) {
            find(&o, s->rows_px + r * s->length + i, skip, px);
            make_rows(rows + s->raster[r].at + i, s->length, px, channels);
        }
}

/* The second one. */
static void make_share_pairs(const struct sums *s, const struct conv_share *sh, uint16_t *pairs)
{
    const uint16_t *px[AMX_DEPTH];
    struct origin o = s->swapped ? x_origin(s, sh, NULL) : dy_origin(s, sh);
    for (size_t j = 0; j < s->steps; j++) {
        find(&o, s->pairs_px + j * AMX_DEPTH, 0, px);
        make_pairs(pairs + j * 2 * AMX_B, s->steps, px, s->cb);
    }
}

/* -- tasks --------------------------------------------------------------------------------- */

static size_t tap_place(const struct sums *s, size_t tap)
{
    const struct conv_plan *p = &s->plan;
    const struct conv_tap *t = &p->phase[0].tap[tap];
    if (s->layout == WIDE)
        return t->row * s->wide + t->col;
    return s->layout == SPLIT ? t->row % p->step * s->rest + t->row / p->step * s->wide : 0;
}

/* The rows of x and dy that the next share of the shard reads. */
static void ahead_of(const struct sums *s, const struct conv_share *next, size_t blocks,
                     struct amx_ahead ahead[2])
{
    const struct conv_plan *p = &s->plan;
    size_t row = next->row * p->step, rows = MIN(next->rows * p->step, p->ih - MIN(row, p->ih));
    size_t x = p->iw * p->ic, dy = p->ow * p->oc;
    if (next->images > 1)
        rows = next->images * p->ih;
    ahead[0] = amx_ahead(s->x + (next->image * p->ih + row) * x, rows * x, blocks);
    ahead[1] = amx_ahead(s->dy + (next->image * p->oh + next->row) * dy,
                         next->images * next->rows * dy, blocks);
}

/* All sums of a share: some of a's blocks, for all taps and all of b's. */
static void add_share(const struct sums *s, size_t first, size_t blocks, const uint16_t *rows,
                      const uint16_t *pairs, float *sums, bool add, struct amx_ahead ahead[2])
{
    size_t blocks_b = blocks_of(s->cb);
    struct amx_block k = { .stride = s->length * sizeof *rows,
                           .b_each = 2 * AMX_B,
                           .step = s->step,
                           .n = s->steps,
                           .add = add };
    for (size_t a = 0; a < blocks; a++)
        for (size_t r = 0; r < s->nrasters; r++)
            for (size_t b = 0; b < blocks_b; b++)
                for (size_t tap = 0; tap < s->taps; tap++) {
                    if (s->raster_of[tap] != r)
                        continue;
                    k.rows = tile_rows(s->ca - (first + a) * AMX_SIDE);
                    k.cols = tile_rows(s->cb - b * AMX_SIDE);
                    k.c = sums + ((a * s->taps + tap) * blocks_b + b) * AMX_C;
                    k.a0 = rows + s->raster[r].at + a * AMX_SIDE * s->length + tap_place(s, tap);
                    k.a1 = k.a0 + AMX_TILE * s->length;
                    k.b = pairs + b * s->steps * 2 * AMX_B;
                    amx_block_begin(&k);
                    amx_look_ahead(&ahead[0]);
                    amx_look_ahead(&ahead[1]);
                    amx_block_end(&k);
                }
}

static int pairs_task(void *arg, size_t i, int worker UNUSED)
{
    const struct sums *s = arg;
    struct conv_share sh = conv_share_of(&s->plan, i);
    make_share_pairs(s, &sh, s->pairs + i * s->pairs_numbers);
    return 0;
}

/* Some of a's blocks, over the shares of a shard. */
static int sums_task(void *arg, size_t i, int worker)
{
    const struct sums *s = arg;
    const struct conv_plan *p = &s->plan;
    size_t shard = i / s->block_parts, first = i % s->block_parts * s->each;
    size_t blocks_b = blocks_of(s->cb), blocks = MIN(s->each, blocks_of(s->ca) - first);
    size_t begin = p->ntasks * shard / s->shards, end = p->ntasks * (shard + 1) / s->shards;
    uint16_t *rows = kern_scratch_of(s->kn, worker), *band = rows + s->rows_numbers;
    uint16_t *pairs = band + s->band_numbers;
    float *sums = s->partial + shard * s->partial_floats + first * s->taps * blocks_b * AMX_C;
    amx_begin();
    for (size_t t = begin; t < end; t++) {
        struct conv_share sh = conv_share_of(p, t);
        struct amx_ahead ahead[2] = { { 0 } };
        make_share_rows(s, &sh, first, blocks, rows, band);
        if (s->pairs)
            pairs = s->pairs + t * s->pairs_numbers;
        else
            make_share_pairs(s, &sh, pairs);
        if (t + 1 < end) {
            sh = conv_share_of(p, t + 1);
            ahead_of(s, &sh, blocks * s->taps * blocks_b, ahead);
        }
        add_share(s, first, blocks, rows, pairs, sums, t > begin, ahead);
    }
    _tile_release();
    return 0;
}

/* -- from sums to dw ----------------------------------------------------------------------- */

/* Numbers of dw one behind the other that come from one pair of blocks, for one channel of the
 * other operand. */
static size_t run_length(const struct sums *s, size_t a, size_t b)
{
    size_t of_a = MIN(s->ca - a * AMX_SIDE, (size_t)AMX_SIDE);
    return s->swapped ? MIN(s->cb - b * AMX_SIDE, (size_t)AMX_SIDE) : of_a * s->taps;
}

/* Where the numbers of a run are in the sums of the blocks. */
static void list_run(struct sums *s)
{
    size_t tap_floats = blocks_of(s->cb) * AMX_C, ic = s->plan.ic;
    for (size_t e = 0; e < (s->swapped ? 1 : s->taps) * AMX_SIDE; e++) {
        size_t channel = e / s->taps, tap = e % s->taps;
        if (s->plan.plain) { /* of a: column of the window, channel; of dw: channel, row, column */
            size_t kw = s->ca / ic;
            channel = e % kw * ic + e / kw / s->taps;
            tap = e / kw % s->taps;
        }
        s->run[e] =
            (int32_t)(s->swapped ? place_of(e)
                                 : tap * tap_floats + place_of(channel % AMX_SIDE) * AMX_SIDE);
    }
}

static void add_numbers(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(to + i, _mm512_add_ps(_mm512_loadu_ps(to + i), _mm512_loadu_ps(from + i)));
}

static void add_run(float *to, const float *from, const int32_t *at, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m512i where = _mm512_maskz_loadu_epi32(m, at + i);
        __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, where, from, sizeof *from);
        _mm512_mask_storeu_ps(to + i, m, _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, to + i)));
    }
}

/* One block of a and of b: adds the shards, in their order, then all to dw. */
static int reduce_task(void *arg, size_t i, int worker UNUSED)
{
    const struct sums *s = arg;
    size_t blocks_b = blocks_of(s->cb), a = i / blocks_b, b = i % blocks_b;
    float *sums = s->partial + (a * s->taps * blocks_b + b) * AMX_C;
    for (size_t sh = 1; sh < s->shards; sh++)
        for (size_t tap = 0; tap < s->taps; tap++) {
            float *to = sums + tap * blocks_b * AMX_C;
            add_numbers(to, to + sh * s->partial_floats, AMX_C);
        }
    size_t first = (s->swapped ? a : b) * AMX_SIDE, n = run_length(s, a, b);
    size_t all = s->swapped ? s->cb : s->ca * s->taps;
    size_t begin = (s->swapped ? b : a * s->taps) * AMX_SIDE;
    for (size_t c = 0; c < AMX_SIDE && first + c < (s->swapped ? s->ca : s->cb); c++)
        add_run(s->dw + (first + c) * all + begin, sums + place_of(c) * (s->swapped ? AMX_SIDE : 1),
                s->run, n);
    return 0;
}

/* -- the pass ------------------------------------------------------------------------------ */

static void cut_shares(struct sums *s, const struct kern_conv *cv)
{
    struct conv_plan *p = &s->plan;
    size_t plane = cv->oh * cv->ow, pixels = s->taps > 1 ? SHARE_PIXELS : SHARE_PIXELS_ONE;
    if (plane <= pixels)
        conv_cut(p, MIN(pixels / plane, p->n), p->rows);
    else
        conv_cut(p, 1, MAX((pixels + cv->ow - 1) / cv->ow, (size_t)1));
}

/*
 * How many tasks: shards, long enough to be worth their sums, and ranges of a's blocks, short
 * enough for their sums to stay in the second cache.
 */
static void cut_tasks(struct sums *s, double macs)
{
    size_t blocks = blocks_of(s->ca), block = s->taps * blocks_of(s->cb) * AMX_C;
    size_t by_work = (size_t)(macs * (double)s->plan.n / TASK_MACS);
    s->partial_floats = blocks * block;
    s->shards =
        MIN(MIN((size_t)TASKS, s->plan.ntasks), MIN(by_work, PARTIAL_FLOATS / s->partial_floats));
    if (s->partial_floats > HEAVY_FLOATS)
        s->shards = MIN(s->shards, s->plan.ntasks / SHARD_SHARES);
    s->shards = MAX(s->shards, (size_t)1);
    size_t parts = MIN(blocks, MAX(TASKS / s->shards, (size_t)1));
    s->each = MIN(blocks / MIN(parts, MAX(by_work / s->shards, (size_t)1)),
                  SUMS_BYTES / (block * sizeof(float)));
    s->each = MAX(s->each, (size_t)1);
    s->block_parts = (blocks + s->each - 1) / s->each;
}

int conv_amx_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw, const void *x,
                              const void *dy)
{
    struct sums s = { .kn = kn, .x = x, .dy = dy, .dw = dw };
    conv_plan_forward(&s.plan, cv, cv->c <= CONV_PLAIN && cv->c * cv->kw <= AMX_SIDE);
    choose_layout(&s, cv);
    cut_shares(&s, cv);
    lay_out(&s);
    cut_tasks(&s, conv_image_macs(cv));
    size_t lists = list_bytes(&s), partial = s.shards * s.partial_floats * sizeof(float);
    size_t pairs = s.block_parts > 1 ? s.plan.ntasks * s.pairs_numbers * sizeof(uint16_t) : 0;
    uint8_t *shared = kern_shared(kn, lists + partial + pairs);
    if (!shared ||
        kern_scratch(kn, (s.rows_numbers + s.pairs_numbers + s.band_numbers) * sizeof(uint16_t)))
        return -ENOMEM;
    s.run = (int32_t *)(void *)shared;
    list_run(&s);
    list_pixels(&s, shared + conv_round_up(s.taps * AMX_SIDE * sizeof *s.run, 64));
    s.partial = (float *)(void *)(shared + lists);
    s.pairs = pairs ? (uint16_t *)(void *)(shared + lists + partial) : NULL;
    int rc = pairs ? pool_run(kn->pool, s.plan.ntasks, pairs_task, &s) : 0;
    if (rc == 0)
        rc = pool_run(kn->pool, s.shards * s.block_parts, sums_task, &s);
    return rc ? rc : pool_run(kn->pool, blocks_of(s.ca) * blocks_of(s.cb), reduce_task, &s);
}
