/*
 * augment.c - the draws of a view, in a fixed order, so that every setting change leaves the other
 * draws alone.
 *
 * Source: BYOL's augmentations (deepmind-research, byol/utils), shipped with SemPPL's code. "u <=
 * p" decides.
 */
#include "common/data/augment.h"

#include <math.h>

static size_t clamp_side(double side, size_t most)
{
    double r = rint(side); /* to even, as the source rounds */
    return r < 1 ? 1 : r > (double)most ? most : (size_t)r;
}

static void draw_crop(struct view_draw *v, const struct view_recipe *recipe, size_t h, size_t w,
                      struct rng *r)
{
    double area = rng_range(r, recipe->area_min, recipe->area_max) * (double)h * (double)w;
    double aspect = exp((double)rng_range(r, recipe->lean_min, recipe->lean_max));
    v->width = clamp_side(sqrt(area * aspect), w);
    v->height = clamp_side(sqrt(area / aspect), h);
    v->left = rng_below(r, (uint32_t)(w - v->width + 1));
    v->top = rng_below(r, (uint32_t)(h - v->height + 1));
}

/* One draw whatever p is; 0 is never, although u may be 0. */
static bool chance(struct rng *r, float p)
{
    float u = rng_float(r);
    return p > 0 && u <= p;
}

void augment_draw(struct view_draw *v, const struct view_recipe *recipe, size_t h, size_t w,
                  struct rng *r)
{
    draw_crop(v, recipe, h, w, r);
    v->flip = chance(r, recipe->flip);
    v->jitter = chance(r, recipe->jitter);
    v->brightness = rng_range(r, -recipe->brightness, recipe->brightness);
    v->contrast = rng_range(r, 1 - recipe->contrast, 1 + recipe->contrast);
    v->saturation = rng_range(r, 1 - recipe->saturation, 1 + recipe->saturation);
    v->hue = rng_range(r, -recipe->hue, recipe->hue);
    for (uint8_t i = 0; i < 4; i++) { /* Fisher-Yates, from the inside out */
        uint32_t j = rng_below(r, i + 1u);
        v->order[i] = j < i ? v->order[j] : i;
        v->order[j] = i;
    }
    v->grey = chance(r, recipe->grey);
    bool blur = chance(r, recipe->blur);
    float sigma = rng_range(r, recipe->sigma_min, recipe->sigma_max);
    v->sigma = blur ? sigma : 0;
    v->solarise = chance(r, recipe->solarise);
    v->mask = chance(r, recipe->mask);
    v->fill = rng_float(r);
}

void augment_centre(struct view_draw *v, size_t h, size_t w, double fraction)
{
    size_t least = MIN(h, w), side = (size_t)(fraction * (double)least);
    side = MAX(side, (size_t)1);
    *v = (struct view_draw){
        .top = (h - side + 1) / 2, .left = (w - side + 1) / 2, .height = side, .width = side
    };
}
