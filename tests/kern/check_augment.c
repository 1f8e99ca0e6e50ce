/*
 * check_augment.c - views: worked values of every step, and the fast kernel against the definition.
 */
#include <string.h>

#include "common/base/rng.h"
#include "tests/kern/check.h"

static const float zero[3] = { 0, 0, 0 }, one[3] = { 1, 1, 1 };

/* A view and the picture that it is of. */
struct shot {
    struct kern_picture from;
    struct kern_view view;
};

static struct shot whole(const uint8_t *rgb, size_t h, size_t w)
{
    return (struct shot){
        .from = { .rgb = rgb, .h = h, .w = w },
        .view = { .height = h, .width = w, .order = { 0, 1, 2, 3 }, .contrast = 1, .saturation = 1 }
    };
}

/* One view of each of n <= MOST pictures. */
enum { MOST = 24 };

static int augment(struct kern *kn, enum kern_type type, void *out, const struct shot *shot,
                   size_t n, size_t side, const float mean[3], const float dev[3])
{
    struct kern_picture picture[MOST];
    struct kern_view view[MOST];
    for (size_t i = 0; i < n; i++) {
        picture[i] = shot[i].from;
        view[i] = shot[i].view;
    }
    struct kern_views v = { type, n, 1, picture, view, &side, &out, { 0 }, { 0 } };
    memcpy(v.mean, mean, sizeof v.mean);
    memcpy(v.dev, dev, sizeof v.dev);
    return kern_augment(kn, &v);
}

static void view(struct kern *kn, float *out, const struct shot *v, size_t side)
{
    ok(augment(kn, KERN_F32, out, v, 1, side, zero, one) == 0, "a view is made");
}

/* Values that can be worked out by hand. */
static void check_values(const char *isa)
{
    struct kern *kn = check_open(isa, 1);
    float out[40 * 40 * 3];

    const uint8_t colour[] = { 51, 128, 204 }; /* about (0.2, 0.5, 0.8) */
    const double g = 128 / 255.0;
    struct shot v = whole(colour, 1, 1);
    view(kn, out, &v, 1);
    near(out[0], 0.2, 1e-6, "%s: a picture of one pixel stays what it is", isa);
    v.view.jitter = true;
    v.view.hue = 0.1f;
    view(kn, out, &v, 1); /* V 0.8, S 0.75: blue stays the maximum, red moves from the minimum */
    near(out[2], 0.8, 1e-6, "hue +0.1 keeps the value");
    near(out[1], 0.2, 1e-6, "hue +0.1 takes green to the minimum");
    near(out[0], 0.2 + 0.6 * (6 * (0.5 + (0.8 - g) / 3.6 + 0.1) - 4), 1e-5,
         "hue +0.1 raises red to about 0.26");
    near(out[0], 0.26, 0.003, "as for (0.2, 0.5, 0.8)");
    v.view.hue = 0;
    v.view.saturation = 1.2f;
    view(kn, out, &v, 1);
    near(out[0], 0.08, 1e-5, "saturation x 1.2: red");
    near(out[1], 0.8 - (0.8 - g) * 1.2, 1e-5, "green, about 0.44");
    near(out[2], 0.8, 1e-5, "blue");
    v.view.saturation = 9;
    view(kn, out, &v, 1);
    near(out[0], 0, 1e-6, "saturation stops at 1");
    v.view.saturation = 1;
    v.view.brightness = 0.3f;
    view(kn, out, &v, 1);
    near(out[0], 0.5, 1e-6, "brightness adds");
    near(out[2], 1, 1e-6, "and clips");
    v.view.jitter = false;
    v.view.grey = true;
    view(kn, out, &v, 1);
    near(out[1], 0.2989 * 0.2 + 0.5870 * g + 0.1140 * 0.8, 1e-5, "grey");
    v.view.grey = false;
    v.view.solarise = true;
    view(kn, out, &v, 1);
    near(out[2], 0.2, 1e-6, "solarise turns what is at least a half");
    near(out[0], 0.2, 1e-6, "and leaves the rest");

    uint8_t two[] = { 0, 0, 0, 255, 255, 255 };
    v = whole(two, 1, 2);
    v.view.jitter = true;
    v.view.contrast = 0.6f;
    v.view.order[0] = 1, v.view.order[1] = 0;
    v.view.brightness = 0.1f;
    view(kn, out, &v, 2);
    near(out[0], 0.3, 1e-6, "contrast about the mean, then brightness");
    near(out[3], 0.9, 1e-6, "in the order given");
    v.view.jitter = false;
    v.view.flip = true;
    view(kn, out, &v, 2);
    near(out[0], 1, 1e-6, "a flip swaps left and right");
    v.view.flip = false;
    v.from.mask = (const uint8_t[]){ 127, 128 };
    v.view.masked = true;
    v.view.fill = 0.25f;
    view(kn, out, &v, 2);
    near(out[1], 0.25, 1e-6, "what the mask has below 128 becomes the fill");
    near(out[4], 1, 1e-6, "what it has from there on stays");
    v.view.fill = 1.5f;
    ok(augment(kn, KERN_F32, out, &v, 1, 2, zero, one) == -EINVAL, "a fill beyond white");

    /* Keys' weights: an impulse of height 255 in a row of 8, read at twice the resolution
     * (fractions 0.75, 0.25) */
    uint8_t row[24] = { 0 };
    memset(row, 100, sizeof(row));
    row[9] = row[10] = row[11] = 200;
    v = whole(row, 1, 8);
    view(kn, out, &v, 16);
    const double base = 100 / 255.0;
    near(out[6 * 3], base + base * 0.867188, 2e-6, "Keys at fraction 0.25, the nearer cell");
    near(out[5 * 3], base + base * 0.226562, 2e-6, "the farther cell");
    near(out[4 * 3], base - base * 0.070312, 2e-6, "the cell before those");
    near(out[3 * 3], base - base * 0.023438, 2e-6, "and one more");
    near(out[0], base, 2e-6, "weights at the border sum to 1");
    view(kn, out, &v, 4); /* half the resolution: fraction 0.5 */
    near(out[1 * 3], base + base * 0.5625, 2e-6, "Keys at fraction 0.5, a middle cell");
    near(out[2 * 3], base - base * 0.0625, 2e-6, "an outer cell");
    near(out[3 * 3], base, 2e-6, "and nothing beyond: no antialiasing");

    /* Blur: a white pixel in the middle of 32 x 32, sigma 1 */
    static uint8_t dot[32 * 32 * 3];
    memset(&dot[(16 * 32 + 16) * 3], 255, 3);
    v = whole(dot, 32, 32);
    v.view.sigma = 1;
    view(kn, out, &v, 32);
    near(out[(16 * 32 + 16) * 3], 0.451863 * 0.451863, 1e-6, "blur at 32 pixels: centre");
    near(out[(16 * 32 + 17) * 3], 0.451863 * 0.274069, 1e-6, "beside it");
    near(out[(17 * 32 + 17) * 3], 0.274069 * 0.274069, 1e-6, "across");
    near(out[(16 * 32 + 18) * 3], 0, 1e-9, "radius 1");
    static uint8_t white[224 * 224 * 3];
    float *big = check_buf(sizeof(white));
    memset(white, 0, sizeof(white));
    memset(&white[(112 * 224 + 112) * 3], 255, 3);
    v = whole(white, 224, 224);
    v.view.sigma = 1;
    view(kn, big, &v, 224);
    near(big[(112 * 224 + 112) * 3], 0.398942 * 0.398942, 1e-6, "blur at 224 pixels: centre");
    near(big[(112 * 224 + 113) * 3], 0.398942 * 0.241971, 1e-6, "beside it");
    near(big[(112 * 224 + 114) * 3], 0.398942 * 0.053991, 1e-6, "two away");
    near(big[(112 * 224 + 115) * 3], 0.398942 * 0.004432, 1e-6, "three away");
    memset(white, 255, sizeof(white));
    view(kn, big, &v, 224);
    near(big[112 * 224 * 3], 0.5 + 0.398942 / 2, 1e-5,
         "borders darken: cells outside count as zero");
    check_close(kn);
    check_release();
}

static void check_random(const char *isa)
{
    static const size_t sides[] = { 1, 7, 16, 32, 61 };
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, 9, 0);
    for (size_t s = 0; s < sizeof(sides) / sizeof(sides[0]); s++) {
        enum { N = 24 };
        size_t side = sides[s], count = N * side * side * 3;
        struct shot v[N];
        for (int i = 0; i < N; i++) {
            size_t h = 1 + rng_below(&r, 70), w = 1 + rng_below(&r, 70);
            uint8_t *rgb = check_bytes(h * w * 3);
            for (size_t p = 0; p < h * w * 3; p++)
                rgb[p] = (uint8_t)rng_u32(&r);
            v[i] = whole(rgb, h, w);
            v[i].view.height = 1 + rng_below(&r, (uint32_t)h);
            v[i].view.width = 1 + rng_below(&r, (uint32_t)w);
            v[i].view.top = rng_below(&r, (uint32_t)(h - v[i].view.height + 1));
            v[i].view.left = rng_below(&r, (uint32_t)(w - v[i].view.width + 1));
            v[i].view.flip = i & 1;
            v[i].view.jitter = i & 2;
            v[i].view.grey = i % 5 == 0;
            v[i].view.solarise = i & 4;
            v[i].view.sigma = i & 8 ? rng_range(&r, 0.1f, 2) : 0;
            v[i].view.brightness = rng_range(&r, -0.4f, 0.4f);
            v[i].view.contrast = rng_range(&r, 0.6f, 1.4f);
            v[i].view.saturation = rng_range(&r, 0.8f, 1.2f);
            v[i].view.hue = rng_range(&r, -0.1f, 0.1f);
            uint8_t *mask = check_bytes(h * w);
            for (size_t p = 0; p < h * w; p++)
                mask[p] = (uint8_t)rng_u32(&r);
            v[i].from.mask = i % 3 == 0 ? mask : NULL;
            v[i].view.masked = i % 4 != 1;
            v[i].view.fill = rng_float(&r);
            for (uint32_t a = 0; a < 4; a++) {
                uint32_t b = rng_below(&r, 4);
                uint8_t t = v[i].view.order[a];
                v[i].view.order[a] = v[i].view.order[b];
                v[i].view.order[b] = t;
            }
        }
        const float mean[3] = { 0.4f, 0.5f, 0.6f }, dev[3] = { 0.2f, 0.25f, 0.3f };
        float *want = check_buf(count), *got = check_buf(count), *again = check_buf(count);
        struct kern *ref = check_open("ref", 1);
        ok(augment(ref, KERN_F32, want, v, N, side, mean, dev) == 0, "the definition, side %zu",
           side);
        check_close(ref);
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(isa, check_threads[t]);
            ok(augment(kn, KERN_F32, t ? again : got, v, N, side, mean, dev) == 0, "%s", isa);
            if (t)
                check_same(again, got, count * 4, "the same bits with %d threads",
                           check_threads[t]);
            check_close(kn);
        }
        /* a hue's sextant magnifies rounding where colours nearly meet; 0.2 is the smallest
         * deviation */
        check_near(got, want, count, 2e-5 / 0.2, "%s is the definition at side %zu", isa, side);
        for (int t = 0; t < check_nthreads; t++) {
            struct kern *kn = check_open(isa, check_threads[t]);
            for (enum kern_type type = KERN_BF16; type <= check_last_type(); type++) {
                void *half = check_bytes(count * 2);
                ok(augment(kn, type, half, v, N, side, mean, dev) == 0, "%s storage",
                   check_type_name(type));
                /* what nvcc joins to one rounding may differ from type to type */
                if (strcmp(isa, "cuda") == 0)
                    check_near_as(type, check_floats(type, half, count), got, count, 2e-5 / 0.2,
                                  "is the same, rounded");
                else
                    check_same(half, check_typed(type, got, count), count * 2,
                               "is the same, rounded");
            }
            check_close(kn);
        }
        check_release();
    }
}

/* Crops in corners, narrow ones, small and large ones. */
static void crop(struct kern_view *v, size_t number, size_t h, size_t w)
{
    const size_t crops[][4] = { { 0, 0, h, w },         { h - 1, w - 1, 1, 1 },
                                { 0, w - 1, h, 1 },     { h - 1, 0, 1, w },
                                { 0, 0, 2, 3 },         { h - 5, w - 4, 5, 4 },
                                { h - 4, 0, 4, w - 9 }, { 0, w - 7, 9, 7 } };
    const size_t *at = crops[number % ARRAY_LEN(crops)];
    v->top = at[0];
    v->left = at[1];
    v->height = at[2];
    v->width = at[3];
}

static uint8_t *random_bytes(struct rng *r, size_t n)
{
    uint8_t *x = check_bytes(n);
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)rng_u32(r);
    return x;
}

/* The crop in a picture of which nothing else is known. */
static struct shot alone(const struct kern_picture *of, const struct kern_view *v)
{
    uint8_t *rgb = check_bytes(of->h * of->w * 3),
            *mask = of->mask ? check_bytes(of->h * of->w) : NULL;
    for (size_t y = v->top; y < v->top + v->height; y++) {
        size_t at = y * of->w + v->left;
        memcpy(rgb + at * 3, of->rgb + at * 3, v->width * 3);
        if (mask)
            memcpy(mask + at, of->mask + at, v->width);
    }
    return (struct shot){ { rgb, mask, of->h, of->w }, *v };
}

/* Several views of several pictures, sizes mixed: each is what it is alone, whose picture is only
 * the crop. A device may upload what they share once, and some of a call before the others. */
static void check_together(const char *isa, size_t n, size_t each)
{
    static const size_t sides[] = { 20, 20, 19, 20, 257, 4, 97, 97, 97, 97, 1 };
    enum { VIEWS = 12, PICTURES = 9 };
    struct kern_picture picture[PICTURES];
    struct kern_view v[PICTURES * VIEWS];
    size_t side[VIEWS];
    void *out[VIEWS];
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, n, each, 0);
    for (size_t j = 0; j < each; j++) {
        side[j] = sides[j % ARRAY_LEN(sides)];
        out[j] = check_buf(n * side[j] * side[j] * 3);
    }
    for (size_t i = 0; i < n; i++) {
        size_t h = 17 + 5 * i, w = 50 - 3 * i;
        picture[i] = (struct kern_picture){ random_bytes(&r, h * w * 3),
                                            i == 1 ? NULL : random_bytes(&r, h * w), h, w };
    }
    for (size_t i = 0; i < n * each; i++) {
        v[i] = (struct kern_view){ .masked = i % 5 == 0,
                                   .fill = 0.3f,
                                   .flip = i & 1,
                                   .jitter = i % 3 == 0,
                                   .order = { 0, 1, 2, 3 },
                                   .brightness = 0.2f,
                                   .contrast = 1.3f,
                                   .saturation = 1,
                                   .hue = i & 2 ? 0.45f : -0.45f,
                                   .grey = i % 7 == 0,
                                   .sigma = i % 4 < 2 ? 0 : rng_range(&r, 0.1f, 2),
                                   .solarise = i & 4 };
        crop(&v[i], i, picture[i / each].h, picture[i / each].w);
    }
    struct kern_views all = { KERN_F32, n, each, picture, v, side, out, { 0 }, { 1, 1, 1 } };
    struct kern *kn = check_open(isa, 2), *ref = check_open("ref", 1);
    ok(kern_augment(kn, &all) == 0, "%s: %zu pictures, %zu views of each", isa, n, each);
    for (size_t i = 0; i < n * each; i++) {
        size_t of = i / each, j = i % each, count = side[j] * side[j] * 3;
        const float *got = (const float *)out[j] + of * count;
        float *want = check_buf(count), *single = check_buf(count);
        struct shot shot = alone(&picture[of], &v[i]);
        ok(augment(ref, KERN_F32, want, &shot, 1, side[j], zero, one) == 0 &&
               augment(kn, KERN_F32, single, &shot, 1, side[j], zero, one) == 0,
           "view %zu of picture %zu alone", j, of);
        check_near(got, want, count, 2e-5, "is the definition");
        check_same(single, got, count * 4, "the same with and without others");
    }
    if (n * each > 0) {
        v[n * each - 1].left = picture[n - 1].w + 1 - v[n * each - 1].width;
        ok(kern_augment(kn, &all) == -EINVAL, "the last view leaves its picture");
        side[each - 1] = 0;
        all.n = 0;
        ok(kern_augment(kn, &all) == -EINVAL, "a view of nothing");
    }
    check_close(ref);
    check_close(kn);
    check_release();
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++) {
        check_values(check_isa(i));
        check_random(check_isa(i));
        check_together(check_isa(i), 3, 11);
        check_together(check_isa(i), 1, 12);
        check_together(check_isa(i), 9, 1);
        check_together(check_isa(i), 9, 5);
        check_together(check_isa(i), 0, 2);
        check_together(check_isa(i), 2, 0);
    }
    return done();
}
