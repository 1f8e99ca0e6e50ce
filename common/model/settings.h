/*
 * settings.h - every setting of a run, in one table: name, default, range, evidence, meaning.
 *
 * The table drives semppl-ckpt new (options), --set of semppl-train-step, the attributes of a
 * checkpoint, and semppl-ckpt show. Names here have underscores, options dashes ("labelled_ratio",
 * --labelled-ratio). Numbers and sections refer to the SemPPL paper (arXiv 2301.05158) and its
 * sources as named in each row's evidence.
 */
#ifndef SEMPPL_SETTINGS_H
#define SEMPPL_SETTINGS_H

#include "common/base/base.h"
#include "common/base/opt.h"
#include "common/data/ckpt.h"
#include <stdio.h>

enum encoder_name { /* of bottleneck blocks from ENC_RESNET50 on */
                    ENC_TINY,
                    ENC_RESNET18,
                    ENC_RESNET34,
                    ENC_RESNET50,
                    ENC_RESNET101,
                    ENC_RESNET152,
                    ENC_RESNET200
};
enum stem { STEM_IMAGENET, STEM_SMALL }; /* 7x7 s2 + max-pool | 3x3 s1 (method 2.2, 2.11) */
enum padding { PAD_TORCH, PAD_SAME };    /* symmetric | TensorFlow's SAME (method 2.5) */
enum shortcut {
    SHORTCUT_ALL,
    SHORTCUT_NEEDED
}; /* projection in the first block of every group | where shapes change */
enum view_sets {
    SETS_ALTERNATE,
    SETS_AVERAGED
}; /* crops have set A or B by turns | all have the means of both (method 4.6) */
enum loss_orientation { ORIENT_ONLINE, ORIENT_TARGET };
enum invariance { INV_NONE, INV_S, INV_R, INV_T };
enum pseudo_labels { PSEUDO_VOTES, PSEUDO_NONE, PSEUDO_ORACLE };
enum vote_rule { VOTE_MODE, VOTE_DRAW };
enum tie_break { TIE_SIMILARITY, TIE_LABEL };
enum vote_query { QUERY_PREDICTION, QUERY_PROJECTION };
enum vote_views { VIEWS_ALL, VIEWS_SAME, VIEWS_ONE };
enum enqueue { ENQUEUE_BEFORE, ENQUEUE_AFTER };
enum optimizer { OPTIMIZER_LARS, OPTIMIZER_SGD, OPTIMIZER_ADAMW };
enum curve { CURVE_COSINE, CURVE_CONSTANT }; /* of the learning rate, and of the target's average */

/* The most crops of a picture, of each kind and in all. */
enum { CROPS_LARGE = 16, CROPS_SMALL = 64, CROPS = CROPS_LARGE + CROPS_SMALL };

struct settings {
    /* encoder and heads */
    int encoder, stem, padding, shortcut; /* the enums above */
    double width;                         /* multiple of 1/8 */
    int sk;
    int zero_init_last_bn;
    int hidden, dim;
    /* views */
    int large_crops, small_crops, large_side, small_side;
    double large_area_min, large_area_max, small_area_min, small_area_max;
    double aspect_min, aspect_max; /* width over height */
    double flip, jitter, brightness, contrast, saturation, hue, grey;
    int view_sets;
    double blur_a, blur_b, sigma_min, sigma_max, solarise_a, solarise_b;
    double mask_probability, mask_least;
    double mean_r, mean_g, mean_b, dev_r, dev_g, dev_b;
    double eval_crop; /* side of the centre crop over the short side, when embedding */
    /* batch and schedule */
    int batch;
    int micro_batch;       /* divides batch; 0: all views of the whole batch are kept */
    double labelled_ratio; /* unlabelled to one labelled; 0: uniform */
    int labelled_again;    /* labelled pictures are in the unlabelled stream too */
    int64_t steps;         /* length of the schedule; 0: from epochs at the first step */
    double epochs;
    double warmup; /* epochs of rising learning rate; always shorter than the schedule */
    /* objective */
    double tau, alpha, contrast_weight, invariance_weight;
    int loss_orientation, invariance;
    int negatives, exclude_class, positives;
    /* queue and votes */
    int queue, enqueue; /* queue 0: 20 x batch */
    int pseudo_labels, neighbours, vote_rule, tie_break, vote_query, vote_views, exclude_self;
    double vote_threshold;
    int64_t vote_start;
    /* optimiser */
    int optimizer;
    double base_lr, weight_decay, momentum, beta2, trust, base_ema;
    int lr_schedule, ema_schedule; /* enum curve */
    double bn_decay;
    uint64_t seed;
};

struct setting {
    const char *name;
    enum opt_kind kind; /* OPT_KIND_INT, _SIZE (int64 steps), _U64, _FLOAT or _CHOICE */
    size_t offset;      /* in struct settings */
    double preset[2];   /* the two columns: --preset imagenet, cifar; for CHOICE an index */
    double lo, hi;
    const char *const *choices;
    bool fixed; /* shapes the state: chosen when a checkpoint is made, refused by settings_set() */
    /* Where the imagenet preset's value is from: "paper", "authors' code", "byol", "simclr", "third
     * party", "recalled" (from the literature, not confirmed by a text), "swav", "ours". The cifar
     * preset is ours. */
    const char *evidence;
    const char *help;
};
extern const struct setting settings_table[]; /* begins with encoder, ends with name NULL */

/* Presets by name and by number: 0 imagenet, 1 cifar, as in the columns of the table; then what
 * differs from one of them by some assignments. The names end with NULL, each has its line. */
extern const char *const settings_presets[], *const settings_preset_meanings[];
void settings_preset(struct settings *s, int preset);
void settings_column(struct settings *s, int column); /* presets 0 and 1 */

/* "NAME=VALUE"; -EUSAGE (worded). settings_set() also refuses what is fixed. */
int settings_assign(struct settings *s, const char *assignment);
int settings_set(struct settings *s, const char *assignment);
int settings_check(const struct settings *s); /* rules between settings; -EUSAGE worded */
int settings_to_ckpt(const struct settings *s, struct ckpt *c);
/*
 * -EINVAL (worded) for a setting of the wrong kind or out of range. One that is missing is younger
 * than the checkpoint and has its value under the preset imagenet: a new setting's value there must
 * be what was done before it. Only the first, encoder, must be there.
 */
int settings_from_ckpt(struct settings *s, const struct ckpt *c);
/* The table as options of semppl-ckpt new, writing into s; the caller's, free(). extra (ends with
 * OPT_END) comes first. */
struct opt *settings_opts(struct settings *s, const struct opt *extra);
/* Those settings of given that were on the command line, over what s has. */
void settings_merge(struct settings *s, const struct settings *given);
/* The value as text: a choice's name, a number in its shortest form that reads back the same. */
void settings_print(const struct settings *s, const struct setting *row, char *buf, size_t size);
/* All of them as a JSON object. */
void settings_put(FILE *f, const struct settings *s);

#endif
