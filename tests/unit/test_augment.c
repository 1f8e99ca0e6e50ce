/*
 * test_augment.c - draws of views: ranges, order independence, the centre crop.
 */
#include <string.h>

#include "common/data/augment.h"
#include "tests/t.h"

static const struct view_recipe recipe = { .area_min = 0.14f,
                                           .area_max = 1,
                                           .lean_min = -0.28768207f, /* log(3/4) */
                                           .lean_max = 0.28768207f,
                                           .flip = 0.5f,
                                           .jitter = 0.8f,
                                           .brightness = 0.4f,
                                           .contrast = 0.4f,
                                           .saturation = 0.2f,
                                           .hue = 0.1f,
                                           .grey = 0.2f,
                                           .blur = 0.5f,
                                           .solarise = 0.2f,
                                           .sigma_min = 0.1f,
                                           .sigma_max = 2,
                                           .mask = 0.3f };

static struct view_draw draw(const struct view_recipe *r, uint64_t id, unsigned view)
{
    struct view_draw v;
    struct rng rng;
    memset(&v, 0, sizeof(v));
    rng_init(&rng, t_seed(), RNG_VIEW, 3, id, view);
    augment_draw(&v, r, 75, 100, &rng);
    return v;
}

/* Sides are rounded, aspects uniform in their logarithm, places in what is left. */
static void crops(void)
{
    enum { N = 4000, SIDE = 1000, AREA = SIDE * SIDE / 10 };
    struct view_recipe r = recipe;
    double tilt = 0, tilt2 = 0, low = 0, high = 0;
    bool rounded = true;
    r.area_min = r.area_max = 0.1f;
    for (uint64_t id = 0; id < N; id++) {
        struct view_draw v;
        struct rng rng;
        rng_init(&rng, t_seed(), RNG_VIEW, 4, id, 0);
        augment_draw(&v, &r, SIDE, SIDE, &rng);
        double w = (double)v.width, h = (double)v.height, lean = log(w / h);
        rounded &= fabs(w * h / AREA - 1) < 0.5 / w + 0.5 / h + 1e-5;
        tilt += lean / N;
        tilt2 += lean * lean / N;
        low += v.top < (SIDE - v.height + 1) / 4.0 && v.left < (SIDE - v.width + 1) / 4.0;

        rng_init(&rng, t_seed(), RNG_VIEW, 5, id, 0);
        augment_draw(&v, &r, 9, 9, &rng);
        high += v.top + v.height == 9 && v.left + v.width == 9;
    }
    const double half = log(4.0 / 3);
    ok(rounded, "sides are those of the area and an aspect, rounded");
    near(tilt, 0, 0.011, "mean logarithm of the aspect");
    near(tilt2, half * half / 3, 0.0015, "its variance");
    near(low / N, 1.0 / 16, 0.016, "crops in the first corner");
    near(high / N, 1.0 / 49, 0.012, "crops that touch the last corner");
}

/* Strengths are uniform about what changes nothing. */
static void strengths(void)
{
    enum { N = 4000 };
    double sum[4] = { 0 }, most[4] = { 0 }, sigma = 0, blurs = 0;
    static const double greatest[] = { 0.4, 0.4, 0.2, 0.1 };
    for (uint64_t id = 0; id < N; id++) {
        struct view_draw v = draw(&recipe, id, 2);
        const double change[] = { v.brightness, v.contrast - 1, v.saturation - 1, v.hue };
        for (int i = 0; i < 4; i++) {
            sum[i] += change[i] / greatest[i] / N;
            most[i] = fmax(most[i], fabs(change[i]) / greatest[i]);
        }
        sigma += v.sigma;
        blurs += v.sigma > 0;
    }
    for (int i = 0; i < 4; i++) {
        near(sum[i], 0, 0.046, "mean of strength %d", i); /* 5 deviations */
        near(most[i], 1, 0.005, "its end");
    }
    near(sigma / blurs, 1.05, 0.065, "mean width of the blur");
}

int main(void)
{
    crops();
    strengths();
    enum { N = 4000 };
    bool inside = true, perm = true, area = true, ranges = true;
    double flips = 0, jitters = 0, blurs = 0, solarised = 0, greys = 0, mean_area = 0, masked = 0,
           fill = 0;
    for (uint64_t id = 0; id < N; id++) {
        struct view_draw v = draw(&recipe, id, 1);
        double a = (double)(v.width * v.height) / 7500;
        inside &= v.left + v.width <= 100 && v.top + v.height <= 75 && v.width && v.height;
        perm &= (1 << v.order[0] | 1 << v.order[1] | 1 << v.order[2] | 1 << v.order[3]) == 15;
        area &= a > 0.13 && a <= 1;
        ranges &= fabsf(v.brightness) <= 0.4f && fabsf(v.contrast - 1) <= 0.4f &&
                  fabsf(v.saturation - 1) <= 0.2f && fabsf(v.hue) <= 0.1f &&
                  (v.sigma == 0 || (v.sigma >= 0.1f && v.sigma <= 2));
        mean_area += a / N;
        flips += v.flip / (double)N;
        jitters += v.jitter / (double)N;
        blurs += (v.sigma > 0) / (double)N;
        greys += v.grey / (double)N;
        solarised += v.solarise / (double)N;
        masked += v.mask / (double)N;
        fill += (double)v.fill / N;
    }
    ok(inside, "crops lie inside the picture");
    ok(area, "crops have an area in the range");
    ok(perm, "the order of the jitter is a permutation");
    ok(ranges, "strengths lie in their ranges");
    near(mean_area, 0.55, 0.03, "mean area (clamping an overlong side takes a little off 0.57)");
    near(flips, 0.5, 0.04, "share of flips");
    near(jitters, 0.8, 0.03, "share of jitters");
    near(blurs, 0.5, 0.04, "share of blurs");
    near(greys, 0.2, 0.03, "share of greys");
    near(solarised, 0.2, 0.03, "share of solarised");
    near(masked, 0.3, 0.04, "share of backgrounds to be replaced");
    near(fill, 0.5, 0.025, "mean grey");

    struct view_draw a = draw(&recipe, 7, 1), b = draw(&recipe, 7, 1), c = draw(&recipe, 7, 2),
                     d = draw(&recipe, 8, 1);
    ok(memcmp(&a, &b, sizeof(a)) == 0, "the same sample and view draw the same");
    ok(memcmp(&a, &c, sizeof(a)) && memcmp(&a, &d, sizeof(a)),
       "another view or sample draws another");

    struct view_recipe plain = recipe;
    plain.blur = plain.solarise = plain.flip = plain.mask = 0;
    struct view_draw p = draw(&plain, 7, 1);
    ok(p.sigma == 0 && !p.solarise && !p.flip && !p.mask, "probability 0 is never");
    ok(p.left == a.left && p.hue == a.hue && p.grey == a.grey && p.fill == a.fill,
       "other draws stay when a probability changes");

    augment_centre(&a, 100, 75, 0.875);
    ok(a.height == 65 && a.width == 65 && a.top == 18 && a.left == 5,
       "the centre crop of 100 x 75 at 0.875");
    augment_centre(&a, 32, 32, 1);
    ok(a.height == 32 && a.width == 32 && a.top == 0 && a.left == 0,
       "the centre crop of all of it");
    augment_centre(&a, 1, 9, 0.5);
    ok(a.height == 1 && a.width == 1 && a.top == 0 && a.left == 4,
       "the centre crop is never empty");
    return done();
}
