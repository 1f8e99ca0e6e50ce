/*
 * split.h - which labels a split keeps: stratified, seeded, and blind to order and to other files.
 *
 * Each row has a rank, drawn from (seed, class name, key); in every class the rows of lowest rank
 * keep their labels. So the same pictures are chosen whatever else lies in the folder, and a split
 * with more labels holds every label of one with fewer.
 */
#ifndef SEMPPL_SPLIT_H
#define SEMPPL_SPLIT_H

#include "common/data/rows.h"

uint64_t split_rank(uint64_t seed, const char *class_name, const char *key);

/* Is the picture of each of these n rows sound? Fills good[n]. */
typedef int split_sound(void *arg, const size_t *row, size_t n, bool *good);

/*
 * keep[i] for rows i < n with label[i] >= 0: true for per_class sound rows of each class, or, if
 * per_class is 0, for fraction x (rows of the class), rounded half up, at least 1. Rows are asked
 * about in the order of their ranks and only as far as needed, all classes at once. kept [classes]:
 * how many each got; fewer than asked for if the class has no more.
 */
int split_choose(bool *keep, size_t *kept, const int32_t *label, const uint64_t *rank, size_t n,
                 size_t nclasses, size_t per_class, double fraction, split_sound *sound, void *arg);

#endif
