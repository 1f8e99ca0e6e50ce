/*
 * views_sheet.c - see views_sheet.h. The draws do not depend on the batch, so views of the chosen
 * pictures alone are those of the step.
 */
#include "common/model/views_sheet.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/draw.h"
#include "common/model/views.h"
#include <stdio.h>
#include <stdlib.h>

/* Everything that the sheet holds, released together. */
struct page {
    size_t n, cols;
    struct sample sample[VIEWS_SHEET_ROWS];
    uint64_t id[VIEWS_SHEET_ROWS];
    struct kern *kn;
    struct views views;
    struct image *pic; /* [n][cols] */
    struct sheet_cell *cell;
};

static void close_page(struct page *p)
{
    for (size_t i = 0; i < p->n * p->cols && p->pic && p->cell; i++) {
        image_release(&p->pic[i]);
        free(p->cell[i].line[0]);
        free(p->cell[i].line[1]);
    }
    free(p->pic);
    free(p->cell);
    if (p->views.kn)
        views_close(&p->views);
    if (p->kn)
        kern_close(p->kn);
}

/* The rows of the step, as many as the sheet has, spread over the batch. */
static int choose(struct page *p, struct shard_set *data, const struct settings *set, int64_t k)
{
    struct sampler sampler = { 0 };
    struct sample *batch = mem_alloc((size_t)set->batch, sizeof *batch, "a batch");
    int32_t *label = NULL;
    int rc = batch ? shard_set_labels(&label, data) : -ENOMEM;
    if (rc == 0)
        rc = sampler_open(&sampler, set, label, data->nrows);
    if (rc == 0)
        sampler_batch(&sampler, k, batch);
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        size_t row;
        p->sample[i] = batch[i * (size_t)set->batch / p->n];
        p->id[i] = shard_set_find(data, p->sample[i].row, &row)->rows.id[row];
    }
    sampler_close(&sampler);
    free(label);
    free(batch);
    return rc;
}

/* A view as it was before it was normalised. */
static int picture_of(struct image *im, struct page *p, size_t view, size_t i)
{
    const struct views *v = &p->views;
    size_t side = view < v->large ? v->large_side : v->small_side, values = side * side * 3;
    float *x = mem_alloc(values, sizeof *x, "a crop");
    *im = (struct image){ side, side, mem_alloc(values, 1, "a crop") };
    int rc = x && im->rgb ? 0 : -ENOMEM;
    if (rc == 0)
        rc = kern_get(p->kn, x, (const float *)v->x[view] + i * values, values * sizeof *x);
    for (size_t j = 0; rc == 0 && j < values; j++)
        im->rgb[j] = (uint8_t)(255 * (x[j] * v->dev[j % 3] + v->mean[j % 3]) + 0.5f);
    free(x);
    return rc;
}

/* What was drawn for a view of that side: where it lies, then what was done to it. */
static int describe(struct sheet_cell *cell, const struct kern_picture *of,
                    const struct kern_view *v, size_t side)
{
    char blur[16] = "";
    if (v->sigma > 0 && side >= KERN_BLUR_PART)
        snprintf(blur, sizeof blur, "blur %.1f ", (double)v->sigma);
    cell->line[0] =
        mem_printf("%.0f%%%s%s", 100.0 * (double)(v->height * v->width) / (double)(of->h * of->w),
                   v->flip ? " flip" : "", v->masked && of->mask ? " mask" : "");
    cell->line[1] = mem_printf("%s%s%s%s", v->jitter ? "jitter " : "", v->grey ? "grey " : "", blur,
                               v->solarise ? "solarised" : "");
    return cell->line[0] && cell->line[1] ? 0 : -ENOMEM;
}

static int fill_row(struct page *p, size_t i, struct shard_set *data)
{
    struct image *pic = &p->pic[i * p->cols];
    struct sheet_cell *cell = &p->cell[i * p->cols];
    size_t row, len;
    const struct shard *s = shard_set_find(data, p->sample[i].row, &row);
    const char *key = rows_key(&s->rows, row, &len);
    int32_t label = p->sample[i].label;
    cell->line[0] = mem_printf("%.*s", (int)MIN(len, 400), key);
    cell->line[1] = mem_printf("%s", label < 0 ? "no label" : data->classes.name[label]);
    int rc = cell->line[0] && cell->line[1] ? shard_row_image(s, row, pic) : -ENOMEM;
    for (size_t view = 0; rc == 0 && view < p->cols - 1; view++) {
        rc = picture_of(&pic[1 + view], p, view, i);
        if (rc == 0)
            rc = describe(&cell[1 + view], &p->views.from[i],
                          &p->views.view[i * (p->cols - 1) + view], pic[1 + view].h);
    }
    for (size_t c = 0; c < p->cols; c++)
        cell[c].pic = pic[c].rgb ? &pic[c] : NULL;
    return rc;
}

static int draw(const struct page *p, const char *path, const struct settings *set, int64_t k)
{
    struct image out = { 0 };
    char title[64], others[128];
    snprintf(title, sizeof title, "step %lld: %zu of %s", (long long)k + 1, p->n,
             TEXT_COUNT((uint64_t)set->batch, "picture", "pictures"));
    size_t len = (size_t)snprintf(others, sizeof others, "large crops: %d of %d pixels",
                                  set->large_crops, set->large_side);
    if (set->small_crops > 0)
        snprintf(others + len, sizeof others - len, "; small ones: %d of %d", set->small_crops,
                 set->small_side);
    int rc = draw_sheet(&out, title, others, p->cell, p->n, p->cols);
    if (rc == 0)
        rc = image_write(&out, path);
    image_release(&out);
    return rc;
}

int views_sheet(const char *path, struct pool *pool, struct shard_set *data,
                const struct settings *set, int64_t k)
{
    struct settings few = *set;
    if (data->nrows == 0)
        return fail(-EINVAL, "no pictures to draw");
    few.batch = MIN(set->batch, VIEWS_SHEET_ROWS);
    struct page p = { .n = (size_t)few.batch,
                      .cols = 1 + (size_t)set->large_crops + (size_t)set->small_crops };
    p.pic = mem_alloc(p.n * p.cols, sizeof *p.pic, "the sheet of views");
    p.cell = mem_alloc(p.n * p.cols, sizeof *p.cell, "the sheet of views");
    int rc = p.pic && p.cell ? choose(&p, data, set, k) : -ENOMEM;
    if (rc == 0 && (rc = kern_open(&p.kn, pool)) < 0)
        fail(rc, "cannot open the CPU's kernels");
    if (rc == 0)
        rc = views_open(&p.views, p.kn, pool, data, &few, KERN_F32);
    if (rc == 0)
        rc = views_load(&p.views, k, p.sample, p.id);
    for (size_t i = 0; rc == 0 && i < p.n; i++)
        rc = fill_row(&p, i, data);
    if (rc == 0)
        rc = draw(&p, path, set, k);
    close_page(&p);
    return rc;
}
