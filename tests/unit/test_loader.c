/*
 * test_loader.c - batches are the same whether they were begun ahead, and in whatever order they
 * are asked for; a failure comes with the batch that it is of.
 */
#include "common/base/fail.h"
#include "common/model/loader.h"
#include "tests/t.h"
#include "tests/unit/files.h"

enum { ROWS = 12, SIDE = 8, PIXELS = SIDE * SIDE * 3, BATCH = 4, VIEWS = 3, STEPS = 5 };

static struct shard_set data;
static struct settings set;
static struct sampler sampler;
static struct kern *kn;

static void write_shard(const char *path)
{
    struct shard_writer *w;
    struct classes classes = { 0 };
    struct history none = { 0 };
    uint8_t pixels[PIXELS];
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, 0, 0);
    files_must(shard_writer_open(&w, path, 0, SIDE, false, &classes, "{}", &none) == 0, path);
    for (int i = 0; i < ROWS; i++) {
        for (size_t p = 0; p < PIXELS; p++)
            pixels[p] = (uint8_t)rng_below(&r, 256);
        struct shard_row row = { .key = "x",
                                 .keylen = 1,
                                 .id = (uint64_t)i + 100,
                                 .label = -1,
                                 .truth = -1,
                                 .h = SIDE,
                                 .w = SIDE,
                                 .orientation = 1,
                                 .bytes = pixels,
                                 .nbytes = sizeof pixels };
        files_must(shard_writer_add(w, &row) == 0, path);
    }
    ok(shard_writer_close(w, NULL) == 0, "a shard: %s", fail_text());
}

/* What each step must be given, prepared by nobody else. */
static struct {
    struct sample sample[BATCH];
    uint64_t id[BATCH];
    float x[VIEWS][BATCH * PIXELS];
} want[STEPS];

static size_t view_floats(size_t view)
{
    size_t side = view < (size_t)set.large_crops ? SIDE : SIDE / 2;
    return BATCH * side * side * 3;
}

static void work_out(struct pool *pool)
{
    struct views v;
    ok(views_open(&v, kn, pool, &data, &set, KERN_F32) == 0, "views: %s", fail_text());
    for (int k = 0; k < STEPS; k++) {
        sampler_batch(&sampler, k, want[k].sample);
        for (size_t i = 0; i < BATCH; i++)
            want[k].id[i] = data.shard[0].rows.id[want[k].sample[i].row];
        views_load(&v, k, want[k].sample, want[k].id);
        for (size_t view = 0; view < VIEWS; view++)
            memcpy(want[k].x[view], v.x[view], view_floats(view) * sizeof(float));
    }
    views_close(&v);
}

static bool given(struct loader *l, int k)
{
    const struct batch *b;
    if (loader_get(l, k, &b) < 0)
        return false;
    bool same = memcmp(b->id, want[k].id, sizeof want[k].id) == 0;
    for (size_t i = 0; i < BATCH; i++)
        same = same && b->sample[i].row == want[k].sample[i].row;
    for (size_t view = 0; view < VIEWS; view++)
        same = same &&
               memcmp(b->views.x[view], want[k].x[view], view_floats(view) * sizeof(float)) == 0;
    return same;
}

static void batches(int threads)
{
    struct loader l;
    bool ahead = true;
    ok(loader_open(&l, kn, threads, &data, &sampler, &set, KERN_F32) == 0, "open: %s", fail_text());
    for (int k = 0; k < STEPS; k++) {
        ahead = ahead && given(&l, k);
        loader_begin(&l, k + 1);
        ahead = ahead && given(&l, k);
    }
    ok(ahead, "begun ahead, %d threads; the one at hand stays", threads);
    ok(given(&l, 2) && given(&l, 0) && given(&l, 0), "not begun");
    loader_begin(&l, 3);
    ok(given(&l, 1) && given(&l, 3), "another was begun");
    loader_begin(&l, 4);
    loader_close(&l); /* whatever it is at */
}

/* The file ends in the middle of the pixels from now on. */
static void failures(const char *path)
{
    struct loader l;
    const struct batch *b;
    char sentence[1024];
    loader_open(&l, kn, 2, &data, &sampler, &set, KERN_F32);
    ok(given(&l, 0), "a batch of whole data");
    files_must(truncate(path, (off_t)data.shard[0].pictures.at + 1) == 0, path);
    loader_begin(&l, 1);
    ok(given(&l, 0), "a failure ahead is none of this step's");
    ok(loader_get(&l, 1, &b) == -EIO && strstr(fail_text(), "shorter"), "but the next one's: %s",
       fail_text());
    snprintf(sentence, sizeof sentence, "%s", fail_text());
    fail(-EIO, "another");
    ok(loader_get(&l, 1, &b) == -EIO && strcmp(fail_text(), sentence) == 0, "again if asked again");
    ok(given(&l, 0), "what is at hand stays");
    loader_close(&l);
}

int main(void)
{
    char path[] = "x.h5", *operands[] = { path };
    int32_t label[ROWS];
    struct pool *pool;
    files_enter();
    settings_preset(&set, 1);
    set.batch = BATCH;
    set.large_crops = 2;
    set.small_crops = 1;
    set.large_side = SIDE;
    set.small_side = SIDE / 2;
    set.seed = t_seed();
    for (int i = 0; i < ROWS; i++)
        label[i] = -1;
    pool_open(&pool, 1);
    kern_open(&kn, pool);
    write_shard(path);
    ok(shard_set_open(&data, operands, 1) == 0, "the data: %s", fail_text());
    sampler_open(&sampler, &set, label, ROWS);
    work_out(pool);
    batches(1);
    batches(3);
    failures(path);
    sampler_close(&sampler);
    shard_set_close(&data);
    kern_close(kn);
    pool_close(pool);
    return done();
}
