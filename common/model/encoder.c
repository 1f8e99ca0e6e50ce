/*
 * encoder.c - the ResNets and the heads, layer by layer.
 */
#include "common/model/encoder.h"
#include "common/base/fail.h"
#include <math.h>
#include <stdio.h>

/* Depths as in He et al., "Deep residual learning" (2016); the stride of a bottleneck sits on its
 * 3x3 convolution, as in dm-haiku and torchvision. */
static const struct design {
    bool bottleneck;
    int blocks[4];
} designs[] = {
    [ENC_RESNET18] = { false, { 2, 2, 2, 2 } },
    [ENC_RESNET34] = { false, { 3, 4, 6, 3 } },
    [ENC_RESNET50] = { true, { 3, 4, 6, 3 } },
};

static size_t scaled(const struct settings *s, int channels)
{
    return (size_t)lround(channels * s->width);
}

size_t encoder_features(const struct settings *s)
{
    return scaled(s, designs[s->encoder].bottleneck ? 2048 : 512);
}

/* A block of two 3x3 convolutions, or of 1x1, 3x3 and 1x1; returns its output tensor. */
static int block_build(struct net *net, const struct settings *s, int in, const char *at,
                       size_t inner, size_t out, size_t stride, bool projects)
{
    bool bottleneck = designs[s->encoder].bottleneck, same = s->padding == PAD_SAME;
    float last = bottleneck && s->zero_init_last_bn ? 0 : 1; /* basic blocks always start at 1 */
    char conv[5][48], *const name[] = { "conv1", "conv2", "conv3", "downsample.0", "downsample.1" };
    char bn[3][48];
    for (int i = 0; i < 5; i++)
        snprintf(conv[i], sizeof conv[i], "%s.%s", at, name[i]);
    for (int i = 0; i < 3; i++)
        snprintf(bn[i], sizeof bn[i], "%s.bn%d", at, i + 1);
    int t, shortcut = in;
    if (bottleneck) {
        t = net_add_conv(net, in, conv[0], inner, 1, 1, same, bn[0], 1, -1, true);
        t = net_add_conv(net, t, conv[1], inner, 3, stride, same, bn[1], 1, -1, true);
    } else {
        t = net_add_conv(net, in, conv[0], out, 3, stride, same, bn[0], 1, -1, true);
    }
    if (projects && t >= 0)
        shortcut = net_add_conv(net, in, conv[3], out, 1, stride, same, conv[4], 1, -1, false);
    if (t < 0 || shortcut < 0)
        return MIN(t, shortcut);
    if (bottleneck)
        return net_add_conv(net, t, conv[2], out, 1, 1, same, bn[2], last, shortcut, true);
    return net_add_conv(net, t, conv[1], out, 3, 1, same, bn[1], last, shortcut, true);
}

static int stem_build(struct net *net, const struct settings *s)
{
    bool same = s->padding == PAD_SAME;
    if (s->stem == STEM_SMALL)
        return net_add_conv(net, 0, "conv1", scaled(s, 64), 3, 1, same, "bn1", 1, -1, true);
    int t = net_add_conv(net, 0, "conv1", scaled(s, 64), 7, 2, same, "bn1", 1, -1, true);
    return net_add_maxpool(net, t, 3, 2, same);
}

int encoder_build(struct net *net, const struct settings *s, size_t side)
{
    const struct design *d = &designs[s->encoder];
    if (scaled(s, 64) < 1 || fabs(scaled(s, 64) - 64 * s->width) > 1e-9)
        return fail(-EINVAL, "width %g: the encoder's 64 channels do not become a whole number",
                    s->width);
    int rc = net_init(net, "encoder", KERN_F32, side, side, 3);
    int t = rc < 0 ? rc : stem_build(net, s);
    for (int g = 0; g < 4; g++) {
        size_t inner = scaled(s, 64 << g), out = d->bottleneck ? 4 * inner : inner;
        for (int i = 0; i < d->blocks[g] && t >= 0; i++) {
            size_t stride = g > 0 && i == 0 ? 2 : 1;
            bool changes = stride != 1 || net->tensor[t].c != out;
            char at[32];
            snprintf(at, sizeof at, "layer%d.%d", g + 1, i);
            t = block_build(net, s, t, at, inner, out, stride,
                            i == 0 && (changes || s->shortcut == SHORTCUT_ALL));
        }
    }
    t = net_add_avgpool(net, t);
    if (t < 0)
        net_release(net);
    return MIN(t, 0);
}

int head_build(struct net *net, const char *part, size_t in, size_t hidden, size_t out)
{
    int t = net_init(net, part, KERN_F32, 1, 1, in);
    t = t < 0 ? t : net_add_linear(net, 0, "0", hidden, true, "1", true);
    t = net_add_linear(net, t, "3", out, false, NULL, false);
    if (t < 0)
        net_release(net);
    return MIN(t, 0);
}
