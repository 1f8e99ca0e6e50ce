/*
 * bridge_export.c - an encoder as safetensors, for torchvision and timm.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/data/safetensors.h"
#include "common/model/bridge.h"
#include <stdlib.h>
#include <string.h>

const char *const bridge_recipe[BRIDGE_RECIPE] = { "padding", "large_side", "eval_crop",
                                                   "mean_r",  "mean_g",     "mean_b",
                                                   "dev_r",   "dev_g",      "dev_b" };

/* -- what torchvision has ---- */

static const struct net_param *find(const struct net *net, const char *name)
{
    for (int i = 0; i < net->nparams; i++)
        if (strcmp(net->param[i].name, name) == 0)
            return &net->param[i];
    return NULL;
}

/* The first tensor of a that b has not, or has otherwise. */
static const char *difference(const struct net *a, const struct net *b)
{
    for (int i = 0; i < a->nparams; i++) {
        const struct net_param *p = &a->param[i], *q = find(b, p->name);
        if (!q || q->ndim != p->ndim || memcmp(q->dim, p->dim, sizeof p->dim) != 0)
            return p->name;
    }
    return NULL;
}

static int check_torchvision(const struct state *s, const char *path)
{
    struct settings set = s->set;
    struct net net;
    char name[64];
    settings_print(&set, settings_table, name, sizeof name);
    if (set.encoder == ENC_TINY)
        return fail(-EUSAGE, "%s: torchvision has no %s network; --as-is writes it all the same",
                    path, name);
    set.width = 1;
    set.sk = 0;
    set.stem = STEM_IMAGENET;
    set.shortcut = SHORTCUT_NEEDED;
    int rc = encoder_build(&net, &set, (size_t)set.large_side);
    if (rc < 0)
        return rc;
    const char *differs = difference(&s->large, &net);
    if (differs)
        rc = fail(-EUSAGE,
                  "%s: torchvision's %s has no such %s (its width is 1, its stem imagenet, its "
                  "shortcut needed, and it has no selective kernels); --as-is writes the encoder "
                  "all the same",
                  path, name, differs);
    net_release(&net);
    return rc;
}

/* -- what is written ---- */

static int add(struct tensors *out, const char *name, const char *suffix, const char *dtype,
               int ndim, const size_t *dim, const void *data, size_t nbytes)
{
    char *whole = mem_printf("%s%s", name, suffix);
    struct tensor *t;
    int rc = whole ? tensors_add(out, whole, &t) : -ENOMEM;
    free(whole);
    if (rc < 0)
        return rc;
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    t->ndim = ndim;
    for (int i = 0; i < ndim; i++)
        t->dim[i] = dim[i];
    t->at = data;
    t->nbytes = nbytes;
    return 0;
}

/* Counters first: then everything is aligned. */
static int list_tensors(struct tensors *out, const struct net *net, const float *param,
                        const float *running, const int64_t *updates)
{
    int rc = 0;
    for (int i = 0; i < net->nstats && rc == 0; i++)
        rc = add(out, net->stat[i].name, ".num_batches_tracked", "I64", 0, NULL, updates,
                 sizeof *updates);
    for (int i = 0; i < net->nparams && rc == 0; i++) {
        const struct net_param *p = &net->param[i];
        rc = add(out, p->name, "", "F32", p->ndim, p->dim, param + p->offset,
                 p->count * sizeof *param);
    }
    for (int i = 0; i < 2 * net->nstats && rc == 0; i++) {
        const struct net_stat *t = &net->stat[i / 2];
        const float *numbers = running + t->offset + (i % 2 ? t->c : 0);
        rc = add(out, t->name, i % 2 ? ".running_var" : ".running_mean", "F32", 1, &t->c, numbers,
                 t->c * sizeof *numbers);
    }
    return rc;
}

static char *class_names(const struct classes *c)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    bool good = f != NULL;
    if (f)
        fputc('[', f);
    for (size_t i = 0; i < c->n && good; i++) {
        char *quoted = json_quote(c->name[i], strlen(c->name[i]));
        good = quoted && fprintf(f, "%s%s", i ? ", " : "", quoted) > 0;
        free(quoted);
    }
    if (f) {
        fputc(']', f);
        good = fclose(f) == 0 && good;
    }
    if (good)
        return text;
    free(text);
    fail(-ENOMEM, "no memory for the class names");
    return NULL;
}

static bool is_noted(const char *setting)
{
    static const char *const shape[] = { "encoder", "width", "sk", "stem", "shortcut" };
    for (size_t i = 0; i < BRIDGE_RECIPE; i++)
        if (strcmp(setting, bridge_recipe[i]) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(shape); i++)
        if (strcmp(setting, shape[i]) == 0)
            return true;
    return false;
}

/* value is taken. */
static int note(struct tensors *out, const char *key, char *value)
{
    return tensors_add_note(out, mem_strdup(key), value);
}

static int list_notes(struct tensors *out, const struct state *s, bool target, const struct ckpt *c)
{
    const struct settings *set = &s->set;
    char value[64], hash[17];
    int rc = note(out, "format", mem_strdup("pt")); /* what PyTorch's users look for */
    if (rc == 0)
        rc = note(out, BRIDGE_PRODUCER, mem_strdup("semppl-tools " SEMPPL_VERSION));
    for (const struct setting *row = settings_table; row->name && rc == 0; row++) {
        settings_print(set, row, value, sizeof value);
        if (is_noted(row->name))
            rc = note(out, row->name, mem_strdup(value));
    }
    if (rc == 0)
        rc = note(out, "preprocessing",
                  mem_printf("RGB; centre square, its side %g of the short side; resized to %d x "
                             "%d, bicubic, antialiased; (value / 255 - mean) / deviation",
                             set->eval_crop, set->large_side, set->large_side));
    if (rc == 0)
        rc = ckpt_hash(c, target ? "target/" : "online/", hash);
    if (rc == 0)
        rc = note(out, "net", mem_strdup(target ? "target" : "online"));
    if (rc == 0)
        rc = note(out, "checkpoint", mem_strdup(hash));
    return rc < 0 ? rc : note(out, "classes", class_names(&c->classes));
}

int bridge_export(const struct state *s, bool target, const struct ckpt *c, const char *path,
                  bool as_is)
{
    struct tensors out = { 0 };
    int rc = as_is ? 0 : check_torchvision(s, c->name);
    if (rc < 0)
        return rc;
    if (s->set.padding == PAD_SAME)
        log_warn("%s: padding is TensorFlow's (same) and PyTorch's is symmetric: there features "
                 "come out otherwise, unless its convolutions and the max-pool are padded alike",
                 c->name);
    rc = list_tensors(&out, &s->large, target ? s->xi : s->theta,
                      target ? s->running_target : s->running,
                      target ? &s->updates_target : &s->updates);
    if (rc == 0)
        rc = list_notes(&out, s, target, c);
    if (rc == 0)
        rc = safetensors_write(path, &out);
    tensors_release(&out);
    return rc;
}
