/*
 * precision.h - how a network stores activations and multiplies: --precision of the programs that
 * run one.
 *
 * Parameters, statistics, sums and losses are float32 in every case; bfloat16 or float16 is what
 * the inputs of convolutions and their weights are rounded to, and what lies between the layers of
 * an encoder.
 *
 * TF32 is no storage: activations are float32, and so are sums, but the matrix units of CUDA
 * devices round what they multiply to 10 bits behind the point, as many as float16 has, with the
 * range of float32.
 *
 * float16 has three more bits than bfloat16 and a narrow range, 6e-8 to 65504: gradients of
 * activations, means over a batch, are below it. So they are multiplied by a loss scale on their
 * way to the parameters (Micikevicius et al., arXiv 1710.03740).
 */
#ifndef SEMPPL_PRECISION_H
#define SEMPPL_PRECISION_H

#include "kernels/kern.h"

enum precision { PRECISION_AUTO, PRECISION_F32, PRECISION_BF16, PRECISION_F16, PRECISION_TF32 };
extern const char *const precision_names[]; /* NULL behind the last */

/*
 * What p means on this device, noted in this program's line of the history; TF32 is then on in kn,
 * or off. auto: bfloat16 where the device has matrix units for it, else float32. -EUSAGE (worded)
 * if the device has no float16, or no TF32; -ENOMEM (worded).
 */
int precision_choose(enum kern_type *type, enum precision p, struct kern *kn);

/*
 * The loss scale, where none is given. A gradient of a weight must stay below 65504 / 1024 = 64,
 * several times what whole networks have; and that of an activation of the last plane, about 1e-7
 * with a batch of 1024, is then no denormal.
 */
enum { PRECISION_LOSS_SCALE = 1024 };

#endif
