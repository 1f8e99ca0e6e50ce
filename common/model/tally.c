/*
 * tally.c - the summary of a labelling.
 */
#include "common/model/tally.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LINES = 100 }; /* classes listed without -v */

int tally_open(struct tally *t, size_t nclasses)
{
    *t = (struct tally){ .nclasses = nclasses };
    t->of = mem_alloc(nclasses, sizeof *t->of, "the summary");
    return t->of ? 0 : -ENOMEM;
}

void tally_close(struct tally *t)
{
    free(t->of);
    *t = (struct tally){ 0 };
}

void tally_add(struct tally *t, int32_t label, int32_t truth, double confidence)
{
    t->rows++;
    if (label < 0) {
        t->unsure++;
        return;
    }
    struct tally_class *c = &t->of[label];
    c->given++;
    c->confidence += confidence;
    c->known += truth >= 0;
    c->right += truth == label;
}

static void print_share(double part, double whole)
{
    if (whole > 0)
        fprintf(stderr, " %11.4f", part / whole);
    else
        fprintf(stderr, " %11s", "-");
}

static void print_classes(const struct tally *t, const struct knn_bank *bank,
                          const struct classes *classes)
{
    int w = 5;
    for (size_t c = 0; c < t->nclasses; c++)
        w = MAX(w, MIN(rows_name_width(classes->name[c]), 40));
    fprintf(stderr, "%-*s %9s %9s %11s %11s\n", w, "class", "labelled", "assigned", "confidence",
            "accuracy");
    for (size_t c = 0; c < t->nclasses; c++) {
        const struct tally_class *k = &t->of[c];
        rows_print_name(stderr, classes->name[c], w);
        fprintf(stderr, " %9llu %9llu", (unsigned long long)bank->per_class[c],
                (unsigned long long)k->given);
        print_share(k->confidence, (double)k->given);
        print_share((double)k->right, (double)k->known);
        fputc('\n', stderr);
    }
}

void tally_print(const struct tally *t, const struct knn_bank *bank, const struct classes *classes)
{
    uint64_t given = 0, known = 0, right = 0;
    for (size_t c = 0; c < t->nclasses; c++) {
        given += t->of[c].given;
        known += t->of[c].known;
        right += t->of[c].right;
    }
    if (log_level < LOG_NORMAL)
        return;
    if ((known > 0 && t->nclasses <= MOST_LINES) || log_level >= LOG_VERBOSE)
        print_classes(t, bank, classes);
    if (t->twice)
        log_warn("queries that are in the bank too, and met themselves there: %llu",
                 (unsigned long long)t->twice);
    log_info("%s: %llu labelled, %llu unsure", TEXT_COUNT(t->rows, "row", "rows"),
             (unsigned long long)given, (unsigned long long)t->unsure);
    if (known > 0)
        log_info("accuracy %.4f: %llu of %s right, where the truth is known",
                 (double)right / (double)known, (unsigned long long)right,
                 TEXT_COUNT(known, "label", "labels"));
}
