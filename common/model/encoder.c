/*
 * encoder.c - the ResNets and the heads, layer by layer.
 */
#include "common/model/encoder.h"
#include <math.h>
#include <stdio.h>

/* Depths as in He et al., "Deep residual learning" (2016) and, for 200, "Identity mappings" (2016);
 * tiny is the TinyResNet of the authors' tests. The stride of a bottleneck sits on its 3x3
 * convolution, as in dm-haiku and torchvision. */
static const struct design {
    int blocks[4], inner[4]; /* of each group: how many; channels of their 3x3 convolutions */
} designs[] = {
    [ENC_TINY] = { { 1, 1, 1, 1 }, { 8, 8, 8, 8 } },
    [ENC_RESNET18] = { { 2, 2, 2, 2 }, { 64, 128, 256, 512 } },
    [ENC_RESNET34] = { { 3, 4, 6, 3 }, { 64, 128, 256, 512 } },
    [ENC_RESNET50] = { { 3, 4, 6, 3 }, { 64, 128, 256, 512 } },
    [ENC_RESNET101] = { { 3, 4, 23, 3 }, { 64, 128, 256, 512 } },
    [ENC_RESNET152] = { { 3, 8, 36, 3 }, { 64, 128, 256, 512 } },
    [ENC_RESNET200] = { { 3, 24, 36, 3 }, { 64, 128, 256, 512 } },
};

/* Of SimCLRv2's selective kernels: the squeezed vector has M / SK_RATIO numbers, or SK_LEAST. */
enum { SK_RATIO = 16, SK_LEAST = 32 };

static bool bottlenecks(const struct settings *s)
{
    return s->encoder >= ENC_RESNET50;
}

static size_t scaled(const struct settings *s, int channels)
{
    return (size_t)lround(channels * s->width);
}

/* Channels of a group's output. */
static size_t group_channels(const struct settings *s, int group)
{
    return (bottlenecks(s) ? 4 : 1) * scaled(s, designs[s->encoder].inner[group]);
}

size_t encoder_features(const struct settings *s)
{
    return group_channels(s, 3);
}

/* -- blocks ---- */

struct name {
    char s[48];
};

static struct name below(const char *at, const char *layer)
{
    struct name n;
    snprintf(n.s, sizeof n.s, "%s.%s", at, layer);
    return n;
}

/* Two 3x3 branches in one convolution, weighed channel by channel: from in to m channels. */
static int sk_build(struct net *net, const struct settings *s, int in, const char *at, size_t m,
                    size_t stride)
{
    size_t fewer = MAX(m / SK_RATIO, (size_t)SK_LEAST);
    int u = net_add_conv(net, in, below(at, "conv2").s, 2 * m, 3, stride, s->padding == PAD_SAME,
                         below(at, "bn2").s, 1, -1, true);
    int z = net_add_sk_squeeze(net, u);
    z = net_add_linear(net, z, below(at, "sk.fc1").s, fewer, false, below(at, "sk.bn1").s, true);
    z = net_add_linear(net, z, below(at, "sk.fc2").s, 2 * m, false, NULL, false);
    return net_add_sk_select(net, u, z);
}

/* A 1x1 convolution of the block's stride; with selective kernels, ResNet-D's: mean of 2 x 2, then
 * stride 1. */
static int projection_build(struct net *net, const struct settings *s, int in, const char *at,
                            size_t out, size_t stride)
{
    int t = s->sk ? net_add_avgpool2(net, in, stride) : in;
    return net_add_conv(net, t, below(at, "downsample.0").s, out, 1, s->sk ? 1 : stride,
                        s->padding == PAD_SAME, below(at, "downsample.1").s, 1, -1, false);
}

/* Two 3x3 convolutions; returns the output tensor, as all of these do. */
static int basic_build(struct net *net, const struct settings *s, int in, const char *at,
                       size_t out, size_t stride, bool projects)
{
    bool same = s->padding == PAD_SAME;
    int t = net_add_conv(net, in, below(at, "conv1").s, out, 3, stride, same, below(at, "bn1").s, 1,
                         -1, true);
    int shortcut = projects ? projection_build(net, s, in, at, out, stride) : in;
    return net_add_conv(net, t, below(at, "conv2").s, out, 3, 1, same, below(at, "bn2").s, 1,
                        shortcut, true);
}

/* 1x1, 3x3 with the stride, 1x1. */
static int bottleneck_build(struct net *net, const struct settings *s, int in, const char *at,
                            size_t inner, size_t stride, bool projects)
{
    bool same = s->padding == PAD_SAME;
    float last = s->zero_init_last_bn ? 0 : 1;
    int t = net_add_conv(net, in, below(at, "conv1").s, inner, 1, 1, same, below(at, "bn1").s, 1,
                         -1, true);
    if (s->sk)
        t = sk_build(net, s, t, at, inner, stride);
    else
        t = net_add_conv(net, t, below(at, "conv2").s, inner, 3, stride, same, below(at, "bn2").s,
                         1, -1, true);
    int shortcut = projects ? projection_build(net, s, in, at, 4 * inner, stride) : in;
    return net_add_conv(net, t, below(at, "conv3").s, 4 * inner, 1, 1, same, below(at, "bn3").s,
                        last, shortcut, true);
}

/* -- networks ---- */

static int stem_build(struct net *net, const struct settings *s)
{
    bool same = s->padding == PAD_SAME;
    size_t c = scaled(s, 64);
    if (s->stem == STEM_SMALL)
        return net_add_conv(net, 0, "conv1", c, 3, 1, same, "bn1", 1, -1, true);
    int t = 0;
    if (s->sk) { /* ResNet-D's */
        t = net_add_conv(net, t, "conv1.0", c / 2, 3, 2, same, "conv1.1", 1, -1, true);
        t = net_add_conv(net, t, "conv1.3", c / 2, 3, 1, same, "conv1.4", 1, -1, true);
        t = net_add_conv(net, t, "conv1.6", c, 3, 1, same, "bn1", 1, -1, true);
    } else {
        t = net_add_conv(net, t, "conv1", c, 7, 2, same, "bn1", 1, -1, true);
    }
    return net_add_maxpool(net, t, 3, 2, same);
}

int encoder_build(struct net *net, const struct settings *s, size_t side)
{
    const struct design *d = &designs[s->encoder];
    int rc = net_init(net, "encoder", KERN_F32, side, side, 3);
    int t = rc < 0 ? rc : stem_build(net, s);
    for (int g = 0; g < 4; g++) {
        size_t inner = scaled(s, d->inner[g]), out = group_channels(s, g);
        for (int i = 0; i < d->blocks[g] && t >= 0; i++) {
            size_t stride = g > 0 && i == 0 ? 2 : 1;
            bool changes = stride != 1 || net->tensor[t].c != out;
            bool projects = i == 0 && (changes || s->shortcut == SHORTCUT_ALL);
            char at[32];
            snprintf(at, sizeof at, "layer%d.%d", g + 1, i);
            if (bottlenecks(s))
                t = bottleneck_build(net, s, t, at, inner, stride, projects);
            else
                t = basic_build(net, s, t, at, out, stride, projects);
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
