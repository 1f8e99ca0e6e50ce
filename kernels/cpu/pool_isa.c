/*
 * pool_isa.c - max-pooling and the mean over the plane, vectors of channels at a time.
 */
#include "kernels/cpu/pool.h"
#include "kernels/cpu/vec.h"

/* The part of a window that lies inside the image: rows top.. < bottom, columns left.. < right. */
struct window {
    size_t top, bottom, left, right;
};

static void clip(size_t *from, size_t *to, size_t place, size_t side, size_t pad, size_t size)
{
    *from = place > pad ? place - pad : 0;
    *to = MIN(place + side - pad, size); /* side > pad: never negative */
}

static struct window window_of(const struct kern_maxpool *mp, size_t p, size_t q)
{
    struct window v;
    clip(&v.top, &v.bottom, p * mp->stride, mp->side, mp->pad_top, mp->h);
    clip(&v.left, &v.right, q * mp->stride, mp->side, mp->pad_left, mp->w);
    return v;
}

/* -- maximum ------------------------------------------------------------------------------- */

INLINE void max_step(const struct kern_maxpool *mp, float *y, const float *x, struct window v,
                     size_t n)
{
    vec most = vec_load(x + (v.top * mp->w + v.left) * mp->c, n);
    for (size_t r = v.top; r < v.bottom; r++)
        for (size_t s = v.left; s < v.right; s++) {
            vec now = vec_load(x + (r * mp->w + s) * mp->c, n);
            most = vec_select(now > most, now, most);
        }
    vec_store(y, most, n);
}

static void max_row(const struct kern_maxpool *mp, float *y, const float *x, size_t p)
{
    for (size_t q = 0; q < mp->ow; q++, y += mp->c) {
        struct window v = window_of(mp, p, q);
        size_t j = 0;
        for (; j + LANES <= mp->c; j += LANES)
            max_step(mp, y + j, x + j, v, LANES);
        if (j < mp->c)
            max_step(mp, y + j, x + j, v, mp->c - j);
    }
}

/* Which cell of the window is the first maximum, for each channel; then dy goes there. */
INLINE void max_back_step(const struct kern_maxpool *mp, float *dx, const float *dy, const float *x,
                          struct window v, size_t n)
{
    vec most = vec_load(x + (v.top * mp->w + v.left) * mp->c, n), g = vec_load(dy, n);
    ivec which = { 0 };
    int32_t cell = 0;
    for (size_t r = v.top; r < v.bottom; r++)
        for (size_t s = v.left; s < v.right; s++, cell++) {
            vec now = vec_load(x + (r * mp->w + s) * mp->c, n);
            ivec better = now > most;
            most = vec_select(better, now, most);
            which = (better & cell) | (~better & which);
        }
    cell = 0;
    for (size_t r = v.top; r < v.bottom; r++)
        for (size_t s = v.left; s < v.right; s++, cell++) {
            float *to = dx + (r * mp->w + s) * mp->c;
            vec_store(to, vec_load(to, n) + vec_select(which == cell, g, (vec){ 0 }), n);
        }
}

static void max_back(const struct kern_maxpool *mp, float *dx, const float *dy, const float *x)
{
    memset(dx, 0, mp->h * mp->w * mp->c * sizeof(*dx));
    for (size_t p = 0; p < mp->oh; p++)
        for (size_t q = 0; q < mp->ow; q++, dy += mp->c) {
            struct window v = window_of(mp, p, q);
            size_t j = 0;
            for (; j + LANES <= mp->c; j += LANES)
                max_back_step(mp, dx + j, dy + j, x + j, v, LANES);
            if (j < mp->c)
                max_back_step(mp, dx + j, dy + j, x + j, v, mp->c - j);
        }
}

/* -- mean ---------------------------------------------------------------------------------- */

/* Cells are added in runs of 32, the runs to one another: errors stay small on large planes. */
INLINE void mean_step(float *y, const float *x, size_t cells, size_t c, size_t n)
{
    enum { RUN = 32 };
    vec sum = { 0 };
    for (size_t i = 0; i < cells; i += RUN) {
        vec run = { 0 };
        for (size_t k = i; k < MIN(i + RUN, cells); k++)
            run += vec_load(x + k * c, n);
        sum += run;
    }
    vec_store(y, sum / (float)cells, n);
}

static void mean(float *y, const float *x, size_t cells, size_t c)
{
    size_t j = 0;
    for (; j + LANES <= c; j += LANES)
        mean_step(y + j, x + j, cells, c, LANES);
    if (j < c)
        mean_step(y + j, x + j, cells, c, c - j);
}

static void mean_back(float *dx, const float *dy, size_t cells, size_t c)
{
    float part = 1 / (float)cells;
    for (size_t k = 0; k < cells; k++, dx += c) {
        size_t j = 0;
        for (; j + LANES <= c; j += LANES)
            vec_store(dx + j, vec_load(dy + j, LANES) * part, LANES);
        if (j < c)
            vec_store(dx + j, vec_load(dy + j, c - j) * part, c - j);
    }
}

const struct cpu_pool ISA(cpu_pool) = { max_row, max_back, mean, mean_back };
