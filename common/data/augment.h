/*
 * augment.h - the draws that make a view (method 4.1-4.6, 4.8): from a recipe and (seed, step,
 * sample, view) to a kern_view.
 *
 * This file fills struct view_draw, which mirrors kernels/kern.h's struct kern_view without knowing
 * it (common/data knows no kernels); common/model copies one into the other.
 */
#ifndef SEMPPL_AUGMENT_H
#define SEMPPL_AUGMENT_H

#include "common/base/base.h"
#include "common/base/rng.h"

struct view_recipe {
    float area_min, area_max;
    float lean_min, lean_max; /* logarithms of the aspect, width over height */
    float flip, jitter, brightness, contrast, saturation, hue, grey, blur,
        solarise; /* probabilities and strengths */
    float sigma_min, sigma_max;
    float mask; /* probability of a replaced background */
};

struct view_draw {
    size_t top, left, height, width;
    bool flip, jitter, grey, solarise;
    uint8_t order[4];
    float brightness, contrast, saturation, hue, sigma;
    bool mask;  /* the background is to be replaced, if the picture has a mask */
    float fill; /* by this grey */
};

/* All draws of one view of a picture of h x w, always in the same order, used or not. */
void augment_draw(struct view_draw *v, const struct view_recipe *recipe, size_t h, size_t w,
                  struct rng *r);
/* Evaluation: the centre crop of method 10.2 (side = floor(fraction * min(h, w)), at least 1),
 * nothing else. */
void augment_centre(struct view_draw *v, size_t h, size_t w, double fraction);

#endif
