/*
 * bridge_names.c - the names that other programs give to a ResNet's tensors.
 *
 * Haiku's: res_net50/~/block_group_0/~/block_1/~/batchnorm_0/scale and, for running averages,
 * .../batchnorm_0/~/mean_ema/average; older files have norm for batchnorm and initial_conv_1.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/bridge.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct word {
    const char *from, *to;
};

static const struct word root_words[] = {
    { "initial_conv", "conv1" },      { "initial_conv_1", "conv1" }, { "initial_batchnorm", "bn1" },
    { "initial_batchnorm_1", "bn1" }, { "initial_norm", "bn1" },     { 0 }
};
static const struct word block_words[] = { { "conv_0", "conv1" },
                                           { "conv_1", "conv2" },
                                           { "conv_2", "conv3" },
                                           { "batchnorm_0", "bn1" },
                                           { "batchnorm_1", "bn2" },
                                           { "batchnorm_2", "bn3" },
                                           { "norm_0", "bn1" },
                                           { "norm_1", "bn2" },
                                           { "norm_2", "bn3" },
                                           { "shortcut_conv", "downsample.0" },
                                           { "shortcut_batchnorm", "downsample.1" },
                                           { "shortcut_norm", "downsample.1" },
                                           { 0 } };
/* Behind a module. Averages are without their bias towards zero; what they are made of is not
 * needed. */
static const struct word leaf_words[] = { { "w", "weight" },
                                          { "scale", "weight" },
                                          { "offset", "bias" },
                                          { "~/mean_ema/average", "running_mean" },
                                          { "~/var_ema/average", "running_var" },
                                          { "~/mean_ema/counter", "num_batches_tracked" },
                                          { "~/mean_ema/hidden", "" },
                                          { "~/var_ema/hidden", "" },
                                          { "~/var_ema/counter", "" },
                                          { 0 } };

/* -- Haiku ---- */

/* Whether *s begins with word; goes behind it. */
static bool skip(const char **s, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*s, word, n) != 0)
        return false;
    *s += n;
    return true;
}

static bool skip_number(const char **s, int *number)
{
    int n = 0;
    for (*number = 0; isdigit((unsigned char)**s) && n < 4; n++)
        *number = *number * 10 + (*(*s)++ - '0');
    return n > 0;
}

/* What the first n bytes of s mean; NULL: nothing. */
static const char *translate(const struct word *words, const char *s, size_t n)
{
    for (; words->from; words++)
        if (strlen(words->from) == n && memcmp(words->from, s, n) == 0)
            return words->to;
    return NULL;
}

/* The module of a ResNet in a path and what lies below it ("initial_conv/w"); NULL: none. */
static const char *haiku_tail(const char *path)
{
    for (const char *at = path; *at; at += strcspn(at, "/"), at += *at == '/') {
        const char *end = at + strcspn(at, "/"), *net = strstr(at, "res_net");
        if (net && net < end && strncmp(end, "/~/", 3) == 0)
            return end + 3;
    }
    return NULL;
}

/* The torchvision name of a tail. False: there is none. "": the tensor is of no use. */
static bool haiku_name(const char *tail, char name[BRIDGE_NAME])
{
    int group, block, in_block = 0;
    if (skip(&tail, "block_group_")) {
        if (!skip_number(&tail, &group) || !skip(&tail, "/~/block_") ||
            !skip_number(&tail, &block) || !skip(&tail, "/~/"))
            return false;
        in_block = snprintf(name, BRIDGE_NAME, "layer%d.%d.", group + 1, block);
    }
    size_t n = strcspn(tail, "/");
    const char *module = translate(in_block ? block_words : root_words, tail, n);
    const char *leaf = module && tail[n] ? tail + n + 1 : "";
    leaf = translate(leaf_words, leaf, strlen(leaf));
    if (leaf && *leaf)
        snprintf(name + in_block, BRIDGE_NAME - (size_t)in_block, "%s.%s", module, leaf);
    else
        name[0] = 0;
    return leaf != NULL;
}

/* Where the tail begins behind the best place that has an entry of this name: a checkpoint may hold
 * the target network too, and the optimiser's copies. */
static size_t haiku_place(const struct tensors *t, const char *wanted, const char **place)
{
    char name[BRIDGE_NAME];
    bool online = false;
    size_t len = 0;
    *place = NULL;
    for (size_t i = 0; i < t->n && !online; i++) {
        const char *tail = haiku_tail(t->item[i].name);
        if (!tail || !haiku_name(tail, name) || strcmp(name, wanted) != 0)
            continue;
        online = strstr(t->item[i].name, "online") != NULL;
        if (!*place || online) {
            *place = t->item[i].name;
            len = (size_t)(tail - t->item[i].name);
        }
    }
    return len;
}

/* -- the list of entries ---- */

static int add_entry(struct bridge *b, size_t item, const char *name)
{
    int rc = mem_grow(&b->entry, &b->room, b->n + 1, sizeof *b->entry);
    if (rc < 0)
        return rc;
    struct bridge_entry *e = &b->entry[b->n++];
    *e = (struct bridge_entry){ .item = item };
    snprintf(e->name, sizeof e->name, "%s", name);
    return 0;
}

static int list_haiku(struct bridge *b)
{
    const struct tensors *t = &b->tensors;
    const char *param, *state;
    size_t param_len = haiku_place(t, "conv1.weight", &param);
    size_t state_len = haiku_place(t, "bn1.running_mean", &state);
    int rc = 0;
    for (size_t i = 0; i < t->n && rc == 0; i++) {
        char name[BRIDGE_NAME];
        const char *path = t->item[i].name, *tail = haiku_tail(path);
        size_t len = tail ? (size_t)(tail - path) : 0;
        bool ours = len > 0 && ((len == param_len && strncmp(path, param, len) == 0) ||
                                (len == state_len && strncmp(path, state, len) == 0));
        if (!ours || strncmp(tail, "logits/", 7) == 0) /* the classifier */
            continue;
        if (!haiku_name(tail, name))
            rc = add_entry(b, i, tail);
        else if (*name)
            rc = add_entry(b, i, name);
        else
            b->used[i] = true;
    }
    return rc;
}

/* What stands before "layer1.0.conv1.weight" in the first name that ends so, or nothing. */
static size_t torch_prefix(const struct tensors *t, const char **prefix)
{
    static const char wanted[] = "layer1.0.conv1.weight";
    *prefix = "";
    if (tensors_find(t, wanted))
        return 0;
    for (size_t i = 0; i < t->n; i++) {
        const char *name = t->item[i].name;
        size_t n = strlen(name), k = sizeof wanted - 1;
        if (n > k && name[n - k - 1] == '.' && strcmp(name + n - k, wanted) == 0) {
            *prefix = name;
            return n - k;
        }
    }
    return 0;
}

static int list_torch(struct bridge *b)
{
    const struct tensors *t = &b->tensors;
    const char *prefix;
    size_t len = torch_prefix(t, &prefix);
    int rc = 0;
    for (size_t i = 0; i < t->n && rc == 0; i++) {
        const char *name = t->item[i].name;
        if (strncmp(name, prefix, len) != 0)
            continue;
        name += len;
        if (strncmp(name, "conv1.", 6) == 0 || strncmp(name, "bn1.", 4) == 0 ||
            strncmp(name, "layer", 5) == 0)
            rc = add_entry(b, i, name);
    }
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct bridge_entry *)a)->name, ((const struct bridge_entry *)b)->name);
}

int bridge_list(struct bridge *b)
{
    int rc = b->haiku ? list_haiku(b) : list_torch(b);
    if (rc == 0 && b->n > 0)
        qsort(b->entry, b->n, sizeof *b->entry, by_name);
    for (size_t i = 1; i < b->n && rc == 0; i++)
        if (strcmp(b->entry[i - 1].name, b->entry[i].name) == 0)
            rc = fail(-EINVAL, "%s: %s and %s are both the encoder's %s", b->tensors.name,
                      b->tensors.item[b->entry[i - 1].item].name,
                      b->tensors.item[b->entry[i].item].name, b->entry[i].name);
    return rc;
}
