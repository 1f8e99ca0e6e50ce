/*
 * conv_sums_operands_amx.c - see conv_sums_amx.h: a share's rows and pairs of pixels.
 */
#include "kernels/cpu/conv_sums_amx.h"
#include "kernels/cpu/conv_turn_amx.h"
#include <string.h>

/*
 * A raster of cells, one image behind the other, and where they lie in a tensor: cell (i, j) of an
 * image is its row top + i * step, column left + j * step; outside the image it is zeros.
 */
struct walk {
    const uint16_t *tensor, *zeros;
    size_t n, h, w, c;      /* of the tensor */
    size_t rows, cols;      /* of the raster */
    size_t step, top, left; /* negative ones wrap */
    size_t image, row, col; /* the next cell */
    size_t cells;           /* that remain; those behind them are zeros */
};

/* Pointers to the next 32 cells. */
static void next_cells(struct walk *k, const uint16_t *px[AMX_DEPTH])
{
    for (size_t l = 0; l < AMX_DEPTH;) {
        size_t run = MIN(MIN(AMX_DEPTH - l, k->cols - k->col), k->cells), end = l + run;
        if (run == 0) {
            while (l < AMX_DEPTH)
                px[l++] = k->zeros;
            return;
        }
        size_t row = k->top + k->row * k->step, col = k->left + k->col * k->step;
        if (row < k->h && k->image < k->n) {
            const uint16_t *line = k->tensor + (k->image * k->h + row) * k->w * k->c;
            for (; l < end; l++, col += k->step)
                px[l] = col < k->w ? line + col * k->c : k->zeros;
        } else {
            while (l < end)
                px[l++] = k->zeros;
        }
        k->cells -= run;
        k->col += run;
        if (k->col == k->cols) {
            k->col = 0;
            k->image += ++k->row / k->rows;
            k->row %= k->rows;
        }
    }
}

static struct walk walk_dy(const struct sums *s, const struct sums_share *sh, const uint16_t *zeros)
{
    const struct conv_plan *p = &s->plan;
    return (struct walk){ .tensor = s->dy,
                          .zeros = zeros,
                          .n = p->n,
                          .h = p->oh,
                          .w = p->ow,
                          .c = p->oc,
                          .rows = p->oh,
                          .cols = s->dy_pitch,
                          .step = 1,
                          .image = sh->image,
                          .row = sh->row,
                          .col = sh->col,
                          .cells = sh->pixels + sh->pixels / p->ow * (s->dy_pitch - p->ow) };
}

/* A version of x, or of the band's copy of it. */
static struct walk walk_x(const struct sums *s, const struct sums_share *sh,
                          const struct sums_version *v, const uint16_t *band, const uint16_t *zeros)
{
    const struct conv_plan *p = &s->plan;
    struct walk k = { .tensor = s->x,
                      .zeros = zeros,
                      .n = p->n,
                      .h = p->ih,
                      .w = p->iw,
                      .c = p->ic,
                      .rows = p->oh,
                      .cols = p->ow,
                      .step = p->step,
                      .top = (size_t)p->top + v->row,
                      .left = (size_t)p->left + v->col,
                      .image = sh->image,
                      .row = sh->row,
                      .col = sh->col,
                      .cells = sh->pixels };
    if (!s->each) {
        k.top += sh->row * p->step;
        k.row = 0;
        k.rows = s->raster_rows;
        k.cols = s->pitch;
        k.cells = sh->images * s->raster_rows * s->pitch;
    }
    if (p->plain) {
        k.tensor = band;
        k.n = sh->images;
        k.h = conv_band_rows(p, p->task_rows);
        k.w = p->columns;
        k.top = v->row;
        k.left = v->col;
        k.image = k.row = 0;
        k.rows = s->raster_rows;
    }
    return k;
}

/* Rows of few channels with zeros around, so that a row of the window is a piece of them. */
static void copy_band(const struct sums *s, const struct sums_share *sh, uint16_t *band)
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

void sums_make_rows(const struct sums *s, const struct sums_share *sh, uint16_t *to,
                    const uint16_t *zeros)
{
    const uint16_t *px[AMX_DEPTH];
    struct walk k = s->swapped ? walk_x(s, sh, &s->version[0], NULL, zeros) : walk_dy(s, sh, zeros);
    for (size_t i = 0; i < sh->steps; i++, to += s->step_numbers) {
        next_cells(&k, px);
        for (size_t a = 0; a < s->blocks_a; a++)
            make_rows(to + a * 2 * AMX_B, px, a * AMX_SIDE, channels_left(s->ca, a * AMX_SIDE));
    }
}

void sums_make_pairs(const struct sums *s, const struct sums_share *sh, size_t first, size_t blocks,
                     uint16_t *to, uint16_t *band, const uint16_t *zeros)
{
    const uint16_t *px[AMX_DEPTH];
    size_t half = s->pairs * AMX_DEPTH, pairs = s->each ? sh->steps * AMX_TILE : s->pairs;
    if (s->plan.plain)
        copy_band(s, sh, band);
    for (size_t v = 0; v < s->nversions; v++, to += 2 * half) {
        struct walk k =
            s->swapped ? walk_dy(s, sh, zeros) : walk_x(s, sh, &s->version[v], band, zeros);
        for (size_t i = 0; i < pairs; i += AMX_TILE) {
            next_cells(&k, px);
            for (size_t b = 0; b < blocks; b++) {
                size_t c = (first + b) * AMX_SIDE;
                make_pairs(to + b * s->b_numbers + i * AMX_DEPTH, half, px, c,
                           channels_left(s->cb, c));
            }
        }
    }
}
