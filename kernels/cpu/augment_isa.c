/*
 * augment_isa.c - a view, in planar float32 with loops that the compiler turns into vectors.
 *
 * The same steps as ref/augment.c. Floor: reads the crop's bytes once and writes 12 side^2 bytes (6
 * of bfloat16); the arithmetic, some 150 operations a value with jitter and blur, dominates. Two
 * forms save work and equal the definition: scaling a saturation needs no hue (channel = V - (V -
 * channel) * S'/S), and HSV goes back by f(n) = V - V S max(0, min(k, 4-k, 1)), k = (n + 6H) mod 6.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/augment.h"
#include "kernels/cpu/vec.h"

typedef float pixel
    __attribute__((vector_size(16), aligned(4), may_alias)); /* R G B and one more */
typedef int32_t four __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(16), aligned(1), may_alias));

static inline float clip01(float x)
{
    x = x < 0 ? 0 : x;
    return x > 1 ? 1 : x;
}

static float keys(float x)
{
    x = fabsf(x);
    if (x <= 1)
        return (1.5f * x - 2.5f) * x * x + 1;
    return x < 2 ? ((-0.5f * x + 2.5f) * x - 4) * x + 2 : 0;
}

/* At the borders the four cells move inside; those that are then too far away weigh 0 by keys(). */
static void make_taps(struct tap *tap, size_t n, size_t side, float scale, bool flip)
{
    double step = (double)n / (double)side;
    for (size_t p = 0; p < side; p++) {
        struct tap *t = &tap[flip ? side - 1 - p : p];
        double at = ((double)p + 0.5) * step - 0.5;
        long first = (long)floor(at) - 1;
        first = first + 4 > (long)n ? (long)n - 4 : first;
        t->first = first > 0 ? (size_t)first : 0;
        float sum = 0;
        for (size_t i = 0; i < 4; i++) {
            t->weight[i] = t->first + i < n ? keys((float)(at - (double)(t->first + i))) : 0;
            sum += t->weight[i];
        }
        for (int i = 0; i < 4; i++)
            t->weight[i] *= scale / sum;
    }
}

static void widen_row(float *restrict row, const uint8_t *restrict px, size_t n)
{
    for (size_t i = 0; i < n; i++)
        row[i] = px[i];
}

/* 16 bytes of a mask, each three times. */
#define THIRD(k, i) (16 * (k) + (i)) / 3
#define FOUR_THIRDS(k, i) THIRD(k, i), THIRD(k, i + 1), THIRD(k, i + 2), THIRD(k, i + 3)
#define TRIPLE(m, k)                                                                               \
    VEC_SHUFFLE(bytes, m, m, FOUR_THIRDS(k, 0), FOUR_THIRDS(k, 4), FOUR_THIRDS(k, 8),              \
                FOUR_THIRDS(k, 12))

/* Likewise n / 3 pixels, of which those outside the mask become the fill: what is kept of a value,
 * and 1 where it is gone, stay bytes for as long as they can. */
static void widen_masked(float *restrict row, const uint8_t *restrict px,
                         const uint8_t *restrict mask, float fill, size_t n)
{
    enum { BLOCK = 768 }; /* values */
    uint8_t kept[BLOCK], gone[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t m = MIN(n - i, BLOCK), k = 0;
        for (; k + 48 <= m; k += 48) {
            bytes on = (bytes)(*(const bytes *)(mask + (i + k) / 3) >= 128);
            const bytes thrice[3] = { TRIPLE(on, 0), TRIPLE(on, 1), TRIPLE(on, 2) };
            for (size_t j = 0; j < 3; j++) {
                *(bytes *)(kept + k + 16 * j) = *(const bytes *)(px + i + k + 16 * j) & thrice[j];
                *(bytes *)(gone + k + 16 * j) = ~thrice[j] & 1;
            }
        }
        for (; k < m; k++) {
            gone[k] = mask[(i + k) / 3] < 128;
            kept[k] = gone[k] ? 0 : px[i + k];
        }
        for (k = 0; k < m; k++)
            row[i + k] = (float)kept[k] + (float)gone[k] * fill;
    }
}

/* Row r of the crop. */
static void read_row(float *row, const struct kern_picture *of, const struct kern_view *v, size_t r)
{
    size_t at = (v->top + r) * of->w + v->left, n = v->width * 3;
    if (v->masked && of->mask)
        widen_masked(row, of->rgb + at * 3, of->mask + at, 255 * v->fill, n);
    else
        widen_row(row, of->rgb + at * 3, n);
}

/* row[i] = sum of weight[k] from[k][i]. */
static void mix_rows(float *restrict row, float *const from[4], const float weight[4], size_t n)
{
    const float *restrict a = from[0], *restrict b = from[1];
    const float *restrict c = from[2], *restrict d = from[3];
    const float p = weight[0], q = weight[1], r = weight[2], s = weight[3];
    for (size_t i = 0; i < n; i++)
        row[i] = p * a[i] + q * b[i] + r * c[i] + s * d[i];
}

static inline pixel mix_pixels(const float *row, const struct tap *t)
{
    const float *from = row + t->first * 3;
    return t->weight[0] * *(const pixel *)from + t->weight[1] * *(const pixel *)(from + 3) +
           t->weight[2] * *(const pixel *)(from + 6) + t->weight[3] * *(const pixel *)(from + 9);
}

/* A row of pixels to a row of each plane, four pixels at once: their 4 x 4 numbers are turned. */
static void resize_row(float *im, size_t plane, const float *row, const struct tap *tap,
                       size_t side)
{
    size_t x = 0;
    for (; x + 4 <= side; x += 4) {
        pixel a = mix_pixels(row, &tap[x]), b = mix_pixels(row, &tap[x + 1]);
        pixel c = mix_pixels(row, &tap[x + 2]), d = mix_pixels(row, &tap[x + 3]);
        pixel ab = VEC_SHUFFLE(four, a, b, 0, 4, 1, 5); /* rr gg */
        pixel cd = VEC_SHUFFLE(four, c, d, 0, 4, 1, 5);
        pixel ab2 = VEC_SHUFFLE(four, a, b, 2, 6, 2, 6); /* bb bb */
        pixel cd2 = VEC_SHUFFLE(four, c, d, 2, 6, 2, 6);
        *(pixel *)(im + x) = VEC_SHUFFLE(four, ab, cd, 0, 1, 4, 5);
        *(pixel *)(im + plane + x) = VEC_SHUFFLE(four, ab, cd, 2, 3, 6, 7);
        *(pixel *)(im + 2 * plane + x) = VEC_SHUFFLE(four, ab2, cd2, 0, 1, 4, 5);
    }
    for (; x < side; x++) {
        pixel a = mix_pixels(row, &tap[x]);
        for (size_t ch = 0; ch < 3; ch++)
            im[ch * plane + x] = a[ch];
    }
}

/*
 * Down the columns first, in whole vectors; then across, where a pixel's four taps are four loads
 * of neighbours. The last four rows of the crop are kept as floats, row r at r mod 4.
 */
static void crop_and_resize(float *im, const struct kern_picture *of, const struct kern_view *v,
                            size_t side, struct tap *tap, float *row)
{
    struct tap *down = tap, *across = tap + side;
    size_t n = v->width * 3, plane = side * side,
           have[4] = { SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX };
    float *kept[4], *from[4];
    for (size_t i = 0; i < 4; i++)
        kept[i] = row + (i + 1) * cpu_view_row(v->width);
    make_taps(down, v->height, side, 1.0f / 255, false);
    make_taps(across, v->width, side, 1, v->flip);
    memset(row + n, 0, 13 * sizeof(*row)); /* beyond narrow crops: finite, weighs 0 */
    for (size_t y = 0; y < side; y++) {
        for (size_t i = 0; i < 4; i++) {
            size_t r = MIN(down[y].first + i, v->height - 1);
            from[i] = kept[r % 4];
            if (have[r % 4] != r)
                read_row(from[i], of, v, r);
            have[r % 4] = r;
        }
        mix_rows(row, from, down[y].weight, n);
        resize_row(im + y * side, plane, row, across, side);
        for (size_t ch = 0; ch < 3; ch++)
            for (size_t x = 0; x < side; x++)
                im[ch * plane + y * side + x] = clip01(im[ch * plane + y * side + x]);
    }
}

static void brighten(float *im, size_t values, float delta)
{
    for (size_t i = 0; i < values; i++)
        im[i] = clip01(im[i] + delta);
}

static void contrast(float *im, size_t pixels, float factor)
{
    for (size_t ch = 0; ch < 3; ch++, im += pixels) {
        float mean = (float)(vec_sum(im, pixels) / (double)pixels);
        for (size_t i = 0; i < pixels; i++)
            im[i] = clip01(factor * (im[i] - mean) + mean);
    }
}

static void saturate(float *im, size_t pixels, float factor)
{
    float *r = im, *g = im + pixels, *b = g + pixels;
    for (size_t i = 0; i < pixels; i++) {
        float max = MAX(r[i], MAX(g[i], b[i])), min = MIN(r[i], MIN(g[i], b[i]));
        float range = max - min;
        float most = range > 0 ? max / range : factor; /* 1/S: where S' reaches 1 */
        float ratio = factor < most ? factor : most;
        r[i] = clip01(max - (max - r[i]) * ratio);
        g[i] = clip01(max - (max - g[i]) * ratio);
        b[i] = clip01(max - (max - b[i]) * ratio);
    }
}

static inline float from_hsv(float n, float six, float value, float range)
{
    float k = n + six;
    k = k >= 6 ? k - 6 : k;
    float m = k < 4 - k ? k : 4 - k;
    m = m < 1 ? m : 1;
    m = m > 0 ? m : 0;
    return clip01(value - range * m);
}

static void turn_hue(float *im, size_t pixels, float delta)
{
    float *r = im, *g = im + pixels, *b = g + pixels;
    for (size_t i = 0; i < pixels; i++) {
        float max = MAX(r[i], MAX(g[i], b[i])), min = MIN(r[i], MIN(g[i], b[i]));
        float range = max - min, inv = range > 0 ? 1 / range : 0;
        float hr = (g[i] - b[i]) * inv, hg = (b[i] - r[i]) * inv + 2, hb = (r[i] - g[i]) * inv + 4;
        float six = max == r[i] ? hr : max == g[i] ? hg : hb; /* -1 .. 5 */
        six += 6 * delta;
        six = six < 0 ? six + 6 : six;
        six = six >= 6 ? six - 6 : six;
        six = range > 0 ? six : 0;
        r[i] = from_hsv(5, six, max, range);
        g[i] = from_hsv(3, six, max, range);
        b[i] = from_hsv(1, six, max, range);
    }
}

static void jitter(float *im, size_t pixels, const struct kern_view *v)
{
    for (int op = 0; op < 4; op++)
        switch (v->order[op]) {
        case 0:
            brighten(im, 3 * pixels, v->brightness);
            break;
        case 1:
            contrast(im, pixels, v->contrast);
            break;
        case 2:
            saturate(im, pixels, v->saturation);
            break;
        default:
            turn_hue(im, pixels, v->hue);
        }
}

static void grey(float *im, size_t pixels)
{
    float *r = im, *g = im + pixels, *b = g + pixels;
    for (size_t i = 0; i < pixels; i++)
        r[i] = g[i] = b[i] = clip01(0.2989f * r[i] + 0.5870f * g[i] + 0.1140f * b[i]);
}

/* out[x] = sum of weight[|r|] in[x + r stride], n >= LANES. The last vector laps over. */
static void blur_row(float *out, const float *in, size_t stride, const float *weight, size_t radius,
                     size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t x = MIN(i, n - LANES);
        vec sum = weight[0] * vec_load(in + x, LANES);
        for (size_t r = 1; r <= radius; r++)
            sum += weight[r] *
                   (vec_load(in + x - r * stride, LANES) + vec_load(in + x + r * stride, LANES));
        vec_store(out + x, sum, LANES);
    }
}

/* Across, then down; tmp holds the plane between zeros that count as what is outside, and a row. */
static void blur_plane(float *im, float *tmp, const float *weight, size_t side, size_t radius)
{
    size_t border = radius * side;
    float *plane = tmp + border, *row = plane + side * side + border + radius;
    memset(tmp, 0, border * sizeof(*tmp));
    memset(plane + side * side, 0, (border + side + 2 * radius) * sizeof(*tmp));
    for (size_t y = 0; y < side; y++) {
        memcpy(row, im + y * side, side * sizeof(*row));
        blur_row(plane + y * side, row, 1, weight, radius, side);
    }
    for (size_t y = 0; y < side; y++)
        blur_row(im + y * side, plane + y * side, side, weight, radius, side);
}

static void blur(float *im, float *tmp, float *weight, size_t side, float sigma)
{
    size_t radius = side / KERN_BLUR_PART;
    float sum = 1;
    if (radius == 0)
        return;
    weight[0] = 1;
    for (size_t r = 1; r <= radius; r++) {
        weight[r] = expf(-(float)(r * r) / (2 * sigma * sigma));
        sum += 2 * weight[r];
    }
    for (size_t r = 0; r <= radius; r++)
        weight[r] /= sum;
    for (size_t ch = 0; ch < 3; ch++)
        blur_plane(im + ch * side * side, tmp, weight, side, radius);
}

/*
 * LANES pixels from planes to neighbours. Value 3 x + ch goes to lane i of vector k, where
 * 3 x + ch = k LANES + i. Lane i of all three vectors asks channel ch for the same x, modulo LANES:
 * (i - ch) / 3, which is (i - ch) * 11 modulo 16, 8 or 4. So a channel is permuted once.
 */
#define X(i, ch) (((i) + 48 - (ch)) * 11 & (LANES - 1))
#define FOUR_X(i, ch) X(i, ch), X(i + 1, ch), X(i + 2, ch), X(i + 3, ch)
#if LANES == 16
#define PERMUTED(v, ch)                                                                            \
    VEC_SHUFFLE(ivec, v, v, FOUR_X(0, ch), FOUR_X(4, ch), FOUR_X(8, ch), FOUR_X(12, ch))
#elif LANES == 8
#define PERMUTED(v, ch) VEC_SHUFFLE(ivec, v, v, FOUR_X(0, ch), FOUR_X(4, ch))
#else
#define PERMUTED(v, ch) VEC_SHUFFLE(ivec, v, v, FOUR_X(0, ch))
#endif

INLINE void store_pixels(enum kern_type type, void *out, size_t at, vec r, vec g, vec b)
{
    static const int32_t lanes[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    r = PERMUTED(r, 0);
    g = PERMUTED(g, 1);
    b = PERMUTED(b, 2);
    for (int k = 0; k < 3; k++) {
        ivec ch = (*(const ivec *)lanes + k * LANES) % 3;
        vec v = vec_select(ch == 0, r, vec_select(ch == 1, g, b));
        vec_store_as(type, out, at + (size_t)k * LANES, v, LANES);
    }
}

INLINE void write_view(enum kern_type type, void *out, float *im, size_t side, bool solarise,
                       const float *mean, const float *dev)
{
    size_t plane = side * side;
    for (size_t y = 0; y < side; y++, im += side) {
        for (size_t ch = 0; ch < 3; ch++) {
            float *v = im + ch * plane, m = mean[ch], inv = 1 / dev[ch];
            for (size_t x = 0; x < side && solarise; x++)
                v[x] = v[x] >= 0.5f ? 1 - v[x] : v[x];
            for (size_t x = 0; x < side; x++)
                v[x] = (clip01(v[x]) - m) * inv;
        }
        size_t x = 0;
        for (; x + LANES <= side; x += LANES)
            store_pixels(type, out, (y * side + x) * 3, vec_load(im + x, LANES),
                         vec_load(im + plane + x, LANES), vec_load(im + 2 * plane + x, LANES));
        for (; x < side; x++)
            for (size_t ch = 0; ch < 3; ch++)
                kern_store(type, out, (y * side + x) * 3 + ch, im[ch * plane + x]);
    }
}

void ISA(cpu_view)(enum kern_type type, void *out, const struct kern_picture *of,
                   const struct kern_view *v, size_t side, const float *mean, const float *dev,
                   void *scratch)
{
    size_t pixels = side * side;
    float *im = scratch, *tmp = im + 3 * pixels, *row = tmp + 3 * pixels;
    struct tap *tap = (struct tap *)(row + 5 * cpu_view_row(v->width));
    crop_and_resize(im, of, v, side, tap, row);
    if (v->jitter)
        jitter(im, pixels, v);
    if (v->grey)
        grey(im, pixels);
    if (v->sigma > 0)
        blur(im, tmp, (float *)tap, side, v->sigma);
    if (type == KERN_F32)
        write_view(KERN_F32, out, im, side, v->solarise, mean, dev);
    else
        write_view(KERN_BF16, out, im, side, v->solarise, mean, dev);
}
