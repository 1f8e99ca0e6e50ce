/*
 * embedder.h - from pictures to vectors: decode, centre crop, normalise, and a trained network at
 * work.
 *
 * The picture's centre square (side: eval_crop of the short side) is resized to the encoder's
 * large_side and normalised with the checkpoint's mean and deviation; batch norm uses running
 * statistics. Rows do not depend on the pictures around them.
 */
#ifndef SEMPPL_EMBEDDER_H
#define SEMPPL_EMBEDDER_H

#include "common/data/embed.h"
#include "common/data/shard.h"
#include "kernels/kern.h"

enum embedder_layer {
    EMBEDDER_FEATURES,   /* the encoder's output, after average pooling */
    EMBEDDER_PROJECTION, /* the projector's output */
    EMBEDDER_PIXELS,     /* the network's input: (value / 255 - mean) / deviation */
};
enum embedder_net { EMBEDDER_ONLINE, EMBEDDER_TARGET };

struct embedder;

/*
 * ckpt: path of a checkpoint; NULL only for EMBEDDER_PIXELS, which then takes pictures whole, all
 * of one size, with the imagenet preset's mean and deviation. The handle's pool decodes too.
 * type: of the network's activations.
 */
int embedder_open(struct embedder **e, struct kern *kn, struct pool *pool, const char *ckpt,
                  enum embedder_layer layer, enum embedder_net net, enum kern_type type);
void embedder_close(struct embedder *e); /* NULL is fine */

const struct embed_kind *embedder_kind(const struct embedder *e);
const struct history *embedder_history(const struct embedder *e); /* of the checkpoint */
/* Length of a vector; 0 as long as it hangs on the first picture (pixels without a checkpoint). */
size_t embedder_width(const struct embedder *e);

/* The shard's pictures are one size to come (pixels without a checkpoint): fixes the width. */
int embedder_look(struct embedder *e, const struct shard *s);
/* How many rows from first on make the next batch: bounded by activations and decoded pixels. */
size_t embedder_batch(const struct embedder *e, const struct shard *s, size_t first);
/*
 * Vectors of rows [first, first + n), n of embedder_batch(), into x [n][width], host memory.
 * -ENUMERIC (worded) if one is all zero or not finite.
 */
int embedder_run(struct embedder *e, const struct shard *s, size_t first, size_t n, float *x);

/* Seconds spent so far in reading and decoding, and in the network. */
void embedder_times(const struct embedder *e, double *decode, double *compute);

#endif
