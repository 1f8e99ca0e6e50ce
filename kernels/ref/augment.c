/*
 * augment.c - the definition of a view: background, crop, resize, flip, colour jitter, grey, blur,
 * solarise, normalise.
 *
 * The recipe is BYOL's two-view pipeline, which SemPPL's code ships (deepmind-research,
 * byol/utils/augmentations.py); the resize is TensorFlow 2's resize(bicubic, antialias off): Keys'
 * cubic with a = -0.5 ("Cubic convolution interpolation for digital image processing", 1981),
 * half-pixel centres.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ref/ref.h"

static double clip01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static double keys(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0;
}

/* The four cells around output p of an axis of n cells resized to side, and their weights: 0
 * outside, sum 1. */
static void taps(long cell[4], double weight[4], size_t p, size_t n, size_t side)
{
    double at = ((double)p + 0.5) * (double)n / (double)side - 0.5, sum = 0;
    long first = (long)floor(at) - 1;
    for (int t = 0; t < 4; t++) {
        bool inside = first + t >= 0 && first + t < (long)n;
        cell[t] = inside ? first + t : 0;
        weight[t] = inside ? keys(at - (double)(first + t)) : 0;
        sum += weight[t];
    }
    for (int t = 0; t < 4; t++)
        weight[t] /= sum;
}

/* A value of the picture, 0 .. 255, whose background may be replaced. */
static double value(const struct kern_picture *of, const struct kern_view *v, size_t y, size_t x,
                    size_t ch)
{
    bool background = v->masked && of->mask && of->mask[y * of->w + x] < 128;
    return background ? 255 * (double)v->fill : of->rgb[(y * of->w + x) * 3 + ch];
}

static void crop_and_resize(double *im, const struct kern_picture *of, const struct kern_view *v,
                            size_t side)
{
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++) {
            long cy[4], cx[4];
            double wy[4], wx[4];
            taps(cy, wy, y, v->height, side);
            taps(cx, wx, v->flip ? side - 1 - x : x, v->width, side);
            for (size_t ch = 0; ch < 3; ch++) {
                double sum = 0;
                for (int i = 0; i < 4; i++)
                    for (int j = 0; j < 4; j++)
                        sum += wy[i] * wx[j] *
                               value(of, v, v->top + (size_t)cy[i], v->left + (size_t)cx[j], ch);
                im[(y * side + x) * 3 + ch] = clip01(sum / 255);
            }
        }
}

static void rgb_to_hsv(double hsv[3], const double rgb[3])
{
    double max = fmax(rgb[0], fmax(rgb[1], rgb[2])), min = fmin(rgb[0], fmin(rgb[1], rgb[2]));
    double range = max - min, h = 0;
    if (range > 0) {
        if (max == rgb[0])
            h = (rgb[1] - rgb[2]) / (6 * range);
        else if (max == rgb[1])
            h = (rgb[2] - rgb[0]) / (6 * range) + 1.0 / 3;
        else
            h = (rgb[0] - rgb[1]) / (6 * range) + 2.0 / 3;
    }
    hsv[0] = h < 0 ? h + 1 : h;
    hsv[1] = max > 0 ? range / max : 0;
    hsv[2] = max;
}

static void hsv_to_rgb(double rgb[3], const double hsv[3])
{
    double c = hsv[1] * hsv[2], m = hsv[2] - c, six = 6 * hsv[0];
    double x = c * (1 - fabs(fmod(six, 2) - 1));
    const double table[6][3] = { { c, x, 0 }, { x, c, 0 }, { 0, c, x },
                                 { 0, x, c }, { x, 0, c }, { c, 0, x } };
    int sector = (int)floor(six) % 6;
    for (int ch = 0; ch < 3; ch++)
        rgb[ch] = table[sector][ch] + m;
}

static void contrast(double *im, size_t pixels, double factor)
{
    for (size_t ch = 0; ch < 3; ch++) {
        double mean = 0;
        for (size_t i = 0; i < pixels; i++)
            mean += im[i * 3 + ch];
        mean /= (double)pixels;
        for (size_t i = 0; i < pixels; i++)
            im[i * 3 + ch] = factor * (im[i * 3 + ch] - mean) + mean;
    }
}

static void jitter(double *im, size_t pixels, const struct kern_view *v)
{
    for (int op = 0; op < 4; op++) {
        if (v->order[op] == 1)
            contrast(im, pixels, v->contrast);
        for (size_t i = 0; i < pixels; i++) {
            double *px = im + i * 3, hsv[3];
            if (v->order[op] == 0) {
                for (int ch = 0; ch < 3; ch++)
                    px[ch] += v->brightness;
            } else if (v->order[op] == 2) {
                rgb_to_hsv(hsv, px);
                hsv[1] = clip01(hsv[1] * v->saturation);
                hsv_to_rgb(px, hsv);
            } else if (v->order[op] == 3) {
                rgb_to_hsv(hsv, px);
                hsv[0] += v->hue;
                hsv[0] -= floor(hsv[0]);
                hsv_to_rgb(px, hsv);
            }
            for (int ch = 0; ch < 3; ch++)
                px[ch] = clip01(px[ch]);
        }
    }
}

static void grey(double *im, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        double *px = im + i * 3, y = 0.2989 * px[0] + 0.5870 * px[1] + 0.1140 * px[2];
        px[0] = px[1] = px[2] = clip01(y);
    }
}

/* One axis of the blur: stride 3 runs along x, side * 3 along y. Cells outside count as zero. */
static void blur_axis(double *out, const double *im, size_t side, bool vertical,
                      const double *weight, long radius)
{
    for (long y = 0; y < (long)side; y++)
        for (long x = 0; x < (long)side; x++)
            for (long ch = 0; ch < 3; ch++) {
                double sum = 0;
                for (long r = -radius; r <= radius; r++) {
                    long yy = vertical ? y + r : y, xx = vertical ? x : x + r;
                    if (yy >= 0 && yy < (long)side && xx >= 0 && xx < (long)side)
                        sum += weight[labs(r)] * im[(yy * (long)side + xx) * 3 + ch];
                }
                out[(y * (long)side + x) * 3 + ch] = sum;
            }
}

static void blur(double *im, double *tmp, double *weight, size_t side, double sigma)
{
    long radius = (long)(side / KERN_BLUR_PART);
    double sum = 0;
    for (long r = -radius; r <= radius; r++)
        sum += weight[labs(r)] = exp(-(double)(r * r) / (2 * sigma * sigma));
    for (long r = 0; r <= radius; r++)
        weight[r] /= sum;
    blur_axis(tmp, im, side, false, weight, radius);
    blur_axis(im, tmp, side, true, weight, radius);
}

/* im: room for two pictures of doubles and side more. */
static void make_view(double *im, const struct kern_picture *of, const struct kern_view *v,
                      size_t side)
{
    size_t pixels = side * side;
    crop_and_resize(im, of, v, side);
    if (v->jitter)
        jitter(im, pixels, v);
    if (v->grey)
        grey(im, pixels);
    if (v->sigma > 0)
        blur(im, im + pixels * 3, im + pixels * 6, side, v->sigma);
    for (size_t p = 0; p < pixels * 3; p++)
        im[p] = clip01(v->solarise && im[p] >= 0.5 ? 1 - im[p] : im[p]);
}

int ref_augment(struct kern *kn UNUSED, const struct kern_views *v)
{
    for (size_t j = 0; j < v->each; j++) {
        size_t side = v->side[j], values = side * side * 3;
        double *im = malloc((values * 2 + side) * sizeof(*im));
        if (!im)
            return -ENOMEM;
        for (size_t i = 0; i < v->n; i++) {
            make_view(im, &v->picture[i], &v->view[i * v->each + j], side);
            for (size_t p = 0; p < values; p++)
                kern_store(v->type, v->out[j], i * values + p,
                           (float)((im[p] - v->mean[p % 3]) / v->dev[p % 3]));
        }
        free(im);
    }
    return 0;
}
