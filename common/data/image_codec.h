/*
 * image_codec.h - private to common/data/image*.c: one decoder a format, and what they share.
 */
#ifndef SEMPPL_IMAGE_CODEC_H
#define SEMPPL_IMAGE_CODEC_H

#include "common/data/image.h"

/*
 * Decoders leave the picture as stored and info->orientation as found; image_decode() turns it.
 * *im is empty on entry, and released by the caller on failure. JPEG: box as in
 * image_decode_box(), NULL for all.
 */
int image_decode_jpeg(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                      bool keep, const struct image_box *box);
int image_decode_png(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                     bool keep);

/* Room for h x w pixels, cleared, of which only the first 3 bytes of each are rgb's in the end.
 * -EFBIG (worded) above IMAGE_MAX_PIXELS, -EINVAL without pixels, -ENOMEM. */
int image_alloc(struct image *im, size_t h, size_t w, size_t channels);

/* The orientation (1..8) in a TIFF structure (what follows "Exif\0\0"), 1 if there is none. Trusts
 * no offset. */
int image_exif_orientation(const uint8_t *tiff, size_t n);

/* Pictures above IMAGE_BIG pixels are decoded one at a time, so that memory is bounded by threads x
 * IMAGE_BIG and one bomb, not by threads x bombs. Returns whether it took the lock: info->big. */
#define IMAGE_BIG ((size_t)1 << 26)
bool image_big_begin(size_t h, size_t w);

#endif
