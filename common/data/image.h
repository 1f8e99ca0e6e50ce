/*
 * image.h - pictures: JPEG and PNG in, RGB in memory, JPEG and PNG out.
 *
 * Content is sniffed. JPEG is decoded by libjpeg-turbo with the accurate DCT and fancy upsampling
 * (the same pixels as djpeg). Grey, CMYK and YCCK (Adobe-inverted too) become RGB; PNG palettes,
 * grey and 16 bits (scaled, not clamped) too; alpha is laid over white. EXIF orientation is
 * applied. Pictures above 2^26 pixels are decoded one at a time, whatever the threads, so that a
 * folder of bombs does not take threads times their memory; image_big_end() lets the next one in.
 */
#ifndef SEMPPL_IMAGE_H
#define SEMPPL_IMAGE_H

#include "common/base/base.h"

struct image {
    size_t h, w;
    uint8_t *rgb; /* [h][w][3], owned */
};

struct image_box { /* rows and columns as shown, inside the picture */
    size_t top, left, height, width;
};

enum image_format { IMAGE_NONE, IMAGE_JPEG, IMAGE_PNG };

struct image_info {
    enum image_format format;
    size_t h, w;       /* as shown, after orientation */
    int orientation;   /* EXIF 1..8; 1 if there is none */
    bool truncated;    /* data ended early: the rest of the pixels are the library's guess */
    bool big;          /* others above 2^26 pixels wait for image_big_end() */
    char warning[160]; /* the first harmless oddity, or "" */
};

#define IMAGE_MAX_PIXELS                                                                           \
    ((size_t)1                                                                                     \
     << 28) /* larger pictures are refused: a decompression bomb, or not for this toolkit */

/* "libjpeg-turbo 2.1.5": what decodes JPEGs here, for the recipe in a shard. */
const char *image_jpeg_library(void);

enum image_format image_sniff(const uint8_t *bytes, size_t n);
/* Decodes all of it. Data that is truncated, or damaged so that pixels are lost, is -EIO unless
 * keep, where it is best effort and flagged. info may be NULL, else image_big_end() must follow a
 * success, in the same thread, when the pixels are no longer needed. -EINVAL: not a picture, or
 * none that can be decoded at all; -EFBIG: too many pixels or scans; worded WITHOUT the file's name
 * (the caller knows it). Any thread. */
int image_decode(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                 bool keep);
/* image_decode(im, NULL, bytes, n, true), of which only the pixels inside box are sure: a JPEG of
 * one Huffman scan, not turned, is decoded no further than the box needs, and damage after it goes
 * unnoticed. The others' memory is there. NULL, or a box not inside the picture: all of it. */
int image_decode_box(struct image *im, const uint8_t *bytes, size_t n, const struct image_box *box);
/* The grey of a PNG that has nothing else, not turned: *plane [h][w], the caller's. -ENOTSUP (not
 * worded) for any other picture, else as image_decode(). */
int image_decode_grey(uint8_t **plane, size_t *h, size_t *w, const uint8_t *bytes, size_t n);
void image_release(struct image *im);
void image_big_end(struct image_info *info); /* nothing for a picture that is not big */

/*
 * Antialiased bicubic resize (a = -0.5, support scaled when shrinking), the arithmetic of Pillow's
 * Image.resize(BICUBIC) to within 1 level: horizontal pass, rounded to 8 bits, then vertical.
 */
int image_resize(struct image *out, const struct image *in, size_t h, size_t w);
/* Short side to px, only ever shrinking, keeping the aspect (rounded). */
int image_short_side(struct image *out, const struct image *in, size_t px);
/* Short side to px, shrinking or growing, then the centre px x px; only that is made. */
int image_square(struct image *out, const struct image *in, size_t px);

/* *out is malloc'd, the caller's. JPEG: 4:4:4, quality 1..100. */
int image_encode_jpeg(const struct image *im, int quality, uint8_t **out, size_t *n);
int image_encode_png(const struct image *im, uint8_t **out, size_t *n);
/* A PNG of one bit a pixel: plane [h][w], white where it is not 0. */
int image_encode_bits(const uint8_t *plane, size_t h, size_t w, uint8_t **out, size_t *n);
/* By the ending .png, .jpg or .jpeg; written beside, then renamed. -EUSAGE for another ending. */
int image_write(const struct image *im, const char *path);
/* -EUSAGE (worded) if out, which is to be written, is a JPEG or PNG file. "-" is none. */
int image_spares(const char *out);

#endif
