/*
 * test_encoder.c - parameters and multiply-accumulates of the networks, to the last one.
 */
#include "common/model/encoder.h"
#include "tests/t.h"
#include <string.h>

static void count(const char *what, struct settings s, size_t side, uint64_t parameters,
                  double gmacs)
{
    struct net net;
    if (!ok(encoder_build(&net, &s, side) == 0, "%s is built", what))
        return;
    near((double)net_parameters(&net), (double)parameters, 0, "%s: parameters", what);
    near((double)net_macs(&net) / 1e9, gmacs, 0.0005, "%s: GMAC at %zu", what, side);
    ok(net_outputs(&net) == encoder_features(&s), "%s: features", what);
    net_release(&net);
}

/* The same numbers whichever way the pictures are padded. */
static void count_both(const char *what, struct settings s, size_t side, uint64_t parameters,
                       double gmacs)
{
    for (s.padding = PAD_TORCH; s.padding <= PAD_SAME; s.padding++)
        count(what, s, side, parameters, gmacs);
}

static void counts(void)
{
    struct settings s;
    settings_preset(&s, 0);
    count_both("ResNet-50", s, 224, 23508032, 4.087);
    count_both("ResNet-50", s, 96, 23508032, 0.751);
    s.width = 2;
    count("ResNet-50 2x", s, 224, 93907072, 16.113);
    s.width = 3;
    count("ResNet-50 3x", s, 96, 211197120, 6.626);
    s.width = 4;
    count("ResNet-50 4x", s, 224, 375378176, 63.978);
    s.width = 1;
    s.encoder = ENC_RESNET18;
    count_both("ResNet-18", s, 224, 11180736, 1.826);
    s.shortcut = SHORTCUT_NEEDED;
    count("ResNet-18, identity first", s, 224, 11176512, 1.814);
    s.shortcut = SHORTCUT_ALL;
    s.encoder = ENC_RESNET34;
    count("ResNet-34", s, 224, 21288896, 3.676);
    s.stem = STEM_SMALL;
    s.encoder = ENC_RESNET50;
    count("ResNet-50, small stem", s, 32, 23500352, 1.298);
    s.encoder = ENC_RESNET18;
    count_both("ResNet-18, small stem", s, 32, 11173056, 0.560);
    s.shortcut = SHORTCUT_NEEDED;
    count("ResNet-18, small stem, identity first", s, 32, 11168832, 0.555);
}

static void heads(void)
{
    struct net net;
    ok(head_build(&net, "projector", 2048, 4096, 256) == 0 && net_parameters(&net) == 9449472,
       "projector: parameters");
    near((double)net_macs(&net), 2048 * 4096 + 4096 * 256, 0, "projector: MACs");
    net_release(&net);
    ok(head_build(&net, "predictor", 256, 4096, 256) == 0 && net_parameters(&net) == 2109440,
       "predictor: parameters");
    net_release(&net);
}

/* Paddings of TensorFlow's SAME and of torch, plane by plane down the network. */
static void paddings(void)
{
    static const struct {
        int padding;
        size_t side, planes[6], first, pool;
    } want[] = {
        { PAD_SAME, 224, { 112, 56, 56, 28, 14, 7 }, 2, 0 },
        { PAD_SAME, 96, { 48, 24, 24, 12, 6, 3 }, 2, 0 },
        { PAD_TORCH, 224, { 112, 56, 56, 28, 14, 7 }, 3, 1 },
        { PAD_TORCH, 97, { 49, 25, 25, 13, 7, 4 }, 3, 1 },
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct settings s;
        struct net net;
        settings_preset(&s, 0);
        s.padding = want[i].padding;
        encoder_build(&net, &s, want[i].side);
        size_t seen[6] = { 0 }, k = 0;
        for (int t = 1; t < net.ntensors - 1; t++)
            if (k == 0 || net.tensor[t].h != seen[k - 1] || k == 2)
                seen[k < 6 ? k++ : 5] = net.tensor[t].h;
        ok(memcmp(seen, want[i].planes, sizeof seen) == 0, "planes from %zu, padding %d",
           want[i].side, want[i].padding);
        ok(net.node[0].pad_top == want[i].first && net.node[0].pad_left == want[i].first &&
               net.node[1].pad_top == want[i].pool,
           "padding before the first cell, side %zu, padding %d", want[i].side, want[i].padding);
        net_release(&net);
    }
}

/* Batch norm scales that start at 0. */
static int zeros_of(int encoder, int zero_init)
{
    struct settings s;
    struct net net;
    int zeros = 0;
    settings_preset(&s, 0);
    s.encoder = encoder;
    s.zero_init_last_bn = zero_init;
    encoder_build(&net, &s, 64);
    for (int p = 0; p < net.nparams; p++) {
        const struct net_param *q = &net.param[p];
        zeros += q->fan_in == 0 && q->constant == 0 && strstr(q->name, ".weight") != NULL;
    }
    net_release(&net);
    return zeros;
}

static void names(void)
{
    struct settings s;
    struct net net;
    settings_preset(&s, 0);
    encoder_build(&net, &s, 64);
    const char *const some[] = { "conv1.weight",
                                 "bn1.bias",
                                 "layer1.0.downsample.0.weight",
                                 "layer1.0.downsample.1.weight",
                                 "layer3.5.conv2.weight",
                                 "layer4.2.bn3.weight" };
    int excluded = 0;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        int found = 0;
        for (int p = 0; p < net.nparams; p++)
            found += strcmp(net.param[p].name, some[i]) == 0;
        ok(found == 1, "one parameter is named %s", some[i]);
    }
    bool aligned = true;
    size_t channels = 0;
    for (int i = 0; i < net.nstats; i++)
        channels += net.stat[i].c;
    ok(channels == 26560, "ResNet-50 has 26560 channels of batch norm");
    for (int p = 0; p < net.nparams; p++) {
        const struct net_param *q = &net.param[p];
        excluded += q->excluded;
        aligned = aligned && q->offset % 16 == 0;
    }
    ok(net.nparams == 53 + 106 && net.nstats == 53 && excluded == 106,
       "ResNet-50 has 53 convolutions and 53 batch norms, whose parameters are excluded");
    ok(zeros_of(ENC_RESNET50, 1) == 16, "the last scale of all 16 bottleneck blocks starts at 0");
    ok(zeros_of(ENC_RESNET50, 0) == 0, "or at 1");
    ok(zeros_of(ENC_RESNET18, 1) == 0, "that of basic blocks always at 1");
    ok(aligned, "tensors start at 64 bytes");
    net_release(&net);
}

int main(void)
{
    counts();
    heads();
    paddings();
    names();
    return done();
}
