/*
 * test_encoder.c - parameters and multiply-accumulates of the networks, to the last one.
 */
#include "common/model/encoder.h"
#include "tests/t.h"
#include <string.h>

struct count {
    int encoder;
    double width;
    bool sk, small_stem, needed; /* the last two: --stem small, --shortcut needed */
    size_t side;
    uint64_t parameters;
    double gmacs;   /* as printed, to the third digit behind the point */
    int convs, bns; /* layers; the weights of selective kernels count as convolutions, 1x1 */
};

static void count(struct count c)
{
    struct settings s;
    struct net net;
    settings_preset(&s, 0);
    s.encoder = c.encoder;
    s.width = c.width;
    s.sk = c.sk;
    s.stem = c.small_stem ? STEM_SMALL : STEM_IMAGENET;
    s.shortcut = c.needed ? SHORTCUT_NEEDED : SHORTCUT_ALL;
    for (s.padding = PAD_TORCH; s.padding <= PAD_SAME; s.padding++) { /* makes no difference */
        char what[64];
        snprintf(what, sizeof what, "%s %gx%s%s%s", settings_table[0].choices[c.encoder], c.width,
                 c.sk ? " SK" : "", c.small_stem ? " small" : "", c.needed ? " needed" : "");
        if (!ok(encoder_build(&net, &s, c.side) == 0, "%s is built", what))
            return;
        int convs = 0;
        for (int p = 0; p < net.nparams; p++)
            convs += net.param[p].fan_in > 0;
        near((double)net_parameters(&net), (double)c.parameters, 0, "%s: parameters", what);
        near((double)net_macs(&net) / 1e9, c.gmacs, 0.0005, "%s: GMAC at %zu", what, c.side);
        ok(convs == c.convs && net.nstats == c.bns, "%s: %d convolutions, %d batch norms", what,
           c.convs, c.bns);
        ok(net_outputs(&net) == encoder_features(&s), "%s: features", what);
        net_release(&net);
    }
}

/* Parameters of the published networks: 24, 94, 375, 43, 170, 58, 233, 63, 250 M; with selective
 * kernels and 1000 classes 35, 140, 65, 257, 89, 354, 795 M. */
static void counts(void)
{
    static const struct count all[] = {
        { ENC_RESNET50, 1, false, false, false, 224, 23508032, 4.087, 53, 53 },
        { ENC_RESNET50, 1, false, false, false, 96, 23508032, 0.751, 53, 53 },
        { ENC_RESNET50, 2, false, false, false, 224, 93907072, 16.113, 53, 53 },
        { ENC_RESNET50, 2, false, false, false, 96, 93907072, 2.959, 53, 53 },
        { ENC_RESNET50, 3, false, false, false, 224, 211197120, 36.076, 53, 53 },
        { ENC_RESNET50, 3, false, false, false, 96, 211197120, 6.626, 53, 53 },
        { ENC_RESNET50, 4, false, false, false, 224, 375378176, 63.978, 53, 53 },
        { ENC_RESNET50, 4, false, false, false, 96, 375378176, 11.751, 53, 53 },
        { ENC_RESNET101, 1, false, false, false, 224, 42500160, 7.799, 104, 104 },
        { ENC_RESNET101, 1, false, false, false, 96, 42500160, 1.433, 104, 104 },
        { ENC_RESNET101, 2, false, false, false, 224, 169771136, 30.961, 104, 104 },
        { ENC_RESNET101, 2, false, false, false, 96, 169771136, 5.687, 104, 104 },
        { ENC_RESNET152, 1, false, false, false, 224, 58143808, 11.512, 155, 155 },
        { ENC_RESNET152, 1, false, false, false, 96, 58143808, 2.114, 155, 155 },
        { ENC_RESNET152, 2, false, false, false, 224, 232253568, 45.810, 155, 155 },
        { ENC_RESNET152, 2, false, false, false, 96, 232253568, 8.414, 155, 155 },
        { ENC_RESNET200, 1, false, false, false, 224, 62624832, 15.005, 203, 203 },
        { ENC_RESNET200, 1, false, false, false, 96, 62624832, 2.756, 203, 203 },
        { ENC_RESNET200, 2, false, false, false, 224, 250128512, 59.786, 203, 203 },
        { ENC_RESNET200, 2, false, false, false, 96, 250128512, 10.981, 203, 203 },
        { ENC_RESNET200, 4, false, false, false, 224, 999772416, 238.671, 203, 203 },
        { ENC_RESNET200, 4, false, false, false, 96, 999772416, 43.837, 203, 203 },
        { ENC_RESNET50, 1, true, false, false, 224, 35215584, 6.177, 87, 71 },
        { ENC_RESNET50, 1, true, false, false, 96, 35215584, 1.135, 87, 71 },
        { ENC_RESNET50, 2, true, false, false, 224, 140306048, 24.685, 87, 71 },
        { ENC_RESNET50, 2, true, false, false, 96, 140306048, 4.535, 87, 71 },
        { ENC_RESNET50, 4, true, false, false, 224, 560704320, 98.697, 87, 71 },
        { ENC_RESNET50, 4, true, false, false, 96, 560704320, 18.131, 87, 71 },
        { ENC_RESNET101, 1, true, false, false, 224, 64662304, 11.855, 172, 139 },
        { ENC_RESNET101, 1, true, false, false, 96, 64662304, 2.178, 172, 139 },
        { ENC_RESNET152, 1, true, false, false, 224, 88940896, 17.533, 257, 207 },
        { ENC_RESNET152, 1, true, false, false, 96, 88940896, 3.221, 257, 207 },
        { ENC_RESNET152, 3, true, false, false, 224, 794704160, 157.724, 257, 207 },
        { ENC_RESNET152, 3, true, false, false, 96, 794704160, 28.974, 257, 207 },
        { ENC_RESNET200, 1, true, false, false, 224, 95982944, 22.876, 337, 271 },
        { ENC_RESNET200, 1, true, false, false, 96, 95982944, 4.203, 337, 271 },
        { ENC_RESNET200, 2, true, false, false, 224, 381113088, 91.481, 337, 271 },
        { ENC_RESNET200, 2, true, false, false, 96, 381113088, 16.805, 337, 271 },
        { ENC_RESNET18, 1, false, false, false, 224, 11180736, 1.826, 21, 21 },
        { ENC_RESNET18, 1, false, false, true, 224, 11176512, 1.814, 20, 20 },
        { ENC_RESNET34, 1, false, false, false, 224, 21288896, 3.676, 37, 37 },
        { ENC_TINY, 1, false, false, false, 224, 19072, 0.137, 13, 13 },
        { ENC_RESNET18, 1, false, true, false, 32, 11173056, 0.560, 21, 21 },
        { ENC_RESNET18, 1, false, true, true, 32, 11168832, 0.555, 20, 20 },
        { ENC_RESNET50, 1, false, true, false, 32, 23500352, 1.298, 53, 53 },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        count(all[i]);
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
static int zeros_of(int encoder, int zero_init, int sk)
{
    struct settings s;
    struct net net;
    int zeros = 0;
    settings_preset(&s, 0);
    s.encoder = encoder;
    s.zero_init_last_bn = zero_init;
    s.sk = sk;
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
    ok(zeros_of(ENC_RESNET50, 1, 0) == 16,
       "the last scale of all 16 bottleneck blocks starts at 0");
    ok(zeros_of(ENC_RESNET50, 1, 1) == 16, "with selective kernels too");
    ok(zeros_of(ENC_RESNET50, 0, 0) == 0, "or at 1");
    ok(zeros_of(ENC_RESNET18, 1, 0) == 0, "that of basic blocks always at 1");
    ok(aligned, "tensors start at 64 bytes");
    net_release(&net);
}

/* A parameter's shape and whether decay leaves it out, by name; -1 dimensions if there is none. */
static struct net_param find(const struct net *net, const char *name)
{
    for (int p = 0; p < net->nparams; p++)
        if (strcmp(net->param[p].name, name) == 0)
            return net->param[p];
    return (struct net_param){ .ndim = -1 };
}

static void selective_kernels(void)
{
    struct settings s;
    struct net net;
    settings_preset(&s, 0);
    s.sk = 1;
    encoder_build(&net, &s, 64);
    static const struct {
        const char *name;
        int ndim;
        size_t dim[4];
        bool excluded;
    } want[] = {
        { "conv1.0.weight", 4, { 32, 3, 3, 3 }, false },
        { "conv1.1.weight", 1, { 32 }, true },
        { "conv1.3.weight", 4, { 32, 32, 3, 3 }, false },
        { "conv1.4.bias", 1, { 32 }, true },
        { "conv1.6.weight", 4, { 64, 32, 3, 3 }, false },
        { "bn1.weight", 1, { 64 }, true },
        { "layer1.0.conv2.weight", 4, { 128, 64, 3, 3 }, false },
        { "layer1.0.bn2.weight", 1, { 128 }, true },
        { "layer1.0.sk.fc1.weight", 2, { 32, 64 }, false },
        { "layer1.0.sk.bn1.bias", 1, { 32 }, true },
        { "layer1.0.sk.fc2.weight", 2, { 128, 32 }, false },
        { "layer1.0.conv3.weight", 4, { 256, 64, 1, 1 }, false },
        { "layer1.0.downsample.0.weight", 4, { 256, 64, 1, 1 }, false },
        { "layer2.0.downsample.1.weight", 1, { 512 }, true },
        { "layer4.2.sk.fc1.weight", 2, { 32, 512 }, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct net_param p = find(&net, want[i].name);
        ok(p.ndim == want[i].ndim && memcmp(p.dim, want[i].dim, sizeof p.dim) == 0 &&
               p.excluded == want[i].excluded,
           "selective kernels: %s", want[i].name);
    }
    ok(find(&net, "conv1.weight").ndim < 0 && find(&net, "layer1.0.sk.fc1.bias").ndim < 0 &&
           find(&net, "layer1.0.sk.fc2.bias").ndim < 0,
       "no other stem, no biases");
    net_release(&net);
    s.width = 2;
    encoder_build(&net, &s, 64);
    ok(find(&net, "layer4.0.sk.fc1.weight").dim[0] == 64, "a 16th of the channels, where above 32");
    net_release(&net);
    s.stem = STEM_SMALL;
    encoder_build(&net, &s, 32);
    ok(find(&net, "conv1.weight").ndim == 4 && find(&net, "conv1.0.weight").ndim < 0,
       "a small stem stays");
    net_release(&net);
}

int main(void)
{
    counts();
    heads();
    paddings();
    names();
    selective_kernels();
    return done();
}
