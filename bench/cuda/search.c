/*
 * search.c - exact nearest neighbours, and views of pictures. The floor of the search is the
 * products alone, at the rate of bfloat16.
 */
#include "bench/cuda/rig.h"
#include "common/base/rng.h"
#include <stdio.h>
#include <stdlib.h>

struct job {
    struct kern *kn;
    struct kern_knn q;
    int32_t *idx;
    float *sim;
    struct kern_views views;
};

static int neighbours(void *arg)
{
    struct job *j = arg;
    return kern_knn(j->kn, &j->q, j->idx, j->sim);
}

static int views(void *arg)
{
    struct job *j = arg;
    return kern_augment(j->kn, &j->views);
}

/* Rows of unit length: n * d random numbers of the device, brought to it there. */
static float *unit_rows(struct rig *r, size_t n, size_t d)
{
    float *u = rig_random(r, KERN_F32, n * d), *x = rig_zero(r, n * d * sizeof *x);
    float *length = rig_zero(r, n * sizeof *length);
    rig_must(r, kern_l2norm_forward(r->kn, x, length, u, n, d), "unit length");
    return x;
}

static void search_row(struct rig *r, size_t n, size_t m, size_t d, size_t k)
{
    struct job j = { .kn = r->kn,
                     .q = { .n = n,
                            .m = m,
                            .d = d,
                            .k = k,
                            .query = unit_rows(r, n, d),
                            .bank = unit_rows(r, m, d) },
                     .idx = rig_zero(r, n * k * sizeof *j.idx),
                     .sim = rig_zero(r, n * k * sizeof *j.sim) };
    double work = 2.0 * (double)n * (double)m * (double)d;
    double t = rig_seconds(r, neighbours, &j);
    printf("| %zu x %zu x %zu | %zu | %.2f | %.0f | %.0f %% |\n", n, m, d, k, 1e3 * t,
           1e-12 * work / t, 100 * work / r->product / t);
    rig_clear(r);
}

/* All steps of augmentation in half of the views; the others have no blur. */
static void draw_view(struct kern_view *v, size_t i, size_t h, size_t w, struct rng *g)
{
    size_t top = rng_below(g, 100), left = rng_below(g, 100);
    *v = (struct kern_view){ .top = top,
                             .left = left,
                             .height = h - top - rng_below(g, 175),
                             .width = w - left - rng_below(g, 300),
                             .flip = i & 1,
                             .jitter = true,
                             .order = { 0, 1, 2, 3 },
                             .brightness = 0.1f,
                             .contrast = 1.1f,
                             .saturation = 0.9f,
                             .hue = 0.05f,
                             .sigma = i & 1 ? 1.0f : 0,
                             .solarise = i & 2 };
}

/* Of n pictures of 500 x 375 in host memory as many views as there are sides. */
static void view_row(struct rig *r, size_t n, const size_t *side, size_t each)
{
    enum { W = 500, H = 375 };
    struct rng g;
    uint8_t *rgb = malloc((size_t)W * H * 3);
    struct kern_picture *picture = calloc(n, sizeof *picture);
    struct kern_view *view = calloc(n * each, sizeof *view);
    void **out = calloc(each, sizeof *out);
    if (!rgb || !picture || !view || !out)
        bench_die("no memory");
    rng_init(&g, 1, RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < (size_t)W * H * 3; i++)
        rgb[i] = (uint8_t)(i * 7 % 200 + i % 50);
    for (size_t i = 0; i < n; i++)
        picture[i] = (struct kern_picture){ .rgb = rgb, .h = H, .w = W };
    for (size_t i = 0; i < n * each; i++)
        draw_view(&view[i], i / each + i, H, W, &g);
    for (size_t j = 0; j < each; j++)
        out[j] = rig_zero(r, n * side[j] * side[j] * 3 * sizeof(uint16_t));
    struct job j = { .kn = r->kn,
                     .views = { .type = KERN_BF16,
                                .n = n,
                                .each = each,
                                .picture = picture,
                                .view = view,
                                .side = side,
                                .out = out,
                                .mean = { 0.5f, 0.5f, 0.5f },
                                .dev = { 0.25f, 0.25f, 0.25f } } };
    double t = rig_seconds(r, views, &j);
    printf("| %zu pictures, %zu of %zu pixels", n, MIN(each, (size_t)4), side[0]);
    if (each > 4)
        printf(" and %zu of %zu", each - 4, side[4]);
    printf(" | %.2f | %.0f |\n", 1e3 * t, (double)(n * each) / t);
    free(out);
    free(view);
    free(picture);
    free(rgb);
    rig_clear(r);
}

void search(struct rig *r)
{
    static const size_t crops[2][6] = { { 224, 224, 224, 224, 96, 96 }, { 16, 16, 16, 16, 8, 8 } };
    bool tiny = r->tiny;
    printf("## Exact neighbours: TF/s and share of the products alone\n\n"
           "| queries x bank x numbers | k | ms | TF/s | share |\n|:--|--:|--:|--:|--:|\n");
    search_row(r, tiny ? 4 : 16384, tiny ? 300 : 81920, tiny ? 32 : 512, tiny ? 3 : 20);
    search_row(r, tiny ? 4 : 4096, tiny ? 300 : 81920, tiny ? 32 : 256, 1);
    printf("\n## Views, from pictures of 500 x 375 in host memory\n\n"
           "| views | ms | views/s |\n|:--|--:|--:|\n");
    view_row(r, tiny ? 2 : 512, crops[tiny], 1);
    view_row(r, tiny ? 2 : 128, crops[tiny], 6);
    putchar('\n');
}
