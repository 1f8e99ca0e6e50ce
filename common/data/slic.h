/*
 * slic.h - superpixels: small regions of a picture that are alike in colour.
 *
 * Source: R. Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods",
 * IEEE TPAMI 34(11), 2012: k-means in colour and place, each centre looking only about itself; what
 * does not hang together is then divided, and scraps join a neighbour.
 */
#ifndef SEMPPL_SLIC_H
#define SEMPPL_SLIC_H

#include "common/base/base.h"

/*
 * About k regions of a picture lab [h][w][3] (CIE L*a*b*), each in one piece: their numbers, from
 * 0, go to region [h][w]. Returns how many there are; -ENOMEM (worded).
 */
int slic(int32_t *region, const float *lab, size_t h, size_t w, size_t k);

#endif
