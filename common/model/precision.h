/*
 * precision.h - how a network stores activations: --precision of the programs that run one.
 *
 * Parameters, statistics, sums and losses are float32 in every case; bfloat16 is what the inputs of
 * convolutions and their weights are rounded to, and what lies between the layers of an encoder.
 */
#ifndef SEMPPL_PRECISION_H
#define SEMPPL_PRECISION_H

#include "kernels/kern.h"

enum precision { PRECISION_AUTO, PRECISION_F32, PRECISION_BF16 };
extern const char *const precision_names[]; /* NULL behind the last */

/*
 * What p means on this device, noted in this program's line of the history. auto: bfloat16 where
 * the device has matrix units for it, else float32. Warns if bfloat16 is asked for without them.
 * -ENOMEM (worded).
 */
int precision_choose(enum kern_type *type, enum precision p, const struct kern *kn);

#endif
