/*
 * conv_amx.c - see conv_amx.h: the tasks of forward and backward-data.
 */
#include "kernels/cpu/conv_amx_pass.h"
#include <errno.h>
#include <string.h>

enum {
    GROUPS_NUMBERS = 384 << 10, /* of weights that stay in the second cache */
};

static const struct conv_limits limits = {
    .band = 320 << 10, /* of 2 bytes; the second cache holds at least 1 MiB */
    .pixels = 4096,
    .tasks = 16,
    .macs = 48 << 20,
    .weights = 384 << 10,
    .shared = 512,
};

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

static const uint16_t *image_row(const struct conv_pass *p, const struct conv_share *s, size_t g,
                                 size_t i)
{
    const struct conv_plan *pl = &p->plan;
    size_t row = s->row * pl->step + i + (size_t)pl->top;
    return row < pl->ih ? p->x + ((s->image + g) * pl->ih + row) * pl->iw * pl->ic : NULL;
}

static void pack_wide(const struct conv_pass *p, const struct conv_share *s, uint16_t *band)
{
    const struct conv_plan *pl = &p->plan;
    size_t rows = conv_band_rows(pl, s->rows), all = conv_band_rows(pl, pl->task_rows);
    for (size_t g = 0; g < s->images; g++)
        for (size_t i = 0; i < rows; i++)
            pack_cells(pl, band + (g * all + i) * pl->columns * pl->ic, image_row(p, s, g, i),
                       pl->left, pl->columns, 1);
    /* what a run's last step reads behind the share is multiplied by zero: no NaN */
    size_t end = ((s->images - 1) * all + rows) * pl->columns * pl->ic;
    memset(band + end, 0, AMX_DEPTH * sizeof *band);
}

static void pack_split(const struct conv_pass *p, const struct conv_share *s, uint16_t *band)
{
    const struct conv_plan *pl = &p->plan;
    size_t rows = conv_band_rows(pl, s->rows);
    bool used[CONV_MAX_TAPS];
    conv_columns_used(p, used);
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

/* One task's share of a pass. */
struct task {
    const struct conv_pass *p;
    struct conv_share sh;
    const uint16_t *band;
    uint16_t *copy;         /* of pixels, where the band is the tensor */
    size_t base, limit;     /* in the output; places below limit are stored */
    double *sums, *squares; /* or NULL */
    struct ahead ahead;
};

/* A block whose sums are finished. */
struct finished {
    const float *c;
    const size_t *out;
    size_t pixels, k; /* k: first channel */
    __mmask32 valid;  /* channels that there are, of 32 */
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
static inline void affine(const struct conv_pass *p, const struct finished *f, __m512 v[2],
                          size_t at)
{
    for (int i = 0; i < 2 && p->scale; i++) {
        __mmask16 m = (__mmask16)(f->valid >> 16 * i);
        const float *scale = p->scale + f->k + 16 * i, *shift = p->shift + f->k + 16 * i;
        v[i] =
            _mm512_fmadd_ps(v[i], _mm512_maskz_loadu_ps(m, scale), _mm512_maskz_loadu_ps(m, shift));
    }
    if (p->residual) {
        __m512 r[2];
        load_pair(r, p->residual + at, f->valid);
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
static inline void store(const struct task *w, const struct finished *f)
{
    const struct conv_pass *p = w->p;
    const float *c = f->c;
    __m512 sum[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    __m512 squares[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    bool plain = !p->scale && !p->residual;
    size_t first = w->base + f->k;
    for (size_t i = 0; i < f->pixels; i++, c += AMX_SIDE) {
        if (f->out[i] >= w->limit)
            continue;
        __m512 v[2] = { _mm512_load_ps(c), _mm512_load_ps(c + AMX_TILE) };
        if (!plain)
            affine(p, f, v, first + f->out[i]);
        for (int l = 0; l < 2; l++) {
            sum[l] += v[l];
            squares[l] = _mm512_fmadd_ps(v[l], v[l], squares[l]);
        }
        _mm512_mask_storeu_epi16(p->y + first + f->out[i], f->valid,
                                 (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0]));
    }
    for (int l = 0; l < 2 && w->sums && f->valid >> 16 * l; l++) {
        add_doubles(w->sums + f->k + 16 * l, sum[l]);
        add_doubles(w->squares + f->k + 16 * l, squares[l]);
    }
}

/* -- tasks --------------------------------------------------------------------------------- */

/* Rows and columns of a phase in a share. */
static size_t phase_rows(const struct conv_pass *p, size_t i, size_t rows, size_t row)
{
    const struct conv_phase *ph = &p->plan.phase[i];
    return row < ph->rows ? MIN(rows, ph->rows - row) : 0;
}

/* A tile of a; of the tensor's last pixels, if these do not fill one, a copy. */
static const uint16_t *tile_of(const struct conv_pass *p, const uint16_t *band, size_t tile,
                               uint32_t in, const struct conv_share *s, uint16_t *copy)
{
    if (p->layout != CONV_DIRECT || (tile + 1) * AMX_TILE <= s->rows)
        return band + in;
    copy_numbers(copy, band + in, (s->rows - tile * AMX_TILE) * p->plan.ic);
    return copy;
}

/* Input of the task that this worker will probably get next. */
static struct ahead ahead_of(const struct conv_pass *p, size_t spatial, size_t blocks)
{
    const struct conv_plan *pl = &p->plan;
    size_t next = spatial + (size_t)pool_threads(p->kn->pool);
    if (next >= pl->ntasks)
        return (struct ahead){ 0 };
    struct conv_share s = conv_share_of(pl, next);
    size_t from = s.image * pl->ih + MIN(s.row * pl->step, pl->ih);
    size_t end = (s.image + s.images - 1) * pl->ih + MIN((s.row + s.rows) * pl->step, pl->ih);
    size_t row = pl->iw * pl->ic;
    return ahead_begin(p->x + from * row, (end - from) * row * sizeof *p->x, blocks);
}

/*
 * A phase's pixels by some groups of channels. A pair of tiles stays in the first cache while the
 * groups' weights pass, from the second, and a pixel's outputs
 * are written one behind the other, each block while the next one is summed.
 */
static void run_phase(struct task *w, size_t i, size_t from, size_t to)
{
    const struct conv_pass *p = w->p;
    const struct conv_tiles *ph = &p->phase[i];
    size_t tiles = conv_count_tiles(p, i, w->sh.images, phase_rows(p, i, w->sh.rows, w->sh.row));
    size_t turn = 0;
    struct amx_block k = { .stride = p->distance * sizeof(uint16_t),
                           .step = ph->step,
                           .n = ph->steps,
                           .stream = AMX_STREAM_B };
    float c[2][AMX_C] __attribute__((aligned(64)));
    struct finished last = { 0 };
    if (p->plan.oc % AMX_SIDE > 0)
        memset(c, 0, sizeof c); /* the half that is never written is summed */
    for (size_t t = 0; t < tiles; t += 2) {
        k.rows = MIN(tiles - t, (size_t)2) * AMX_TILE;
        k.a0 = tile_of(p, w->band, t, ph->in[t], &w->sh, w->copy);
        k.a1 =
            k.rows > AMX_TILE ? tile_of(p, w->band, t + 1, ph->in[t + 1], &w->sh, w->copy) : k.a0;
        for (size_t g = from; g < to; g++, turn = !turn) {
            size_t oc = p->plan.oc, valid = MIN(oc - g * AMX_SIDE, (size_t)AMX_SIDE);
            k.c = c[turn];
            k.cols = conv_amx_width(oc, g);
            k.b_each = k.cols * AMX_DEPTH;
            k.b0 = p->packed + g * AMX_SIDE * p->runs.steps * AMX_DEPTH;
            k.b1 = k.b0 + AMX_B;
            amx_block_begin(&k);
            ahead_look(&w->ahead);
            store(w, &last);
            amx_block_end(&k);
            last = (struct finished){ k.c, ph->out + t * AMX_TILE, k.rows, g * AMX_SIDE,
                                      (__mmask32)(((uint64_t)1 << valid) - 1) };
        }
    }
    store(w, &last);
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
    const struct conv_pass *p = arg;
    const struct conv_plan *pl = &p->plan;
    size_t groups = conv_amx_groups(pl->oc), padded = groups * AMX_SIDE;
    size_t spatial = i / p->group_parts, part = i % p->group_parts;
    struct conv_share sh = conv_share_of(pl, spatial);
    uint16_t *scratch = kern_scratch_of(p->kn, worker);
    const uint16_t *band = scratch;
    if (p->layout == CONV_DIRECT)
        band = p->x + (sh.image * pl->ih + sh.row) * pl->iw * pl->ic;
    else if (p->layout == CONV_WIDE)
        pack_wide(p, &sh, scratch);
    else
        pack_split(p, &sh, scratch);
    amx_begin();
    size_t from = groups * part / p->group_parts, to = groups * (part + 1) / p->group_parts;
    struct task k = {
        .p = p, .sh = sh, .band = band, .copy = scratch, .limit = output_limit(pl, &sh)
    };
    k.base = (sh.image * pl->oh + sh.row * pl->out_step) * pl->ow * pl->oc;
    if (p->sums) {
        k.sums = p->sums + spatial * 2 * padded;
        k.squares = k.sums + padded;
        memset(k.sums + from * AMX_SIDE, 0, (to - from) * AMX_SIDE * sizeof *k.sums);
        memset(k.squares + from * AMX_SIDE, 0, (to - from) * AMX_SIDE * sizeof *k.squares);
    }
    k.ahead = ahead_of(p, spatial, (to - from) * (sh.images * sh.rows * pl->ow / AMX_SIDE + 1));
    for (size_t g = from; g < to; g += p->groups)
        for (size_t ph = 0; ph < pl->nphases; ph++)
            run_phase(&k, ph, g, MIN(g + p->groups, to));
    _tile_release();
    return 0;
}

/* -- the passes ---------------------------------------------------------------------------- */

static int run(struct conv_pass *p, const struct kern_conv *cv, const struct kern_epilogue *ep)
{
    struct conv_plan *pl = &p->plan;
    double macs = conv_image_macs(cv);
    conv_choose_layout(p, cv);
    conv_cut_tasks(pl, &limits, macs, conv_packed_numbers(&p->runs));
    conv_lay_out(p);
    size_t groups = conv_amx_groups(pl->oc), padded = groups * AMX_SIDE, lists = conv_list_bytes(p);
    size_t sums = ep && ep->bn ? pl->ntasks * 2 * padded : 0;
    uint8_t *shared = kern_shared(p->kn, lists + sums * sizeof(double));
    /* tiles reach beyond the band, where what they calculate is not stored */
    size_t room = p->band_numbers + (AMX_TILE + 1) * p->distance + AMX_DEPTH + p->wide * pl->ic;
    if (!shared || kern_scratch(p->kn, room * sizeof(uint16_t)))
        return -ENOMEM;
    conv_list_all(p, shared);
    size_t group = p->runs.steps * AMX_SIDE * AMX_DEPTH;
    p->groups = MAX(GROUPS_NUMBERS / group, (size_t)1);
    p->group_parts = conv_group_parts(p->kn, pl, &limits, macs, groups);
    if (sums)
        p->sums = (double *)(shared + lists);
    int rc = pool_run(p->kn->pool, pl->ntasks * p->group_parts, forward_task, p);
    return rc == 0 && sums ? conv_sum_up(p->kn, pl, ep->bn, p->sums, padded) : rc;
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
    struct conv_pass p = { .kn = kn,
                           .runs = conv_list_runs(cv, false),
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
    struct conv_runs forward = conv_list_runs(cv, false);
    struct conv_pass p = { .kn = kn,
                           .runs = conv_list_runs(cv, true),
                           .x = dy,
                           .y = dx,
                           .packed = (const uint16_t *)packed + conv_packed_numbers(&forward),
                           .residual = add ? dx : NULL };
    conv_plan_backward(&p.plan, &one);
    return run(&p, &one, NULL);
}
