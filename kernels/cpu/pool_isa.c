/*
 * pool_isa.c - maxima, and means over 2 x 2 windows and over the plane, vectors of channels at a
 * time.
 */
#include "kernels/cpu/pool.h"
#include "kernels/cpu/vec.h"

/* The part of a window that lies inside the image. */
struct window {
    size_t top, left, rows, columns;
};

static void clip(size_t *from, size_t *n, size_t place, size_t side, size_t pad, size_t size)
{
    *from = place > pad ? place - pad : 0;
    *n = MIN(place + side - pad, size) - *from; /* side > pad: never negative */
}

static struct window window_of(const struct kern_maxpool *mp, size_t p, size_t q)
{
    struct window v;
    clip(&v.top, &v.rows, p * mp->stride, mp->side, mp->pad_top, mp->h);
    clip(&v.left, &v.columns, q * mp->stride, mp->side, mp->pad_left, mp->w);
    return v;
}

/* -- maximum ------------------------------------------------------------------------------- */

/* Whole windows of 3 x 3, which are most of those in use, are told by constants: their loops are
 * unrolled. */
enum { USUAL = 3 };

INLINE bool is_usual(struct window v)
{
    return v.rows == USUAL && v.columns == USUAL;
}

INLINE struct window usual(struct window v)
{
    return (struct window){ v.top, v.left, USUAL, USUAL };
}

/* Element of x where cell r, s of a window begins. */
INLINE size_t cell_at(const struct kern_maxpool *mp, struct window v, size_t r, size_t s)
{
    return ((v.top + r) * mp->w + v.left + s) * mp->c;
}

/* Channels j and on of one output, which is element at of y. */
INLINE void max_step(enum kern_type type, const struct kern_maxpool *mp, void *y, size_t at,
                     const void *x, struct window v, size_t j, size_t n)
{
    struct vec2 most = vec2_load_as(type, x, cell_at(mp, v, 0, 0) + j, n);
    for (size_t r = 0; r < v.rows; r++)
        for (size_t s = 0; s < v.columns; s++) {
            struct vec2 now = vec2_load_as(type, x, cell_at(mp, v, r, s) + j, n);
            BOTH(h)
            {
                most.v[h] = vec_larger(now.v[h], most.v[h]);
            }
        }
    vec2_store_as(type, y, at + j, most, n);
}

INLINE void max_cell(enum kern_type type, const struct kern_maxpool *mp, void *y, size_t at,
                     const void *x, struct window v)
{
    size_t j = 0;
    for (; j + LANES2 <= mp->c; j += LANES2)
        max_step(type, mp, y, at, x, v, j, LANES2);
    if (j < mp->c)
        max_step(type, mp, y, at, x, v, j, mp->c - j);
}

INLINE void max_row_of(enum kern_type type, const struct kern_maxpool *mp, void *y, const void *x,
                       size_t p)
{
    for (size_t q = 0; q < mp->ow; q++) {
        struct window v = window_of(mp, p, q);
        if (is_usual(v))
            max_cell(type, mp, y, q * mp->c, x, usual(v));
        else
            max_cell(type, mp, y, q * mp->c, x, v);
    }
}

static void max_row(const struct kern_maxpool *mp, void *y, const void *x, size_t p)
{
    if (mp->type == KERN_F32)
        max_row_of(KERN_F32, mp, y, x, p);
    else
        max_row_of(KERN_BF16, mp, y, x, p);
}

struct fresh {
    size_t row, column;
};

/*
 * Which cell of the window is the first maximum, for each channel; then dy goes there. Cells from
 * row and column fresh on are in no earlier window: theirs is all that they have so far, and is not
 * rounded once more.
 */
INLINE void max_back_step(enum kern_type type, const struct kern_maxpool *mp, void *dx,
                          const void *dy, size_t at, const void *x, struct window v,
                          struct fresh fresh, size_t j, size_t n)
{
    struct vec2 most = vec2_load_as(type, x, cell_at(mp, v, 0, 0) + j, n);
    struct vec2 g = vec2_load_as(type, dy, at + j, n);
    vec which[2] = { { 0 } }; /* integers */
    int32_t cell = 0;
    for (size_t r = 0; r < v.rows; r++)
        for (size_t s = 0; s < v.columns; s++, cell++) {
            struct vec2 now = vec2_load_as(type, x, cell_at(mp, v, r, s) + j, n);
            vec here = (vec)((ivec){ 0 } + cell);
            BOTH(h)
            {
                which[h] = vec_if_larger(now.v[h], most.v[h], here, which[h]);
                most.v[h] = vec_larger(now.v[h], most.v[h]);
            }
        }
    BOTH(h)
    {
        g.v[h] += (vec){ 0 }; /* to the 0 that is there: -0 becomes 0 */
    }
    cell = 0;
    for (size_t r = 0; r < v.rows; r++)
        for (size_t s = 0; s < v.columns; s++, cell++) {
            size_t to = cell_at(mp, v, r, s) + j;
            struct vec2 part;
            BOTH(h)
            {
                part.v[h] = vec_select((ivec)which[h] == cell, g.v[h], (vec){ 0 });
            }
            if (r >= fresh.row && s >= fresh.column) {
                vec2_store_exact(type, dx, to, part, n);
                continue;
            }
            struct vec2 sum = vec2_load_as(type, dx, to, n);
            BOTH(h)
            {
                sum.v[h] += part.v[h];
            }
            vec2_store_as(type, dx, to, sum, n);
        }
}

INLINE void max_back_cell(enum kern_type type, const struct kern_maxpool *mp, void *dx,
                          const void *dy, size_t at, const void *x, struct window v,
                          struct fresh fresh)
{
    size_t j = 0;
    for (; j + LANES2 <= mp->c; j += LANES2)
        max_back_step(type, mp, dx, dy, at, x, v, fresh, j, LANES2);
    if (j < mp->c)
        max_back_step(type, mp, dx, dy, at, x, v, fresh, j, mp->c - j);
}

INLINE void max_back_of(enum kern_type type, const struct kern_maxpool *mp, void *dx,
                        const void *dy, const void *x)
{
    size_t at = 0, row = mp->w * mp->c * kern_sizeof(type), cleared = 0;
    for (size_t p = 0; p < mp->oh; p++) {
        struct window v = window_of(mp, p, 0);
        struct fresh fresh = { .row = cleared > v.top ? cleared - v.top : 0 };
        size_t end = p + 1 < mp->oh ? v.top + v.rows : mp->h, right = 0;
        if (end > cleared) { /* rows are cleared just before the first gradient comes */
            memset((uint8_t *)dx + cleared * row, 0, (end - cleared) * row);
            cleared = end;
        }
        for (size_t q = 0; q < mp->ow; q++, at += mp->c) {
            v = window_of(mp, p, q);
            fresh.column = right > v.left ? right - v.left : 0;
            right = v.left + v.columns;
            if (is_usual(v) && fresh.row == 1 && fresh.column == 1) /* with stride 2 */
                max_back_cell(type, mp, dx, dy, at, x, usual(v), (struct fresh){ 1, 1 });
            else
                max_back_cell(type, mp, dx, dy, at, x, v, fresh);
        }
    }
}

static void max_back(const struct kern_maxpool *mp, void *dx, const void *dy, const void *x)
{
    if (mp->type == KERN_F32)
        max_back_of(KERN_F32, mp, dx, dy, x);
    else
        max_back_of(KERN_BF16, mp, dx, dy, x);
}

/* -- mean of 2 x 2 windows ----------------------------------------------------------------- */

/* The c numbers from element at on, to be added in some part. */
struct part {
    size_t at;
    float part;
};

/* Channels j and on of the sum of the parts. */
INLINE void mean2_step(enum kern_type type, void *to, size_t at, const void *from,
                       const struct part *part, size_t nparts, size_t j, size_t n)
{
    struct vec2 sum = { 0 };
    for (size_t i = 0; i < nparts; i++) {
        struct vec2 x = vec2_load_as(type, from, part[i].at + j, n);
        BOTH(h)
        {
            sum.v[h] += x.v[h] * part[i].part;
        }
    }
    vec2_store_as(type, to, at + j, sum, n);
}

INLINE void mean2_sum(enum kern_type type, void *to, size_t at, const void *from,
                      const struct part *part, size_t nparts, size_t c)
{
    size_t j = 0;
    for (; j + LANES2 <= c; j += LANES2)
        mean2_step(type, to, at, from, part, nparts, j, LANES2);
    if (j < c)
        mean2_step(type, to, at, from, part, nparts, j, c - j);
}

/* Of each cell in the mean of the window from cell r, s on. A power of 2, so no digit is lost. */
INLINE float part_of(const struct kern_avgpool2 *ap, size_t r, size_t s)
{
    bool row = ap->stride == 1 && r + 1 == ap->h, column = ap->stride == 1 && s + 1 == ap->w;
    return (row ? 1 : 0.5f) * (column ? 1 : 0.5f);
}

INLINE void mean2_row_of(enum kern_type type, const struct kern_avgpool2 *ap, void *y,
                         const void *x, size_t p)
{
    size_t top = p * ap->stride, at = 0;
    for (size_t left = 0; left < ap->w; left += ap->stride, at += ap->c) {
        struct part part[4];
        size_t n = 0;
        for (size_t r = top; r < MIN(top + 2, ap->h); r++)
            for (size_t s = left; s < MIN(left + 2, ap->w); s++)
                part[n++] = (struct part){ (r * ap->w + s) * ap->c, part_of(ap, top, left) };
        mean2_sum(type, y, at, x, part, n, ap->c);
    }
}

static void mean2_row(const struct kern_avgpool2 *ap, void *y, const void *x, size_t p)
{
    if (ap->type == KERN_F32)
        mean2_row_of(KERN_F32, ap, y, x, p);
    else
        mean2_row_of(KERN_BF16, ap, y, x, p);
}

/* The first window that holds a cell; the last is cell / stride. */
INLINE size_t first_window(const struct kern_avgpool2 *ap, size_t cell)
{
    return ap->stride == 1 && cell > 0 ? cell - 1 : cell / ap->stride;
}

INLINE void mean2_back_row_of(enum kern_type type, const struct kern_avgpool2 *ap, void *dx,
                              const void *dy, size_t r)
{
    size_t stride = ap->stride, ow = (ap->w + stride - 1) / stride;
    for (size_t s = 0; s < ap->w; s++) {
        struct part part[4];
        size_t n = 0;
        for (size_t p = first_window(ap, r); p <= r / stride; p++)
            for (size_t q = first_window(ap, s); q <= s / stride; q++)
                part[n++] =
                    (struct part){ (p * ow + q) * ap->c, part_of(ap, p * stride, q * stride) };
        mean2_sum(type, dx, s * ap->c, dy, part, n, ap->c);
    }
}

static void mean2_back_row(const struct kern_avgpool2 *ap, void *dx, const void *dy, size_t r)
{
    if (ap->type == KERN_F32)
        mean2_back_row_of(KERN_F32, ap, dx, dy, r);
    else
        mean2_back_row_of(KERN_BF16, ap, dx, dy, r);
}

/* -- mean of the plane --------------------------------------------------------------------- */

/* Cells are added in runs of 32, the runs to one another: errors stay small on large planes. */
INLINE void mean_step(enum kern_type type, float *y, const void *x, size_t cells, size_t c,
                      size_t j, size_t n)
{
    enum { RUN = 32 };
    struct vec2 sum = { 0 };
    for (size_t i = 0; i < cells; i += RUN) {
        struct vec2 run = { 0 };
        for (size_t k = i; k < MIN(i + RUN, cells); k++) {
            struct vec2 now = vec2_load_as(type, x, k * c + j, n);
            BOTH(h)
            {
                run.v[h] += now.v[h];
            }
        }
        BOTH(h)
        {
            sum.v[h] += run.v[h];
        }
    }
    BOTH(h)
    {
        sum.v[h] /= (float)cells;
    }
    vec2_store_columns(type, y + j, sum, n);
}

INLINE void mean_of(enum kern_type type, float *y, const void *x, size_t cells, size_t c)
{
    size_t j = 0;
    for (; j + LANES2 <= c; j += LANES2)
        mean_step(type, y, x, cells, c, j, LANES2);
    if (j < c)
        mean_step(type, y, x, cells, c, j, c - j);
}

static void mean(enum kern_type type, float *y, const void *x, size_t cells, size_t c)
{
    if (type == KERN_F32)
        mean_of(KERN_F32, y, x, cells, c);
    else
        mean_of(KERN_BF16, y, x, cells, c);
}

/* The gradient of a cell, then that of all others, which is the same. */
INLINE void mean_back_of(enum kern_type type, void *dx, const float *dy, size_t cells, size_t c)
{
    float part = 1 / (float)cells;
    size_t j = 0, bytes = c * kern_sizeof(type);
    for (; j + LANES <= c; j += LANES)
        vec_store_as(type, dx, j, vec_load(dy + j, LANES) * part, LANES);
    if (j < c)
        vec_store_as(type, dx, j, vec_load(dy + j, c - j) * part, c - j);
    for (size_t i = 1; i < cells; i++)
        memcpy((uint8_t *)dx + i * bytes, dx, bytes);
}

static void mean_back(enum kern_type type, void *dx, const float *dy, size_t cells, size_t c)
{
    if (type == KERN_F32)
        mean_back_of(KERN_F32, dx, dy, cells, c);
    else
        mean_back_of(KERN_BF16, dx, dy, cells, c);
}

const struct cpu_pool ISA(cpu_pool) = { max_row,        max_back, mean2_row,
                                        mean2_back_row, mean,     mean_back };
