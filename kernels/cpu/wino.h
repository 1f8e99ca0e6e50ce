/*
 * wino.h - convolutions with windows of 3 x 3 and stride 1, in fewer multiplications.
 *
 * Winograd's minimal filtering, F(2x2, 3x3) (Lavin and Gray, Fast Algorithms for Convolutional
 * Neural Networks, arXiv 1509.09308, section 4.1): a tile of 2 x 2 outputs is
 * A' [(G g G') * (B' d B)] A of the window g and the 4 x 4 inputs d, so that a pair of channels
 * takes 16 multiplications a tile, not 36. Summed over channels, these are 16 products of matrices,
 * one for each cell of the 4 x 4. Backward-data is the same with the window turned round. In
 * backward-weights 3 x 3 sums come from 4 x 4 inputs and 2 x 2 gradients, F(3x3, 2x2): B is the
 * same, and the 16 products sum over tiles.
 *
 * A task turns some tiles of all channels into scratch that stays in the second cache, multiplies
 * them group by group, and turns each group's products into outputs. How sums are cut depends on
 * shapes only. Results differ from plain sums by a few roundings.
 *
 * Arithmetic is in float32: bfloat16 becomes that where it is read, and is rounded where it is
 * stored. With AVX512_BF16 the products of bfloat16 tensors take pairs of bfloat16 (conv_pairs.h),
 * of neighbouring channels or, in backward-weights, tiles, twice as many at once: turned inputs,
 * gradients and weights are rounded too, after they have been turned in float32. A sum is then off
 * by a part of 2^-8 or so of its size where plain products of bfloat16 are exact
 * (tests/kern/check_conv.c says how far): as much again as its rounding to bfloat16.
 */
#ifndef SEMPPL_CPU_WINO_H
#define SEMPPL_CPU_WINO_H

#include "kernels/cpu/conv.h"

enum {
    WINO_TILE = 2,      /* outputs of a tile, a side */
    WINO_CELLS = 16,    /* 4 x 4 */
    WINO_CHANNELS = 32, /* both numbers of channels are multiples */
    WINO_BLOCK = 64,    /* backward-weights: channels of a block, either way */
    WINO_PLACES = 12,   /* tiles that are multiplied at once: a divisor of what a task has */
    WINO_CHUNK = 48,    /* backward-weights: tiles, or pairs, between two visits of the sums */
    WINO_ROWS = 8,      /* rows of a block of sums that are put together at once */
    WINO_SET = 5 * 16,  /* floats between cells: not all in the same set of the first cache */
};

/* Forward, or backward-data: x [n][ih][iw][ic] is read, y [n][oh][ow][oc] is written. */
struct wino {
    struct kern *kn;
    size_t n, ih, iw, ic, oh, ow, oc;
    size_t top, left;         /* cells of padding before the image */
    size_t rows, cols, tiles; /* tiles of an image; of all */
    size_t each, ntasks;      /* tiles of a task */
    size_t groups, parts;     /* of outputs; ranges of them that tasks are also cut into */
    enum kern_type type;      /* of x, residual and y */
    const void *x, *residual;
    const float *packed, *scale, *shift;
    bool relu;
    void *y;
    double *sums; /* [ntasks][2][oc] sums, sums of squares; or NULL */
};

/*
 * Backward-weights: partial [shards][blocks of k][blocks of c][16][WINO_BLOCK k][WINO_BLOCK c]; of
 * an only shard NULL, its sums go from scratch to dw while they are near.
 */
struct wino_sums {
    struct wino g; /* x, and dy in the place of y */
    const void *dy;
    float *dw, *partial;
    size_t blocks_c, blocks_k, shards;
};

/* Weights of 3 x 3 for a group of outputs, [cells][inputs / pair][group] of floats or pairs;
 * backward: turned round. */
struct wino_pack {
    size_t c, k;
    const float *w;
    float *packed[2];
};

struct wino_kernels {
    size_t group; /* output channels */
    size_t pair;  /* numbers that are taken for a float: inputs, of forward and backward-data */
    int (*pack)(void *pack, size_t i, int worker);
    int (*forward)(void *wino, size_t i, int worker);
    int (*sums)(void *sums, size_t i, int worker);
    int (*reduce)(void *sums, size_t i, int worker);
};
extern const struct wino_kernels wino_kernels_generic, wino_kernels_avx2, wino_kernels_avx512,
    wino_kernels_avx512bf16;

#ifdef ISA_SUFFIX
int ISA(wino_sums_task)(void *sums, size_t i, int worker);
int ISA(wino_reduce_task)(void *sums, size_t i, int worker);
#endif

/* Tasks of a group of outputs when weights are packed, for so many inputs. */
static inline size_t wino_pack_pieces(size_t inputs)
{
    return (inputs + WINO_BLOCK - 1) / WINO_BLOCK;
}

/* Is a convolution one of these? */
bool wino_is(const struct kern_conv *cv);
size_t wino_packed(const struct kern *kn, const struct kern_conv *cv);
int wino_pack(struct kern *kn, const struct kern_conv *cv, void *packed, const float *w);
int wino_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                 const float *packed, const struct kern_epilogue *ep);
int wino_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                       const float *packed, bool add);
int wino_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw, const void *x,
                          const void *dy);

#endif
