/*
 * test_bridge.c - encoders out of other programs' files: their names, and which encoder it is.
 */
#include "common/base/fail.h"
#include "common/data/safetensors.h"
#include "common/model/bridge.h"
#include "common/model/fingerprint.h"
#include "tests/t.h"
#include "tests/unit/files.h"

/* -- names ---- */

#define EXP "experiment_state/"
#define PARAM EXP "online_params/res_net50/~/"
#define STATE EXP "online_state/res_net50/~/"

static void test_haiku_names(void)
{
    /* in name order, since they are not sorted here */
    static const struct {
        const char *path, *name; /* NULL: no entry */
    } cases[] = {
        { "ema/res_net50/~/initial_conv/w", NULL },
        { EXP "classifier/w", NULL },
        { EXP "opt/res_net50/~/initial_conv/w", NULL },
        { PARAM "block_group_0/~/block_0/~/batchnorm_2/scale", "layer1.0.bn3.weight" },
        { PARAM "block_group_0/~/block_0/~/shortcut_batchnorm/offset",
          "layer1.0.downsample.1.bias" },
        { PARAM "block_group_0/~/block_0/~/shortcut_conv/w", "layer1.0.downsample.0.weight" },
        { PARAM "block_group_2/~/block_22/~/conv_0/w", "layer3.22.conv1.weight" },
        { PARAM "block_group_2/~/block_22/~/norm_1/scale", "layer3.22.bn2.weight" },
        { PARAM "initial_batchnorm/offset", "bn1.bias" },
        { PARAM "initial_conv_1/w", "conv1.weight" },
        { PARAM "logits/w", NULL },
        { PARAM "sk_unit/w", "sk_unit/w" },
        { STATE "block_group_3/~/block_2/~/batchnorm_1/~/var_ema/average",
          "layer4.2.bn2.running_var" },
        { STATE "block_group_3/~/block_2/~/batchnorm_1/~/var_ema/hidden", NULL },
        { STATE "initial_batchnorm/~/mean_ema/average", "bn1.running_mean" },
        { STATE "initial_batchnorm/~/mean_ema/counter", "bn1.num_batches_tracked" },
        { EXP "target_params/res_net50/~/initial_conv/w", NULL },
        { "step", NULL },
    };
    struct bridge b = { .haiku = true };
    bool used[ARRAY_LEN(cases)] = { 0 };
    struct tensor *item;
    size_t entries = 0;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        tensors_add(&b.tensors, cases[i].path, &item);
    b.used = used;
    ok(bridge_list(&b) == 0, "a list: %s", fail_text());
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *name = NULL;
        for (size_t e = 0; e < b.n; e++)
            if (b.entry[e].item == i)
                name = b.entry[e].name;
        entries += cases[i].name != NULL;
        ok(name && cases[i].name ? !strcmp(name, cases[i].name) : name == cases[i].name, "%s: %s",
           cases[i].path, name ? name : "none");
    }
    ok(b.n == entries && used[13] && !used[0], "nothing else; what is not needed counts as used");
    tensors_add(&b.tensors, PARAM "initial_conv/w", &item);
    b.n = 0;
    ok(bridge_list(&b) == -EINVAL && strstr(fail_text(), "both the encoder's conv1.weight"), "%s",
       fail_text());
    free(b.entry);
    tensors_release(&b.tensors);
}

/* -- which encoder ---- */

static float ones[1 << 20];

/* A safetensors file of the encoder's shapes, without the tensor skip, with a tensor extra. */
static void write_shapes(const struct settings *set, const char *prefix, const char *skip,
                         const char *extra)
{
    struct net net;
    struct tensors t = { 0 };
    files_must(encoder_build(&net, set, 64) == 0, "an encoder");
    for (int i = 0; i < net.nparams + 2 * net.nstats + 1; i++) {
        int k = i - net.nparams;
        bool param = k < 0, last = k == 2 * net.nstats;
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", last ? "" : prefix,
                 param  ? net.param[i].name
                 : last ? extra
                        : net.stat[k / 2].name,
                 param || last ? ""
                 : k % 2       ? ".running_var"
                               : ".running_mean");
        if (last ? !extra : skip && !strcmp(name, skip))
            continue;
        struct tensor *item;
        files_must(tensors_add(&t, name, &item) == 0, name);
        strcpy(item->dtype, "F32");
        item->ndim = param ? net.param[i].ndim : 1;
        item->dim[0] = param ? net.param[i].dim[0] : last ? 1 : net.stat[k / 2].c;
        for (int d = 1; d < item->ndim; d++)
            item->dim[d] = net.param[i].dim[d];
        item->at = (uint8_t *)ones;
        item->nbytes = sizeof(float);
        for (int d = 0; d < item->ndim; d++)
            item->nbytes *= item->dim[d];
        files_must(item->nbytes <= sizeof ones, "room");
    }
    files_must(safetensors_write("net.st", &t) == 0, "net.st");
    tensors_release(&t);
    net_release(&net);
}

/* Each encoder by its shapes, with one stem, shortcut, prefix and width, and the other. */
static void test_guess(void)
{
    struct settings set, found;
    struct bridge b;
    settings_preset(&set, 0);
    for (int i = 0; i < 2 * (ENC_RESNET200 + 1) + 4; i++) {
        bool other = i % 2;
        set.sk = i / 2 > ENC_RESNET200;
        set.encoder = set.sk ? i % 4 ? ENC_RESNET50 : ENC_RESNET101 : i / 2;
        set.shortcut = other ? SHORTCUT_ALL : SHORTCUT_NEEDED;
        set.stem = other ? STEM_SMALL : STEM_IMAGENET;
        set.width = i % 3 ? 0.125 : 0.25;
        write_shapes(&set, other ? "" : "backbone.net.", NULL, NULL);
        int rc = bridge_open(&b, "net.st");
        rc = rc ? rc : bridge_settings(&b, -1, &found);
        /* the others project in all groups anyway */
        bool basic = set.encoder == ENC_RESNET18 || set.encoder == ENC_RESNET34;
        ok(rc == 0 && found.encoder == set.encoder && found.width == set.width &&
               found.sk == set.sk && found.stem == set.stem &&
               (!basic || found.shortcut == set.shortcut) && found.padding == PAD_TORCH &&
               found.large_side == (found.stem ? 32 : 224),
           "encoder %d, width %g, stem %d, shortcut %d, sk %d: %s", set.encoder, set.width,
           set.stem, set.shortcut, set.sk, rc ? fail_text() : "found");
        bridge_release(&b);
    }
}

static void refused(const struct settings *set, const char *skip, const char *extra,
                    const char *words)
{
    struct settings found;
    struct bridge b;
    write_shapes(set, "", skip, extra);
    int rc = bridge_open(&b, "net.st");
    rc = rc ? rc : bridge_settings(&b, -1, &found);
    ok(rc == -EINVAL && strstr(fail_text(), words), "%s: %s", words, fail_text());
    bridge_release(&b);
}

static void test_refused(void)
{
    struct settings set;
    settings_preset(&set, 0);
    set.encoder = ENC_RESNET18;
    set.width = 0.25;
    refused(&set, "layer2.1.bn2.running_var", NULL,
            "nearest is resnet18 of width 0.25, but layer2.1.bn2.running_var is missing (1 do");
    refused(&set, NULL, "layer3.0.se.fc1.weight", "layer3.0.se.fc1.weight belongs to none");
    refused(&set, "conv1.weight", NULL, "first convolution (conv1.weight) is missing");
    refused(&set, "layer1.0.conv1.weight", "layer1.0.conv1.weight",
            "layer1.0.conv1.weight is [1], not [16][16][3][3]");
    refused(&set, "conv1.weight", "conv1.weight",
            "begins with a convolution (conv1.weight) of [1]");
    static const char longest[] =
        "{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[0,18446744073709551615,"
        "18446744073709551615,"
        "18446744073709551615,18446744073709551615,18446744073709551615,18446744073709551615,"
        "18446744073709551615],\"data_offsets\":[0,0]}}";
    uint8_t file[8 + sizeof longest] = { sizeof longest - 1 };
    struct settings found;
    struct bridge b = { 0 };
    memcpy(file + 8, longest, sizeof longest);
    files_write("long.st", file, sizeof file - 1);
    int rc = bridge_open(&b, "long.st");
    rc = rc ? rc : bridge_settings(&b, -1, &found);
    ok(rc == -EINVAL && strlen(strstr(fail_text(), "of [0]")) == 3 + 3 + 7 * 22, "%s", fail_text());
    bridge_release(&b);
}

/* Numbers come to where they belong, and are looked at. */
static void test_fill(void)
{
    struct settings set;
    struct bridge b;
    struct net net;
    int64_t updates;
    settings_preset(&set, 1);
    set.width = 0.125;
    write_shapes(&set, "", NULL, "fc.weight");
    files_must(encoder_build(&net, &set, 64) == 0 && bridge_open(&b, "net.st") == 0, "net.st");
    float *param = calloc(net.floats, sizeof *param),
          *running = calloc(net.stat_floats, sizeof *running);
    ok(bridge_fill(&b, &net, param, running, &updates) == 0 && updates == BRIDGE_SETTLED,
       "filled: %s", fail_text());
    size_t n = 0, unused = 0;
    for (size_t i = 0; i < net.floats; i++)
        n += param[i] == 1;
    ok(n == net_parameters(&net), "every parameter has its number");
    for (size_t i = 0; i < b.tensors.n; i++)
        unused += !b.used[i];
    ok(unused == 1, "one tensor is not used");
    bridge_release(&b);
    ones[0] = NAN;
    write_shapes(&set, "", NULL, NULL);
    ok(bridge_open(&b, "net.st") == 0 &&
           bridge_fill(&b, &net, param, running, &updates) == -EINVAL &&
           strstr(fail_text(), "not finite"),
       "%s", fail_text());
    bridge_release(&b);
    ones[0] = 1;
    free(param);
    free(running);
    net_release(&net);
}

int main(void)
{
    test_haiku_names();
    files_enter();
    for (size_t i = 0; i < ARRAY_LEN(ones); i++)
        ones[i] = 1;
    test_guess();
    test_refused();
    test_fill();
    return done();
}
