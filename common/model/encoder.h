/*
 * encoder.h - ResNets (method 2) and the two-layer heads (method 3) as lists of layers.
 *
 * Names are torchvision's: conv1, bn1, layerG.I.convN, layerG.I.bnN, layerG.I.downsample.0/.1; a
 * head is a torch.nn.Sequential of Linear "0" (with bias), BatchNorm1d "1", ReLU, Linear "3"
 * (without bias).
 *
 * With selective kernels (method 2.9) the stem is a Sequential below conv1, of convolutions "0",
 * "3", "6" and batch norms "1", "4", then bn1; in blocks, conv2 and bn2 have both branches' 2M
 * channels, the first branch's first, and the linear layers of layerG.I.sk weigh them: fc1 from M
 * to fewer, bn1, ReLU, fc2 to 2M, none with a bias.
 */
#ifndef SEMPPL_ENCODER_H
#define SEMPPL_ENCODER_H

#include "common/model/net.h"
#include "common/model/settings.h"

/* side: of the square input. The settings are such as settings_check() passes. */
int encoder_build(struct net *net, const struct settings *s, size_t side);
size_t encoder_features(const struct settings *s); /* F */
int head_build(struct net *net, const char *part, size_t in, size_t hidden, size_t out);

#endif
