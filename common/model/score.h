/*
 * score.h - how often predictions are right: top-1, top-5, per class, confusion matrix; as a table,
 * as JSON, and as pictures.
 */
#ifndef SEMPPL_SCORE_H
#define SEMPPL_SCORE_H

#include "common/base/prov.h"
#include "common/data/rows.h"
#include <stdio.h>

enum { SCORE_TOP = 5 };

struct score {
    size_t nclasses;
    uint64_t *confusion;       /* [nclasses][nclasses]: row truth, column given */
    uint64_t rows, top1, top5; /* rows scored; of these, right */
    uint64_t skipped;          /* rows without truth */
    const uint64_t *labelled;  /* [nclasses] labelled rows in the bank; the caller's */
    const struct classes *classes;
    const char *title;   /* one line: the method */
    const char *details; /* further members of the JSON record, ", "-separated text */
};

int score_open(struct score *s, const struct classes *classes, const uint64_t *labelled);
void score_close(struct score *s);
/* given [n]: classes, the best first, n of 1 .. SCORE_TOP. truth -1: skipped. */
void score_add(struct score *s, int32_t truth, const int32_t *given, size_t n);

double score_top1(const struct score *s);
double score_top5(const struct score *s);
double score_mean(const struct score *s); /* mean accuracy of the classes that have test rows */

void score_table(const struct score *s, FILE *f);
/* One line: {"v": 1, ...}, h as its history. */
int score_json(const struct score *s, FILE *f, const struct history *h);

/*
 * eval.json, confusion.png, and, if log is given, learning-curve.png in the folder dir (made if it
 * is not there).
 */
int score_report(const struct score *s, const char *dir, const char *log, const struct history *h);
/* For use before the work: -EUSAGE (worded) if one of these would replace one of the n files that
 * are read (NULL is none), -ENOTDIR if dir is there, and no folder. */
int score_report_spares(const char *dir, const char *const *read, size_t n);

#endif
