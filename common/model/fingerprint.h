/*
 * fingerprint.h - what an encoder makes of a few pictures that are drawn here: by these numbers one
 * sees that another program's encoder is the same.
 *
 * The input of the network, at picture n, channel c (red first), row y, column x, all from 0:
 *     v = ((5 + 2n) y + (3 + 4c) x + (n + 1) x y) mod 256 / 128 - 1
 * It is no colour that is still to be normalised. semppl-ckpt(1) has the same in Python.
 */
#ifndef SEMPPL_FINGERPRINT_H
#define SEMPPL_FINGERPRINT_H

#include "common/model/settings.h"
#include "kernels/kern.h"

enum { FINGERPRINT_PICTURES = 3, FINGERPRINT_SIDE = 64, FINGERPRINT_FIRST = 4 };

struct fingerprint {
    size_t features;
    float *x; /* [FINGERPRINT_PICTURES][features] */
};

/*
 * By running statistics, in float32; param and running as in encoder_build()'s network.
 * -ENUMERIC (worded, with name) if features are not finite, below 0, or the same for all pictures.
 * fingerprint_release() in any case.
 */
int fingerprint_take(struct fingerprint *f, struct kern *kn, const char *name,
                     const struct settings *set, const float *param, const float *running);
void fingerprint_release(struct fingerprint *f);

bool fingerprint_same(const struct fingerprint *a, const struct fingerprint *b); /* bit for bit */
double fingerprint_mean(const struct fingerprint *f, size_t picture);

#endif
