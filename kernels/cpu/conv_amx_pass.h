/*
 * conv_amx_pass.h - a pass of conv_amx.h: what its packing (conv_pack_amx.c), its layout
 * (conv_layout_amx.c) and its tasks (conv_amx.c) share.
 */
#ifndef SEMPPL_CPU_CONV_AMX_PASS_H
#define SEMPPL_CPU_CONV_AMX_PASS_H

#include "kernels/cpu/amx.h"
#include "kernels/cpu/conv_amx.h"

/*
 * Taps side by side in the band: number first of the window, then every delta-th. All taps of a
 * row of the window in the forward pass; in backward-data those that meet in a phase, from the
 * last to the first. How they are grouped does not depend on the padding, nor on the picture.
 */
struct conv_run {
    size_t first, count;
    ptrdiff_t delta;
    size_t at, steps; /* in the sum over all runs */
};

struct conv_runs {
    size_t n, steps, ic, oc; /* channels in and out of the pass */
    struct conv_run run[CONV_MAX_TAPS];
};
struct conv_runs conv_list_runs(const struct kern_conv *cv, bool backward);
size_t conv_packed_numbers(const struct conv_runs *rs);

/* Output channels of a group, in whole tiles. */
static inline size_t conv_amx_width(size_t oc, size_t g)
{
    return MIN((size_t)AMX_SIDE, conv_round_up(oc, AMX_TILE) - g * AMX_SIDE);
}

static inline size_t conv_amx_groups(size_t oc)
{
    return (oc + AMX_SIDE - 1) / AMX_SIDE;
}

enum conv_layout { CONV_DIRECT, CONV_WIDE, CONV_SPLIT }; /* see conv_amx.h */

/* The tiles of one phase in a full task; a smaller one has the first of them. */
struct conv_tiles {
    size_t tiles, steps;
    uint32_t *in; /* [tiles] place of a tile's first pixel in the band, in numbers */
    size_t *out;  /* [tiles][16] place of each pixel in the task's output; SIZE_MAX: none */
    struct amx_step *step; /* [steps] */
};

struct conv_pass {
    struct kern *kn;
    struct conv_plan plan;
    struct conv_runs runs;
    enum conv_layout layout;
    size_t distance;                /* of pixels of a tile, in numbers */
    size_t wide;                    /* pixels of a row in a raster of tiles */
    bool rows_apart, images_joined; /* a tile has pixels of one row; of several images */
    size_t image_rows;              /* split: rows of a remainder from image to image */
    size_t version[CONV_MAX_TAPS];  /* split: place of the copy for a column */
    size_t rest_rows;               /* split: place of the next remainder, in numbers */
    size_t band_numbers;
    struct conv_tiles phase[CONV_MAX_PHASES];
    size_t group_parts;
    size_t groups; /* whose weights pass again and again */

    const uint16_t *x, *packed;
    uint16_t *y;
    const float *scale, *shift;
    const uint16_t *residual;
    bool relu;
    double *sums;
};

/* In this order: the layout; then, after the tasks are cut, places and sizes; then lists that all
 * tasks share, in so many bytes of memory. */
void conv_choose_layout(struct conv_pass *p, const struct kern_conv *cv);
void conv_lay_out(struct conv_pass *p);
size_t conv_list_bytes(const struct conv_pass *p);
void conv_list_all(struct conv_pass *p, uint8_t *memory);

/* How many tiles a phase has in so many images and rows. */
size_t conv_count_tiles(const struct conv_pass *p, size_t i, size_t images, size_t rows);
/* Split: columns of the window that some tap reads; returns how many. */
size_t conv_columns_used(const struct conv_pass *p, bool used[CONV_MAX_TAPS]);

#endif
