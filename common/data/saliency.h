/*
 * saliency.h - where the object of a picture is, by its colours alone.
 *
 * Source: W. Zhu, S. Liang, Y. Wei, J. Sun, "Saliency optimization from robust background
 * detection", CVPR 2014. Superpixels that touch much of the picture's border for their extent are
 * background; what differs in colour from the background around it is foreground; a smooth map is
 * fitted to both. Its constants are the paper's. The map becomes a mask at the threshold that
 * parts it best (N. Otsu, "A threshold selection method from gray-level histograms", 1979).
 */
#ifndef SEMPPL_SALIENCY_H
#define SEMPPL_SALIENCY_H

#include "common/data/mask.h"

/* 1 and the mask of the picture; 0 if nothing stands out; -ENOMEM (worded). Any thread. */
int saliency_mask(struct mask *m, const struct image *im);

/* The method in a few words, for a recipe. */
#define SALIENCY_METHOD "robust background detection (Zhu et al., CVPR 2014)"

#endif
