/*
 * views.h - from the rows of a batch to the networks' inputs: every picture read and decoded once,
 * as far as its crops need, then cropped and coloured for each view.
 *
 * Set A of the augmentations makes the even views, set B the odd ones, counted separately among
 * large and small crops, unless the settings average them. Large crops may have the background of
 * their picture replaced, where it has a mask (method 4.8). The draws of a view depend on (seed,
 * step, id of the picture, view) and on the stream that the picture came from.
 */
#ifndef SEMPPL_VIEWS_H
#define SEMPPL_VIEWS_H

#include "common/base/pool.h"
#include "common/data/augment.h"
#include "common/data/shard.h"
#include "common/model/sampler.h"
#include "kernels/kern.h"

#define VIEWS_AT_ONCE 64 /* decoded pictures in memory */

struct views {
    struct kern *kn;
    struct pool *pool;
    struct shard_set *data;
    uint64_t seed;
    double mask_least;      /* part of a picture that a mask covers at least, to be used */
    size_t n, large, small; /* images; views of each size */
    size_t large_side, small_side;
    size_t *side; /* [large + small] */
    float mean[3], dev[3];
    struct view_recipe recipe[2][2]; /* [small][B] */
    enum kern_type type;
    void **x; /* [large + small] inputs [n][side][side][3] of type, device, at multiples of 64
                 bytes; those of a size lie one behind another (views_adjoin) */
    /* of the pictures at hand */
    struct image picture[VIEWS_AT_ONCE];
    struct mask mask[VIEWS_AT_ONCE];
    struct kern_picture from[VIEWS_AT_ONCE]; /* both, as the kernels know them */
    struct view_draw (*draw)[VIEWS_AT_ONCE]; /* [large + small] */
    struct kern_view *view;                  /* [VIEWS_AT_ONCE][large + small] */
    void **out;                              /* [large + small] their places in x */
};

int views_open(struct views *v, struct kern *kn, struct pool *pool, struct shard_set *data,
               const struct settings *set, enum kern_type type);
void views_close(struct views *v);
size_t views_bytes(const struct settings *set, enum kern_type type); /* of the inputs */
/* Do the inputs of a view end where the next one of its size begins? */
bool views_adjoin(const struct settings *set, enum kern_type type);

/* The draws of one view of count pictures in step k: out [count]. A repeat within the batch draws
 * anew. */
void views_draw(const struct views *v, int64_t k, size_t view, const struct sample *batch,
                const uint64_t *id, size_t count, struct view_draw *out);

/* Fills all inputs for step k (steps done before it), ready for any handle of the device. batch
 * [n]; id [n] of its pictures. */
int views_load(struct views *v, int64_t k, const struct sample *batch, const uint64_t *id);

#endif
