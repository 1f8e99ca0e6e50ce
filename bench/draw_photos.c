/*
 * draw_photos.c - pictures of 500 x 375 that cost a decoder as much as photos do: soft shapes under
 * film grain, about 100 kB of JPEG each.
 *
 *     draw_photos FOLDER COUNT
 */
#include "common/base/rng.h"
#include "common/data/image.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { H = 375, W = 500, WAVES = 12 };

struct wave {
    float x, y, phase, height[3];
};

static void draw(struct image *im, struct rng *r)
{
    struct wave wave[WAVES];
    for (int k = 0; k < WAVES; k++) {
        float steep = 0.3f / (float)(k + 1);
        wave[k] =
            (struct wave){ rng_range(r, -steep, steep),
                           rng_range(r, -steep, steep),
                           rng_range(r, 0, 7),
                           { rng_range(r, 5, 25), rng_range(r, 5, 25), rng_range(r, 5, 25) } };
    }
    for (size_t y = 0; y < H; y++)
        for (size_t x = 0; x < W; x++) {
            float v[3] = { 128, 128, 128 }, grain = rng_range(r, -20, 20);
            for (int k = 0; k < WAVES; k++) {
                float s = sinf(wave[k].x * (float)x + wave[k].y * (float)y + wave[k].phase);
                for (int c = 0; c < 3; c++)
                    v[c] += wave[k].height[c] * s;
            }
            for (int c = 0; c < 3; c++)
                im->rgb[(y * W + x) * 3 + (size_t)c] = (uint8_t)fminf(fmaxf(v[c] + grain, 0), 255);
        }
}

int main(int argc, char **argv)
{
    static uint8_t rgb[H * W * 3];
    struct image im = { H, W, rgb };
    if (argc != 3) {
        fputs("usage: draw_photos FOLDER COUNT\n", stderr);
        return 2;
    }
    for (long i = 0, n = strtol(argv[2], NULL, 10); i < n; i++) {
        char path[4096];
        uint8_t *jpeg;
        size_t nbytes;
        struct rng r;
        rng_init(&r, 1, RNG_TEST, (uint64_t)i, 0, 0);
        draw(&im, &r);
        snprintf(path, sizeof(path), "%s/%05ld.jpg", argv[1], i);
        if (image_encode_jpeg(&im, 90, &jpeg, &nbytes) < 0)
            return 1;
        FILE *f = fopen(path, "wb");
        bool whole = f && fwrite(jpeg, 1, nbytes, f) == nbytes;
        if (!f || fclose(f) != 0 || !whole) {
            perror(path);
            return 1;
        }
        free(jpeg);
    }
    return 0;
}
