/*
 * sheet.c - choosing the rows of a contact sheet, finding their pictures, drawing them.
 */
#include "common/model/sheet.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/data/draw.h"
#include "common/data/newfile.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COLS = 1 + SHEET_NEAR };

/* Content hashes of all pictures at hand, for finding. */
struct sheet_place {
    uint64_t id;
    size_t row;
};

static int by_id(const void *a, const void *b)
{
    const struct sheet_place *x = a, *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

static struct sheet_place *index_pictures(const struct shard_set *set)
{
    struct sheet_place *p = mem_alloc(set->nrows, sizeof *p, "the pictures' ids");
    size_t at = 0;
    for (size_t i = 0; p && i < set->nshards; i++)
        for (size_t r = 0; r < set->shard[i].rows.n; r++, at++)
            p[at] = (struct sheet_place){ set->shard[i].rows.id[r], at };
    if (p)
        qsort(p, at, sizeof *p, by_id);
    return p;
}

int sheet_open(struct sheet *s, size_t nclasses, char **images, int nimages)
{
    *s = (struct sheet){ .nclasses = nclasses };
    int rc = shard_set_open(&s->pictures, images, nimages);
    if (rc < 0)
        return rc;
    s->place = index_pictures(&s->pictures);
    s->of = mem_alloc(nclasses, sizeof *s->of, "the contact sheet");
    return s->place && s->of ? 0 : -ENOMEM;
}

void sheet_close(struct sheet *s)
{
    for (size_t c = 0; s->of && c < s->nclasses; c++)
        free(s->of[c].item);
    free(s->of);
    free(s->place);
    shard_set_close(&s->pictures);
    *s = (struct sheet){ 0 };
}

int sheet_check_path(const char *option, const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg")))
        return newfile_check(path);
    return fail(-EUSAGE, "%s %s: the name must end in .png, .jpg or .jpeg", option, path);
}

int sheet_offer(struct sheet *s, const struct sheet_item *item)
{
    struct sheet_class *c = &s->of[item->label];
    struct sheet_item it = *item;
    it.order = rows_hash(ROWS_HASH0, &it.id, sizeof it.id);
    s->offered++;
    if (!c->item && !(c->item = mem_alloc(SHEET_ROWS, sizeof it, "the contact sheet")))
        return -ENOMEM;
    size_t at = c->n;
    while (at > 0 && it.order < c->item[at - 1].order)
        at--;
    if (at == SHEET_ROWS)
        return 0;
    if (c->n < SHEET_ROWS)
        c->n++;
    memmove(&c->item[at + 1], &c->item[at], (c->n - 1 - at) * sizeof it);
    c->item[at] = it;
    return 0;
}

static int by_order(const void *a, const void *b)
{
    const struct sheet_item *x = *(struct sheet_item *const *)a,
                            *y = *(struct sheet_item *const *)b;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_class(const void *a, const void *b)
{
    const struct sheet_item *x = *(struct sheet_item *const *)a,
                            *y = *(struct sheet_item *const *)b;
    return x->label != y->label ? (x->label < y->label ? -1 : 1) : by_order(a, b);
}

/* The classes take turns: everybody's first, then everybody's second ... */
static int choose(const struct sheet *s, struct sheet_item *row[SHEET_ROWS], size_t *n)
{
    struct sheet_item **turn = mem_alloc(s->nclasses, sizeof *turn, "the contact sheet");
    if (!turn)
        return -ENOMEM;
    *n = 0;
    for (size_t r = 0; r < SHEET_ROWS && *n < SHEET_ROWS; r++) {
        size_t m = 0;
        for (size_t c = 0; c < s->nclasses; c++)
            if (r < s->of[c].n)
                turn[m++] = &s->of[c].item[r];
        if (m == 0)
            break;
        qsort(turn, m, sizeof *turn, by_order);
        for (size_t i = 0; i < m && *n < SHEET_ROWS; i++)
            row[(*n)++] = turn[i];
    }
    qsort(row, *n, sizeof *row, by_class);
    free(turn);
    return 0;
}

/* 1 and the picture, 0 if it is not at hand. */
static int find_picture(struct sheet *s, uint64_t id, struct image *im)
{
    const struct sheet_place *place = s->place;
    size_t lo = 0, hi = s->pictures.nrows, row;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (place[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == s->pictures.nrows || place[lo].id != id)
        return 0;
    struct shard *shard = shard_set_find(&s->pictures, place[lo].row, &row);
    int rc = shard_row_image(shard, row, im);
    return rc < 0 ? rc : 1;
}

/* Everything that one sheet holds, released together. */
struct page {
    struct image pic[SHEET_ROWS * COLS];
    struct sheet_cell cell[SHEET_ROWS * COLS];
};

static int fill_row(struct sheet *s, struct page *p, size_t r, const struct sheet_item *it,
                    const struct knn_bank *bank, const struct classes *classes, size_t *missing)
{
    for (size_t c = 0; c < COLS; c++) {
        struct sheet_cell *cell = &p->cell[r * COLS + c];
        struct image *im = &p->pic[r * COLS + c];
        int32_t near = c ? it->near[c - 1] : 0;
        bool known = it->truth >= 0, right = it->truth == it->label;
        if (near < 0)
            break;
        uint64_t id = c ? bank->e->rows.id[bank->row[near]] : it->id;
        int rc = find_picture(s, id, im);
        if (rc < 0)
            return rc;
        *missing += rc == 0;
        cell->pic = rc > 0 ? im : NULL;
        if (c == 0) {
            cell->mark = it->unsure ? SHEET_UNSURE
                         : known    ? right ? SHEET_GOOD : SHEET_BAD
                                    : SHEET_PLAIN;
            cell->line[0] = mem_printf("%s%s %.2f", classes->name[it->label], it->unsure ? "?" : "",
                                       it->confidence);
            cell->line[1] = !known ? NULL : mem_printf("is %s", classes->name[it->truth]);
        } else {
            cell->mark = SHEET_PLAIN;
            cell->line[0] = mem_printf("%s", classes->name[knn_bank_label(bank, near)]);
            cell->line[1] = mem_printf("%.3f", (double)it->sim[c - 1]);
        }
        if (!cell->line[0] || (!cell->line[1] && (c > 0 || known)))
            return -ENOMEM;
    }
    return 0;
}

int sheet_write(struct sheet *s, const char *path, const struct knn_bank *bank,
                const struct classes *classes)
{
    struct sheet_item *row[SHEET_ROWS];
    struct image out = { 0 };
    struct page *p = mem_alloc(1, sizeof *p, "the contact sheet");
    size_t n = 0, missing = 0;
    char title[128];
    int rc = p ? choose(s, row, &n) : -ENOMEM;
    for (size_t r = 0; r < n && rc >= 0; r++)
        rc = fill_row(s, p, r, row[r], bank, classes, &missing);
    if (rc < 0)
        goto out;
    if (missing)
        log_warn("%s: the --images given lack %s", path,
                 TEXT_COUNT(missing, "picture of it", "pictures of it"));
    snprintf(title, sizeof title, "%zu of %s, labelled by %zu", n,
             TEXT_COUNT(s->offered, "picture", "pictures"), bank->n);
    rc = draw_sheet(&out, title, "most similar labelled pictures", p->cell, n, COLS);
    if (rc >= 0)
        rc = image_write(&out, path);
out:
    for (size_t i = 0; p && i < SHEET_ROWS * COLS; i++) {
        image_release(&p->pic[i]);
        free(p->cell[i].line[0]);
        free(p->cell[i].line[1]);
    }
    free(p);
    image_release(&out);
    return rc;
}
