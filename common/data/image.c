/*
 * image.c - sniffing, orientation, and pictures to files; the formats are in image_*.c.
 */
#include "common/data/image.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/image_codec.h"
#include "common/data/outfile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { TILE = 64 }; /* pixels a side */

static pthread_mutex_t big = PTHREAD_MUTEX_INITIALIZER;

bool image_big_begin(size_t h, size_t w)
{
    bool take = w > 0 && h > IMAGE_BIG / w;
    if (take)
        pthread_mutex_lock(&big);
    return take;
}

void image_big_end(struct image_info *info)
{
    if (info->big)
        pthread_mutex_unlock(&big);
    info->big = false;
}

int image_alloc(struct image *im, size_t h, size_t w, size_t channels)
{
    if (h == 0 || w == 0)
        return fail(-EINVAL, "a picture of %zu x %zu pixels has none", w, h);
    if (h > IMAGE_MAX_PIXELS / w)
        return fail(-EFBIG, "%zu x %zu pixels are more than the %zu million allowed", w, h,
                    IMAGE_MAX_PIXELS >> 20);
    im->rgb = mem_alloc(h * w, channels, "a picture"); /* at most 2^30: cannot wrap */
    if (im->rgb == NULL)
        return -ENOMEM;
    im->h = h;
    im->w = w;
    return 0;
}

void image_release(struct image *im)
{
    free(im->rgb);
    *im = (struct image){ 0 };
}

enum image_format image_sniff(const uint8_t *bytes, size_t n)
{
    static const uint8_t png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    if (n >= 2 && bytes[0] == 0xff && bytes[1] == 0xd8)
        return IMAGE_JPEG; /* junk may follow at once; libjpeg forgives it, and so do we */
    if (n >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        return IMAGE_PNG;
    return IMAGE_NONE;
}

/*
 * Turns a picture as its EXIF orientation asks. Pixel (y, x) of the result is the stored pixel
 * base + y * down + x * right; one row of the table for each of the eight values. Tile by tile,
 * since a row of one is a column of the other, which would touch a cache line for every pixel.
 */
static int orient(struct image *im, int orientation)
{
    ptrdiff_t h = (ptrdiff_t)im->h, w = (ptrdiff_t)im->w;
    const struct {
        ptrdiff_t base, down, right;
    } turn[9] = {
        [1] = { 0, w, 1 },           [2] = { w - 1, w, -1 },       /* mirrored */
        [3] = { h * w - 1, -w, -1 }, [4] = { (h - 1) * w, -w, 1 }, /* half a turn; upside down */
        [5] = { 0, 1, w },           [6] = { (h - 1) * w, 1, -w }, /* transposed; a turn right */
        [7] = { h * w - 1, -1, -w }, [8] = { w - 1, -1, w },       /* transversed; a turn left */
    };
    if (orientation <= 1 || orientation > 8)
        return 0;
    struct image to = { 0 };
    bool swap = orientation >= 5;
    int rc = image_alloc(&to, swap ? im->w : im->h, swap ? im->h : im->w, 3);
    if (rc < 0)
        return rc;
    ptrdiff_t base = turn[orientation].base, down = turn[orientation].down;
    ptrdiff_t right = turn[orientation].right;
    for (size_t y0 = 0; y0 < to.h; y0 += TILE)
        for (size_t x0 = 0; x0 < to.w; x0 += TILE)
            for (size_t y = y0; y < MIN(y0 + TILE, to.h); y++)
                for (size_t x = x0; x < MIN(x0 + TILE, to.w); x++)
                    memcpy(to.rgb + 3 * (y * to.w + x),
                           im->rgb + 3 * (base + (ptrdiff_t)y * down + (ptrdiff_t)x * right), 3);
    image_release(im);
    *im = to;
    return 0;
}

static int decode(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                  bool keep, const struct image_box *box)
{
    *im = (struct image){ 0 };
    *info = (struct image_info){ .format = image_sniff(bytes, n), .orientation = 1 };
    int rc = info->format == IMAGE_JPEG  ? image_decode_jpeg(im, info, bytes, n, keep, box)
             : info->format == IMAGE_PNG ? image_decode_png(im, info, bytes, n, keep)
                                         : fail(-EINVAL, "not a JPEG or PNG");
    if (rc == 0)
        rc = orient(im, info->orientation);
    if (rc < 0)
        image_release(im);
    if (rc < 0)
        image_big_end(info);
    info->h = im->h;
    info->w = im->w;
    return rc;
}

int image_decode_box(struct image *im, const uint8_t *bytes, size_t n, const struct image_box *box)
{
    struct image_info info;
    int rc = decode(im, &info, bytes, n, true, box);
    image_big_end(&info);
    return rc;
}

int image_decode(struct image *im, struct image_info *info, const uint8_t *bytes, size_t n,
                 bool keep)
{
    struct image_info own;
    int rc = decode(im, info != NULL ? info : &own, bytes, n, keep, NULL);
    if (info == NULL)
        image_big_end(&own);
    return rc;
}

int image_spares(const char *out)
{
    uint8_t head[8] = { 0 };
    struct stat st;
    bool there = strcmp(out, "-") != 0 && stat(out, &st) == 0 && S_ISREG(st.st_mode);
    FILE *f = there ? fopen(out, "re") : NULL;
    size_t n = f != NULL ? fread(head, 1, sizeof head, f) : 0;
    if (f != NULL)
        fclose(f);
    return image_sniff(head, n) == IMAGE_NONE
               ? 0
               : fail(-EUSAGE, "%s is a picture, and would be replaced", out);
}

int image_write(const struct image *im, const char *path)
{
    const char *dot = strrchr(path, '.');
    uint8_t *bytes = NULL;
    size_t n = 0;
    int rc;
    if (dot != NULL && strcasecmp(dot, ".png") == 0)
        rc = image_encode_png(im, &bytes, &n);
    else if (dot != NULL && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0))
        rc = image_encode_jpeg(im, 95, &bytes, &n);
    else
        return fail(-EUSAGE, "%s: the name of a picture ends in .png, .jpg or .jpeg", path);
    struct outfile out = { 0 };
    if (rc == 0 && (rc = outfile_open(&out, path)) == 0) {
        fwrite(bytes, 1, n, out.file); /* the stream remembers an error for outfile_commit() */
        rc = outfile_commit(&out);
    }
    free(bytes);
    return rc;
}
