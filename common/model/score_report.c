/*
 * score_report.c - the folder of a report: the record, the confusion matrix, the learning curve.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/draw.h"
#include "common/data/jsonl.h"
#include "common/data/outfile.h"
#include "common/model/score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { STEP, LOSS, AUGM, SEMPOS, INV, ACCURACY, SHARE, SPREAD, RATE, NKEYS };
static const char *const keys[NKEYS] = { "step",        "loss",     "loss_augm",
                                         "loss_sempos", "loss_inv", "pseudo_accuracy",
                                         "vote_share",  "spread",   "lr" };

/* The curves of one panel; those without a number are left out. */
static const struct {
    const char *title;
    struct {
        int key;
        const char *name;
        unsigned colour;
    } curve[4];
    bool from_zero, exact;
} panels[] = {
    { "loss",
      { { LOSS, "total", DRAW_BLUE },
        { AUGM, "augmentation", DRAW_ORANGE },
        { SEMPOS, "semantic positives", DRAW_PURPLE },
        { INV, "invariance", DRAW_GOOD } },
      false,
      false },
    { "pseudo-labels",
      { { ACCURACY, "accuracy", DRAW_GOOD },
        { SHARE, "winner's share of the votes", DRAW_ORANGE } },
      true,
      false },
    { "spread of the embeddings", { { SPREAD, "spread", DRAW_PURPLE } }, true, false },
    { "learning rate", { { RATE, "rate", DRAW_BLUE } }, true, true },
};

/* Is there a number in it, and for the invariance another one than 0? */
static bool worth_drawing(const double *y, size_t n, bool zero_counts)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(y[i]) && (zero_counts || y[i] != 0))
            return true;
    return false;
}

static int draw_log(struct image *im, const char *log)
{
    struct chart_line line[ARRAY_LEN(panels)][ARRAY_LEN(panels[0].curve)];
    struct chart chart[ARRAY_LEN(panels)];
    struct jsonl j;
    size_t ncharts = 0;
    *im = (struct image){ 0 };
    int rc = jsonl_read(&j, log, keys, NKEYS);
    if (rc >= 0 && j.n == 0)
        rc = fail(-EINVAL, "%s: no line to draw a learning curve from", log);
    for (size_t i = 0; i < j.n && rc >= 0; i++)
        if (!isfinite(j.value[STEP * j.n + i]))
            rc = fail(-EINVAL, "%s: record %zu has no step", log, i + 1);
    for (size_t p = 0; p < ARRAY_LEN(panels) && rc >= 0; p++) {
        struct chart *c = &chart[ncharts];
        *c = (struct chart){ panels[p].title, line[p], 0, panels[p].from_zero, panels[p].exact };
        for (size_t k = 0; k < ARRAY_LEN(panels[p].curve) && panels[p].curve[k].name; k++) {
            const double *y = j.value + (size_t)panels[p].curve[k].key * j.n;
            if (worth_drawing(y, j.n, panels[p].curve[k].key != INV))
                line[p][c->nlines++] =
                    (struct chart_line){ panels[p].curve[k].name, y, panels[p].curve[k].colour };
        }
        ncharts += c->nlines > 0;
    }
    if (rc >= 0 && ncharts == 0)
        rc = fail(-EINVAL, "%s: no loss, accuracy or learning rate to draw", log);
    if (rc >= 0)
        rc = draw_charts(im, "learning curve", "step", chart, ncharts, j.value + STEP * j.n, j.n);
    jsonl_release(&j);
    return rc;
}

enum { RECORD, CONFUSION, CURVE, NFILES };
static const char *const files[NFILES] = { "eval.json", "confusion.png", "learning-curve.png" };

int score_report_spares(const char *dir, const char *const *read, size_t n)
{
    struct stat st;
    int rc = 0;
    if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
        return fail(-ENOTDIR, "%s: is no folder", dir);
    for (int i = 0; i < NFILES && rc == 0; i++) {
        char *path = mem_printf("%s/%s", dir, files[i]);
        rc = path ? outfile_spares(path, read, n) : -ENOMEM;
        free(path);
    }
    return rc;
}

static int write_picture(const struct image *im, const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    int rc = path ? image_write(im, path) : -ENOMEM;
    free(path);
    return rc;
}

static int write_json(const struct score *s, const char *dir, const struct history *h)
{
    struct outfile out = { 0 };
    char *path = mem_printf("%s/%s", dir, files[RECORD]);
    int rc = path ? outfile_open(&out, path) : -ENOMEM;
    if (rc >= 0)
        rc = score_json(s, out.file, h);
    if (rc >= 0)
        rc = outfile_commit(&out);
    else
        outfile_abort(&out);
    free(path);
    return rc;
}

int score_report(const struct score *s, const char *dir, const char *log, const struct history *h)
{
    struct image confusion = { 0 }, curve = { 0 };
    char title[128];
    snprintf(title, sizeof title, "%.2f %% of %llu right", 100 * score_top1(s),
             (unsigned long long)s->rows);
    int rc = draw_confusion(&confusion, title, s->classes->name, s->confusion, s->nclasses);
    if (rc >= 0 && log)
        rc = draw_log(&curve, log);
    if (rc >= 0 && mkdir(dir, 0777) < 0 && errno != EEXIST) /* all that is read has been read */
        rc = fail_errno("%s", dir);
    if (rc >= 0)
        rc = write_json(s, dir, h);
    if (rc >= 0)
        rc = write_picture(&confusion, dir, files[CONFUSION]);
    if (rc >= 0 && log)
        rc = write_picture(&curve, dir, files[CURVE]);
    image_release(&confusion);
    image_release(&curve);
    return rc;
}
