/*
 * conv_amx.c - see conv_amx.h: packed weights, forward and backward-data.
 */
#include "kernels/cpu/conv_amx.h"
#include "kernels/cpu/amx.h"
#include <errno.h>
#include <string.h>

static const struct conv_limits limits = {
    .band = 320 << 10, /* of 2 bytes; the second cache holds at least 1 MiB */
    .pixels = 4096,
    .tasks = 16,
    .macs = 48 << 20,
    .weights = 384 << 10,
    .shared = 512,
};

enum { MOST_CHANNELS = 1 << 20 }; /* places of weights are counted in 32 bits */

bool conv_amx_serves(const struct kern *kn, const struct kern_conv *cv)
{
    return cv->type == KERN_BF16 && kn->isa & ISA_AMX && cv->stride <= CONV_MAX_STEP &&
           cv->kh * cv->kw <= CONV_MAX_TAPS && cv->c < MOST_CHANNELS && cv->k < MOST_CHANNELS;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* -- packed weights ------------------------------------------------------------------------ */

/*
 * Taps side by side in the band: number first of the window, then every delta-th. All taps of a
 * row of the window in the forward pass; in backward-data those that meet in a phase, from the
 * last to the first. How they are grouped does not depend on the padding, nor on the picture.
 */
struct run {
    size_t first, count;
    ptrdiff_t delta;
    size_t at, steps; /* in the sum over all runs */
};

struct runs {
    size_t n, steps, ic, oc, width; /* channels in and out of the pass; columns of the window */
    struct run run[CONV_MAX_TAPS];
};

static void add_run(struct runs *rs, size_t first, size_t count, ptrdiff_t delta)
{
    size_t steps = (count * rs->ic + AMX_DEPTH - 1) / AMX_DEPTH;
    rs->run[rs->n++] = (struct run){ first, count, delta, rs->steps, steps };
    rs->steps += steps;
}

static struct runs list_runs(const struct kern_conv *cv, bool backward)
{
    struct runs rs = { .width = cv->kw };
    rs.ic = backward ? cv->k : cv->c;
    rs.oc = backward ? cv->c : cv->k;
    for (size_t r = 0; r < cv->kh; r++) {
        if (!backward)
            add_run(&rs, r * cv->kw, cv->kw, 1);
        for (size_t rest = 0; backward && rest < MIN(cv->stride, cv->kw); rest++) {
            size_t count = (cv->kw - 1 - rest) / cv->stride + 1;
            add_run(&rs, r * cv->kw + rest + (count - 1) * cv->stride, count,
                    -(ptrdiff_t)cv->stride);
        }
    }
    return rs;
}

/* Output channels of a group, in whole tiles. */
static size_t group_width(size_t oc, size_t g)
{
    return MIN((size_t)AMX_SIDE, round_up(oc, AMX_TILE) - g * AMX_SIDE);
}

static size_t ngroups(size_t oc)
{
    return (oc + AMX_SIDE - 1) / AMX_SIDE;
}

static size_t packed_numbers(const struct runs *rs)
{
    return round_up(rs->oc, AMX_TILE) * rs->steps * AMX_DEPTH;
}

size_t conv_amx_packed(const struct kern_conv *cv)
{
    struct runs forward = list_runs(cv, false), backward = list_runs(cv, true);
    return (packed_numbers(&forward) + packed_numbers(&backward)) * sizeof(uint16_t);
}

struct pack {
    const struct kern_conv *cv;
    const float *w;
    struct runs runs[2]; /* forward, backward */
    uint16_t *packed[2];
};

/* Number `at` of a run, for the outputs from o on: 16 numbers in the lower halves of 32 bits. */
static inline __m512i pack_row(const struct pack *a, bool backward, const struct run *run, size_t o,
                               size_t at)
{
    const struct runs *rs = &a->runs[backward];
    size_t taps = a->cv->kh * a->cv->kw, out_step = (backward ? 1 : a->cv->c) * taps;
    size_t in_step = (backward ? a->cv->c : 1) * taps, cell = at / rs->ic, channel = at % rs->ic;
    if (cell >= run->count)
        return _mm512_setzero_si512();
    const float *from = a->w + o * out_step + channel * in_step +
                        (size_t)((ptrdiff_t)run->first + (ptrdiff_t)cell * run->delta);
    __mmask16 outs = (__mmask16)((1u << MIN((size_t)AMX_TILE, rs->oc - o)) - 1);
    __m512i place =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32((int)out_step));
    __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), outs, place, from, sizeof *from);
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v));
}

/* Row pairs of one tile: outputs from o on, numbers of a run from `at` on. */
static void pack_tile(const struct pack *a, bool backward, const struct run *run, uint16_t *to,
                      size_t o, size_t at)
{
    for (size_t i = 0; i < AMX_DEPTH; i += 2, to += AMX_DEPTH) {
        __m512i even = pack_row(a, backward, run, o, at + i);
        __m512i odd = pack_row(a, backward, run, o, at + i + 1);
        _mm512_storeu_si512(to, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
}

static int pack_task(void *arg, size_t i, int worker UNUSED)
{
    const struct pack *a = arg;
    bool backward = i >= ngroups(a->runs[0].oc);
    const struct runs *rs = &a->runs[backward];
    size_t g = backward ? i - ngroups(a->runs[0].oc) : i, width = group_width(rs->oc, g);
    uint16_t *to = a->packed[backward] + g * AMX_SIDE * rs->steps * AMX_DEPTH;
    for (size_t r = 0; r < rs->n; r++)
        for (size_t s = 0; s < rs->run[r].steps; s++)
            for (size_t l = 0; l < width; l += AMX_TILE, to += AMX_B)
                pack_tile(a, backward, &rs->run[r], to, g * AMX_SIDE + l, s * AMX_DEPTH);
    return 0;
}

int conv_amx_pack(struct kern *kn, const struct kern_conv *cv, void *packed, const float *w)
{
    struct pack a = { cv, w, { list_runs(cv, false), list_runs(cv, true) }, { packed } };
    a.packed[1] = a.packed[0] + packed_numbers(&a.runs[0]);
    return pool_run(kn->pool, ngroups(a.runs[0].oc) + ngroups(a.runs[1].oc), pack_task, &a);
}

/* -- the layout of a pass ------------------------------------------------------------------ */

enum layout { DIRECT, WIDE, SPLIT };

/* The tiles of one phase in a full task; a smaller one has the first of them. */
struct phase {
    size_t tiles, steps;
    uint32_t *in; /* [tiles] place of a tile's first pixel in the band, in numbers */
    size_t *out;  /* [tiles][16] place of each pixel in the task's output; SIZE_MAX: none */
    struct amx_step *step; /* [steps] */
};

struct pass {
    struct kern *kn;
    struct conv_plan plan;
    struct runs runs;
    enum layout layout;
    size_t distance;                /* of pixels of a tile, in numbers */
    size_t wide;                    /* pixels of a row in a raster of tiles */
    bool rows_apart, images_joined; /* a tile has pixels of one row; of several images */
    size_t image_rows;              /* split: rows of a remainder from image to image */
    size_t version[CONV_MAX_TAPS];  /* split: place of the copy for a column */
    size_t rest_rows;               /* split: place of the next remainder, in numbers */
    size_t band_numbers;
    struct phase phase[CONV_MAX_PHASES];
    size_t group_parts;

    const uint16_t *x, *packed;
    uint16_t *y;
    const float *scale, *shift;
    const uint16_t *residual;
    bool relu;
    double *sums;
};

/* Rows and columns of a phase in a share. */
static size_t phase_rows(const struct pass *p, size_t i, size_t rows, size_t row)
{
    const struct conv_phase *ph = &p->plan.phase[i];
    return row < ph->rows ? MIN(rows, ph->rows - row) : 0;
}

/* How many tiles a phase has in so many images and rows. */
static size_t count_tiles(const struct pass *p, size_t i, size_t images, size_t rows)
{
    size_t cols = p->plan.phase[i].cols;
    if (rows == 0)
        return 0;
    if (p->rows_apart)
        return images * rows * ((cols + AMX_TILE - 1) / AMX_TILE);
    size_t one = (rows - 1) * p->wide + cols;
    if (p->images_joined)
        return ((images - 1) * p->image_rows * p->wide + one + AMX_TILE - 1) / AMX_TILE;
    return images * ((one + AMX_TILE - 1) / AMX_TILE);
}

/* The place in the band of pixel (u, v) of the g-th image. */
static size_t place(const struct pass *p, size_t g, size_t u, size_t v)
{
    const struct conv_plan *pl = &p->plan;
    if (p->layout == SPLIT)
        return ((g * p->image_rows + u) * p->wide + v) * pl->ic;
    size_t rows = conv_band_rows(pl, pl->task_rows);
    return ((g * rows + u * pl->step) * pl->columns + v * pl->step) * pl->ic;
}

static size_t tap_place(const struct pass *p, size_t row, size_t col)
{
    const struct conv_plan *pl = &p->plan;
    if (p->layout == SPLIT)
        return p->version[col] + row % pl->step * p->rest_rows + row / pl->step * p->wide * pl->ic;
    return (row * pl->columns + col) * pl->ic;
}

/*
 * Split: rows of zeros below an image serve as those above the next, if rows are not sorted. */
static size_t shared_rows(const struct conv_plan *pl)
{
    if (pl->step > 1 || pl->task_rows < pl->rows)
        return 0;
    size_t above = pl->top < 0 ? (size_t)-pl->top : 0;
    ptrdiff_t end = pl->top + (ptrdiff_t)conv_band_rows(pl, pl->rows) - (ptrdiff_t)pl->ih;
    return MIN(above, end > 0 ? (size_t)end : 0);
}

static size_t columns_used(const struct pass *p, bool used[CONV_MAX_TAPS])
{
    size_t n = 0;
    memset(used, 0, CONV_MAX_TAPS * sizeof *used);
    for (size_t i = 0; i < p->plan.nphases; i++)
        for (size_t t = 0; t < p->plan.phase[i].ntaps; t++) {
            size_t col = p->plan.phase[i].tap[t].col;
            n += !used[col];
            used[col] = true;
        }
    return n;
}

static void choose_layout(struct pass *p, const struct kern_conv *cv)
{
    struct conv_plan *pl = &p->plan;
    size_t cols = pl->phase[0].cols;
    bool whole = pl->ic % AMX_DEPTH == 0;
    p->layout = !whole || cols % AMX_TILE == 0 || (pl->step == 1 && cols >= 24) ? WIDE : SPLIT;
    if (whole && cv->kh * cv->kw == 1 && cv->stride == 1 && cv->pad_top + cv->pad_left == 0)
        p->layout = DIRECT;
    bool used[CONV_MAX_TAPS];
    size_t versions = columns_used(p, used);
    p->wide = p->layout == SPLIT ? cols : pl->columns;
    p->distance = (p->layout == SPLIT ? 1 : pl->step) * pl->ic;
    p->rows_apart = p->layout == WIDE && (cols % AMX_TILE == 0 || pl->step > 1);
    pl->row_numbers = (p->layout == SPLIT ? versions * cols : pl->columns) * pl->ic;
}

/* After the tasks are cut. */
static void lay_out(struct pass *p)
{
    struct conv_plan *pl = &p->plan;
    size_t rows = conv_band_rows(pl, pl->task_rows);
    bool used[CONV_MAX_TAPS];
    p->band_numbers = pl->task_images * rows * pl->columns * pl->ic;
    if (p->layout == SPLIT) {
        p->image_rows = (rows + pl->step - 1) / pl->step - shared_rows(pl);
        p->rest_rows = (pl->task_images * p->image_rows + shared_rows(pl)) * p->wide * pl->ic;
        p->band_numbers = 0;
        columns_used(p, used);
        for (size_t col = 0; col < pl->span_cols; col++)
            if (used[col]) {
                p->version[col] = p->band_numbers;
                p->band_numbers += pl->step * p->rest_rows;
            }
        size_t apart = count_tiles(p, 0, pl->task_images, pl->task_rows);
        p->images_joined = true;
        p->images_joined = count_tiles(p, 0, pl->task_images, pl->task_rows) < apart;
    } else if (p->layout == DIRECT) {
        p->band_numbers = AMX_TILE * pl->ic; /* the last tile of the tensor */
    }
}

/* -- lists that all tasks share ------------------------------------------------------------ */

static size_t list_bytes(const struct pass *p)
{
    size_t bytes = 0;
    for (size_t i = 0; i < p->plan.nphases; i++) {
        size_t tiles =
            count_tiles(p, i, p->plan.task_images, MIN(p->plan.task_rows, p->plan.phase[i].rows));
        bytes += tiles * (sizeof(uint32_t) + AMX_TILE * sizeof(size_t)) + 64;
        bytes += p->runs.steps * sizeof(struct amx_step);
    }
    return round_up(bytes, 64);
}

/* The pixels of a tile: from cell `cell` of the raster that begins at image g, row u. */
static void list_pixels(const struct pass *p, size_t i, size_t g, size_t u, size_t cell,
                        size_t *out)
{
    const struct conv_plan *pl = &p->plan;
    const struct conv_phase *ph = &pl->phase[i];
    size_t rows = MIN(pl->task_rows, ph->rows);
    for (size_t l = 0; l < AMX_TILE; l++, cell++) {
        size_t row = u + cell / p->wide, col = cell % p->wide, image = g;
        if (p->images_joined) {
            image += row / p->image_rows;
            row %= p->image_rows;
        }
        bool valid = image < pl->task_images && row < rows && col < ph->cols;
        row = image * pl->oh + ph->row0 + row * pl->out_step;
        col = ph->col0 + col * pl->out_step;
        out[l] = valid ? (row * pl->ow + col) * pl->oc : SIZE_MAX;
    }
}

static void list_tiles(struct pass *p, size_t i)
{
    const struct conv_plan *pl = &p->plan;
    struct phase *ph = &p->phase[i];
    size_t rows = MIN(pl->task_rows, pl->phase[i].rows), cols = pl->phase[i].cols, t = 0;
    size_t rasters = p->rows_apart      ? pl->task_images * rows
                     : p->images_joined ? 1
                                        : pl->task_images;
    size_t each = ph->tiles / MAX(rasters, (size_t)1);
    for (size_t r = 0; r < rasters; r++)
        for (size_t k = 0; k < each; k++, t++) {
            size_t g = p->rows_apart ? r / rows : r, u = p->rows_apart ? r % rows : 0;
            ph->in[t] = (uint32_t)(place(p, g, u, 0) + k * AMX_TILE * p->distance);
            list_pixels(p, i, g, u, k * AMX_TILE, ph->out + t * AMX_TILE);
            for (size_t l = 0; p->rows_apart && l < AMX_TILE; l++) /* not into the next row */
                if (k * AMX_TILE + l >= cols)
                    ph->out[t * AMX_TILE + l] = SIZE_MAX;
        }
}

/* The taps of a phase that make a run are all or none of the run's. */
static void list_steps(struct pass *p, size_t i)
{
    const struct conv_phase *cp = &p->plan.phase[i];
    struct phase *ph = &p->phase[i];
    size_t ic = p->runs.ic;
    for (size_t r = 0; r < p->runs.n; r++) {
        const struct run *run = &p->runs.run[r];
        const struct conv_tap *first = NULL;
        for (size_t t = 0; t < cp->ntaps && !first; t++)
            first = cp->tap[t].weight == run->first ? &cp->tap[t] : NULL;
        for (size_t s = 0; first && s < run->steps; s++) {
            size_t number = s * AMX_DEPTH, cell = ic % AMX_DEPTH ? 0 : number / ic;
            size_t at = tap_place(p, first->row, first->col + cell) + number - cell * ic;
            ph->step[ph->steps++] = (struct amx_step){ (uint32_t)at, (uint32_t)(run->at + s) };
        }
    }
}

static void list_all(struct pass *p, uint8_t *memory)
{
    for (size_t i = 0; i < p->plan.nphases; i++) {
        struct phase *ph = &p->phase[i];
        ph->tiles =
            count_tiles(p, i, p->plan.task_images, MIN(p->plan.task_rows, p->plan.phase[i].rows));
        ph->steps = 0;
        ph->out = (size_t *)(void *)memory;
        memory += ph->tiles * AMX_TILE * sizeof *ph->out;
        ph->step = (struct amx_step *)(void *)memory;
        memory += p->runs.steps * sizeof *ph->step;
        ph->in = (uint32_t *)(void *)memory;
        memory += round_up(ph->tiles * sizeof *ph->in, 8);
        list_tiles(p, i);
        list_steps(p, i);
    }
}

/* -- the band ------------------------------------------------------------------------------ */

static inline void copy_numbers(uint16_t *to, const uint16_t *from, size_t n)
{
    size_t i = 0;
    for (; i + AMX_DEPTH <= n; i += AMX_DEPTH)
        _mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
    if (i < n) {
        __mmask32 rest = (__mmask32)(((uint64_t)1 << (n - i)) - 1);
        _mm512_mask_storeu_epi16(to + i, rest, _mm512_maskz_loadu_epi16(rest, from + i));
    }
}

/* `cells` cells, every step-th of a row of the image from column `first` on; x NULL: outside. */
static uint16_t *pack_cells(const struct conv_plan *pl, uint16_t *to, const uint16_t *x,
                            ptrdiff_t first, size_t cells, size_t step)
{
    size_t ic = pl->ic;
    if (x && step == 1) { /* a plain row with zeros at its ends */
        size_t before = first < 0 ? MIN((size_t)-first, cells) : 0;
        size_t from = first > 0 ? (size_t)first : 0;
        size_t have = from < pl->iw ? MIN(cells - before, pl->iw - from) : 0;
        memset(to, 0, before * ic * sizeof *to);
        copy_numbers(to + before * ic, x + from * ic, have * ic);
        memset(to + (before + have) * ic, 0, (cells - before - have) * ic * sizeof *to);
        return to + cells * ic;
    }
    for (size_t j = 0; j < cells; j++, to += ic) {
        size_t col = j * step + (size_t)first; /* wraps far above iw if negative */
        if (x && col < pl->iw)
            copy_numbers(to, x + col * ic, ic);
        else
            memset(to, 0, ic * sizeof *to);
    }
    return to;
}

static const uint16_t *image_row(const struct pass *p, const struct conv_share *s, size_t g,
                                 size_t i)
{
    const struct conv_plan *pl = &p->plan;
    size_t row = s->row * pl->step + i + (size_t)pl->top;
    return row < pl->ih ? p->x + ((s->image + g) * pl->ih + row) * pl->iw * pl->ic : NULL;
}

static void pack_wide(const struct pass *p, const struct conv_share *s, uint16_t *band)
{
    const struct conv_plan *pl = &p->plan;
    size_t rows = conv_band_rows(pl, s->rows), all = conv_band_rows(pl, pl->task_rows);
    for (size_t g = 0; g < s->images; g++)
        for (size_t i = 0; i < rows; i++)
            pack_cells(pl, band + (g * all + i) * pl->columns * pl->ic, image_row(p, s, g, i),
                       pl->left, pl->columns, 1);
    /* what a run's last step reads behind the band is multiplied by zero: no NaN */
    memset(band + p->band_numbers, 0, AMX_DEPTH * sizeof *band);
}

static void pack_split(const struct pass *p, const struct conv_share *s, uint16_t *band)
{
    const struct conv_plan *pl = &p->plan;
    size_t rows = conv_band_rows(pl, s->rows);
    bool used[CONV_MAX_TAPS];
    columns_used(p, used);
    for (size_t col = 0; col < pl->span_cols; col++)
        for (size_t g = 0; used[col] && g < s->images; g++)
            for (size_t i = 0; i < rows; i++) {
                if (!(pl->used_rows >> i % pl->step & 1))
                    continue;
                uint16_t *to = band + p->version[col] + i % pl->step * p->rest_rows +
                               (g * p->image_rows + i / pl->step) * p->wide * pl->ic;
                pack_cells(pl, to, image_row(p, s, g, i), pl->left + (ptrdiff_t)col, p->wide,
                           pl->step);
            }
}

/* -- from a block to the output ------------------------------------------------------------ */

struct sink {
    const struct pass *p;
    size_t k;              /* first channel */
    __mmask32 valid;       /* channels that there are, of 32 */
    size_t base, limit;    /* of the task in the output; places below limit are stored */
    double *sum, *squares; /* of the task, from channel k on; or NULL */
};

static inline __m512 widen(__m256i v)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

static inline void load_pair(__m512 v[2], const uint16_t *from, __mmask32 valid)
{
    __m512i both = _mm512_maskz_loadu_epi16(valid, from);
    v[0] = widen(_mm512_castsi512_si256(both));
    v[1] = widen(_mm512_extracti64x4_epi64(both, 1));
}

/* scale, shift, residual and ReLU. A negative number becomes 0, NaN stays. */
static inline void affine(const struct sink *s, __m512 v[2], size_t at)
{
    const struct pass *p = s->p;
    for (int i = 0; i < 2 && p->scale; i++) {
        __mmask16 m = (__mmask16)(s->valid >> 16 * i);
        const float *scale = p->scale + s->k + 16 * i, *shift = p->shift + s->k + 16 * i;
        v[i] =
            _mm512_fmadd_ps(v[i], _mm512_maskz_loadu_ps(m, scale), _mm512_maskz_loadu_ps(m, shift));
    }
    if (p->residual) {
        __m512 r[2];
        load_pair(r, p->residual + at, s->valid);
        v[0] += r[0];
        v[1] += r[1];
    }
    for (int i = 0; i < 2 && p->relu; i++)
        v[i] = _mm512_mask_mov_ps(v[i], _mm512_cmp_ps_mask(v[i], _mm512_setzero_ps(), _CMP_LT_OQ),
                                  _mm512_setzero_ps());
}

static void add_doubles(double *to, __m512 v)
{
    __m512d lo = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    __m512d hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), lo));
    _mm512_storeu_pd(to + 8, _mm512_add_pd(_mm512_loadu_pd(to + 8), hi));
}

/* Pixels of a block to their places; their sums are those of the numbers before they are rounded.
 */
static inline void store(const struct sink *s, const float *c, const size_t *out, size_t pixels)
{
    const struct pass *p = s->p;
    __m512 sum[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    __m512 squares[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    bool plain = !p->scale && !p->residual;
    for (size_t i = 0; i < pixels; i++, c += AMX_SIDE) {
        if (out[i] >= s->limit)
            continue;
        __m512 v[2] = { _mm512_load_ps(c), _mm512_load_ps(c + AMX_TILE) };
        if (!plain)
            affine(s, v, s->base + out[i] + s->k);
        for (int l = 0; l < 2; l++) {
            sum[l] += v[l];
            squares[l] = _mm512_fmadd_ps(v[l], v[l], squares[l]);
        }
        _mm512_mask_storeu_epi16(p->y + s->base + out[i] + s->k, s->valid,
                                 (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0]));
    }
    for (int l = 0; l < 2 && s->sum && s->valid >> 16 * l; l++) {
        add_doubles(s->sum + 16 * l, sum[l]);
        add_doubles(s->squares + 16 * l, squares[l]);
    }
}

/* -- tasks --------------------------------------------------------------------------------- */

/* A tile of a; of the tensor's last pixels, if these do not fill one, a copy. */
static const uint16_t *tile_of(const struct pass *p, const uint16_t *band, size_t tile, uint32_t in,
                               const struct conv_share *s, uint16_t *copy)
{
    if (p->layout != DIRECT || (tile + 1) * AMX_TILE <= s->rows)
        return band + in;
    copy_numbers(copy, band + in, (s->rows - tile * AMX_TILE) * p->plan.ic);
    return copy;
}

/* Input of the task that this worker will probably get next. */
static struct amx_ahead ahead_of(const struct pass *p, size_t spatial, size_t blocks)
{
    const struct conv_plan *pl = &p->plan;
    size_t next = spatial + (size_t)pool_threads(p->kn->pool);
    if (next >= pl->ntasks)
        return (struct amx_ahead){ 0 };
    struct conv_share s = conv_share_of(pl, next);
    size_t from = s.image * pl->ih + MIN(s.row * pl->step, pl->ih);
    size_t end = (s.image + s.images - 1) * pl->ih + MIN((s.row + s.rows) * pl->step, pl->ih);
    return amx_ahead(p->x + from * pl->iw * pl->ic, (end - from) * pl->iw * pl->ic, blocks);
}

/* Each block is stored while the next one is summed. */
static void run_phase(const struct pass *p, size_t i, const struct conv_share *sh, size_t width,
                      const uint16_t *band, uint16_t *copy, const uint16_t *b, const struct sink *s,
                      struct amx_ahead *ahead)
{
    float c[2][AMX_C] __attribute__((aligned(64)));
    const struct phase *ph = &p->phase[i];
    size_t tiles = count_tiles(p, i, sh->images, phase_rows(p, i, sh->rows, sh->row));
    struct amx_block k = { .cols = width,
                           .b = b,
                           .stride = p->distance * sizeof(uint16_t),
                           .b_each = width * AMX_DEPTH,
                           .step = ph->step,
                           .n = ph->steps };
    if (width < AMX_SIDE)
        memset(c, 0, sizeof c); /* the half that is never written is summed */
    for (size_t t = 0, n = 0, at = 0; t < tiles || n > 0; t += 2, at = !at) {
        size_t next = t < tiles ? MIN(tiles - t, (size_t)2) : 0;
        if (next > 0) {
            k.rows = next * AMX_TILE;
            k.c = c[at];
            k.a0 = tile_of(p, band, t, ph->in[t], sh, copy);
            k.a1 = next > 1 ? tile_of(p, band, t + 1, ph->in[t + 1], sh, copy) : k.a0;
            amx_block_begin(&k);
            amx_look_ahead(ahead);
        }
        if (n > 0)
            store(s, c[!at], ph->out + (t - 2) * AMX_TILE, n * AMX_TILE);
        if (next > 0)
            amx_block_end(&k);
        n = next;
    }
}

/* Places of the share in the output lie below this, relative to its base. */
static size_t output_limit(const struct conv_plan *pl, const struct conv_share *sh)
{
    size_t row = pl->ow * pl->oc;
    return pl->task_rows < pl->rows
               ? MIN(sh->rows * pl->out_step, pl->oh - sh->row * pl->out_step) * row
               : sh->images * pl->oh * row;
}

static int forward_task(void *arg, size_t i, int worker)
{
    const struct pass *p = arg;
    const struct conv_plan *pl = &p->plan;
    size_t groups = ngroups(pl->oc), padded = groups * AMX_SIDE;
    size_t spatial = i / p->group_parts, part = i % p->group_parts;
    struct conv_share sh = conv_share_of(pl, spatial);
    uint16_t *scratch = kern_scratch_of(p->kn, worker);
    const uint16_t *band = scratch;
    if (p->layout == DIRECT)
        band = p->x + (sh.image * pl->ih + sh.row) * pl->iw * pl->ic;
    else if (p->layout == WIDE)
        pack_wide(p, &sh, scratch);
    else
        pack_split(p, &sh, scratch);
    amx_begin();
    size_t from = groups * part / p->group_parts, to = groups * (part + 1) / p->group_parts;
    struct amx_ahead ahead =
        ahead_of(p, spatial, (to - from) * (sh.images * sh.rows * pl->ow / AMX_SIDE + 1));
    for (size_t g = from; g < to; g++) {
        struct sink s = { .p = p, .k = g * AMX_SIDE };
        size_t width = group_width(pl->oc, g), valid = MIN(width, pl->oc - s.k);
        s.valid = (__mmask32)(((uint64_t)1 << valid) - 1);
        s.base = (sh.image * pl->oh + sh.row * pl->out_step) * pl->ow * pl->oc;
        s.limit = output_limit(pl, &sh);
        if (p->sums) {
            s.sum = p->sums + spatial * 2 * padded + s.k;
            s.squares = s.sum + padded;
        }
        const uint16_t *b = p->packed + s.k * p->runs.steps * AMX_DEPTH;
        for (size_t ph = 0; ph < pl->nphases; ph++)
            run_phase(p, ph, &sh, width, band, scratch, b, &s, &ahead);
    }
    _tile_release();
    return 0;
}

/* -- the passes ---------------------------------------------------------------------------- */

static int run(struct pass *p, const struct kern_conv *cv, const struct kern_epilogue *ep)
{
    struct conv_plan *pl = &p->plan;
    double macs = conv_image_macs(cv);
    choose_layout(p, cv);
    conv_cut_tasks(pl, &limits, macs, packed_numbers(&p->runs));
    lay_out(p);
    size_t groups = ngroups(pl->oc), padded = groups * AMX_SIDE, lists = list_bytes(p);
    size_t sums = ep && ep->mean ? pl->ntasks * 2 * padded : 0;
    uint8_t *shared = kern_shared(p->kn, lists + sums * sizeof(double));
    /* tiles reach beyond the band, where what they calculate is not stored */
    size_t room = p->band_numbers + (AMX_TILE + 1) * p->distance + AMX_DEPTH + p->wide * pl->ic;
    if (!shared || kern_scratch(p->kn, room * sizeof(uint16_t)))
        return -ENOMEM;
    list_all(p, shared);
    p->group_parts = conv_group_parts(pl, &limits, macs, groups);
    if (sums)
        p->sums = memset(shared + lists, 0, sums * sizeof(double));
    int rc = pool_run(p->kn->pool, pl->ntasks * p->group_parts, forward_task, p);
    if (rc == 0 && sums)
        conv_sum_up(pl, ep, p->sums, padded);
    return rc;
}

/* Windows of one cell with stride 1: all pixels are one column. */
static struct kern_conv one_column(const struct kern_conv *cv)
{
    struct kern_conv one = *cv;
    if (cv->kh * cv->kw == 1 && cv->stride == 1 && cv->h == cv->oh && cv->w == cv->ow) {
        one.h = one.oh = cv->n * cv->h * cv->w;
        one.n = one.w = one.ow = 1;
    }
    return one;
}

int conv_amx_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                     const void *packed, const struct kern_epilogue *ep)
{
    struct kern_conv one = one_column(cv);
    struct pass p = { .kn = kn,
                      .runs = list_runs(cv, false),
                      .x = x,
                      .y = y,
                      .packed = packed,
                      .scale = ep->scale,
                      .shift = ep->shift,
                      .residual = ep->residual,
                      .relu = ep->relu };
    conv_plan_forward(&p.plan, &one, false);
    return run(&p, &one, ep);
}

int conv_amx_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                           const void *packed, bool add)
{
    struct kern_conv one = one_column(cv);
    struct runs forward = list_runs(cv, false);
    struct pass p = { .kn = kn,
                      .runs = list_runs(cv, true),
                      .x = dy,
                      .y = dx,
                      .packed = (const uint16_t *)packed + packed_numbers(&forward),
                      .residual = add ? dx : NULL };
    conv_plan_backward(&p.plan, &one);
    return run(&p, &one, NULL);
}
