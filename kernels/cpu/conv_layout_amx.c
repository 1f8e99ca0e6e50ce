/*
 * conv_layout_amx.c - where a pass finds its tiles in the band, and its pixels in the output.
 */
#include "kernels/cpu/conv_amx_pass.h"
#include <string.h>

size_t conv_count_tiles(const struct conv_pass *p, size_t i, size_t images, size_t rows)
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
static size_t place(const struct conv_pass *p, size_t g, size_t u, size_t v)
{
    const struct conv_plan *pl = &p->plan;
    if (p->layout == CONV_SPLIT)
        return ((g * p->image_rows + u) * p->wide + v) * pl->ic;
    size_t rows = conv_band_rows(pl, pl->task_rows);
    return ((g * rows + u * pl->step) * pl->columns + v * pl->step) * pl->ic;
}

static size_t tap_place(const struct conv_pass *p, size_t row, size_t col)
{
    const struct conv_plan *pl = &p->plan;
    if (p->layout == CONV_SPLIT)
        return p->version[col] + row % pl->step * p->rest_rows + row / pl->step * p->wide * pl->ic;
    return (row * pl->columns + col) * pl->ic;
}

/* Split: rows of zeros below an image serve as those above the next, if rows are not sorted. */
static size_t shared_rows(const struct conv_plan *pl)
{
    if (pl->step > 1 || pl->task_rows < pl->rows)
        return 0;
    size_t above = pl->top < 0 ? (size_t)-pl->top : 0;
    ptrdiff_t end = pl->top + (ptrdiff_t)conv_band_rows(pl, pl->rows) - (ptrdiff_t)pl->ih;
    return MIN(above, end > 0 ? (size_t)end : 0);
}

size_t conv_columns_used(const struct conv_pass *p, bool used[CONV_MAX_TAPS])
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

void conv_choose_layout(struct conv_pass *p, const struct kern_conv *cv)
{
    struct conv_plan *pl = &p->plan;
    size_t cols = pl->phase[0].cols;
    bool whole = pl->ic % AMX_DEPTH == 0;
    p->layout =
        !whole || cols % AMX_TILE == 0 || (pl->step == 1 && cols >= 24) ? CONV_WIDE : CONV_SPLIT;
    if (whole && cv->kh * cv->kw == 1 && cv->stride == 1 && cv->pad_top + cv->pad_left == 0)
        p->layout = CONV_DIRECT;
    bool used[CONV_MAX_TAPS];
    size_t versions = conv_columns_used(p, used);
    p->wide = p->layout == CONV_SPLIT ? cols : pl->columns;
    p->distance = (p->layout == CONV_SPLIT ? 1 : pl->step) * pl->ic;
    p->rows_apart = p->layout == CONV_WIDE && (cols % AMX_TILE == 0 || pl->step > 1);
    pl->row_numbers = (p->layout == CONV_SPLIT ? versions * cols : pl->columns) * pl->ic;
}

/* After the tasks are cut. */
void conv_lay_out(struct conv_pass *p)
{
    struct conv_plan *pl = &p->plan;
    size_t rows = conv_band_rows(pl, pl->task_rows);
    bool used[CONV_MAX_TAPS];
    p->band_numbers = pl->task_images * rows * pl->columns * pl->ic;
    if (p->layout == CONV_SPLIT) {
        p->image_rows = (rows + pl->step - 1) / pl->step - shared_rows(pl);
        p->rest_rows = (pl->task_images * p->image_rows + shared_rows(pl)) * p->wide * pl->ic;
        p->band_numbers = 0;
        conv_columns_used(p, used);
        for (size_t col = 0; col < pl->span_cols; col++)
            if (used[col]) {
                p->version[col] = p->band_numbers;
                p->band_numbers += pl->step * p->rest_rows;
            }
        size_t apart = conv_count_tiles(p, 0, pl->task_images, pl->task_rows);
        p->images_joined = true;
        p->images_joined = conv_count_tiles(p, 0, pl->task_images, pl->task_rows) < apart;
    } else if (p->layout == CONV_DIRECT) {
        p->band_numbers = AMX_TILE * pl->ic; /* the last tile of the tensor */
    }
}

/* -- lists that all tasks share ------------------------------------------------------------ */

size_t conv_list_bytes(const struct conv_pass *p)
{
    size_t bytes = 0;
    for (size_t i = 0; i < p->plan.nphases; i++) {
        size_t tiles = conv_count_tiles(p, i, p->plan.task_images,
                                        MIN(p->plan.task_rows, p->plan.phase[i].rows));
        bytes += tiles * (sizeof(uint32_t) + AMX_TILE * sizeof(size_t)) + 64;
        bytes += p->runs.steps * sizeof(struct amx_step);
    }
    return conv_round_up(bytes, 64);
}

/* The pixels of a tile: from cell `cell` of the raster that begins at image g, row u. */
static void list_pixels(const struct conv_pass *p, size_t i, size_t g, size_t u, size_t cell,
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

static void list_tiles(struct conv_pass *p, size_t i)
{
    const struct conv_plan *pl = &p->plan;
    struct conv_tiles *ph = &p->phase[i];
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
static void list_steps(struct conv_pass *p, size_t i)
{
    const struct conv_phase *cp = &p->plan.phase[i];
    struct conv_tiles *ph = &p->phase[i];
    size_t ic = p->runs.ic;
    for (size_t r = 0; r < p->runs.n; r++) {
        const struct conv_run *run = &p->runs.run[r];
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

void conv_list_all(struct conv_pass *p, uint8_t *memory)
{
    for (size_t i = 0; i < p->plan.nphases; i++) {
        struct conv_tiles *ph = &p->phase[i];
        ph->tiles = conv_count_tiles(p, i, p->plan.task_images,
                                     MIN(p->plan.task_rows, p->plan.phase[i].rows));
        ph->steps = 0;
        ph->out = (size_t *)(void *)memory;
        memory += ph->tiles * AMX_TILE * sizeof *ph->out;
        ph->step = (struct amx_step *)(void *)memory;
        memory += p->runs.steps * sizeof *ph->step;
        ph->in = (uint32_t *)(void *)memory;
        memory += conv_round_up(ph->tiles * sizeof *ph->in, 8);
        list_tiles(p, i);
        list_steps(p, i);
    }
}
