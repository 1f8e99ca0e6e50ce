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

struct tap { /* one output cell: four cells of the picture's axis, counted from the crop's edge */
    int32_t cell[4];
    float weight[4];
};

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

static void make_taps(struct tap *tap, size_t n, size_t side, bool flip)
{
    for (size_t p = 0; p < side; p++) {
        struct tap *t = &tap[flip ? side - 1 - p : p];
        double at = ((double)p + 0.5) * (double)n / (double)side - 0.5;
        long first = (long)floor(at) - 1;
        float sum = 0;
        for (int i = 0; i < 4; i++) {
            bool inside = first + i >= 0 && first + i < (long)n;
            t->cell[i] = inside ? (int32_t)(first + i) : 0;
            t->weight[i] = inside ? keys((float)(at - (double)(first + i))) : 0;
            sum += t->weight[i];
        }
        for (int i = 0; i < 4; i++)
            t->weight[i] /= sum;
    }
}

static void resize_row(float *row, const uint8_t *px, const struct tap *tap, size_t side)
{
    for (size_t x = 0; x < side; x++) {
        const struct tap *t = &tap[x];
        float sum[3] = { 0, 0, 0 };
        for (int i = 0; i < 4; i++)
            for (int ch = 0; ch < 3; ch++)
                sum[ch] += t->weight[i] * (float)px[t->cell[i] * 3 + ch];
        for (size_t ch = 0; ch < 3; ch++)
            row[ch * side + x] = sum[ch];
    }
}

/* Rows of the crop are resized along x once each; the last four are kept, row r at r mod 4. */
static void crop_and_resize(float *im, const struct kern_view *v, size_t side, float *rows,
                            struct tap *tap)
{
    struct tap *down = tap, *across = tap + side;
    long have[4] = { -1, -1, -1, -1 };
    make_taps(down, v->height, side, false);
    make_taps(across, v->width, side, v->flip);
    for (size_t y = 0; y < side; y++) {
        const float *from[4];
        for (int i = 0; i < 4; i++) {
            long r = down[y].cell[i];
            if (down[y].weight[i] ==
                0) /* outside: any row does, unread ones may hold anything finite */
                r = down[y].cell[1] > 0 ? down[y].cell[1] : down[y].cell[2];
            if (have[r & 3] != r) {
                resize_row(rows + (r & 3) * (long)side * 3,
                           v->rgb + ((v->top + (size_t)r) * v->w + v->left) * 3, across, side);
                have[r & 3] = r;
            }
            from[i] = rows + (r & 3) * (long)side * 3;
        }
        const float *w = down[y].weight;
        for (size_t ch = 0; ch < 3; ch++) {
            float *out = im + ch * side * side + y * side;
            for (size_t x = 0; x < side; x++) {
                size_t at = ch * side + x;
                out[x] = clip01((w[0] * from[0][at] + w[1] * from[1][at] + w[2] * from[2][at] +
                                 w[3] * from[3][at]) *
                                (1.0f / 255));
            }
        }
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
        double sum = 0;
        for (size_t i = 0; i < pixels; i++)
            sum += im[i];
        float mean = (float)(sum / (double)pixels);
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

/* out += weight * in, shifted by whole rows or columns; what falls outside is dropped. */
static void blur_plane(float *im, float *tmp, const float *weight, size_t side, size_t radius)
{
    for (size_t y = 0; y < side; y++) {
        const float *in = im + y * side;
        float *out = tmp + y * side;
        for (size_t x = 0; x < side; x++)
            out[x] = weight[0] * in[x];
        for (size_t r = 1; r <= radius; r++) {
            for (size_t x = r; x < side; x++)
                out[x] += weight[r] * in[x - r];
            for (size_t x = 0; x + r < side; x++)
                out[x] += weight[r] * in[x + r];
        }
    }
    for (size_t y = 0; y < side; y++) {
        float *out = im + y * side;
        for (size_t x = 0; x < side; x++)
            out[x] = weight[0] * tmp[y * side + x];
        for (size_t r = 1; r <= radius; r++) {
            const float *above = tmp + (y - r) * side, *below = tmp + (y + r) * side;
            if (y >= r)
                for (size_t x = 0; x < side; x++)
                    out[x] += weight[r] * above[x];
            if (y + r < side)
                for (size_t x = 0; x < side; x++)
                    out[x] += weight[r] * below[x];
        }
    }
}

static void blur(float *im, float *tmp, float *weight, size_t side, float sigma)
{
    size_t radius = side / 20;
    float sum = 1;
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

static inline __attribute__((always_inline)) void write_view(enum kern_type type, void *out,
                                                             const float *im, size_t pixels,
                                                             bool solarise, const float *mean,
                                                             const float *dev)
{
    for (size_t ch = 0; ch < 3; ch++, im += pixels) {
        float m = mean[ch], inv = 1 / dev[ch];
        for (size_t p = 0; p < pixels; p++) {
            float x = solarise && im[p] >= 0.5f ? 1 - im[p] : im[p];
            kern_store(type, out, p * 3 + ch, (clip01(x) - m) * inv);
        }
    }
}

void ISA(cpu_view)(enum kern_type type, void *out, const struct kern_view *v, size_t side,
                   const float *mean, const float *dev, void *scratch)
{
    size_t pixels = side * side;
    float *im = scratch, *tmp = im + 3 * pixels, *rows = tmp + 3 * pixels;
    struct tap *tap = (struct tap *)(rows + 12 * side);
    crop_and_resize(im, v, side, rows, tap);
    if (v->jitter)
        jitter(im, pixels, v);
    if (v->grey)
        grey(im, pixels);
    if (v->sigma > 0)
        blur(im, tmp, rows, side, v->sigma);
    if (type == KERN_F32)
        write_view(KERN_F32, out, im, pixels, v->solarise, mean, dev);
    else
        write_view(KERN_BF16, out, im, pixels, v->solarise, mean, dev);
}
