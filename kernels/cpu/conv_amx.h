/*
 * conv_amx.h - convolutions of bfloat16 on the tile unit (amx.h), for handles with ISA_AMX
 * and windows within conv.h's limits.
 *
 * Forward and backward-data: a block is 32 pixels by 32 output channels, summed over all steps of
 * 32 inputs. A tile of a is 16 pixels as they lie in memory, at a constant distance; a step's
 * place is a tap's, plus some channels. Three layouts of the band (conv.h) make it so:
 *
 * - direct: windows of one cell, stride 1: the tensor itself.
 * - wide: rows as in the image, with their padding, all columns. The taps of a row lie side by
 *   side, a "run", so that also 3 or 16 channels fill steps. Tiles are 16 pixels of a row, or with
 *   stride 1 of rows one behind the other, the padding between them being calculated in vain.
 * - split: a copy for each column of the window, holding only what that tap reads, and rows sorted
 *   by their remainder modulo the step: nothing in vain on small planes, where copies cost little.
 *
 * Backward-weights: conv_sums_amx.h.
 */
#ifndef SEMPPL_CPU_CONV_AMX_H
#define SEMPPL_CPU_CONV_AMX_H

#include "kernels/cpu/conv.h"

size_t conv_amx_packed(const struct kern_conv *cv);
int conv_amx_pack(struct kern *kn, const struct kern_conv *cv, void *packed, const float *w);
int conv_amx_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                     const void *packed, const struct kern_epilogue *ep);
int conv_amx_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                           const void *packed, bool add);
int conv_amx_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw, const void *x,
                              const void *dy);

#endif
