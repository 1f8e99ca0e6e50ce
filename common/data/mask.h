/*
 * mask.h - which pixels of a picture are its object (foreground), and which are background.
 *
 * Masks come from files, PNG or JPEG, or from saliency.h. In an image shard they are PNGs of one
 * bit a pixel, or planes beside decoded pixels (semppl-shard(5)).
 */
#ifndef SEMPPL_MASK_H
#define SEMPPL_MASK_H

#include "common/data/image.h"

enum { MASK_FOREGROUND = 128 }; /* this and above */

struct mask {
    size_t h, w;
    uint8_t *plane; /* [h][w], owned */
};

void mask_release(struct mask *m);
/* Any picture as a mask: the grey of a grey one, else 255 where the mean of its colours is at least
 * MASK_FOREGROUND and 0 elsewhere. -EINVAL or -EIO (worded) as image_decode(). */
int mask_decode(struct mask *m, const uint8_t *bytes, size_t n);
int mask_encode(const struct mask *m, uint8_t **out, size_t *n); /* *out is the caller's, free() */
/* The part of the pixels that is foreground, 0 .. 1. */
double mask_cover(const struct mask *m);

/* A mask for the picture that image_resize() or image_square() makes; edges run where the resized
 * mask crosses MASK_FOREGROUND. */
int mask_resize(struct mask *m, size_t h, size_t w);
int mask_square(struct mask *m, size_t px);

#endif
