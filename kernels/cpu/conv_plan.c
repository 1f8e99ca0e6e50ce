/*
 * conv_plan.c - the geometry of a pass (conv.h): grids of outputs, the taps that meet in them, the
 * band that they read, and tasks. It is the same for every instruction set and type.
 */
#include "kernels/cpu/conv.h"
#include <math.h>

/* -- grids and taps ------------------------------------------------------------------------ */

/* The band's columns, once its left edge, the grid's columns and a window's span are known. */
static void plan_band(struct conv_plan *p, size_t cols, size_t span_cols)
{
    p->span_cols = span_cols;
    p->columns = (cols - 1) * p->step + span_cols;
    for (size_t i = 0; i < p->step; i++) {
        p->used_rows |= i < p->span_rows ? 1u << i : 0;
        p->used_cols |= i < span_cols ? 1u << i : 0;
    }
}

static void add_tap(struct conv_phase *ph, size_t row, size_t col, size_t weight)
{
    ph->tap[ph->ntaps++] = (struct conv_tap){ .row = row, .col = col, .weight = weight };
}

void conv_plan_forward(struct conv_plan *p, const struct kern_conv *cv, bool plain)
{
    *p = (struct conv_plan){ .n = cv->n, .ih = cv->h, .iw = cv->w, .oh = cv->oh, .ow = cv->ow };
    p->type = cv->type;
    p->pair = 1;
    p->ic = cv->c;
    p->oc = cv->k;
    p->plain = plain;
    p->step = cv->stride;
    p->out_step = 1;
    p->rows = cv->oh;
    p->top = -(ptrdiff_t)cv->pad_top;
    p->left = -(ptrdiff_t)cv->pad_left;
    p->span_rows = cv->kh;
    plan_band(p, cv->ow, cv->kw);
    p->nphases = 1;
    struct conv_phase *ph = &p->phase[0];
    ph->rows = cv->oh;
    ph->cols = cv->ow;
    for (size_t r = 0; r < cv->kh; r++)
        for (size_t s = 0; s < (plain ? 1 : cv->kw); s++)
            add_tap(ph, r, s, plain ? r : r * cv->kw + s);
}

/*
 * Input cell i gets from output cell p through tap r if p * stride + r - pad = i: for each
 * remainder of i + pad modulo the stride only some taps meet a cell, (i + pad - r) / stride.
 */
static void plan_phase(struct conv_plan *p, const struct kern_conv *cv, size_t row0, size_t col0)
{
    if (row0 >= cv->h || col0 >= cv->w)
        return;
    struct conv_phase *ph = &p->phase[p->nphases++];
    size_t st = cv->stride;
    ph->rows = (cv->h - row0 + st - 1) / st;
    ph->cols = (cv->w - col0 + st - 1) / st;
    ph->row0 = row0;
    ph->col0 = col0;
    /* st * kh keeps the numerators positive; the band begins at -top */
    for (size_t r = 0; r < cv->kh; r++)
        for (size_t s = 0; s < cv->kw; s++) {
            size_t i = row0 + cv->pad_top + st * cv->kh - r;
            size_t j = col0 + cv->pad_left + st * cv->kw - s;
            if (i % st == 0 && j % st == 0)
                add_tap(ph, (size_t)((ptrdiff_t)(i / st - cv->kh) - p->top),
                        (size_t)((ptrdiff_t)(j / st - cv->kw) - p->left), r * cv->kw + s);
        }
}

/* Floor of a / b for a >= -b * far. */
static ptrdiff_t floor_div(ptrdiff_t a, size_t b, size_t far)
{
    return (ptrdiff_t)((size_t)(a + (ptrdiff_t)(b * far)) / b) - (ptrdiff_t)far;
}

void conv_plan_backward(struct conv_plan *p, const struct kern_conv *cv)
{
    *p = (struct conv_plan){ .n = cv->n, .ih = cv->oh, .iw = cv->ow, .oh = cv->h, .ow = cv->w };
    p->type = cv->type;
    p->pair = 1;
    size_t st = cv->stride;
    p->ic = cv->k;
    p->oc = cv->c;
    p->step = 1;
    p->out_step = st;
    p->rows = (cv->h + st - 1) / st;
    p->top = floor_div((ptrdiff_t)cv->pad_top - (ptrdiff_t)cv->kh + 1, st, cv->kh);
    p->left = floor_div((ptrdiff_t)cv->pad_left - (ptrdiff_t)cv->kw + 1, st, cv->kw);
    p->span_rows = (size_t)((ptrdiff_t)((st - 1 + cv->pad_top) / st) - p->top + 1);
    plan_band(p, (cv->w + st - 1) / st,
              (size_t)((ptrdiff_t)((st - 1 + cv->pad_left) / st) - p->left + 1));
    for (size_t a = 0; a < st; a++)
        for (size_t b = 0; b < st; b++)
            plan_phase(p, cv, a, b);
}

/* -- tasks --------------------------------------------------------------------------------- */

double conv_image_macs(const struct kern_conv *cv)
{
    return (double)cv->oh * (double)cv->ow * (double)cv->k * (double)cv->c * (double)cv->kh *
           (double)cv->kw;
}

void conv_cut(struct conv_plan *p, size_t images, size_t rows)
{
    p->task_images = images;
    p->task_rows = rows;
    p->row_tasks = (p->rows + rows - 1) / rows;
    p->ntasks = (p->n + images - 1) / images * p->row_tasks;
}

/* Some images, or rows of one. */
void conv_cut_tasks(struct conv_plan *p, const struct conv_limits *l, double macs, size_t weights)
{
    size_t most = l->band / p->row_numbers; /* rows of a band */
    size_t image = conv_band_rows(p, p->rows);
    if (image <= most) {
        size_t least = (size_t)ceil(l->macs / macs), want = p->n / l->tasks;
        size_t images = MIN(MAX(want, least), MAX(l->pixels / (p->oh * p->ow), (size_t)1));
        if (weights > l->weights)
            images = MAX(images, l->shared / (p->oh * p->ow));
        images = MIN(MAX(images, (size_t)1), MIN(most / image, p->n));
        if (p->n >= l->tasks || images > 1) {
            conv_cut(p, images, p->rows);
            return;
        }
    }
    size_t rows = most >= conv_band_rows(p, 1) ? (most - p->span_rows) / p->step + 1 : 1;
    if (p->n < l->tasks) {
        size_t want = (p->rows * p->n + l->tasks - 1) / l->tasks;
        size_t least = (size_t)ceil(l->macs / macs * (double)p->rows);
        rows = MIN(rows, MAX(want, least));
    }
    conv_cut(p, 1, MIN(MAX(rows, (size_t)1), p->rows));
}

size_t conv_group_parts(const struct kern *kn, const struct conv_plan *p,
                        const struct conv_limits *l, double macs, size_t ngroups)
{
    const double again = 1.0 / 32; /* its band, or another look at the input */
    double most = macs * (double)p->n / (l->macs * (double)p->ntasks);
    return cpu_parts(kn, p->ntasks, ngroups, most < 1 ? 1 : (size_t)most, again);
}

struct conv_share conv_share_of(const struct conv_plan *p, size_t task)
{
    struct conv_share s = { .image = task / p->row_tasks * p->task_images,
                            .row = task % p->row_tasks * p->task_rows };
    s.images = MIN(p->task_images, p->n - s.image);
    s.rows = MIN(p->task_rows, p->rows - s.row);
    return s;
}

struct sums {
    const struct conv_plan *plan;
    const struct kern_bn *bn;
    const double *sums;
    size_t padded;
};

static int sum_task(void *arg, size_t i, int worker UNUSED)
{
    const struct sums *s = arg;
    const struct conv_plan *p = s->plan;
    double cells = (double)p->n * (double)p->oh * (double)p->ow;
    double sum[CONV_BLOCK] = { 0 }, squares[CONV_BLOCK] = { 0 };
    size_t first = i * CONV_BLOCK, n = MIN((size_t)CONV_BLOCK, p->oc - first);
    for (size_t t = 0; t < p->ntasks; t++) {
        const double *from = s->sums + t * 2 * s->padded + first;
        for (size_t k = 0; k < n; k++) {
            sum[k] += from[k];
            squares[k] += from[s->padded + k];
        }
    }
    for (size_t k = 0; k < n; k++) {
        double mean = sum[k] / cells;
        s->bn->mean[first + k] = (float)mean;
        s->bn->var[first + k] = (float)fmax(squares[k] / cells - mean * mean, 0);
    }
    return 0;
}

int conv_sum_up(struct kern *kn, const struct conv_plan *p, const struct kern_bn *bn,
                const double *sums, size_t padded)
{
    struct sums s = { p, bn, sums, padded };
    int rc = pool_run(kn->pool, (p->oc + CONV_BLOCK - 1) / CONV_BLOCK, sum_task, &s);
    return rc == 0 && bn->scale ? ref_bn_finalise(kn, bn, p->oc) : rc;
}
