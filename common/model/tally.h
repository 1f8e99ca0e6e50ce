/*
 * tally.h - what was given to which class, and how much of it is right.
 */
#ifndef SEMPPL_TALLY_H
#define SEMPPL_TALLY_H

#include "common/model/knn_vote.h"

struct tally {
    size_t nclasses;
    struct tally_class {
        uint64_t given, known, right; /* rows given this class; of these, truth known; and right */
        double confidence;            /* sum over the given */
    } * of;
    uint64_t rows, unsure, twice; /* twice: queries that are in the bank too */
};

int tally_open(struct tally *t, size_t nclasses);
void tally_close(struct tally *t);
/* One row: its class (-1 unsure), its truth (-1 unknown). */
void tally_add(struct tally *t, int32_t label, int32_t truth, double confidence);
/* On stderr, unless -q: a line of totals; with truth, or -v, a line for each class too. */
void tally_print(const struct tally *t, const struct knn_bank *bank, const struct classes *classes);

#endif
