/*
 * test_embedder.c - pictures to vectors: the right crop, network and order, whatever the batch.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/embedder.h"
#include "common/model/state.h"
#include "tests/t.h"
#include "tests/unit/files.h"

enum { ROWS = 5, SIDE = 12, F = 64, DIM = 10 };

static const size_t shape[ROWS][2] = { { 12, 12 }, { 20, 15 }, { 9, 31 }, { 12, 12 }, { 40, 41 } };
static struct pool *pool;
static struct kern *kn;
static struct image pic[ROWS];

/* Pictures of noise, and a shard of the first n of them. */
static void make_shard(const char *path, const size_t *which, size_t n)
{
    struct shard_writer *w;
    struct classes classes = { 0 };
    struct history h = { 0 };
    files_must(shard_writer_open(&w, path, 0, 0, false, &classes, "{}", &h) == 0, path);
    for (size_t i = 0; i < n; i++) {
        const struct image *im = &pic[which[i]];
        uint8_t *png;
        size_t len;
        char key[8] = { 'p', (char)('0' + which[i]) };
        files_must(image_encode_png(im, &png, &len) == 0, "png");
        struct shard_row row = { .key = key,
                                 .keylen = 2,
                                 .id = which[i],
                                 .label = -1,
                                 .truth = -1,
                                 .h = im->h,
                                 .w = im->w,
                                 .orientation = 1,
                                 .bytes = png,
                                 .nbytes = len };
        files_must(shard_writer_add(w, &row) == 0, "row");
        free(png);
    }
    files_must(shard_writer_close(w, NULL) == 0, path);
}

/* A fresh network whose target differs from it. */
static void make_checkpoint(const char *path, struct state *s)
{
    struct settings set;
    struct ckpt c = { 0 };
    settings_preset(&set, 1);
    set.width = 0.125;
    set.hidden = 24;
    set.dim = DIM;
    set.batch = 2;
    set.queue = 6;
    set.large_side = SIDE;
    set.eval_crop = 0.875;
    files_must(state_new(s, &set) == 0, "state");
    for (int i = 0; i < 8; i++)
        s->running_target[i] = 0.1f;
    for (size_t i = 0; i < 27 * 8; i++)
        s->xi[i] *= 1.5f;
    files_must(state_to_ckpt(s, &c) == 0 && ckpt_write(&c, path) == 0, path);
    ckpt_release(&c);
}

/* What the embedder should give: crop by hand, then the network's inference on one picture. */
static void reference(const struct state *s, int row, bool target, bool project, float *out,
                      float *pixels)
{
    const struct net *net[2] = { &s->large, &s->projector };
    const struct image *im = &pic[row];
    size_t side = (size_t)(0.875 * (double)MIN(im->h, im->w));
    const struct kern_picture from = { .rgb = im->rgb, .h = im->h, .w = im->w };
    const struct kern_view view = {
        .top = (im->h - side + 1) / 2, .left = (im->w - side + 1) / 2, .height = side, .width = side
    };
    const size_t to = SIDE;
    void *const at = pixels;
    const struct kern_views v = {
        .type = KERN_F32,
        .n = 1,
        .each = 1,
        .picture = &from,
        .view = &view,
        .side = &to,
        .out = &at,
        .mean = { (float)s->set.mean_r, (float)s->set.mean_g, (float)s->set.mean_b },
        .dev = { (float)s->set.dev_r, (float)s->set.dev_g, (float)s->set.dev_b },
    };
    kern_augment(kn, &v);
    const float *x = pixels;
    for (int part = 0; part < (project ? 2 : 1); part++) {
        struct net_infer *inf = NULL;
        struct net_weights w = { 0 };
        w.param = (target ? s->xi : s->theta) + state_param_offset(s, net[part]->part);
        w.running =
            (target ? s->running_target : s->running) + state_running_offset(s, net[part]->part);
        const float *y;
        files_must(net_pack(kn, net[part], &w) == 0 &&
                       net_infer_open(&inf, kn, net[part], &w, 1) == 0 &&
                       net_infer_run(inf, x, 1, &y) == 0,
                   "inference");
        memcpy(out, y, net_outputs(net[part]) * sizeof *out);
        x = out;
        net_infer_close(inf);
        net_unpack(kn, net[part], &w);
    }
}

static double worst(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - b[i]) / (1e-3 + fabs((double)b[i])));
    return most;
}

/* All rows of a shard, in batches of at most most. */
static int embed(struct embedder *e, const char *path, size_t most, float *x)
{
    struct shard s;
    int rc = shard_open(&s, path);
    if (rc == 0)
        rc = embedder_look(e, &s);
    for (size_t at = 0, n; rc == 0 && at < s.rows.n; at += n) {
        n = MIN(embedder_batch(e, &s, at), most);
        rc = embedder_run(e, &s, at, n, x + at * embedder_width(e));
    }
    shard_close(&s);
    return rc;
}

static void test_layers(const struct state *s)
{
    static float got[ROWS * 3 * SIDE * SIDE], one[ROWS * 3 * SIDE * SIDE], want[512],
        pixels[3 * SIDE * SIDE];
    struct embedder *e;
    for (int layer = EMBEDDER_FEATURES; layer <= EMBEDDER_PIXELS; layer++)
        for (int net = EMBEDDER_ONLINE; net <= EMBEDDER_TARGET; net++) {
            const char *name = layer == EMBEDDER_FEATURES     ? "features"
                               : layer == EMBEDDER_PROJECTION ? "projection"
                                                              : "pixels";
            ok(embedder_open(&e, kn, pool, "net.h5", (enum embedder_layer)layer,
                             (enum embedder_net)net, KERN_F32) == 0,
               "%s, network %d", name, net);
            size_t d = layer == EMBEDDER_FEATURES     ? F
                       : layer == EMBEDDER_PROJECTION ? DIM
                                                      : 3 * SIDE * SIDE;
            bool right = embedder_width(e) == d && !strcmp(embedder_kind(e)->layer, name);
            right = right && embed(e, "all.h5", ROWS, got) == 0;
            double most = 0;
            for (int i = 0; i < ROWS && right; i++) {
                reference(s, i, net == EMBEDDER_TARGET, layer == EMBEDDER_PROJECTION, want, pixels);
                most = fmax(
                    most, worst(got + (size_t)i * d, layer == EMBEDDER_PIXELS ? pixels : want, d));
            }
            ok(right && most < 1e-4, "gives the vectors of single pictures, in order (%.2g)", most);
            ok(embed(e, "all.h5", 1, one) == 0 && !memcmp(one, got, ROWS * d * sizeof *got),
               "to the bit the same in batches of one");
            embedder_close(e);
        }
}

static void test_kinds(void)
{
    struct embedder *a, *b;
    embedder_open(&a, kn, pool, "net.h5", EMBEDDER_FEATURES, EMBEDDER_ONLINE, KERN_F32);
    embedder_open(&b, kn, pool, "net.h5", EMBEDDER_FEATURES, EMBEDDER_TARGET, KERN_F32);
    ok(a && b && strlen(embedder_kind(a)->checkpoint) == 16 &&
           strcmp(embedder_kind(a)->checkpoint, embedder_kind(b)->checkpoint) != 0,
       "the two networks have hashes of their own");
    embedder_close(a);
    embedder_close(b);
    ok(embedder_open(&a, kn, pool, "absent.h5", EMBEDDER_FEATURES, EMBEDDER_ONLINE, KERN_F32) < 0 &&
           strstr(fail_text(), "absent.h5"),
       "no checkpoint: %s", fail_text());
}

static void test_whole(void)
{
    static float x[2 * 12 * 12 * 3];
    struct embedder *e;
    struct settings set;
    settings_preset(&set, 0);
    ok(embedder_open(&e, kn, pool, NULL, EMBEDDER_PIXELS, EMBEDDER_ONLINE, KERN_F32) == 0 &&
           embedder_width(e) == 0,
       "pixels need no checkpoint; the width is not known yet");
    ok(embed(e, "same.h5", ROWS, x) == 0 && embedder_width(e) == 12 * 12 * 3,
       "pictures of one size are taken whole");
    near(x[0], (pic[0].rgb[0] / 255.0 - set.mean_r) / set.dev_r, 1e-5, "the first value");
    near(x[2 * 432 - 1], (pic[3].rgb[431] / 255.0 - set.mean_b) / set.dev_b, 1e-5, "the last");
    ok(embed(e, "all.h5", ROWS, x) == -EINVAL && strstr(fail_text(), "p1"),
       "another size is refused: %s", fail_text());
    embedder_close(e);
}

int main(void)
{
    static const size_t all[ROWS] = { 0, 1, 2, 3, 4 }, same[2] = { 0, 3 };
    struct state s;
    struct rng r;
    files_enter();
    rng_init(&r, t_seed(), RNG_TEST, 0, 3, 0);
    for (int i = 0; i < ROWS; i++) {
        pic[i] = (struct image){ shape[i][0], shape[i][1], malloc(shape[i][0] * shape[i][1] * 3) };
        for (size_t p = 0; p < shape[i][0] * shape[i][1] * 3; p++)
            pic[i].rgb[p] = (uint8_t)rng_u32(&r);
    }
    if (pool_open(&pool, 2) < 0 || kern_open(&kn, pool) < 0)
        return 1;
    make_shard("all.h5", all, ROWS);
    make_shard("same.h5", same, 2);
    make_checkpoint("net.h5", &s);
    test_layers(&s);
    test_kinds();
    test_whole();
    ok(files_idle(), "nothing is left open");
    state_release(&s);
    kern_close(kn);
    pool_close(pool);
    for (int i = 0; i < ROWS; i++)
        free(pic[i].rgb);
    return done();
}
