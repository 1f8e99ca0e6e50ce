/*
 * conv_amx.c - see conv_amx.h: the tasks of forward and backward-data.
 */
#include "kernels/cpu/conv_amx_pass.h"
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
    /* what a run's last step reads behind the band is multiplied by zero: no NaN */
    memset(band + p->band_numbers, 0, AMX_DEPTH * sizeof *band);
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

struct sink {
    const struct conv_pass *p;
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
    const struct conv_pass *p = s->p;
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
    const struct conv_pass *p = s->p;
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
static struct amx_ahead ahead_of(const struct conv_pass *p, size_t spatial, size_t blocks)
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
static void run_phase(const struct conv_pass *p, size_t i, const struct conv_share *sh,
                      size_t width, const uint16_t *band, uint16_t *copy, const uint16_t *b,
                      const struct sink *s, struct amx_ahead *ahead)
{
    float c[2][AMX_C] __attribute__((aligned(64)));
    const struct conv_tiles *ph = &p->phase[i];
    size_t tiles = conv_count_tiles(p, i, sh->images, phase_rows(p, i, sh->rows, sh->row));
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
    struct amx_ahead ahead =
        ahead_of(p, spatial, (to - from) * (sh.images * sh.rows * pl->ow / AMX_SIDE + 1));
    for (size_t g = from; g < to; g++) {
        struct sink s = { .p = p, .k = g * AMX_SIDE };
        size_t width = conv_amx_width(pl->oc, g), valid = MIN(width, pl->oc - s.k);
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

static int run(struct conv_pass *p, const struct kern_conv *cv, const struct kern_epilogue *ep)
{
    struct conv_plan *pl = &p->plan;
    double macs = conv_image_macs(cv);
    conv_choose_layout(p, cv);
    conv_cut_tasks(pl, &limits, macs, conv_packed_numbers(&p->runs));
    conv_lay_out(p);
    size_t groups = conv_amx_groups(pl->oc), padded = groups * AMX_SIDE, lists = conv_list_bytes(p);
    size_t sums = ep && ep->mean ? pl->ntasks * 2 * padded : 0;
    uint8_t *shared = kern_shared(p->kn, lists + sums * sizeof(double));
    /* tiles reach beyond the band, where what they calculate is not stored */
    size_t room = p->band_numbers + (AMX_TILE + 1) * p->distance + AMX_DEPTH + p->wide * pl->ic;
    if (!shared || kern_scratch(p->kn, room * sizeof(uint16_t)))
        return -ENOMEM;
    conv_list_all(p, shared);
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
