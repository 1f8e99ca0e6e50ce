/*
 * saliency.c - see saliency.h; the numbers of equations are the paper's.
 */
#include "common/data/saliency.h"
#include "common/base/mem.h"
#include "common/data/slic.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_SIDE = 300, REGIONS = 200, LEAST_PIXELS = 16 }; /* pixels of a region, about */
#define SIGMA_COLOUR 10.0
#define SIGMA_BORDER 1.0
#define SIGMA_PLACE 0.25
#define SMOOTHNESS 0.1 /* mu: also between regions that differ */

struct regions {
    size_t h, w, n;
    int32_t *of; /* [h][w] */
    double *lab; /* [n][3] mean colours */
    double *at;  /* [n][2] centres, each axis 0 .. 1 */
    double *size;
    bool *border;
    bool *near;     /* [n][n] share an edge */
    double *colour; /* [n][n] distance of colours */
    double *path;   /* [n][n] the same along the cheapest way over neighbours */
    double *background, *foreground, *map; /* [n] weights of both; the result */
    double *system;                        /* [n][n+1] */
};

static double gauss(double d, double sigma)
{
    return exp(-d * d / (2 * sigma * sigma));
}

/* -- regions and their distances ---- */

static double linear(uint8_t v)
{
    double c = v / 255.0;
    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

static double cube_root(double t)
{
    return t > 216.0 / 24389 ? cbrt(t) : (24389.0 / 27 * t + 16) / 116;
}

/* sRGB to CIE L*a*b* under D65. */
static void to_lab(float *lab, const struct image *im)
{
    double table[256];
    for (int v = 0; v < 256; v++)
        table[v] = linear((uint8_t)v);
    for (size_t i = 0; i < im->h * im->w; i++) {
        double r = table[im->rgb[3 * i]], g = table[im->rgb[3 * i + 1]],
               b = table[im->rgb[3 * i + 2]];
        double x = cube_root((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
        double y = cube_root(0.2126729 * r + 0.7151522 * g + 0.0721750 * b);
        double z = cube_root((0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883);
        lab[3 * i] = (float)(116 * y - 16);
        lab[3 * i + 1] = (float)(500 * (x - y));
        lab[3 * i + 2] = (float)(200 * (y - z));
    }
}

static int open_regions(struct regions *r)
{
    size_t n = r->n;
    r->lab = mem_alloc(3 * n, sizeof *r->lab, "saliency");
    r->at = mem_alloc(2 * n, sizeof *r->at, "saliency");
    r->size = mem_alloc(n, sizeof *r->size, "saliency");
    r->border = mem_alloc(n, sizeof *r->border, "saliency");
    r->near = mem_alloc(n * n, sizeof *r->near, "saliency");
    r->colour = mem_alloc(n * n, sizeof *r->colour, "saliency");
    r->path = mem_alloc(n * n, sizeof *r->path, "saliency");
    r->background = mem_alloc(n, sizeof *r->background, "saliency");
    r->foreground = mem_alloc(n, sizeof *r->foreground, "saliency");
    r->map = mem_alloc(n, sizeof *r->map, "saliency");
    r->system = mem_alloc(n * (n + 1), sizeof *r->system, "saliency");
    return r->lab && r->at && r->size && r->border && r->near && r->colour && r->path &&
                   r->background && r->foreground && r->map && r->system
               ? 0
               : -ENOMEM;
}

static void close_regions(struct regions *r)
{
    free(r->of);
    free(r->lab);
    free(r->at);
    free(r->size);
    free(r->border);
    free(r->near);
    free(r->colour);
    free(r->path);
    free(r->background);
    free(r->foreground);
    free(r->map);
    free(r->system);
}

static void touch(struct regions *r, int32_t a, int32_t b)
{
    r->near[(size_t)a * r->n + (size_t)b] = r->near[(size_t)b * r->n + (size_t)a] = a != b;
}

/* Means of colour and place, the border, and who lies beside whom. */
static void describe(struct regions *r, const float *lab)
{
    for (size_t y = 0; y < r->h; y++)
        for (size_t x = 0; x < r->w; x++) {
            size_t p = y * r->w + x, k = (size_t)r->of[p];
            for (size_t ch = 0; ch < 3; ch++)
                r->lab[3 * k + ch] += lab[3 * p + ch];
            r->at[2 * k] += ((double)y + 0.5) / (double)r->h;
            r->at[2 * k + 1] += ((double)x + 0.5) / (double)r->w;
            r->size[k]++;
            r->border[k] |= y == 0 || x == 0 || y == r->h - 1 || x == r->w - 1;
            if (x > 0 && r->of[p - 1] != r->of[p])
                touch(r, r->of[p - 1], r->of[p]);
            if (y > 0 && r->of[p - r->w] != r->of[p])
                touch(r, r->of[p - r->w], r->of[p]);
        }
    for (size_t k = 0; k < r->n; k++) {
        for (size_t ch = 0; ch < 3; ch++)
            r->lab[3 * k + ch] /= r->size[k];
        r->at[2 * k] /= r->size[k];
        r->at[2 * k + 1] /= r->size[k];
    }
}

/* Shortest paths over neighbours, among which all regions of the border count (Floyd, 1962). */
static void measure_distances(struct regions *r)
{
    size_t n = r->n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double d = 0;
            for (size_t ch = 0; ch < 3; ch++)
                d += pow(r->lab[3 * i + ch] - r->lab[3 * j + ch], 2);
            bool linked = i == j || r->near[i * n + j] || (r->border[i] && r->border[j]);
            r->colour[i * n + j] = sqrt(d);
            r->path[i * n + j] = linked ? r->colour[i * n + j] : INFINITY;
        }
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < n; i++) {
            double *path = r->path + i * n, *onward = r->path + k * n, there = path[k];
            for (size_t j = 0; j < n; j++)
                path[j] = there + onward[j] < path[j] ? there + onward[j] : path[j];
        }
}

/* -- what is background, and what stands out ---- */

/* Boundary connectivity, (2) to (5), and the background's weight, (6). */
static void find_background(struct regions *r)
{
    for (size_t i = 0; i < r->n; i++) {
        double area = 0, length = 0;
        for (size_t j = 0; j < r->n; j++) {
            double alike = gauss(r->path[i * r->n + j], SIGMA_COLOUR);
            area += alike;
            length += r->border[j] ? alike : 0;
        }
        r->background[i] = 1 - gauss(length / sqrt(area), SIGMA_BORDER);
    }
}

/* Contrast to the background around, (7) and (8), brought to 0 .. 1; false if there is none. */
static bool find_foreground(struct regions *r)
{
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < r->n; i++) {
        double contrast = 0;
        for (size_t j = 0; j < r->n; j++) {
            double d = hypot(r->at[2 * i] - r->at[2 * j], r->at[2 * i + 1] - r->at[2 * j + 1]);
            contrast += r->colour[i * r->n + j] * gauss(d, SIGMA_PLACE) * r->background[j];
        }
        r->foreground[i] = contrast;
        least = fmin(least, contrast);
        most = fmax(most, contrast);
    }
    for (size_t i = 0; i < r->n && most > least; i++)
        r->foreground[i] = (r->foreground[i] - least) / (most - least);
    return most > least;
}

/*
 * (9): the map s that minimises sum bg s^2 + sum fg (s - 1)^2 + sum over neighbours of w (s_i -
 * s_j)^2. Its system is positive definite: elimination needs no pivots.
 */
static void fit_map(struct regions *r)
{
    size_t n = r->n, wide = n + 1;
    double *a = r->system;
    for (size_t i = 0; i < n; i++) {
        a[i * wide + i] += r->background[i] + r->foreground[i];
        a[i * wide + n] = r->foreground[i];
        for (size_t j = 0; j < n; j++)
            if (r->near[i * n + j]) {
                double w = gauss(r->colour[i * n + j], SIGMA_COLOUR) + SMOOTHNESS;
                a[i * wide + i] += w;
                a[i * wide + j] -= w;
            }
    }
    for (size_t k = 0; k < n; k++)
        for (size_t i = k + 1; i < n; i++) {
            double f = a[i * wide + k] / a[k * wide + k];
            for (size_t j = k; j < wide && f != 0; j++)
                a[i * wide + j] -= f * a[k * wide + j];
        }
    for (size_t i = n; i-- > 0;) {
        double sum = a[i * wide + n];
        for (size_t j = i + 1; j < n; j++)
            sum -= a[i * wide + j] * r->map[j];
        r->map[i] = sum / a[i * wide + i];
    }
}

/* Otsu's: the value from which on regions are foreground, each weighing as many pixels as it has.
 */
static double threshold(const struct regions *r)
{
    double best = -1, at = 0;
    for (size_t t = 0; t < r->n; t++) {
        double n[2] = { 0 }, sum[2] = { 0 };
        for (size_t i = 0; i < r->n; i++) {
            int above = r->map[i] >= r->map[t];
            n[above] += r->size[i];
            sum[above] += r->size[i] * r->map[i];
        }
        double apart = n[0] > 0 ? sum[1] / n[1] - sum[0] / n[0] : 0;
        if (n[0] * n[1] * apart * apart > best) {
            best = n[0] * n[1] * apart * apart;
            at = r->map[t];
        }
    }
    return at;
}

static int paint(struct mask *m, const struct regions *r)
{
    double from = threshold(r);
    *m = (struct mask){ r->h, r->w, mem_alloc(r->h * r->w, 1, "a mask") };
    if (m->plane == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < r->h * r->w; i++)
        m->plane[i] = r->map[r->of[i]] >= from ? 255 : 0;
    return 1;
}

/* Of a picture that is small enough. */
static int mask_of(struct mask *m, const struct image *im)
{
    size_t pixels = im->h * im->w, k = MAX(MIN(pixels / LEAST_PIXELS, REGIONS), 1);
    struct regions r = { .h = im->h, .w = im->w };
    float *lab = mem_alloc(pixels * 3, sizeof *lab, "saliency");
    r.of = mem_alloc(pixels, sizeof *r.of, "saliency");
    int rc = lab && r.of ? 0 : -ENOMEM;
    if (rc == 0) {
        to_lab(lab, im);
        rc = slic(r.of, lab, im->h, im->w, k);
    }
    r.n = (size_t)MAX(rc, 0);
    if (rc > 0 && (rc = open_regions(&r)) == 0) {
        describe(&r, lab);
        measure_distances(&r);
        find_background(&r);
        if (find_foreground(&r)) {
            fit_map(&r);
            rc = paint(m, &r);
        }
    }
    free(lab);
    close_regions(&r);
    return rc;
}

int saliency_mask(struct mask *m, const struct image *im)
{
    struct image small = { 0 };
    size_t most = MAX(im->h, im->w);
    *m = (struct mask){ 0 };
    if (most <= LONG_SIDE)
        return mask_of(m, im);
    int rc = image_resize(&small, im, MAX(im->h * LONG_SIDE / most, 1),
                          MAX(im->w * LONG_SIDE / most, 1));
    if (rc == 0)
        rc = mask_of(m, &small);
    image_release(&small);
    if (rc > 0 && mask_resize(m, im->h, im->w) < 0) {
        mask_release(m);
        rc = -ENOMEM;
    }
    return rc;
}
