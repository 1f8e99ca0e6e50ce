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

/* For each of to outputs: the first of its inputs, how many there are, and their weights. */
struct taps {
    size_t most;     /* room for each output */
    size_t *first;   /* [to] */
    size_t *n;       /* [to] */
    int32_t *weight; /* [to][most] */
};

static void taps_release(struct taps *t)
{
    free(t->first);
    free(t->n);
    free(t->weight);
    *t = (struct taps){ 0 };
}

static int taps_init(struct taps *t, size_t from, size_t to)
{
    double scale = (double)from / (double)to, stretch = MAX(scale, 1.0), support = 2 * stretch;
    *t = (struct taps){ .most = (size_t)ceil(support) * 2 + 1 };
    double *w = mem_alloc(t->most, sizeof *w, "resize weights");
    t->first = mem_alloc(to, sizeof *t->first, "resize weights");
    t->n = mem_alloc(to, sizeof *t->n, "resize weights");
    size_t all;
    int rc = mem_product(&all, to, t->most);
    t->weight = rc == 0 ? mem_alloc(all, sizeof *t->weight, "resize weights") : NULL;
    if (w == NULL || t->first == NULL || t->n == NULL || t->weight == NULL) {
        free(w);
        taps_release(t);
        return -ENOMEM;
    }
    for (size_t i = 0; i < to; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0;
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

static void across(struct image *out, const struct image *in, const struct taps *t)
{
    for (size_t y = 0; y < in->h; y++) {
        uint8_t *to = out->rgb + y * out->w * 3;
        for (size_t x = 0; x < out->w; x++, to += 3) {
            const uint8_t *from = in->rgb + (y * in->w + t->first[x]) * 3;
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

/* sum is a row of scratch: whole rows are added, so that memory is read along the grain. */
static void down(struct image *out, const struct image *in, const struct taps *t, int32_t *sum)
{
    size_t row = in->w * 3;
    for (size_t y = 0; y < out->h; y++) {
        for (size_t i = 0; i < row; i++)
            sum[i] = 1 << (WEIGHT_BITS - 1);
        for (size_t j = 0; j < t->n[y]; j++) {
            const uint8_t *from = in->rgb + (t->first[y] + j) * row;
            int32_t w = t->weight[y * t->most + j];
            for (size_t i = 0; i < row; i++)
                sum[i] += w * from[i];
        }
        for (size_t i = 0; i < row; i++)
            out->rgb[y * row + i] = clip(sum[i]);
    }
}

int image_resize(struct image *out, const struct image *in, size_t h, size_t w)
{
    struct taps tx = { 0 }, ty = { 0 };
    struct image middle = { 0 };
    int32_t *sum = NULL;
    *out = (struct image){ 0 };
    int rc = image_alloc(&middle, in->h, w, 3);
    if (rc == 0)
        rc = image_alloc(out, h, w, 3);
    if (rc == 0)
        rc = taps_init(&tx, in->w, w);
    if (rc == 0)
        rc = taps_init(&ty, in->h, h);
    if (rc == 0 && (sum = mem_alloc(w * 3, sizeof *sum, "a row")) == NULL)
        rc = -ENOMEM;
    if (rc == 0) {
        across(&middle, in, &tx);
        down(out, &middle, &ty, sum);
    } else {
        image_release(out);
    }
    image_release(&middle);
    taps_release(&tx);
    taps_release(&ty);
    free(sum);
    return rc;
}

static int copy(struct image *out, const struct image *in)
{
    *out = (struct image){ 0 };
    int rc = image_alloc(out, in->h, in->w, 3);
    if (rc == 0)
        memcpy(out->rgb, in->rgb, in->h * in->w * 3);
    return rc;
}

int image_short_side(struct image *out, const struct image *in, size_t px, bool grow)
{
    size_t least = MIN(in->h, in->w), most = MAX(in->h, in->w);
    if (least == px || (least < px && !grow))
        return copy(out, in);
    size_t longer = MAX((2 * most * px + least) / (2 * least), (size_t)1);
    return in->h <= in->w ? image_resize(out, in, px, longer) : image_resize(out, in, longer, px);
}

int image_square(struct image *out, const struct image *in, size_t px)
{
    struct image all = { 0 };
    *out = (struct image){ 0 };
    int rc = image_short_side(&all, in, px, true);
    if (rc == 0)
        rc = image_alloc(out, px, px, 3);
    if (rc == 0) {
        size_t top = (all.h - px + 1) / 2, left = (all.w - px + 1) / 2;
        for (size_t y = 0; y < px; y++)
            memcpy(out->rgb + y * px * 3, all.rgb + ((top + y) * all.w + left) * 3, px * 3);
    }
    image_release(&all);
    return rc;
}
