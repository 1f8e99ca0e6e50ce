/*
 * slic.c - see slic.h.
 */
#include "common/data/slic.h"
#include "common/base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 10 };    /* the paper's */
#define COMPACTNESS 20.0 /* m: what a step of the grid weighs against a distance of colours */

struct centre {
    double lab[3], y, x;
};

struct grid {
    const float *lab;
    size_t h, w;
    size_t ny, nx; /* of centres */
    double step;   /* between them */
    struct centre *centre;
    float *distance; /* [h][w] to the nearest centre */
    int32_t *region;
};

/* Centres stand in the middle of the cells of a grid, and have its pixels at first. */
static void begin(struct grid *g)
{
    for (size_t y = 0; y < g->h; y++)
        for (size_t x = 0; x < g->w; x++)
            g->region[y * g->w + x] = (int32_t)(y * g->ny / g->h * g->nx + x * g->nx / g->w);
}

/* Each centre moves to the mean of its pixels. */
static void move_centres(struct grid *g, size_t *count)
{
    size_t n = g->ny * g->nx;
    memset(count, 0, n * sizeof *count);
    memset(g->centre, 0, n * sizeof *g->centre);
    for (size_t i = 0; i < g->h * g->w; i++) {
        struct centre *c = &g->centre[g->region[i]];
        for (int ch = 0; ch < 3; ch++)
            c->lab[ch] += g->lab[3 * i + (size_t)ch];
        c->y += (double)(i / g->w);
        c->x += (double)(i % g->w);
        count[g->region[i]]++;
    }
    for (size_t i = 0; i < n; i++) {
        struct centre *c = &g->centre[i];
        double many = (double)MAX(count[i], 1);
        for (int ch = 0; ch < 3; ch++)
            c->lab[ch] /= many;
        c->y /= many;
        c->x /= many;
    }
}

/* Pixels within a step of centre i go to it if no other is nearer. */
static void claim(struct grid *g, size_t i)
{
    const struct centre *c = &g->centre[i];
    double weight = COMPACTNESS * COMPACTNESS / (g->step * g->step);
    size_t top = (size_t)fmax(c->y - g->step, 0), left = (size_t)fmax(c->x - g->step, 0);
    size_t bottom = MIN((size_t)(c->y + g->step) + 1, g->h);
    size_t right = MIN((size_t)(c->x + g->step) + 1, g->w);
    const float l = (float)c->lab[0], a = (float)c->lab[1], b = (float)c->lab[2];
    for (size_t y = top; y < bottom; y++) {
        double dy = (double)y - c->y;
        for (size_t x = left; x < right; x++) {
            size_t at = y * g->w + x;
            const float *p = g->lab + 3 * at;
            double dx = (double)x - c->x;
            float d = (p[0] - l) * (p[0] - l) + (p[1] - a) * (p[1] - a) + (p[2] - b) * (p[2] - b) +
                      (float)(weight * (dy * dy + dx * dx));
            if (d < g->distance[at]) {
                g->distance[at] = d;
                g->region[at] = (int32_t)i;
            }
        }
    }
}

/* The pixels that hang together with pixel first, in stack; to becomes their region. */
static size_t flood(const struct grid *g, int32_t *to, int32_t number, size_t first, size_t *stack)
{
    size_t n = 1, w = g->w;
    stack[0] = first;
    to[first] = number;
    for (size_t i = 0; i < n; i++) {
        size_t at = stack[i];
        const size_t near[4] = { at % w ? at - 1 : at, (at + 1) % w ? at + 1 : at,
                                 at >= w ? at - w : at, at + w < g->h * w ? at + w : at };
        for (int k = 0; k < 4; k++)
            if (to[near[k]] < 0 && g->region[near[k]] == g->region[at]) {
                to[near[k]] = number;
                stack[n++] = near[k];
            }
    }
    return n;
}

/* Regions in one piece, numbered in the order of their first pixels; a piece smaller than a quarter
 * of a cell joins the one before it on its row or above. */
static int separate(struct grid *g, int32_t *to, size_t *stack)
{
    size_t least = (size_t)(g->step * g->step / 4);
    int32_t number = 0;
    for (size_t i = 0; i < g->h * g->w; i++)
        to[i] = -1;
    for (size_t i = 0; i < g->h * g->w; i++) {
        if (to[i] >= 0)
            continue;
        size_t n = flood(g, to, number, i, stack);
        if (n < least && i > 0) {
            int32_t other = i % g->w ? to[i - 1] : to[i - g->w];
            for (size_t k = 0; k < n; k++)
                to[stack[k]] = other;
        } else {
            number++;
        }
    }
    return number;
}

int slic(int32_t *region, const float *lab, size_t h, size_t w, size_t k)
{
    struct grid g = { .lab = lab, .h = h, .w = w, .step = sqrt((double)(h * w) / (double)k) };
    g.ny = MAX((size_t)((double)h / g.step + 0.5), (size_t)1);
    g.nx = MAX((size_t)((double)w / g.step + 0.5), (size_t)1);
    size_t n = g.ny * g.nx;
    size_t *count = mem_alloc(MAX(n, h * w), sizeof *count, "superpixels");
    g.centre = mem_alloc(n, sizeof *g.centre, "superpixels");
    g.distance = mem_alloc(h * w, sizeof *g.distance, "superpixels");
    g.region = mem_alloc(h * w, sizeof *g.region, "superpixels");
    int rc = count && g.centre && g.distance && g.region ? 0 : -ENOMEM;
    if (rc == 0) {
        begin(&g);
        for (int round = 0; round < ROUNDS; round++) {
            move_centres(&g, count);
            for (size_t i = 0; i < h * w; i++)
                g.distance[i] = INFINITY;
            for (size_t i = 0; i < n; i++)
                if (count[i] > 0)
                    claim(&g, i);
        }
        rc = separate(&g, region, count);
    }
    free(count);
    free(g.centre);
    free(g.distance);
    free(g.region);
    return rc;
}
