/*
 * conv.h - the plan of a fast convolution, shared by the driver (conv.c) and the inner loops that
 * are compiled once an instruction set (conv_isa.c, conv_sums_isa.c).
 *
 * Forward and backward-data are one computation: every cell of an output grid is a sum over taps
 * and input channels. A task copies the part of the input that it needs into scratch, the "band":
 * channels in blocks of 16, cells outside the image as zeros, columns sorted by their remainder
 * modulo the step of the input, so that neighbours in the output are 16 floats apart in the band
 * for any stride. Then tiles of some pixels by up to 64 output channels are summed in registers,
 * over all taps of a few blocks, and over the other blocks in the same way. Backward-data with a
 * stride is a few such grids ("phases"), one for each remainder, with the taps that meet there.
 * Backward-weights sums over the pixels of such bands instead.
 *
 * A window of one cell that stays inside the image needs no band: tiles read the input in place, if
 * it is float32. bfloat16 becomes float32 in the band, and is rounded where it is stored.
 *
 * Where the processor multiplies pairs of bfloat16 (conv_pairs.h), two neighbouring channels of the
 * input are taken for one of float32, and what is said of floats holds for them.
 *
 * Few input channels (a picture's 3) make a block of their own kind: a row of the band is the plain
 * row of the image, a tap is a row of the window, and its kw * c numbers stand side by side. Where
 * they are taken in pairs, each output has its own copy of them in the band, so that all begin with
 * a pair.
 */
#ifndef SEMPPL_CPU_CONV_H
#define SEMPPL_CPU_CONV_H

#include "kernels/cpu/cpu.h"

enum {
    CONV_BLOCK = 16,     /* channels of a block */
    CONV_PAIR = 32,      /* floats of a pair of pixels, of a block of pairs of channels */
    CONV_MAX_TAPS = 64,  /* 7 x 7 and some */
    CONV_MAX_STEP = 3,   /* strides; ref/ serves larger ones */
    CONV_MAX_PHASES = 9, /* its square */
    CONV_STRIP = 96,     /* pixels whose sums are held at a time: whole tiles */
    CONV_NEAR = 9 << 10, /* weights that stay in the first cache */
    CONV_PLAIN = 4,      /* channels up to which rows are taken plain */
    CONV_HELD = 1 << 18, /* weights that stay in the second cache */
    CONV_GROUPS = 4,     /* of output channels, that share a piece of backward-weights */
};

struct conv_tap {
    size_t row, col; /* of the window, counted from the band's first cell */
    size_t in;       /* floats from a pixel's place in the band to the tap's */
    size_t weight;   /* number of the tap in the packed weights */
};

/* One grid of outputs: cell (u, v) is row0 + u * step, col0 + v * step. */
struct conv_phase {
    size_t rows, cols, row0, col0;
    size_t ntaps;
    struct conv_tap tap[CONV_MAX_TAPS];
    size_t *in, *out; /* of each pixel of a full task: place in the band, in the output */
};

/* What a pass reads from and writes to, and how the two are cut into tasks. */
struct conv_plan {
    struct kern *kn;
    enum kern_type type;              /* of the tensors */
    size_t pair;                      /* numbers that a float of the band stands for: 2, or 1 */
    size_t n, ih, iw, ic, oh, ow, oc; /* ic: in floats; if plain, in numbers */
    size_t step, out_step; /* between neighbours of a grid, in the input and in the output */
    size_t nphases;
    struct conv_phase phase[CONV_MAX_PHASES];
    size_t rows;   /* of the largest phase */
    bool plain;    /* few channels: rows of the band are rows of the image */
    bool in_place; /* a window of one cell, all inside: the band is the input itself */

    /* the band */
    ptrdiff_t top, left;           /* the first cell, relative to the image; of row u = 0 */
    size_t span_rows, span_cols;   /* rows that one row of outputs needs; columns, one column */
    size_t columns;                /* cells of a row */
    unsigned used_rows, used_cols; /* remainders modulo step that some tap reads, as bits */
    size_t part;                   /* places of a row for each remainder */
    size_t row_floats;             /* of one block */
    size_t across;                 /* floats from an output's place to its neighbour's */
    size_t row_numbers;            /* that a row of the band takes in all */
    size_t nblocks, last;          /* last: channels of the last block */
    size_t band_floats;            /* for a full task, with slack that SUMS may read behind */

    /* tasks */
    size_t task_images, task_rows; /* of a full task; task_rows < rows: task_images is 1 */
    size_t row_tasks, ntasks;

    /* output channels */
    size_t group, ngroups; /* channels of a tile; the last group may be one block only */
    size_t ntaps_packed;   /* taps that the packed weights have */
};

/* The share of one task. */
struct conv_share {
    size_t image, images, row, rows;
};

struct conv_forward {
    const struct conv_plan *plan;
    void *y;
    const void *x, *residual; /* residual may be y: the result is added */
    const float *packed, *scale, *shift;
    bool relu;
    double *sums;       /* [ntasks][2][padded oc] sums, sums of squares; or NULL */
    size_t group_parts; /* tasks are also cut into so many ranges of groups */
};

/*
 * Backward-weights. A task sums a piece of dw, of some groups of output channels and some blocks of
 * input channels, over a shard of the pixels: as [groups][blocks][taps][row_stride][channels of a
 * group], small enough for the second cache.
 */
struct conv_weights {
    const struct conv_plan *plan;
    const void *x, *dy;
    float *dw;
    size_t row_stride;       /* rows of a tap of a block */
    size_t groups, blocks;   /* of a full piece */
    size_t nblocks, npieces; /* pieces that share a group; in all */
    size_t piece_floats, nshards;
    float *partial;        /* [nshards][npieces] x piece_floats, if there are many shards; */
    size_t operand_floats; /* else they are in scratch, behind so many floats */
};

/* The inner loops for one instruction set. */
struct conv_kernels {
    size_t group; /* the widest tile, in channels */
    int (*forward)(void *forward, size_t i, int worker);
    int (*weights)(void *weights, size_t i, int worker);
    int (*reduce)(void *weights, size_t i, int worker);
};
extern const struct conv_kernels conv_kernels_generic, conv_kernels_avx2, conv_kernels_avx512,
    conv_kernels_avx512bf16;

#ifdef ISA_SUFFIX
int ISA(conv_weights_task)(void *weights, size_t i, int worker);
int ISA(conv_reduce_task)(void *weights, size_t i, int worker);
#endif

/* Grids, band and taps of a pass; plain: see above. The backend packs a band as it likes. */
void conv_plan_forward(struct conv_plan *p, const struct kern_conv *cv, bool plain);
void conv_plan_backward(struct conv_plan *p, const struct kern_conv *cv);

/* How large tasks should be. */
struct conv_limits {
    size_t band;    /* numbers of a band at most, if a row allows: it stays in the second cache */
    size_t pixels;  /* of all its images */
    size_t tasks;   /* at least so many, */
    double macs;    /* if each still has so many multiply-accumulates */
    size_t weights; /* numbers of weights beyond which they do not stay in the second cache, */
    size_t shared;  /* and so many pixels at least should share them */
};
void conv_cut(struct conv_plan *p, size_t images, size_t rows); /* tasks of so many */
/* weights: how many numbers; after row_numbers is known. */
void conv_cut_tasks(struct conv_plan *p, const struct conv_limits *l, double macs, size_t weights);
double conv_image_macs(const struct kern_conv *cv);
/* Into how many ranges of output channels each task is cut besides. */
size_t conv_group_parts(const struct kern *kn, const struct conv_plan *p,
                        const struct conv_limits *l, double macs, size_t ngroups);
struct conv_share conv_share_of(const struct conv_plan *p, size_t task);
/* kern_bn_stats() from the tasks' sums, [ntasks][2][padded]. */
int conv_sum_up(struct kern *kn, const struct conv_plan *p, const struct kern_bn *bn,
                const double *sums, size_t padded);

/* What the input holds for the inner loops: pairs of channels are moved as floats are. */
static inline enum kern_type conv_input_type(const struct conv_plan *p)
{
    return p->pair > 1 && !p->plain ? KERN_F32 : p->type;
}

static inline size_t conv_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Channels of group g, and where its weights begin in the packed ones. */
static inline size_t conv_group_width(const struct conv_plan *p, size_t g)
{
    size_t blocks = (p->oc + CONV_BLOCK - 1) / CONV_BLOCK;
    return MIN(p->group, (blocks - g * (p->group / CONV_BLOCK)) * CONV_BLOCK);
}

/* Rows of the band for so many rows of outputs. */
static inline size_t conv_band_rows(const struct conv_plan *p, size_t rows)
{
    return (rows - 1) * p->step + p->span_rows;
}

static inline size_t conv_input_channels(const struct conv_plan *p) /* of all blocks, each tap */
{
    return (p->nblocks - 1) * CONV_BLOCK + p->last;
}

#endif
