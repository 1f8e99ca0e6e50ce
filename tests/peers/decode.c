/*
 * decode.c - pictures as the toolkit decodes and resizes them, for pixels.py: PPM files on standard
 * output, back to back.
 *
 *     decode FILE...            as they are
 *     decode -HEIGHT -WIDTH FILE...   resized with antialiasing
 */
#include "common/base/fail.h"
#include "common/data/image.h"
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 1 << 20 }; /* bytes of a file here */

static int show(const char *path, size_t h, size_t w)
{
    static uint8_t bytes[MOST];
    struct image whole = { 0 }, small = { 0 };
    FILE *f = fopen(path, "rb");
    if (!f)
        return fail_errno("%s", path);
    size_t n = fread(bytes, 1, MOST, f);
    fclose(f);
    int rc = image_decode(&whole, NULL, bytes, n, false);
    if (rc == 0 && h > 0)
        rc = image_resize(&small, &whole, h, w);
    const struct image *im = h > 0 ? &small : &whole;
    if (rc == 0 && (printf("P6\n%zu %zu\n255\n", im->w, im->h) < 0 ||
                    fwrite(im->rgb, im->w * 3, im->h, stdout) != im->h))
        rc = fail_errno("standard output");
    image_release(&whole);
    image_release(&small);
    return rc;
}

int main(int argc, char **argv)
{
    size_t h = 0, w = 0;
    int rc = 0, i = 1;
    if (argc > 2 && argv[1][0] == '-') {
        h = strtoul(argv[1] + 1, NULL, 10);
        w = strtoul(argv[2] + 1, NULL, 10);
        i = 3;
    }
    for (; i < argc && rc == 0; i++)
        rc = show(argv[i], h, w);
    if (rc < 0)
        fprintf(stderr, "decode: %s\n", fail_text());
    return rc < 0;
}
