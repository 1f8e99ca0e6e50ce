/*
 * bridge.c - an encoder out of a file of tensors: which one it is, and its numbers.
 *
 * The architecture is not told by the file. So every encoder that the settings know is built as a
 * list of shapes, and the one that wants just these tensors is it.
 */
#include "common/model/bridge.h"
#include "common/base/fail.h"
#include "common/base/text.h"
#include "common/model/fingerprint.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int bridge_open(struct bridge *b, const char *path)
{
    *b = (struct bridge){ 0 };
    int rc = tensors_open(&b->tensors, path);
    if (rc < 0)
        return rc;
    b->haiku = b->tensors.format == TENSORS_PICKLE;
    b->used = mem_alloc(b->tensors.n, sizeof *b->used, path);
    rc = b->used ? bridge_list(b) : -ENOMEM;
    if (rc == 0 && b->n == 0)
        rc = fail(-EINVAL,
                  "%s: none of its %zu arrays is named as in a ResNet of torchvision, timm or "
                  "dm-haiku; semppl-ckpt import --list names them",
                  b->tensors.name, b->tensors.n);
    if (rc < 0)
        bridge_release(b);
    return rc;
}

void bridge_release(struct bridge *b)
{
    tensors_release(&b->tensors);
    free(b->entry);
    free(b->used);
    *b = (struct bridge){ 0 };
}

static int compare(const void *name, const void *entry)
{
    return strcmp(name, ((const struct bridge_entry *)entry)->name);
}

static const struct tensor *find(const struct bridge *b, const char *name)
{
    const struct bridge_entry *e =
        b->n ? bsearch(name, b->entry, b->n, sizeof *b->entry, compare) : NULL;
    return e ? &b->tensors.item[e->item] : NULL;
}

/* -- shapes ---- */

/*
 * The shape of t as PyTorch has it. Haiku has HWIO for a convolution and 1, 1, 1, C for numbers a
 * channel, either behind an axis of devices; its names of linear layers in an encoder are not
 * known. False: it is nothing of ndim.
 */
static bool shape_of(const struct bridge *b, const struct tensor *t, int ndim, size_t *dim)
{
    if (!b->haiku) {
        memcpy(dim, t->dim, (size_t)ndim * sizeof *dim);
        return t->ndim == ndim;
    }
    const size_t *d = t->dim + (t->ndim == 5);
    bool single = d[0] == 1 && d[1] == 1 && d[2] == 1;
    if ((t->ndim != 4 && t->ndim != 5) || (t->ndim == 5 && t->dim[0] == 0) ||
        (ndim == 1 && !single) || ndim == 2)
        return false;
    const size_t turned[] = { d[3], d[2], d[0], d[1] };
    memcpy(dim, turned, (size_t)ndim * sizeof *dim);
    return true;
}

enum { SHAPE = TENSOR_MAX_DIMS * sizeof "[18446744073709551615]" };

static void print_shape(char text[SHAPE], int ndim, const size_t *dim)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < ndim; i++)
        at += (size_t)snprintf(text + at, SHAPE - at, "[%zu]", dim[i]);
}

/* Why the tensor of this name does not fit; "": it does. */
static void compare_shape(const struct bridge *b, const char *name, int ndim, const size_t *dim,
                          char why[512])
{
    const struct tensor *t = find(b, name);
    size_t have[4];
    char text[2][SHAPE];
    why[0] = 0;
    if (!t) {
        snprintf(why, 512, "%s is missing", name);
    } else if (!shape_of(b, t, ndim, have) || memcmp(have, dim, (size_t)ndim * sizeof *dim) != 0) {
        print_shape(text[0], t->ndim, t->dim);
        print_shape(text[1], ndim, dim);
        snprintf(why, 512, "%s is %s, not %s", name, text[0], text[1]);
    }
}

/* One tensor that net wants: a parameter, or the mean or variance of a batch norm. */
struct want {
    char name[80];
    int ndim;
    const size_t *dim;
    size_t count, offset; /* in the arena of parameters or of running statistics */
};

static struct want want_param(const struct net_param *p)
{
    struct want w = { .ndim = p->ndim, .dim = p->dim, .count = p->count, .offset = p->offset };
    snprintf(w.name, sizeof w.name, "%s", p->name);
    return w;
}

static struct want want_stat(const struct net_stat *s, bool variance)
{
    struct want w = { .ndim = 1, .dim = &s->c, .count = s->c };
    w.offset = s->offset + (variance ? s->c : 0);
    snprintf(w.name, sizeof w.name, "%s.running_%s", s->name, variance ? "var" : "mean");
    return w;
}

/* How many of the net's tensors the file lacks or has otherwise, and how many it has besides; why:
 * the first. */
static size_t misfit(const struct bridge *b, const struct net *net, char why[512])
{
    size_t bad = 0, have = 0;
    char one[512];
    why[0] = 0;
    for (int i = 0; i < net->nparams + 2 * net->nstats; i++) {
        int k = i - net->nparams;
        struct want w =
            k < 0 ? want_param(&net->param[i]) : want_stat(&net->stat[k / 2], k % 2 == 1);
        compare_shape(b, w.name, w.ndim, w.dim, one);
        if (*one && bad++ == 0)
            snprintf(why, 512, "%s", one);
        have += find(b, w.name) != NULL;
    }
    size_t counters = 0;
    for (int i = 0; i < net->nstats; i++) {
        snprintf(one, sizeof one, "%s.num_batches_tracked", net->stat[i].name);
        counters += find(b, one) != NULL;
    }
    return bad + (b->n - have - counters);
}

/* The first entry that net has no tensor for. */
static const char *left_over(const struct bridge *b, const struct net *net)
{
    for (size_t e = 0; e < b->n; e++) {
        const char *name = b->entry[e].name, *dot = strrchr(name, '.');
        size_t len = dot ? (size_t)(dot - name) : 0;
        bool known = false;
        for (int i = 0; i < net->nparams && !known; i++)
            known = strcmp(net->param[i].name, name) == 0;
        for (int i = 0; i < net->nstats && !known && dot; i++)
            known = strlen(net->stat[i].name) == len &&
                    strncmp(net->stat[i].name, name, len) == 0 &&
                    (strncmp(dot, ".running_", 9) == 0 || strcmp(dot, ".num_batches_tracked") == 0);
        if (!known)
            return name;
    }
    return NULL;
}

/* -- which encoder it is ---- */

static const struct setting *row_of(const char *name)
{
    const struct setting *row = settings_table;
    while (strcmp(row->name, name) != 0)
        row++;
    return row;
}

/* Selective kernels, stem and width, from the stem's last convolution and the first block. */
static int look_at_stem(const struct bridge *b, struct settings *set)
{
    set->sk = find(b, "layer1.0.sk.fc1.weight") != NULL;
    bool deep = set->sk && find(b, "conv1.6.weight"); /* ResNet-D's stem */
    const char *name = deep ? "conv1.6.weight" : "conv1.weight";
    const struct tensor *t = find(b, name);
    const struct setting *width = row_of("width");
    size_t dim[4] = { 0 };
    char text[SHAPE];
    if (!t)
        return fail(-EINVAL, "%s: the first convolution (%s) is missing", b->tensors.name, name);
    bool good = shape_of(b, t, 4, dim) && (deep || dim[1] == 3) && dim[2] == dim[3] &&
                (dim[2] == 3 || (dim[2] == 7 && !set->sk));
    set->width = (double)dim[0] / 64;
    set->stem = dim[2] == 3 && !deep ? STEM_SMALL : STEM_IMAGENET;
    if (good && set->width >= width->lo && set->width <= width->hi && dim[0] % 8 == 0)
        return 0;
    print_shape(text, t->ndim, t->dim);
    return fail(-EINVAL, "%s: no encoder begins with a convolution (%s) of %s", b->tensors.name,
                t->name, text);
}

/* How the encoder of these settings fits: how much does not, and the first thing of it. */
static int try_encoder(const struct bridge *b, const struct settings *set, size_t *bad,
                       char why[512])
{
    struct net net;
    int rc = encoder_build(&net, set, FINGERPRINT_SIDE);
    if (rc < 0)
        return rc;
    *bad = misfit(b, &net, why);
    if (*bad > 0 && !*why)
        snprintf(why, 512, "%s belongs to none", left_over(b, &net));
    net_release(&net);
    return 0;
}

/* All encoders and shortcuts, the preset's shortcut first. */
static int guess(const struct bridge *b, struct settings *set)
{
    struct settings best = *set;
    const struct setting *encoder = row_of("encoder");
    size_t least = SIZE_MAX, bad;
    char why[512] = "", one[512], name[64];
    int rc = look_at_stem(b, set), first = set->shortcut;
    for (int i = set->sk ? 2 * ENC_RESNET50 : 0; i < 2 * ((int)encoder->hi + 1); i++) {
        set->encoder = i / 2;
        set->shortcut = first ^ (i % 2);
        if (rc < 0 || (rc = try_encoder(b, set, &bad, one)) < 0)
            return rc;
        if (bad >= least)
            continue;
        least = bad;
        best = *set;
        memcpy(why, one, sizeof why);
    }
    *set = best;
    settings_print(set, encoder, name, sizeof name);
    if (least == 0)
        return 0;
    return fail(-EINVAL,
                "%s: no encoder has these tensors; nearest is %s of width %g, but %s (%zu do not "
                "fit)",
                b->tensors.name, name, set->width, why, least);
}

/* What bridge_export() noted about the input. */
static int read_notes(const struct bridge *b, struct settings *set)
{
    for (size_t i = 0; i < BRIDGE_RECIPE; i++) {
        const char *value = tensors_note(&b->tensors, bridge_recipe[i]);
        char assignment[128];
        if (!value)
            continue;
        snprintf(assignment, sizeof assignment, "%s=%.40s", bridge_recipe[i], value);
        text_tidy(assignment);
        if (settings_assign(set, assignment) < 0)
            return fail(-EINVAL, "%s: its metadata say %s, which is no setting", b->tensors.name,
                        assignment);
    }
    return 0;
}

int bridge_settings(const struct bridge *b, int preset, struct settings *set)
{
    struct settings found;
    settings_preset(&found, 0);
    int rc = guess(b, &found);
    if (rc < 0)
        return rc;
    settings_preset(set, preset >= 0 ? preset : found.stem == STEM_SMALL);
    set->encoder = found.encoder;
    set->width = found.width;
    set->sk = found.sk;
    set->stem = found.stem;
    set->shortcut = found.shortcut;
    set->padding = b->haiku ? PAD_SAME : PAD_TORCH;
    return tensors_note(&b->tensors, BRIDGE_PRODUCER) ? read_notes(b, set) : 0;
}

/* -- its numbers ---- */

/* HWIO to OIHW. */
static void turn(float *out, const float *in, const size_t *oihw)
{
    size_t o_n = oihw[0], i_n = oihw[1], window = oihw[2] * oihw[3];
    for (size_t o = 0; o < o_n; o++)
        for (size_t i = 0; i < i_n; i++)
            for (size_t k = 0; k < window; k++)
                *out++ = in[(k * i_n + i) * o_n + o];
}

static int read_turned(const struct bridge *b, const struct tensor *t, const struct want *w,
                       float *to)
{
    float *hwio = mem_alloc(w->count, sizeof *hwio, "weights");
    int rc = hwio ? tensor_floats(&b->tensors, t, w->count, hwio) : -ENOMEM;
    if (rc == 0)
        turn(to, hwio, w->dim);
    free(hwio);
    return rc;
}

static int fill_one(struct bridge *b, const struct want *w, float *arena)
{
    char why[512];
    compare_shape(b, w->name, w->ndim, w->dim, why);
    if (*why)
        return fail(-EINVAL, "%s: %s", b->tensors.name, why);
    const struct tensor *t = find(b, w->name);
    float *to = arena + w->offset;
    int rc = b->haiku && w->ndim == 4 ? read_turned(b, t, w, to)
                                      : tensor_floats(&b->tensors, t, w->count, to);
    if (rc < 0)
        return rc;
    b->used[t - b->tensors.item] = true;
    for (size_t i = 0; i < w->count; i++)
        if (!isfinite(to[i]))
            return fail(-EINVAL, "%s: %s holds a number that is not finite", b->tensors.name,
                        t->name);
    return 0;
}

/* The greatest counter of the batch norms. */
static int64_t count_updates(struct bridge *b, const struct net *net)
{
    int64_t most = 0, count;
    for (int i = 0; i < net->nstats; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s.num_batches_tracked", net->stat[i].name);
        const struct tensor *t = find(b, name);
        if (!t || !tensor_int(t, &count))
            continue;
        b->used[t - b->tensors.item] = true;
        most = MAX(most, count);
    }
    return most > 0 && most <= STATE_COUNT_MOST ? most : BRIDGE_SETTLED;
}

int bridge_fill(struct bridge *b, const struct net *net, float *param, float *running,
                int64_t *updates)
{
    int rc = 0;
    for (int i = 0; i < net->nparams && rc == 0; i++) {
        struct want w = want_param(&net->param[i]);
        rc = fill_one(b, &w, param);
    }
    for (int i = 0; i < 2 * net->nstats && rc == 0; i++) {
        struct want w = want_stat(&net->stat[i / 2], i % 2 == 1);
        rc = fill_one(b, &w, running);
    }
    if (rc == 0)
        *updates = count_updates(b, net);
    return rc;
}
