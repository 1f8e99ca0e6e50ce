/*
 * encoder.h - ResNets (method 2) and the two-layer heads (method 3) as lists of layers.
 *
 * Names are torchvision's: conv1, bn1, layerG.I.convN, layerG.I.bnN, layerG.I.downsample.0/.1; a
 * head is a torch.nn.Sequential of Linear "0" (with bias), BatchNorm1d "1", ReLU, Linear "3"
 * (without bias).
 */
#ifndef SEMPPL_ENCODER_H
#define SEMPPL_ENCODER_H

#include "common/model/net.h"
#include "common/model/settings.h"

/* side: of the square input. -EINVAL (worded) where no architecture results. */
int encoder_build(struct net *net, const struct settings *s, size_t side);
size_t encoder_features(const struct settings *s); /* F */
int head_build(struct net *net, const char *part, size_t in, size_t hidden, size_t out);

#endif
