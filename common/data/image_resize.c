/*
 * image_resize.c - antialiased bicubic resizing with the arithmetic of Pillow.
 *
 * Source: Pillow, src/libImaging/Resample.c: Keys' cubic with a = -0.5, stretched when shrinking,
 * weights rounded to 22 bits, a horizontal pass rounded to 8 bits and then a vertical one. The
 * results are Pillow's, bit for bit.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/image_codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 32 - 8 - 2 }; /* a weighted sum of bytes, overshoot included, fits 32 bits */

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* For each output: the first of its inputs, how many there are, and their weights. */
struct taps {
    size_t most;     /* room for each output */
    size_t *first;   /* [outputs] */
    size_t *n;       /* [outputs] */
    int32_t *weight; /* [outputs][most] */
};

static void taps_release(struct taps *t)
{
    free(t->first);
    free(t->n);
    free(t->weight);
    *t = (struct taps){ 0 };
}

/* Of to outputs, those from at on, n of them. */
static int taps_init(struct taps *t, size_t from, size_t to, size_t at, size_t n)
{
    double scale = (double)from / (double)to, stretch = MAX(scale, 1.0), support = 2 * stretch;
    *t = (struct taps){ .most = (size_t)ceil(support) * 2 + 1 };
    double *w = mem_alloc(t->most, sizeof *w, "resize weights");
    t->first = mem_alloc(n, sizeof *t->first, "resize weights");
    t->n = mem_alloc(n, sizeof *t->n, "resize weights");
    size_t all;
    int rc = mem_product(&all, n, t->most);
    t->weight = rc == 0 ? mem_alloc(all, sizeof *t->weight, "resize weights") : NULL;
    if (w == NULL || t->first == NULL || t->n == NULL || t->weight == NULL) {
        free(w);
        taps_release(t);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        double centre = ((double)(at + i) + 0.5) * scale, sum = 0;
        double lo = centre - support + 0.5, hi = centre + support + 0.5;
        size_t first = lo < 0 ? 0 : (size_t)lo, end = MIN((size_t)hi, from);
        for (size_t j = first; j < end; j++)
            sum += w[j - first] = cubic(((double)j - centre + 0.5) / stretch);
        for (size_t j = 0; j < end - first; j++) {
            double v = w[j] / sum * (1 << WEIGHT_BITS);
            t->weight[i * t->most + j] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        t->first[i] = first;
        t->n[i] = end - first;
    }
    free(w);
    return 0;
}

static uint8_t clip(int32_t sum)
{
    int32_t v = sum >> WEIGHT_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* The rows of in from top on, as many as out has. */
static void across(struct image *out, const struct image *in, size_t top, const struct taps *t)
{
    for (size_t y = 0; y < out->h; y++) {
        uint8_t *to = out->rgb + y * out->w * 3;
        for (size_t x = 0; x < out->w; x++, to += 3) {
            const uint8_t *from = in->rgb + ((top + y) * in->w + t->first[x]) * 3;
            const int32_t *w = t->weight + x * t->most;
            int32_t r = 1 << (WEIGHT_BITS - 1), g = r, b = r;
            for (size_t j = 0; j < t->n[x]; j++, from += 3) {
                r += w[j] * from[0];
                g += w[j] * from[1];
                b += w[j] * from[2];
            }
            to[0] = clip(r);
            to[1] = clip(g);
            to[2] = clip(b);
        }
    }
}

/* in begins with row top of what the taps count. sum is a row of scratch: whole rows are added, so
 * that memory is read along the grain. */
static void down(struct image *out, const struct image *in, size_t top, const struct taps *t,
                 int32_t *sum)
{
    size_t row = in->w * 3;
    for (size_t y = 0; y < out->h; y++) {
        for (size_t i = 0; i < row; i++)
            sum[i] = 1 << (WEIGHT_BITS - 1);
        for (size_t j = 0; j < t->n[y]; j++) {
            const uint8_t *from = in->rgb + (t->first[y] - top + j) * row;
            int32_t w = t->weight[y * t->most + j];
            for (size_t i = 0; i < row; i++)
                sum[i] += w * from[i];
        }
        for (size_t i = 0; i < row; i++)
            out->rgb[y * row + i] = clip(sum[i]);
    }
}

/* Of the picture resized to h x w, out_h x out_w pixels from (top, left) on; nothing else is made.
 */
static int resize_part(struct image *out, const struct image *in, size_t h, size_t w, size_t top,
                       size_t left, size_t out_h, size_t out_w)
{
    struct taps tx = { 0 }, ty = { 0 };
    struct image middle = { 0 };
    int32_t *sum = NULL;
    *out = (struct image){ 0 };
    int rc = image_alloc(out, out_h, out_w, 3);
    if (rc == 0)
        rc = taps_init(&tx, in->w, w, left, out_w);
    if (rc == 0)
        rc = taps_init(&ty, in->h, h, top, out_h);
    size_t first = rc == 0 ? ty.first[0] : 0;
    if (rc == 0)
        rc = image_alloc(&middle, ty.first[out_h - 1] + ty.n[out_h - 1] - first, out_w, 3);
    if (rc == 0 && (sum = mem_alloc(out_w * 3, sizeof *sum, "a row")) == NULL)
        rc = -ENOMEM;
    if (rc == 0) {
        across(&middle, in, first, &tx);
        down(out, &middle, first, &ty, sum);
    } else {
        image_release(out);
    }
    image_release(&middle);
    taps_release(&tx);
    taps_release(&ty);
    free(sum);
    return rc;
}

int image_resize(struct image *out, const struct image *in, size_t h, size_t w)
{
    return resize_part(out, in, h, w, 0, 0, h, w);
}

/* The size of a picture brought to a short side of px. */
static void scaled(size_t *h, size_t *w, const struct image *in, size_t px)
{
    size_t least = MIN(in->h, in->w), most = MAX(in->h, in->w);
    size_t longer = (2 * most * px + least) / (2 * least);
    *h = in->h <= in->w ? px : longer;
    *w = in->h <= in->w ? longer : px;
}

int image_short_side(struct image *out, const struct image *in, size_t px)
{
    size_t h = in->h, w = in->w;
    if (MIN(h, w) > px)
        scaled(&h, &w, in, px);
    return image_resize(out, in, h, w);
}

int image_square(struct image *out, const struct image *in, size_t px)
{
    size_t h, w;
    scaled(&h, &w, in, px);
    return resize_part(out, in, h, w, (h - px + 1) / 2, (w - px + 1) / 2, px, px);
}
