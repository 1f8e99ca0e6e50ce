/*
 * settings_table.c - all settings of a run.
 *
 * The imagenet preset is the configuration of the SemPPL paper (arXiv 2301.05158) as far as its
 * parts are known; each row says from where. The cifar preset is for small pictures on a CPU.
 */
#include "common/model/settings.h"

static const char *const encoders[] = { "tiny",      "resnet18",  "resnet34",  "resnet50",
                                        "resnet101", "resnet152", "resnet200", NULL };
static const char *const stems[] = { "imagenet", "small", NULL };
static const char *const paddings[] = { "torch", "same", NULL };
static const char *const shortcuts[] = { "all", "needed", NULL };
static const char *const switches[] = { "no", "yes", NULL };
static const char *const sets[] = { "alternate", "averaged", NULL };
static const char *const orientations[] = { "online", "target", NULL };
static const char *const invariances[] = { "none", "S", "R", "T", NULL };
static const char *const pseudo_labels[] = { "votes", "none", "oracle", NULL };
static const char *const vote_rules[] = { "mode", "draw", NULL };
static const char *const tie_breaks[] = { "similarity", "label", NULL };
static const char *const vote_queries[] = { "prediction", "projection", NULL };
static const char *const vote_views[] = { "all", "same", "one", NULL };
static const char *const enqueues[] = { "before", "after", NULL };
static const char *const optimizers[] = { "lars", "sgd", "adamw", NULL };
static const char *const curves[] = { "cosine", "constant", NULL };

#define AT(field) offsetof(struct settings, field)
#define INT(f, a, b, lo, hi, fixed, why, help)                                                     \
    {                                                                                              \
#f, OPT_KIND_INT, AT(f), { a, b }, lo, hi, NULL, fixed, why, help                          \
    }
#define REAL(f, a, b, lo, hi, fixed, why, help)                                                    \
    {                                                                                              \
#f, OPT_KIND_FLOAT, AT(f), { a, b }, lo, hi, NULL, fixed, why, help                        \
    }
#define CHOICE(f, a, b, list, fixed, why, help)                                                    \
    {                                                                                              \
#f, OPT_KIND_CHOICE, AT(f), { a, b }, 0, (int)ARRAY_LEN(list) - 2, list, fixed, why, help  \
    }

/* clang-format off */
const struct setting settings_table[] = {
    CHOICE(encoder, ENC_RESNET50, ENC_RESNET18, encoders, true, "authors' code", "the residual network"),
    REAL(width, 1, 1, 0.125, 4, true, "authors' code", "multiplies all its channels; a multiple of 1/8"),
    CHOICE(sk, 0, 0, switches, true, "simclr", "selective kernels in bottleneck blocks"),
    CHOICE(stem, STEM_IMAGENET, STEM_SMALL, stems, true, "authors' code",
           "first layers: 7x7 stride 2 and max-pool, or 3x3 for small pictures"),
    CHOICE(padding, PAD_SAME, PAD_TORCH, paddings, true, "authors' code",
           "cells around a picture: symmetric (torch), or TensorFlow's same"),
    CHOICE(shortcut, SHORTCUT_ALL, SHORTCUT_ALL, shortcuts, true, "authors' code",
           "projection in the first block of all groups, or only where shapes change"),
    CHOICE(zero_init_last_bn, 1, 1, switches, true, "authors' code",
           "start the last batch norm of bottleneck blocks at scale 0"),
    INT(hidden, 4096, 512, 1, 65536, true, "byol", "hidden width of projector and predictor"),
    INT(dim, 256, 128, 1, 8192, true, "byol", "width of an embedding"),
    INT(large_crops, 4, 2, 1, CROPS_LARGE, true, "third party", "large crops of a picture, each with its own queue"),
    INT(small_crops, 2, 0, 0, CROPS_SMALL, false, "third party", "small crops of a picture"),
    INT(large_side, 224, 32, 8, 1024, false, "third party", "side of a large crop in pixels"),
    INT(small_side, 96, 16, 8, 1024, false, "third party", "side of a small crop in pixels"),
    REAL(large_area_min, 0.14, 0.14, 1e-4, 1, false, "swav", "least part of the area in a large crop"),
    REAL(large_area_max, 1, 1, 1e-4, 1, false, "swav", "greatest part of the area in a large crop"),
    REAL(small_area_min, 0.05, 0.05, 1e-4, 1, false, "swav", "least part of the area in a small crop"),
    REAL(small_area_max, 0.14, 0.3, 1e-4, 1, false, "swav", "greatest part of the area in a small crop"),
    REAL(aspect_min, 3.0 / 4, 3.0 / 4, 0.01, 100, false, "authors' code", "least width over height of a crop"),
    REAL(aspect_max, 4.0 / 3, 4.0 / 3, 0.01, 100, false, "authors' code", "greatest width over height of a crop"),
    REAL(flip, 0.5, 0.5, 0, 1, false, "authors' code", "probability of a left-right flip"),
    REAL(jitter, 0.8, 0.8, 0, 1, false, "authors' code", "probability of the four colour changes"),
    REAL(brightness, 0.4, 0.4, 0, 1, false, "authors' code", "greatest change of brightness"),
    REAL(contrast, 0.4, 0.4, 0, 1, false, "authors' code", "greatest relative change of contrast"),
    REAL(saturation, 0.2, 0.2, 0, 1, false, "authors' code", "greatest relative change of saturation"),
    REAL(hue, 0.1, 0.1, 0, 0.5, false, "authors' code", "greatest change of hue in turns"),
    REAL(grey, 0.2, 0.2, 0, 1, false, "authors' code", "probability of losing all colour"),
    CHOICE(view_sets, SETS_ALTERNATE, SETS_ALTERNATE, sets, false, "ours",
           "blur and solarisation: set a and b by turns, or the means of both"),
    REAL(blur_a, 1, 1, 0, 1, false, "authors' code", "probability of blur, even crops"),
    REAL(blur_b, 0.1, 0.1, 0, 1, false, "authors' code", "probability of blur, odd crops"),
    REAL(sigma_min, 0.1, 0.1, 0.01, 100, false, "authors' code", "least width of the blur in pixels"),
    REAL(sigma_max, 2, 2, 0.01, 100, false, "authors' code", "greatest width of the blur in pixels"),
    REAL(solarise_a, 0, 0, 0, 1, false, "authors' code", "probability of solarisation, even crops"),
    REAL(solarise_b, 0.2, 0.2, 0, 1, false, "authors' code", "probability of solarisation, odd crops"),
    REAL(mask_probability, 0.1, 0.1, 0, 1, false, "recalled",
         "probability of a grey background in a large crop, where there are masks"),
    REAL(mask_least, 0.05, 0.05, 0, 1, false, "recalled", "masks that cover a smaller part are not used"),
    REAL(mean_r, 0.485, 0.4914, 0, 1, false, "authors' code", "mean of red, subtracted from the input"),
    REAL(mean_g, 0.456, 0.4822, 0, 1, false, "authors' code", "mean of green"),
    REAL(mean_b, 0.406, 0.4465, 0, 1, false, "authors' code", "mean of blue"),
    REAL(dev_r, 0.229, 0.2470, 1e-3, 10, false, "authors' code", "deviation of red, divides the input"),
    REAL(dev_g, 0.224, 0.2435, 1e-3, 10, false, "authors' code", "deviation of green"),
    REAL(dev_b, 0.225, 0.2616, 1e-3, 10, false, "authors' code", "deviation of blue"),
    REAL(eval_crop, 0.875, 1, 0.01, 1, false, "authors' code",
         "side of the centre crop over the short side, when embedding"),
    INT(batch, 4096, 256, 2, 1 << 20, false, "byol", "pictures a step"),
    INT(micro_batch, 0, 0, 0, 1 << 20, false, "ours",
        "pictures of one view that are in the networks at once, divides the batch; 0: all of all"),
    REAL(labelled_ratio, 5, 5, 0, 1e6, false, "third party",
         "unlabelled pictures to one labelled; 0: as they come"),
    CHOICE(labelled_again, 1, 1, switches, false, "third party",
           "labelled pictures come among the unlabelled ones too, their label hidden"),
    { "steps", OPT_KIND_SIZE, AT(steps), { 0, 0 }, 0, 1e12, NULL, false, "ours",
      "length of the schedule in steps; 0: from the epochs" },
    REAL(epochs, 300, 6, 0.001, 1e6, false, "recalled",
         "length of the schedule in epochs of the data, if no steps are given"),
    REAL(warmup, 10, 0.6, 0, 1e6, false, "byol", "epochs of rising learning rate, cut below the schedule"),
    REAL(tau, 0.2, 0.2, 1e-3, 100, false, "third party", "temperature of the softmax"),
    REAL(alpha, 0.2, 0.2, 0, 1e6, false, "third party", "weight of the semantic positives' loss"),
    REAL(contrast_weight, 0.3, 1, 0, 1e6, false, "third party", "weight of the two contrastive losses"),
    REAL(invariance_weight, 5, 5, 0, 1e6, false, "third party", "weight of the invariance penalty"),
    CHOICE(loss_orientation, ORIENT_ONLINE, ORIENT_ONLINE, orientations, false, "recalled",
           "whose embedding the losses compare with the other images'"),
    CHOICE(invariance, INV_S, INV_NONE, invariances, false, "ours",
           "penalty: divergence of swapped view pairs (S), of rows and columns (R), a port's (T)"),
    INT(negatives, 10, 10, 1, 65536, false, "third party", "negatives of an anchor"),
    CHOICE(exclude_class, 0, 0, switches, false, "third party",
           "no negatives of the anchor's own (pseudo-)class"),
    INT(positives, 3, 3, 1, 64, false, "third party", "semantic positives of an anchor and view pair"),
    INT(queue, 0, 0, 0, 1 << 26, true, "third party", "labelled embeddings kept a large crop; 0: 20 batches"),
    CHOICE(enqueue, ENQUEUE_BEFORE, ENQUEUE_BEFORE, enqueues, false, "third party",
           "a batch enters the queue before or after its votes"),
    CHOICE(pseudo_labels, PSEUDO_VOTES, PSEUDO_VOTES, pseudo_labels, false, "paper",
           "classes of unlabelled pictures: voted, none, or the truth where it is known"),
    INT(neighbours, 1, 1, 1, 256, false, "third party", "neighbours in a vote"),
    CHOICE(vote_rule, VOTE_MODE, VOTE_MODE, vote_rules, false, "recalled",
           "all neighbours of a view and queue vote, or one that is drawn"),
    CHOICE(tie_break, TIE_SIMILARITY, TIE_SIMILARITY, tie_breaks, false, "ours",
           "of equal votes wins the larger sum of similarities, or the lower label"),
    CHOICE(vote_query, QUERY_PREDICTION, QUERY_PREDICTION, vote_queries, false, "third party",
           "what asks the queue: online prediction or target projection"),
    CHOICE(vote_views, VIEWS_ALL, VIEWS_ALL, vote_views, false, "third party",
           "pairs of queue and view that vote: all, those of one view, or only the first"),
    REAL(vote_threshold, 0, 0, 0, 1, false, "third party",
         "least share of the votes for a pseudo-label"),
    { "vote_start", OPT_KIND_SIZE, AT(vote_start), { 0, 0 }, 0, 1e12, NULL, false, "third party",
      "steps before pseudo-labels are used" },
    CHOICE(exclude_self, 1, 1, switches, false, "third party",
           "a picture's own embeddings in the queue do not vote for it"),
    CHOICE(optimizer, OPTIMIZER_LARS, OPTIMIZER_LARS, optimizers, true, "authors' code",
           "LARS, gradient descent with momentum, or AdamW"),
    REAL(base_lr, 0.3, 4, 0, 1e3, false, "byol", "learning rate for 256 pictures a step; grows with the batch"),
    REAL(weight_decay, 1e-6, 1e-6, 0, 1, false, "byol", "weight decay"),
    REAL(momentum, 0.9, 0.9, 0, 0.9999, false, "authors' code", "momentum; beta1 of AdamW"),
    REAL(beta2, 0.999, 0.999, 0, 0.999999, false, "recalled", "decay of AdamW's squared gradients"),
    REAL(trust, 1e-3, 1e-3, 1e-9, 1, false, "authors' code", "trust coefficient of LARS"),
    REAL(base_ema, 0.996, 0.99, 0, 1, false, "third party", "first coefficient of the target's moving average"),
    CHOICE(lr_schedule, CURVE_COSINE, CURVE_COSINE, curves, false, "authors' code",
           "learning rate after the warm-up: a half cosine to 0, or constant"),
    CHOICE(ema_schedule, CURVE_COSINE, CURVE_COSINE, curves, false, "byol",
           "the target's coefficient: a half cosine from base_ema to 1, or constant"),
    REAL(bn_decay, 0.9, 0.9, 0, 0.9999, false, "authors' code", "decay of batch norm's running statistics"),
    { "seed", OPT_KIND_U64, AT(seed), { 1, 1 }, 0, 1.8446744073709552e19, NULL, false, "ours",
      "all randomness follows from it" },
    { 0 }
};
/* clang-format on */
