/*
 * test_mask.c - masks: through PNG, resized with their pictures, and found by saliency.
 */
#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/data/saliency.h"
#include "common/data/slic.h"
#include "tests/t.h"
#include <stdlib.h>
#include <string.h>

static struct mask random_mask(size_t h, size_t w)
{
    struct mask m = { h, w, malloc(h * w) };
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, h, w, 0);
    for (size_t i = 0; i < h * w; i++)
        m.plane[i] = (uint8_t)rng_u32(&r);
    return m;
}

static bool same_bits(const struct mask *a, const struct mask *b)
{
    bool same = a->h == b->h && a->w == b->w;
    for (size_t i = 0; same && i < a->h * a->w; i++)
        same = (a->plane[i] >= MASK_FOREGROUND) == (b->plane[i] >= MASK_FOREGROUND);
    return same;
}

/* Widths on both sides of whole bytes of bits. */
static void through_png(void)
{
    static const size_t widths[] = { 1, 7, 8, 9, 64, 301 };
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        struct mask m = random_mask(5, widths[i]), back = { 0 };
        uint8_t *png = NULL;
        size_t n = 0;
        ok(mask_encode(&m, &png, &n) == 0 && mask_decode(&back, png, n) == 0 &&
               same_bits(&m, &back) && mask_cover(&m) == mask_cover(&back),
           "a mask of 5 x %zu comes back from %zu bytes: %s", widths[i], n, fail_text());
        free(png);
        mask_release(&m);
        mask_release(&back);
    }
    struct mask m = { 0 };
    ok(mask_decode(&m, (const uint8_t *)"no picture", 10) == -EINVAL && !m.plane, "no picture: %s",
       fail_text());
}

/* A colour is foreground if its mean is at least 128. */
static void colours(void)
{
    uint8_t rgb[] = { 127, 127, 127, 128, 128, 128, 255, 128, 0, 255, 129, 0, 255, 255, 0 };
    struct image im = { 1, 5, rgb };
    struct mask m = { 0 };
    uint8_t *png;
    size_t n;
    ok(image_encode_png(&im, &png, &n) == 0 && mask_decode(&m, png, n) == 0 &&
           !memcmp(m.plane, (uint8_t[]){ 0, 255, 0, 255, 255 }, 5),
       "colours become a mask: %s", fail_text());
    near(mask_cover(&m), 0.6, 1e-12, "and cover");
    free(png);
    mask_release(&m);
}

/* The left half, where the picture's left half goes. */
static void resized(void)
{
    struct mask m = { 40, 100, calloc(40, 100) };
    for (size_t i = 0; i < 4000; i++)
        m.plane[i] = i % 100 < 50 ? 255 : 0;
    bool good = mask_resize(&m, 20, 50) == 0 && m.h == 20 && m.w == 50;
    for (size_t i = 0; good && i < 1000; i++)
        good = m.plane[i] == (i % 50 < 25 ? 255 : 0);
    ok(good, "half the size");
    good = mask_square(&m, 10) == 0 && m.h == 10 && m.w == 10;
    for (size_t i = 0; good && i < 100; i++)
        good = m.plane[i] == (i % 10 < 5 ? 255 : 0);
    ok(good, "a square from the middle");
    mask_release(&m);
}

/* A disc of one colour on a ground of another, both with noise. */
static bool inside(size_t y, size_t x, size_t h, size_t w)
{
    return hypot((double)y - (double)h * 0.55, (double)x - (double)w * 0.4) < 0.25 * (double)w;
}

static struct image disc(size_t h, size_t w)
{
    struct image im = { h, w, malloc(h * w * 3) };
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, h, w, 1);
    for (size_t i = 0; i < h * w; i++) {
        bool in = inside(i / w, i % w, h, w);
        im.rgb[3 * i] = (uint8_t)((in ? 180 : 60) + rng_below(&r, 30));
        im.rgb[3 * i + 1] = (uint8_t)((in ? 60 : 110) + rng_below(&r, 30));
        im.rgb[3 * i + 2] = (uint8_t)(70 + rng_below(&r, 30));
    }
    return im;
}

static void saliency(void)
{
    static const size_t sides[][2] = { { 32, 32 }, { 200, 150 }, { 400, 700 } };
    for (size_t s = 0; s < ARRAY_LEN(sides); s++) {
        size_t h = sides[s][0], w = sides[s][1], both = 0, either = 0;
        struct image im = disc(h, w);
        struct mask m;
        ok(saliency_mask(&m, &im) == 1 && m.h == h && m.w == w, "a disc of %zu x %zu: %s", h, w,
           fail_text());
        for (size_t i = 0; m.plane && i < h * w; i++) {
            bool in = inside(i / w, i % w, h, w), on = m.plane[i] >= MASK_FOREGROUND;
            both += in && on;
            either += in || on;
        }
        ok((double)both > 0.9 * (double)either, "is found: %zu of %zu pixels", both, either);
        mask_release(&m);
        image_release(&im);
    }
    uint8_t plain[50 * 40 * 3];
    struct image im = { 50, 40, plain }, one = { 1, 1, plain }, line = { 1, 900, plain };
    struct mask m;
    memset(plain, 99, sizeof plain);
    ok(saliency_mask(&m, &im) == 0 && !m.plane, "nothing stands out of one colour");
    ok(saliency_mask(&m, &one) == 0, "or of one pixel");
    ok(saliency_mask(&m, &line) == 0, "or of a line");
}

/* Every region hangs together and has pixels. */
static void superpixels(void)
{
    enum { H = 60, W = 80 };
    static float lab[H * W * 3];
    static int32_t region[H * W], seen[H * W], stack[H * W];
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, 0, 2);
    for (size_t i = 0; i < ARRAY_LEN(lab); i++)
        lab[i] = (float)(i / 3 % W < W / 3 ? 80 : 20) + 40 * rng_float(&r);
    int n = slic(region, lab, H, W, 48);
    ok(n >= 24 && n <= 96, "about 48 regions: %d", n);
    int pieces = 0;
    bool range = true;
    for (int i = 0; i < H * W; i++) {
        int top = 1;
        range = range && region[i] >= 0 && region[i] < n;
        if (seen[i]++)
            continue;
        pieces++;
        stack[0] = i;
        while (top > 0) {
            int at = stack[--top];
            const int near[4] = { at % W ? at - 1 : at, at % W < W - 1 ? at + 1 : at,
                                  at >= W ? at - W : at, at < (H - 1) * W ? at + W : at };
            for (int k = 0; k < 4; k++)
                if (!seen[near[k]] && region[near[k]] == region[at]) {
                    seen[near[k]] = 1;
                    stack[top++] = near[k];
                }
        }
    }
    ok(range && pieces == n, "each in one piece: %d", pieces);
}

int main(void)
{
    through_png();
    colours();
    resized();
    saliency();
    superpixels();
    return done();
}
