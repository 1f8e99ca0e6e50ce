/*
 * test_views.c - which recipe makes which view, and what the draws depend on. Set A here is
 * nothing, set B solarisation, crops are the whole picture: inputs are pixels, or pixels solarised.
 */
#include "common/base/fail.h"
#include "common/model/views.h"
#include "tests/t.h"
#include <string.h>
#include <unistd.h>

enum { ROWS = 70, SIDE = 4, PIXELS = SIDE * SIDE * 3, BATCH = 70 };

static struct pool *pool;
static struct kern *kn;
static struct shard_set data, masked; /* the same pictures */

static uint8_t pixel(int row, size_t i)
{
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, i, (uint64_t)row, 0);
    return (uint8_t)rng_below(&r, 256);
}

/* Masks are the upper half; every third picture's only one pixel, every fifth has none. */
static uint8_t mask_pixel(int row, size_t i)
{
    return row % 5 == 0 ? 0 : row % 3 == 0 ? 255 * (i == 0) : 255 * (i < SIDE * SIDE / 2);
}

static void write_shard(const char *path, bool masks)
{
    struct shard_writer *w;
    struct classes classes = { 0 };
    struct history none = { 0 };
    uint8_t pixels[PIXELS], mask[SIDE * SIDE];
    if (shard_writer_open(&w, path, 0, SIDE, false, &classes, "{}", &none) < 0)
        return;
    for (int i = 0; i < ROWS; i++) {
        for (size_t p = 0; p < PIXELS; p++)
            pixels[p] = pixel(i, p);
        for (size_t p = 0; p < sizeof mask; p++)
            mask[p] = mask_pixel(i, p);
        struct shard_row row = { .key = "x",
                                 .keylen = 1,
                                 .id = (uint64_t)i,
                                 .label = -1,
                                 .truth = -1,
                                 .h = SIDE,
                                 .w = SIDE,
                                 .orientation = 1,
                                 .bytes = pixels,
                                 .nbytes = sizeof pixels,
                                 .mask = masks ? mask : NULL,
                                 .nmask = sizeof mask };
        shard_writer_add(w, &row);
    }
    ok(shard_writer_close(w, NULL) == 0, "a shard: %s", fail_text());
}

static struct settings settings(void)
{
    struct settings set;
    settings_preset(&set, 1);
    set.batch = BATCH;
    set.large_crops = 3;
    set.small_crops = 3;
    set.large_side = set.small_side = SIDE;
    set.large_area_min = set.large_area_max = set.small_area_min = set.small_area_max = 1;
    set.flip = set.jitter = set.grey = set.blur_a = set.blur_b = set.solarise_a = 0;
    set.solarise_b = 1;
    set.mean_r = set.mean_g = set.mean_b = 0.5;
    set.dev_r = set.dev_g = set.dev_b = 0.25;
    set.seed = t_seed();
    return set;
}

/* Is the view what it must be? The aspect is drawn, so some crops are narrower than the picture. */
static bool right(const struct views *v, size_t view, bool solarised, const struct sample *batch)
{
    size_t same = 0;
    for (size_t b = 0; b < BATCH; b++) {
        double worst = 0;
        for (size_t i = 0; i < PIXELS; i++) {
            double x = pixel((int)batch[b].row, i) / 255.0;
            if (solarised && x >= 0.5)
                x = 1 - x;
            worst =
                fmax(worst, fabs(((const float *)v->x[view])[b * PIXELS + i] - (x - 0.5) / 0.25));
        }
        same += worst < 1e-4;
    }
    return same > BATCH / 2;
}

/* Sets A and B share all but blur and solarisation; small crops have their own area. */
static void sets(void)
{
    struct settings set;
    struct views v;
    settings_preset(&set, 0);
    set.batch = 2;
    set.large_side = set.small_side = SIDE;
    ok(views_open(&v, kn, pool, &data, &set, KERN_F32) == 0, "open: %s", fail_text());
    for (int small = 0; small < 2; small++)
        for (int b = 0; b < 2; b++) {
            const struct view_recipe *r = &v.recipe[small][b];
            ok(r->area_min == (small ? 0.05f : 0.14f) && r->area_max == (small ? 0.14f : 1),
               "area of %s crops", small ? "small" : "large");
            ok(r->blur == (b ? 0.1f : 1) && r->solarise == (b ? 0.2f : 0), "set %c", 'A' + b);
            ok(r->flip == 0.5f && r->jitter == 0.8f && r->brightness == 0.4f &&
                   r->contrast == 0.4f && r->saturation == 0.2f && r->hue == 0.1f &&
                   r->grey == 0.2f && r->sigma_min == 0.1f && r->sigma_max == 2 &&
                   r->lean_min == (float)log(3.0 / 4) && r->lean_max == (float)log(4.0 / 3),
               "what both have");
            ok(r->mask == (small ? 0 : 0.1f), "masks for %s crops", small ? "small" : "large");
        }
    views_close(&v);
    set.view_sets = SETS_AVERAGED;
    set.aspect_min = set.aspect_max = 2;
    set.sigma_min = set.sigma_max = 3;
    views_open(&v, kn, pool, &data, &set, KERN_F32);
    for (int i = 0; i < 4; i++) {
        const struct view_recipe *r = &v.recipe[i / 2][i % 2];
        ok(fabsf(r->blur - 0.55f) < 1e-6f && fabsf(r->solarise - 0.1f) < 1e-6f, "the mean of both");
        ok(r->sigma_min == 3 && r->sigma_max == 3 && r->lean_min == (float)log(2) &&
               r->lean_max == r->lean_min,
           "ranges of blur and aspect");
    }
    views_close(&v);
}

static void recipes(void)
{
    struct settings set = settings();
    struct views v;
    struct sample batch[BATCH] = { 0 };
    uint64_t id[BATCH];
    for (size_t b = 0; b < BATCH; b++) {
        batch[b].row = (b * 11) % ROWS;
        id[b] = batch[b].row;
    }
    ok(views_open(&v, kn, pool, &data, &set, KERN_F32) == 0, "open: %s", fail_text());
    ok(views_load(&v, 5, batch, id) == 0, "load: %s", fail_text());
    for (size_t view = 0; view < 6; view++)
        ok(right(&v, view, view == 1 || view == 4, batch), "view %zu is of set %c", view,
           view == 1 || view == 4 ? 'B' : 'A');
    ok(!right(&v, 0, true, batch) && !right(&v, 1, false, batch), "and of no other");
    views_close(&v);
}

/* Inputs of view 0, for one picture in all places of the batch. */
static void load_one(struct views *v, int64_t k, unsigned stream, float *out)
{
    struct sample batch[BATCH] = { 0 };
    uint64_t id[BATCH] = { 0 };
    for (size_t b = 0; b < BATCH; b++) {
        batch[b].stream = stream;
        batch[b].turn = b == 1;
    }
    views_load(v, k, batch, id);
    memcpy(out, v->x[0], sizeof(float) * BATCH * PIXELS);
}

static void draws(void)
{
    static float a[BATCH * PIXELS], b[BATCH * PIXELS];
    const size_t bytes = PIXELS * sizeof(float);
    struct settings set = settings();
    struct views v;
    set.large_area_min = 0.2;
    set.jitter = 1;
    views_open(&v, kn, pool, &data, &set, KERN_F32);
    load_one(&v, 5, STREAM_ALL, a);
    load_one(&v, 5, STREAM_ALL, b);
    ok(memcmp(a, b, sizeof a) == 0, "the same draws again");
    ok(memcmp(a, a + 69 * PIXELS, bytes) == 0, "places in the batch do not matter");
    ok(memcmp(a, a + PIXELS, bytes) != 0, "a repeat within a batch draws anew");
    ok(memcmp(v.x[0], v.x[2], bytes) != 0, "so does another view");
    load_one(&v, 6, STREAM_ALL, b);
    ok(memcmp(a, b, bytes) != 0, "another step");
    load_one(&v, 5, STREAM_LABELLED, b);
    ok(memcmp(a, b, bytes) != 0, "and the labelled stream");
    views_close(&v);
}

/* Each view has its own draws in each stream, however many there are. */
static void many(void)
{
    static float a[BATCH * PIXELS];
    struct settings set = settings();
    struct views v;
    set.large_crops = CROPS_LARGE;
    set.small_crops = CROPS_SMALL;
    set.large_area_min = set.small_area_min = 0.2;
    set.jitter = 1;
    set.solarise_b = 0;
    views_open(&v, kn, pool, &data, &set, KERN_F32);
    load_one(&v, 5, STREAM_ALL, a);
    static float first[CROPS][PIXELS];
    bool apart = true;
    for (size_t i = 0; i < CROPS; i++) {
        memcpy(first[i], v.x[i], sizeof first[i]);
        for (size_t j = 0; j < i; j++)
            apart = apart && memcmp(first[i], first[j], sizeof first[i]) != 0;
    }
    ok(apart, "%d views of a picture all differ", CROPS);
    load_one(&v, 5, STREAM_LABELLED, a);
    for (size_t i = 0; i < CROPS; i++)
        for (size_t j = 0; j < CROPS; j++)
            apart = apart && memcmp(first[i], v.x[j], sizeof first[i]) != 0;
    ok(apart, "and differ from those of the other stream");
    views_close(&v);
}

/* Where the mask of a picture leaves background, a large crop has one grey. */
static void masks(void)
{
    struct settings set = settings();
    struct views v, plain;
    struct sample batch[BATCH] = { 0 };
    uint64_t id[BATCH];
    for (size_t b = 0; b < BATCH; b++)
        batch[b].row = id[b] = b;
    set.mask_probability = 1;
    set.mask_least = 0.1;
    set.solarise_b = 0;
    set.aspect_min = set.aspect_max = 1; /* crops are whole pictures */
    views_open(&v, kn, pool, &masked, &set, KERN_F32);
    views_open(&plain, kn, pool, &data, &set, KERN_F32);
    ok(views_load(&v, 5, batch, id) == 0 && views_load(&plain, 5, batch, id) == 0, "load: %s",
       fail_text());
    size_t kept = 0, grey = 0, unmasked = 0, greys = 0;
    float last = NAN;
    for (size_t b = 0; b < BATCH; b++) {
        const float *x = (const float *)v.x[0] + b * PIXELS;
        const float *y = (const float *)plain.x[0] + b * PIXELS;
        if (b % 3 == 0 || b % 5 == 0) {
            unmasked += memcmp(x, y, PIXELS * sizeof *x) == 0;
            continue;
        }
        kept++;
        for (size_t i = 0; i < PIXELS; i++)
            if (i < PIXELS / 2 ? fabsf(x[i] - y[i]) > 1e-4f : x[i] != x[PIXELS - 1 - i % 3]) {
                kept--;
                break;
            }
        grey += fabsf(x[PIXELS - 1] - x[PIXELS - 2]) < 1e-6f;
        greys += x[PIXELS - 1] != last;
        last = x[PIXELS - 1];
    }
    ok(kept == 37 && grey == 37, "37 pictures keep their upper halves: %zu, %zu", kept, grey);
    ok(greys == 37, "each over its own grey");
    ok(unmasked == 33, "33 have no mask, or one that covers too little");
    ok(memcmp(v.x[3], plain.x[3], BATCH * PIXELS * sizeof(float)) == 0, "small crops keep all");
    views_close(&v);
    set.mask_probability = 0;
    views_open(&v, kn, pool, &masked, &set, KERN_F32);
    views_load(&v, 5, batch, id);
    ok(memcmp(v.x[0], plain.x[0], BATCH * PIXELS * sizeof(float)) == 0, "probability 0 is never");
    views_close(&v);
    views_close(&plain);
}

static char *temporary(char *path)
{
    int fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    return path;
}

int main(void)
{
    char path[] = "/tmp/test_views.XXXXXX", other[] = "/tmp/test_views.XXXXXX";
    char *operands[] = { temporary(path), temporary(other) };
    pool_open(&pool, 2);
    kern_open(&kn, pool);
    write_shard(path, false);
    write_shard(other, true);
    ok(shard_set_open(&data, operands, 1) == 0 && shard_set_open(&masked, operands + 1, 1) == 0,
       "the data: %s", fail_text());
    sets();
    recipes();
    draws();
    many();
    masks();
    shard_set_close(&data);
    shard_set_close(&masked);
    kern_close(kn);
    pool_close(pool);
    unlink(path);
    unlink(other);
    return done();
}
