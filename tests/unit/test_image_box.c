/*
 * test_image_box.c - the pixels inside a box are those of the whole picture, whatever the JPEG's
 * colours, sampling, scans and orientation, be its data whole, cut off or damaged.
 */
#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/data/image.h"
#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { H = 93, W = 117, BOXES = 60 };

struct kind {
    const char *name;
    int channels, across, down; /* how many columns and rows share a colour */
    bool progressive;
    unsigned restart; /* blocks */
    int orientation;
};

static uint8_t *make(size_t *n, const struct kind *k, struct rng *r)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr err;
    uint8_t *bytes = NULL, row[W * 4], *at = row;
    unsigned long len = 0;
    uint8_t exif[] = "Exif\0\0II*\0\10\0\0\0\1\0\x12\1\3\0\1\0\0\0\0\0\0\0";
    exif[24] = (uint8_t)k->orientation;
    jpeg.err = jpeg_std_error(&err);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &len);
    jpeg.image_width = W;
    jpeg.image_height = H;
    jpeg.input_components = k->channels;
    jpeg.in_color_space = k->channels == 1 ? JCS_GRAYSCALE : k->channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg.comp_info[0].h_samp_factor = k->across;
    jpeg.comp_info[0].v_samp_factor = k->down;
    jpeg.restart_interval = k->restart;
    if (k->progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, exif, sizeof(exif) - 1);
    while (jpeg.next_scanline < H) {
        for (int i = 0; i < W * k->channels; i++)
            row[i] = (uint8_t)rng_u32(r);
        jpeg_write_scanlines(&jpeg, &at, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    *n = len;
    return bytes;
}

/* Whether the box of the picture in n bytes is as in the whole picture. */
static bool same(const uint8_t *bytes, size_t n, const struct image *whole,
                 const struct image_box *box)
{
    struct image im;
    if (image_decode_box(&im, bytes, n, box) < 0)
        return false;
    bool good = im.h == whole->h && im.w == whole->w;
    for (size_t y = box->top; y < box->top + box->height && good; y++) {
        size_t at = (y * im.w + box->left) * 3;
        good = memcmp(im.rgb + at, whole->rgb + at, box->width * 3) == 0;
    }
    image_release(&im);
    return good;
}

/* Random boxes, every other one thin. */
static size_t differing(const uint8_t *bytes, size_t n, struct rng *r)
{
    struct image whole;
    size_t bad = 0;
    if (image_decode(&whole, NULL, bytes, n, true) < 0)
        return BOXES;
    for (int i = 0; i < BOXES; i++) {
        struct image_box b = { 0 };
        b.height = 1 + rng_below(r, (uint32_t)(i & 1 ? 5 : whole.h));
        b.width = 1 + rng_below(r, (uint32_t)(i & 2 ? 5 : whole.w));
        b.top = rng_below(r, (uint32_t)(whole.h - b.height + 1));
        b.left = rng_below(r, (uint32_t)(whole.w - b.width + 1));
        bad += !same(bytes, n, &whole, &b);
    }
    image_release(&whole);
    return bad;
}

/* Writes over bytes of the second half, until the picture can still be read: also what a scan is
 * made of may be hit, and then it is refused. */
static void damage(uint8_t *bytes, size_t n, struct rng *r)
{
    uint8_t *whole = memcpy(malloc(n), bytes, n);
    struct image im;
    do {
        memcpy(bytes, whole, n);
        for (int i = 0; i < 8; i++)
            bytes[n / 2 + rng_below(r, (uint32_t)(n / 2 - 2))] = (uint8_t)rng_below(r, 255);
    } while (image_decode(&im, NULL, bytes, n, true) < 0);
    image_release(&im);
    free(whole);
}

int main(void)
{
    static const struct kind kinds[] = {
        { "grey", 1, 1, 1, false, 0, 1 },       { "4:4:4", 3, 1, 1, false, 0, 1 },
        { "4:2:2", 3, 2, 1, false, 0, 1 },      { "4:2:0", 3, 2, 2, false, 0, 1 },
        { "4:4:0", 3, 1, 2, false, 0, 1 },      { "4:1:1", 3, 4, 1, false, 0, 1 },
        { "CMYK", 4, 1, 1, false, 0, 1 },       { "progressive", 3, 2, 2, true, 0, 1 },
        { "restarting", 3, 2, 2, false, 3, 1 }, { "turned", 3, 2, 2, false, 0, 6 },
    };
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, 4, 0);
    for (size_t t = 0; t < ARRAY_LEN(kinds); t++) {
        const struct kind *k = &kinds[t];
        size_t n, bad = 0;
        uint8_t *bytes = make(&n, k, &r);
        ok(differing(bytes, n, &r) == 0, "%s: boxes are as in the whole picture", k->name);
        for (int i = 0; i < 8; i++) {
            size_t most = n - n / 2;
            bad += differing(bytes, n / 2 + rng_below(&r, (uint32_t)most), &r);
        }
        ok(bad == 0, "%s: when data ends early, too", k->name);
        damage(bytes, n, &r);
        ok(differing(bytes, n, &r) == 0, "%s: or is damaged", k->name);
        struct image whole, im;
        struct image_box beyond = { H - 1, W - 1, 2, 2 };
        if (ok(image_decode(&whole, NULL, bytes, n, true) == 0 &&
                   image_decode_box(&im, bytes, n, &beyond) == 0,
               "a box that is not in the picture"))
            ok(im.h == whole.h && memcmp(im.rgb, whole.rgb, (size_t)H * W * 3) == 0,
               "is all of it");
        image_release(&whole);
        image_release(&im);
        free(bytes);
    }
    return done();
}
