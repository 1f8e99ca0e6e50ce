/*
 * score.c - counting, and the two ways of telling.
 */
#include "common/model/score.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MATRIX = 20, NAME = 28 }; /* classes of a matrix in text; columns of a class's name */

int score_open(struct score *s, const struct classes *classes, const uint64_t *labelled)
{
    size_t cells;
    *s = (struct score){ .nclasses = classes->n, .classes = classes, .labelled = labelled };
    int rc = mem_product(&cells, classes->n, classes->n);
    if (rc >= 0 && !(s->confusion = mem_alloc(cells, sizeof *s->confusion, "confusion matrix")))
        rc = -ENOMEM;
    return rc;
}

void score_close(struct score *s)
{
    free(s->confusion);
    *s = (struct score){ 0 };
}

void score_add(struct score *s, int32_t truth, const int32_t *given, size_t n)
{
    if (truth < 0) {
        s->skipped++;
        return;
    }
    s->rows++;
    s->top1 += given[0] == truth;
    for (size_t i = 0; i < n; i++)
        s->top5 += given[i] == truth;
    s->confusion[(size_t)truth * s->nclasses + (size_t)given[0]]++;
}

static uint64_t rows_of(const struct score *s, size_t c)
{
    uint64_t n = 0;
    for (size_t j = 0; j < s->nclasses; j++)
        n += s->confusion[c * s->nclasses + j];
    return n;
}

static double accuracy_of(const struct score *s, size_t c)
{
    return (double)s->confusion[c * s->nclasses + c] / (double)rows_of(s, c);
}

double score_top1(const struct score *s)
{
    return (double)s->top1 / (double)s->rows;
}

double score_top5(const struct score *s)
{
    return (double)s->top5 / (double)s->rows;
}

double score_mean(const struct score *s)
{
    double sum = 0;
    size_t n = 0;
    for (size_t c = 0; c < s->nclasses; c++)
        if (rows_of(s, c) > 0) {
            sum += accuracy_of(s, c);
            n++;
        }
    return sum / (double)n;
}

/* The class that c is most often taken for; -1 if never for another. */
static int worst_of(const struct score *s, size_t c)
{
    int worst = -1;
    uint64_t most = 0;
    for (size_t j = 0; j < s->nclasses; j++)
        if (j != c && s->confusion[c * s->nclasses + j] > most) {
            most = s->confusion[c * s->nclasses + j];
            worst = (int)j;
        }
    return worst;
}

static void print_matrix(const struct score *s, FILE *f, int w)
{
    fprintf(f, "\n%-*s", w, "confusion");
    for (size_t c = 0; c < s->nclasses; c++) {
        putc(' ', f);
        rows_print_name(f, s->classes->name[c], -7);
    }
    putc('\n', f);
    for (size_t r = 0; r < s->nclasses; r++) {
        rows_print_name(f, s->classes->name[r], w);
        for (size_t c = 0; c < s->nclasses; c++)
            fprintf(f, " %7llu", (unsigned long long)s->confusion[r * s->nclasses + c]);
        putc('\n', f);
    }
}

void score_table(const struct score *s, FILE *f)
{
    int w = 9;
    for (size_t c = 0; c < s->nclasses; c++)
        w = MAX(w, MIN(rows_name_width(s->classes->name[c]), NAME));
    fprintf(f, "%s\n\n", s->title);
    fprintf(f, "%-*s %8.4f\n", w, "top-1", score_top1(s));
    fprintf(f, "%-*s %8.4f\n", w, "top-5", score_top5(s));
    fprintf(f, "%-*s %8.4f\n", w, "per class", score_mean(s));
    fprintf(f, "\n%-*s %8s %8s %8s %8s  %s\n", w, "class", "labelled", "rows", "right", "accuracy",
            "most often taken for");
    for (size_t c = 0; c < s->nclasses; c++) {
        uint64_t n = rows_of(s, c), right = s->confusion[c * s->nclasses + c];
        int worst = worst_of(s, c);
        rows_print_name(f, s->classes->name[c], w);
        fprintf(f, " %8llu %8llu %8llu", (unsigned long long)s->labelled[c], (unsigned long long)n,
                (unsigned long long)right);
        if (n > 0)
            fprintf(f, " %8.4f", accuracy_of(s, c));
        else
            fprintf(f, " %8s", "-");
        if (worst >= 0) {
            const char *name = s->classes->name[worst];
            fputs("  ", f);
            rows_print_name(f, name, rows_name_width(name));
            fprintf(f, " (%llu)",
                    (unsigned long long)s->confusion[c * s->nclasses + (size_t)worst]);
        }
        putc('\n', f);
    }
    if (s->nclasses <= MATRIX)
        print_matrix(s, f, w);
}

static int json_classes(const struct score *s, FILE *f)
{
    for (size_t c = 0; c < s->nclasses; c++) {
        uint64_t n = rows_of(s, c);
        int rc = json_put(f, c ? ", {\"class\": " : "{\"class\": ", s->classes->name[c]);
        if (rc < 0)
            return rc;
        fprintf(f, ", \"labelled\": %llu, \"rows\": %llu, \"right\": %llu",
                (unsigned long long)s->labelled[c], (unsigned long long)n,
                (unsigned long long)s->confusion[c * s->nclasses + c]);
        if (n > 0)
            fprintf(f, ", \"accuracy\": %.6f}", accuracy_of(s, c));
        else
            fprintf(f, ", \"accuracy\": null}");
    }
    return 0;
}

int score_json(const struct score *s, FILE *f, const struct history *h)
{
    fprintf(f, "{\"v\": 1, %s, \"rows\": %llu, \"skipped\": %llu, ", s->details,
            (unsigned long long)s->rows, (unsigned long long)s->skipped);
    fprintf(f, "\"top1\": %.6f, \"top5\": %.6f, \"mean_per_class\": %.6f, \"classes\": [",
            score_top1(s), score_top5(s), score_mean(s));
    int rc = json_classes(s, f);
    fprintf(f, "], \"confusion\": [");
    for (size_t r = 0; r < s->nclasses; r++) {
        fprintf(f, "%s[", r ? ", " : "");
        for (size_t c = 0; c < s->nclasses; c++)
            fprintf(f, "%s%llu", c ? ", " : "",
                    (unsigned long long)s->confusion[r * s->nclasses + c]);
        putc(']', f);
    }
    fprintf(f, "], \"history\": ");
    history_put(f, h);
    fprintf(f, "}\n");
    return rc;
}
