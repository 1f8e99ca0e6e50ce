/*
 * split.c - see split.h.
 */
#include "common/data/split.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t split_rank(uint64_t seed, const char *class_name, const char *key)
{
    uint64_t id = rows_hash(ROWS_HASH0, class_name, strlen(class_name) + 1); /* with its NUL */
    struct rng r;
    rng_init(&r, seed, RNG_SPLIT, 0, rows_hash(id, key, strlen(key)), 0);
    uint64_t high = rng_u32(&r);
    return high << 32 | rng_u32(&r);
}

struct candidate {
    int32_t label;
    uint64_t rank;
    size_t row;
};

static int by_class_and_rank(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

struct class_walk {
    size_t at, end, want; /* next candidate, end of the class, rows still wanted */
};

/* One round: from every class, as many candidates as it still wants; keeps the sound ones. Returns
 * how many were asked about, 0 when all classes are served or empty. */
static int walk_round(struct class_walk *class, size_t nclasses, const struct candidate *c,
                      size_t *row, bool *good, bool *keep, size_t *kept, split_sound *sound,
                      void *arg)
{
    size_t n = 0;
    for (size_t k = 0; k < nclasses; k++)
        for (size_t i = 0; i < MIN(class[k].want, class[k].end - class[k].at); i++)
            row[n++] = c[class[k].at + i].row;
    if (n == 0)
        return 0;
    int rc = sound(arg, row, n, good);
    if (rc < 0)
        return rc;
    n = 0;
    for (size_t k = 0; k < nclasses; k++) {
        size_t asked = MIN(class[k].want, class[k].end - class[k].at);
        class[k].at += asked;
        for (size_t i = 0; i < asked; i++, n++) {
            if (!good[n])
                continue;
            keep[row[n]] = true;
            kept[k]++;
            class[k].want--;
        }
    }
    return 1;
}

int split_choose(bool *keep, size_t *kept, const int32_t *label, const uint64_t *rank, size_t n,
                 size_t nclasses, size_t per_class, double fraction, split_sound *sound, void *arg)
{
    struct candidate *c = mem_alloc(n, sizeof *c, "candidates");
    struct class_walk *class = mem_alloc(nclasses, sizeof *class, "classes");
    size_t *row = mem_alloc(n, sizeof *row, "candidates");
    bool *good = mem_alloc(n, sizeof *good, "candidates");
    int rc = c == NULL || class == NULL || row == NULL || good == NULL ? -ENOMEM : 0;
    if (rc < 0)
        goto out;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        keep[i] = false;
        if (label[i] >= 0)
            c[m++] = (struct candidate){ label[i], rank[i], i };
    }
    qsort(c, m, sizeof *c, by_class_and_rank);
    for (size_t i = 0, k = 0; k < nclasses; k++) {
        size_t first = i;
        while (i < m && (size_t)c[i].label == k)
            i++;
        double share = floor(fraction * (double)(i - first) + 0.5);
        size_t want = per_class > 0 ? per_class : share < 1 ? 1 : (size_t)share;
        class[k] = (struct class_walk){ first, i, MIN(want, i - first) };
        kept[k] = 0;
    }
    while ((rc = walk_round(class, nclasses, c, row, good, keep, kept, sound, arg)) > 0)
        ;
out:
    free(c);
    free(class);
    free(row);
    free(good);
    return rc;
}
