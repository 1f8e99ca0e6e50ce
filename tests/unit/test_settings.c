/*
 * test_settings.c - the table of settings: presets, assignments, and the way through a checkpoint.
 */
#include "common/base/fail.h"
#include "common/model/settings.h"
#include "tests/t.h"
#include <string.h>

/* In every row of the table. */
static bool same_settings(const struct settings *a, const struct settings *b)
{
    char one[64], other[64];
    for (const struct setting *row = settings_table; row->name; row++) {
        settings_print(a, row, one, sizeof one);
        settings_print(b, row, other, sizeof other);
        if (strcmp(one, other) != 0)
            return false;
    }
    return true;
}

static void table(void)
{
    struct settings s;
    bool ranges = true, words = true, apart = true;
    for (const struct setting *row = settings_table; row->name; row++) {
        for (int p = 0; p < 2; p++)
            ranges = ranges && row->preset[p] >= row->lo && row->preset[p] <= row->hi;
        words = words && row->help && row->evidence && strlen(row->help) < 90;
        for (const struct setting *other = row + 1; other->name; other++)
            apart = apart && strcmp(row->name, other->name) != 0 && row->offset != other->offset;
    }
    ok(apart, "no two rows are one setting");
    ok(ranges, "presets are in range");
    ok(words, "every setting has its help and its evidence");
    for (int p = 0; settings_presets[p]; p++) {
        settings_preset(&s, p);
        ok(settings_check(&s) == 0 && strlen(settings_preset_meanings[p]) < 90,
           "preset %s is consistent, and has its line", settings_presets[p]);
    }
}

static void presets(void)
{
    struct settings s;
    settings_preset(&s, 0);
    ok(s.encoder == ENC_RESNET50 && s.stem == STEM_IMAGENET && s.padding == PAD_SAME &&
           s.batch == 4096 && s.large_crops == 4 && s.small_crops == 2 && s.large_side == 224 &&
           s.small_side == 96 && s.hidden == 4096 && s.dim == 256 && s.negatives == 10 &&
           s.positives == 3 && s.neighbours == 1 && s.invariance == INV_S,
       "imagenet: whole numbers");
    ok(s.tau == 0.2 && s.alpha == 0.2 && s.contrast_weight == 0.3 && s.invariance_weight == 5 &&
           s.labelled_ratio == 5 && s.base_lr == 0.3 && s.weight_decay == 1e-6 &&
           s.momentum == 0.9 && s.trust == 1e-3 && s.base_ema == 0.996 && s.epochs == 300 &&
           s.warmup == 10 && s.width == 1 && s.eval_crop == 0.875,
       "imagenet: numbers");
    settings_preset(&s, 1);
    ok(s.encoder == ENC_RESNET18 && s.stem == STEM_SMALL && s.batch == 256 && s.large_crops == 2 &&
           s.small_crops == 0 && s.large_side == 32 && s.hidden == 512 && s.dim == 128 &&
           s.base_lr == 4 && s.base_ema == 0.99 && s.invariance == INV_NONE &&
           s.contrast_weight == 1 && s.eval_crop == 1,
       "cifar");
    ok(strcmp(settings_presets[7], "byol-1000") == 0 &&
           strcmp(settings_presets[8], "cifar-200") == 0,
       "others by number");
    settings_preset(&s, 7);
    ok(s.epochs == 1000 && s.base_lr == 0.2 && s.weight_decay == 1.5e-6 && s.base_ema == 0.996 &&
           s.encoder == ENC_RESNET50 && s.warmup == 10,
       "some settings over imagenet's");
    settings_preset(&s, 8);
    ok(s.large_crops == 4 && s.hidden == 1024 && s.invariance == INV_S && s.blur_a == 0 &&
           s.large_side == 32 && s.encoder == ENC_RESNET18,
       "and over cifar's, those that shape the state too");
}

static void refused(const char *assignment)
{
    struct settings s, was;
    settings_preset(&s, 0);
    was = s;
    ok(settings_set(&s, assignment) == -EUSAGE && same_settings(&s, &was) &&
           strstr(fail_text(), assignment),
       "refused and named: %s", assignment);
}

static void assignments(void)
{
    struct settings s;
    settings_preset(&s, 0);
    ok(settings_set(&s, "tau=0.1") == 0 && s.tau == 0.1, "a number");
    ok(settings_set(&s, "labelled-ratio=0") == 0 && s.labelled_ratio == 0, "dashes are fine");
    ok(settings_set(&s, "invariance=none") == 0 && s.invariance == INV_NONE, "a choice");
    ok(settings_set(&s, "steps=5000000000") == 0 && s.steps == 5000000000, "steps beyond 32 bits");
    ok(settings_set(&s, "seed=18446744073709551615") == 0 && s.seed == UINT64_MAX, "any seed");
    ok(settings_set(&s, "negatives=3") == 0 && s.negatives == 3, "a whole number");
    const char *const bad[] = { "tau",
                                "tau=",
                                "tau=x",
                                "tau=1x",
                                "tau=nan",
                                "tau=0x1",
                                "tau= 1",
                                "tau=-1",
                                "tau=1e9",
                                "negatives=1.5",
                                "negatives=0",
                                "seed=-1",
                                "colour=1",
                                "ta=1",
                                "taux=1",
                                "=1",
                                "invariance=U",
                                "batch= 8",
                                "batch=99999999999999999999",
                                "encoder=resnet18",
                                "hidden=8",
                                "queue=100",
                                "optimizer=sgd" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refused(bad[i]);
    refused("batch=1048577");
    ok(strstr(fail_text(), "batch is a whole number from 2 to 1048576") != NULL,
       "whole bounds have all their digits: %s", fail_text());
}

static void rules(void)
{
    struct settings s;
    settings_preset(&s, 0);
    s.width = 0.3;
    ok(settings_check(&s) == -EUSAGE, "a width between the eighths");
    for (int encoder = ENC_TINY; encoder <= ENC_RESNET200; encoder++) {
        settings_preset(&s, 0);
        s.encoder = encoder;
        s.sk = 1;
        ok(settings_check(&s) == (encoder < ENC_RESNET50 ? -EUSAGE : 0),
           "selective kernels are for bottlenecks, encoder %d", encoder);
    }
    settings_preset(&s, 0);
    s.large_area_min = 0.9;
    s.large_area_max = 0.5;
    ok(settings_check(&s) == -EUSAGE, "areas the wrong way round");
    settings_preset(&s, 0);
    s.aspect_min = 2;
    ok(settings_check(&s) == -EUSAGE, "aspects the wrong way round");
    settings_preset(&s, 0);
    s.sigma_max = 0.05;
    ok(settings_check(&s) == -EUSAGE, "blurs the wrong way round");
    settings_preset(&s, 0);
    s.large_crops = 1;
    ok(settings_check(&s) == -EUSAGE, "swapped pairs need two views");
    settings_preset(&s, 0);
    s.micro_batch = 2048;
    ok(settings_check(&s) == 0, "half a batch");
    s.micro_batch = 3;
    ok(settings_check(&s) == -EUSAGE, "a part that does not divide the batch: %s", fail_text());
    s.micro_batch = 8192;
    ok(settings_check(&s) == -EUSAGE, "one that is larger");
    s.micro_batch = 1;
    ok(settings_check(&s) == -EUSAGE, "a single picture has no statistics");
}

static void checkpoints(void)
{
    struct settings s, back;
    struct ckpt c = { .name = "c.h5" };
    settings_preset(&s, 1);
    s.tau = 0.1 + 0.2;
    s.seed = UINT64_MAX - 5;
    s.steps = 5000000000;
    ok(settings_to_ckpt(&s, &c) == 0 && settings_from_ckpt(&back, &c) == 0 &&
           same_settings(&s, &back),
       "all settings come back as they were");
    ckpt_put_string(&c, "encoder", "resnet9");
    ok(settings_from_ckpt(&back, &c) == -EINVAL &&
           strcmp(fail_text(), "c.h5: setting encoder is not one of tiny resnet18 resnet34 "
                               "resnet50 resnet101 resnet152 resnet200") == 0,
       "an unknown choice: %s", fail_text());
    ckpt_put_string(&c, "encoder", "resnet18");
    ckpt_put_double(&c, "tau", 0);
    ok(settings_from_ckpt(&back, &c) == -EINVAL, "out of range: %s", fail_text());
    ckpt_put_int(&c, "tau", 1);
    ok(settings_from_ckpt(&back, &c) == -EINVAL, "of another kind: %s", fail_text());
    ckpt_put_double(&c, "tau", 1);
    ckpt_put_double(&c, "width", 0.3);
    ok(settings_from_ckpt(&back, &c) == -EINVAL, "against the rules: %s", fail_text());
    c.name = NULL;
    ckpt_release(&c);
    struct ckpt none = { .name = "c.h5" };
    ok(settings_from_ckpt(&back, &none) == -EINVAL, "missing: %s", fail_text());
    ckpt_put_string(&none, "encoder", "resnet50");
    settings_preset(&s, 0);
    ok(settings_from_ckpt(&back, &none) == 0 && same_settings(&s, &back),
       "settings younger than the checkpoint are the imagenet preset's");
    none.name = NULL;
    ckpt_release(&none);
}

static void texts(void)
{
    struct settings s;
    char text[64];
    settings_preset(&s, 0);
    s.weight_decay = 1e-6;
    s.tau = 0.1 + 0.2;
    for (const struct setting *row = settings_table; row->name; row++) {
        settings_print(&s, row, text, sizeof text);
        if (strcmp(row->name, "weight_decay") == 0)
            ok(strcmp(text, "1e-06") == 0, "the shortest form: %s", text);
        if (strcmp(row->name, "tau") == 0)
            ok(strcmp(text, "0.30000000000000004") == 0, "as long as it takes: %s", text);
        if (strcmp(row->name, "epochs") == 0)
            ok(strcmp(text, "300") == 0, "no exponent where none is wanted: %s", text);
        if (strcmp(row->name, "encoder") == 0)
            ok(strcmp(text, "resnet50") == 0, "a choice's name: %s", text);
    }
}

int main(void)
{
    table();
    presets();
    assignments();
    rules();
    checkpoints();
    texts();
    return done();
}
