/*
 * image_png.c - PNG in and out through libpng.
 *
 * As with JPEG, what must survive a longjmp lives in a struct. Palettes, greys and 1 to 16 bits
 * become RGB (16 bits scaled, v * 255 / 65535 rounded), and what is transparent is laid over white.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/image_codec.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_LIMIT ((size_t)8 << 20) /* of an ancillary chunk, unpacked */

struct png_in {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t n, at;
    struct image *im;
    size_t channels;
    bool grey;    /* one channel is wanted, and no picture that needs more */
    bool reading; /* the header was good: from now on a fault loses pixels, not the picture */
    bool ended;   /* more bytes were wanted than there are */
    bool whole;   /* all rows had theirs: what is missing now is the end mark */
    bool memory;  /* there was none */
    bool big;
    char error[120], first[120];
};

/* libpng has words for its errors, and no numbers. */
static bool lacks_memory(const char *text)
{
    return strcasestr(text, "out of memory") || strcasestr(text, "insufficient memory") ||
           strcasestr(text, "no memory");
}

static void on_error(png_structp png, png_const_charp text)
{
    struct png_in *in = png_get_error_ptr(png);
    in->memory = lacks_memory(text);
    snprintf(in->error, sizeof in->error, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    struct png_in *in = png_get_error_ptr(png);
    if (in->first[0] == '\0')
        snprintf(in->first, sizeof in->first, "%s", text);
}

/* libpng asks for whole chunks. Of one that is cut it gets what there is, and zeros for the rest,
 * so that the rows before the cut are not lost. */
static void on_read(png_structp png, png_bytep to, size_t n)
{
    struct png_in *in = png_get_io_ptr(png);
    size_t left = in->n - in->at, some = MIN(n, left);
    if (some < n) {
        if (in->ended || left == 0) {
            in->ended = true;
            png_error(png, "data ends early");
        }
        in->ended = true;
        memset(to + some, 0, n - some);
    }
    memcpy(to, in->bytes + in->at, some);
    in->at += some;
}

static int find_orientation(const struct png_in *in)
{
#ifdef PNG_eXIf_SUPPORTED
    png_uint_32 n = 0;
    png_bytep exif = NULL;
    if (png_get_eXIf_1(in->png, in->info, &n, &exif) != 0 && exif != NULL)
        return image_exif_orientation(exif, n);
#endif
    (void)in;
    return 1;
}

/* Header read: asks libpng for 8-bit grey, RGB or RGBA and makes room. */
static int begin(struct png_in *in)
{
    png_uint_32 w = png_get_image_width(in->png, in->info);
    png_uint_32 h = png_get_image_height(in->png, in->info);
    bool transparent = (png_get_color_type(in->png, in->info) & PNG_COLOR_MASK_ALPHA) != 0 ||
                       png_get_valid(in->png, in->info, PNG_INFO_tRNS) != 0;
    if (in->grey && (transparent || png_get_color_type(in->png, in->info) != PNG_COLOR_TYPE_GRAY))
        return -ENOTSUP;
    png_set_expand(in->png);
    png_set_scale_16(in->png);
    if (!in->grey)
        png_set_gray_to_rgb(in->png);
    in->channels = in->grey ? 1 : transparent ? 4 : 3;
    if (h <= IMAGE_MAX_PIXELS / w)
        in->big = image_big_begin(h, w);
    return image_alloc(in->im, h, w, in->channels);
}

static int decode(struct png_in *in)
{
    int rc;
    if (setjmp(png_jmpbuf(in->png))) {
        if (in->memory)
            return fail(-ENOMEM, "no memory to decode a PNG");
        if (in->ended && in->whole) {
            on_warning(in->png, "no end mark behind the pixels");
            return 0;
        }
        if (in->ended)
            return fail(-EIO, "data ends early, after %s", TEXT_COUNT(in->n, "byte", "bytes"));
        return fail(in->reading ? -EIO : -EINVAL, "%s, near byte %zu", in->error, in->at);
    }
    png_set_read_fn(in->png, in, on_read);
    png_set_user_limits(in->png, 0x7fffffff, 0x7fffffff); /* image_alloc() has the real one */
    png_set_chunk_malloc_max(in->png, CHUNK_LIMIT);
    png_read_info(in->png, in->info);
    if ((rc = begin(in)) < 0)
        return rc;
    int passes = png_set_interlace_handling(in->png);
    png_read_update_info(in->png, in->info);
    if (png_get_rowbytes(in->png, in->info) != in->im->w * in->channels)
        return fail(-EINVAL, "an unknown kind of PNG");
    in->reading = true;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < in->im->h; y++)
            png_read_row(in->png, in->im->rgb + y * in->im->w * in->channels, NULL);
    if (in->ended)
        return fail(-EIO, "data ends early, after %s", TEXT_COUNT(in->n, "byte", "bytes"));
    in->whole = true;
    png_read_end(in->png, in->info);
    return 0;
}

/* RGBA over white, in place: pixel i moves from 4i to 3i. */
static void lay_over_white(struct image *im)
{
    const uint8_t *from = im->rgb;
    uint8_t *to = im->rgb;
    for (size_t i = 0; i < im->h * im->w; i++, from += 4, to += 3) {
        unsigned alpha = from[3];
        for (int c = 0; c < 3; c++)
            to[c] = (uint8_t)((2 * (from[c] * alpha + 255 * (255 - alpha)) + 255) / 510);
    }
}

static int decode_png(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                      bool keep, bool grey)
{
    struct png_in in = { .bytes = bytes, .n = n, .im = im, .grey = grey };
    in.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &in, on_error, on_warning);
    in.info = in.png != NULL ? png_create_info_struct(in.png) : NULL;
    int rc = in.info != NULL ? decode(&in) : fail(-ENOMEM, "no memory to decode a PNG");
    if (in.reading && rc == -EIO) {
        info->truncated = true;
        snprintf(info->warning, sizeof info->warning, "%s", fail_text());
        if (keep)
            rc = 0;
    } else {
        snprintf(info->warning, sizeof info->warning, "%s", in.first);
    }
    if (rc == 0) {
        info->orientation = find_orientation(&in);
        if (in.channels == 4)
            lay_over_white(im);
    }
    png_destroy_read_struct(&in.png, &in.info, NULL);
    info->big = in.big;
    return rc;
}

int image_decode_png(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                     bool keep)
{
    return decode_png(im, info, bytes, n, keep, false);
}

int image_decode_grey(uint8_t **plane, size_t *h, size_t *w, const uint8_t *bytes, size_t n)
{
    struct image im = { 0 };
    struct image_info info = { .orientation = 1 };
    if (image_sniff(bytes, n) != IMAGE_PNG)
        return -ENOTSUP;
    int rc = decode_png(&im, &info, bytes, n, false, true);
    image_big_end(&info);
    if (rc == 0 && info.orientation != 1)
        rc = -ENOTSUP;
    if (rc < 0) {
        image_release(&im);
        return rc;
    }
    *plane = im.rgb;
    *h = im.h;
    *w = im.w;
    return 0;
}

/* -- out ---- */

struct png_out {
    png_structp png;
    png_infop info;
    uint8_t *bytes;
    size_t n, room;
    char error[120];
};

static void on_encode_error(png_structp png, png_const_charp text)
{
    struct png_out *out = png_get_error_ptr(png);
    snprintf(out->error, sizeof out->error, "%s", text);
    png_longjmp(png, 1);
}

static void on_write(png_structp png, png_bytep from, size_t n)
{
    struct png_out *out = png_get_io_ptr(png);
    if (mem_grow(&out->bytes, &out->room, out->n + n, 1) < 0)
        png_error(png, "no memory");
    memcpy(out->bytes + out->n, from, n);
    out->n += n;
}

static void on_flush(png_structp png UNUSED) {}

/* rows [h][w][channels]: RGB, or one byte a pixel that becomes a bit. */
static int encode(struct png_out *out, const uint8_t *rows, size_t h, size_t w, size_t channels)
{
    bool bits = channels == 1;
    if (setjmp(png_jmpbuf(out->png)))
        return fail(lacks_memory(out->error) ? -ENOMEM : -EINVAL, "cannot be written as PNG: %s",
                    out->error);
    png_set_write_fn(out->png, out, on_write, on_flush);
    png_set_IHDR(out->png, out->info, (png_uint_32)w, (png_uint_32)h, bits ? 1 : 8,
                 bits ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(out->png, out->info);
    if (bits)
        png_set_packing(out->png);
    for (size_t y = 0; y < h; y++)
        png_write_row(out->png, rows + y * w * channels);
    png_write_end(out->png, out->info);
    return 0;
}

static int encode_png(const uint8_t *rows, size_t h, size_t w, size_t channels, uint8_t **bytes,
                      size_t *n)
{
    struct png_out out = { 0 };
    out.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &out, on_encode_error, NULL);
    out.info = out.png != NULL ? png_create_info_struct(out.png) : NULL;
    int rc = out.info != NULL ? encode(&out, rows, h, w, channels)
                              : fail(-ENOMEM, "no memory to write a PNG");
    png_destroy_write_struct(&out.png, &out.info);
    *bytes = out.bytes;
    *n = out.n;
    if (rc < 0) {
        free(out.bytes);
        *bytes = NULL;
    }
    return rc;
}

int image_encode_png(const struct image *im, uint8_t **bytes, size_t *n)
{
    return encode_png(im->rgb, im->h, im->w, 3, bytes, n);
}

int image_encode_bits(const uint8_t *plane, size_t h, size_t w, uint8_t **bytes, size_t *n)
{
    return encode_png(plane, h, w, 1, bytes, n);
}
