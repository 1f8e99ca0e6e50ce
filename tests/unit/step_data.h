/*
 * step_data.h - what tests of a whole step begin with: drawn data, and the settings of a tiny run
 * with every term of the loss.
 */
#ifndef SEMPPL_STEP_DATA_H
#define SEMPPL_STEP_DATA_H

#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/model/step.h"
#include "tests/t.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 30, SIDE = 12 };

static struct pool *pool;
static struct kern *kn;
static struct shard_set data;
static struct settings set;
static char step_path[] = "/tmp/step_data.XXXXXX";

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

static inline void step_settings(void)
{
    settings_preset(&set, 1);
    set.width = 0.125;
    set.large_side = set.small_side = 8;
    set.small_crops = 1;
    set.hidden = 8;
    set.dim = 6;
    set.batch = 6;
    set.labelled_ratio = 1;
    set.queue = 16;
    set.negatives = 3;
    set.positives = 2;
    set.invariance = INV_S;
    set.invariance_weight = 2;
    set.steps = 20;
    set.warmup = 0.2;
    set.seed = t_seed();
}

static inline void step_begin(void)
{
    char *operands[] = { step_path };
    int fd = mkstemp(step_path);
    if (fd >= 0)
        close(fd);
    pool_open(&pool, 2);
    kern_open(&kn, pool);
    step_settings();
    write_shard(step_path);
    ok(shard_set_open(&data, operands, 1) == 0, "the data: %s", fail_text());
}

static inline void step_end(void)
{
    shard_set_close(&data);
    kern_close(kn);
    pool_close(pool);
    unlink(step_path);
}

#endif
