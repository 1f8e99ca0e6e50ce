/*
 * step_data.h - pictures for tests of a whole step.
 */
#ifndef SEMPPL_STEP_DATA_H
#define SEMPPL_STEP_DATA_H

#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/data/shard.h"
#include "tests/t.h"
#include <stdio.h>
#include <string.h>

enum { ROWS = 30, SIDE = 12 };

/* Decoded pictures of noise over a colour of their class; every other one has a label. */
static inline void write_shard(const char *path)
{
    struct shard_writer *w;
    struct classes classes = { 0 };
    struct history none = { 0 };
    uint8_t pixels[SIDE * SIDE * 3];
    classes_add(&classes, "blue");
    classes_add(&classes, "green");
    classes_add(&classes, "red");
    classes_sort(&classes);
    ok(shard_writer_open(&w, path, 0, SIDE, true, &classes, "{}", &none) == 0, "a shard begins: %s",
       fail_text());
    for (int i = 0; i < ROWS; i++) {
        struct rng r;
        char key[16];
        rng_init(&r, t_seed(), RNG_TEST, (uint64_t)i, 99, 0);
        for (size_t p = 0; p < sizeof pixels; p++)
            pixels[p] = (uint8_t)(rng_below(&r, 156) + (p % 3 == (size_t)i % 3 ? 100 : 0));
        snprintf(key, sizeof key, "%d.jpg", i);
        struct shard_row row = { .key = key,
                                 .keylen = strlen(key),
                                 .id = rows_hash(ROWS_HASH0, pixels, sizeof pixels),
                                 .label = i % 2 ? i % 3 : -1,
                                 .truth = i % 3,
                                 .h = SIDE,
                                 .w = SIDE,
                                 .orientation = 1,
                                 .bytes = pixels,
                                 .nbytes = sizeof pixels };
        if (shard_writer_add(w, &row) < 0)
            ok(false, "a row: %s", fail_text());
    }
    ok(shard_writer_close(w, NULL) == 0, "a shard ends");
    classes_release(&classes);
}

#endif
