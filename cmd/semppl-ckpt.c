/*
 * semppl-ckpt - makes, shows and compares checkpoints.
 */
#include "common/base/fail.h"
#include "common/base/opt.h"
#include "common/base/prov.h"
#include "common/model/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int preset;
    const char *output;
    struct settings set;
    bool json;
} o = { .output = "-" };

/* -- new ---- */

static int run_new(int n, char **operands)
{
    if (n > 0)
        return fail(-EUSAGE, "new takes no operand: %s", operands[0]);
    /* A small stem says what the pictures are like: then all the rest suits them too. */
    if (!opt_given(&o.preset) && opt_given(&o.set.stem) && o.set.stem == STEM_SMALL)
        o.preset = 1;
    struct settings set;
    settings_merge(&set, o.preset, &o.set);
    struct state s;
    struct ckpt c = { 0 };
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)set.seed);
    int rc = state_new(&s, &set);
    if (rc == 0)
        rc = prov_note("seed", seed);
    if (rc == 0)
        rc = history_self(&s.history);
    if (rc == 0)
        rc = state_to_ckpt(&s, &c);
    if (rc == 0)
        rc = ckpt_write(&c, o.output);
    ckpt_release(&c);
    state_release(&s);
    return rc;
}

/* -- show ---- */

static void print_part(const char *name, const struct net *net)
{
    printf("%-10s %zu to %zu: %llu parameters, %.4f GMAC\n", name, net->tensor[0].c,
           net_outputs(net), (unsigned long long)net_parameters(net), (double)net_macs(net) / 1e9);
}

/* A setting, what it means, and where its value is from: a source only vouches for its own. */
static void print_setting(const struct settings *set, const struct settings *preset,
                          const struct setting *row)
{
    char value[64], usual[64];
    settings_print(set, row, value, sizeof value);
    settings_print(preset, row, usual, sizeof usual);
    printf("  %-18s %-10s %s ", row->name, value, row->help);
    if (strcmp(value, usual) == 0)
        printf("[%s]\n", row->evidence);
    else
        printf("[preset imagenet: %s, %s]\n", usual, row->evidence);
}

static void show_text(const struct state *s)
{
    char value[64];
    struct settings preset;
    settings_print(&s->set, settings_table, value, sizeof value);
    printf("encoder    %s%s, width %g: %zu features, %llu parameters, %.4f GMAC at %d px", value,
           s->set.sk ? " with selective kernels" : "", s->set.width, net_outputs(&s->large),
           (unsigned long long)net_parameters(&s->large), (double)net_macs(&s->large) / 1e9,
           s->set.large_side);
    if (s->set.small_crops > 0)
        printf(", %.4f at %d px", (double)net_macs(&s->small) / 1e9, s->set.small_side);
    putchar('\n');
    print_part("projector", &s->projector);
    print_part("predictor", &s->predictor);
    printf("step       %lld", (long long)s->step);
    if (s->total_steps > 0)
        printf(" of %lld, %lld rows of data", (long long)s->total_steps, (long long)s->data_rows);
    printf("\nqueue      %lld of %zu labelled embeddings a large crop\n", (long long)s->queue_fill,
           s->capacity);
    printf("classes    %zu", s->classes.n);
    for (size_t i = 0; i < MIN(s->classes.n, 20); i++)
        printf(" %s", s->classes.name[i]);
    printf("%s\n\nsettings\n", s->classes.n > 20 ? " ..." : "");
    settings_preset(&preset, 0);
    for (const struct setting *row = settings_table; row->name; row++)
        print_setting(&s->set, &preset, row);
    printf("\nhistory\n");
    for (size_t i = 0; i < s->history.n; i++)
        printf("  %s\n", s->history.line[i]);
}

static void json_part(const char *name, const struct net *net)
{
    printf("\"%s\": {\"inputs\": %zu, \"outputs\": %zu, \"parameters\": %llu, \"macs\": %llu}, ",
           name, net->tensor[0].c, net_outputs(net), (unsigned long long)net_parameters(net),
           (unsigned long long)net_macs(net));
}

static int json_string(const char *s)
{
    char *quoted = json_quote(s, strlen(s));
    if (!quoted)
        return -ENOMEM;
    fputs(quoted, stdout);
    free(quoted);
    return 0;
}

static int json_settings(const struct settings *set)
{
    int rc = 0;
    for (const struct setting *row = settings_table; row->name && rc == 0; row++) {
        char value[64];
        settings_print(set, row, value, sizeof value);
        printf("%s\"%s\": ", row == settings_table ? "" : ", ", row->name);
        if (row->kind == OPT_KIND_CHOICE)
            rc = json_string(value);
        else
            fputs(value, stdout);
    }
    return rc;
}

static int show_json(const struct state *s)
{
    char name[64];
    settings_print(&s->set, settings_table, name, sizeof name);
    printf("{\"v\": 1, \"encoder\": {\"name\": \"%s\", \"features\": %zu, \"parameters\": %llu, "
           "\"macs\": %llu",
           name, net_outputs(&s->large), (unsigned long long)net_parameters(&s->large),
           (unsigned long long)net_macs(&s->large));
    if (s->set.small_crops > 0)
        printf(", \"macs_small\": %llu", (unsigned long long)net_macs(&s->small));
    printf("}, ");
    json_part("projector", &s->projector);
    json_part("predictor", &s->predictor);
    printf("\"step\": %lld, \"total_steps\": %lld, \"data_rows\": %lld, "
           "\"queue\": {\"capacity\": %zu, \"fill\": %lld}, \"settings\": {",
           (long long)s->step, (long long)s->total_steps, (long long)s->data_rows, s->capacity,
           (long long)s->queue_fill);
    int rc = json_settings(&s->set);
    printf("}, \"classes\": [");
    for (size_t i = 0; i < s->classes.n && rc == 0; i++) {
        fputs(i ? ", " : "", stdout);
        rc = json_string(s->classes.name[i]);
    }
    printf("], \"history\": [");
    for (size_t i = 0; i < s->history.n; i++)
        printf("%s%s", i ? ", " : "", s->history.line[i]); /* JSON already */
    printf("]}\n");
    return rc;
}

static int run_show(int n, char **operands)
{
    if (n != 1)
        return fail(-EUSAGE, "show wants one checkpoint, not %d", n);
    struct ckpt c = { 0 };
    struct state s = { 0 };
    int rc = ckpt_read(&c, operands[0]);
    if (rc == 0)
        rc = state_from_ckpt(&s, &c);
    if (rc == 0 && o.json)
        rc = show_json(&s);
    else if (rc == 0)
        show_text(&s);
    if (rc == 0 && fflush(stdout) != 0)
        rc = fail_errno("standard output");
    state_release(&s);
    ckpt_release(&c);
    return rc;
}

/* -- compare ---- */

static int run_compare(int n, char **operands)
{
    if (n != 2)
        return fail(-EUSAGE, "compare wants two checkpoints, not %d", n);
    struct ckpt a = { 0 }, b = { 0 };
    int rc = ckpt_read(&a, operands[0]);
    if (rc == 0)
        rc = ckpt_read(&b, operands[1]);
    if (rc == 0)
        rc = ckpt_compare(&a, &b);
    ckpt_release(&a);
    ckpt_release(&b);
    return rc;
}

static const struct opt new_opts[] = {
    OPT_STR('o', "output", &o.output, "FILE", "the new checkpoint; -: standard output"),
    { .kind = OPT_KIND_CHOICE,
      .letter = 'p',
      .name = "preset",
      .to = &o.preset,
      .arg = "NAME",
      .help = "settings not given; with --stem small alone: cifar",
      .choices = settings_presets,
      .meanings = settings_preset_meanings },
    OPT_END
};
static const struct opt show_opts[] = {
    OPT_FLAG(0, "json", &o.json, "one JSON object instead of text"), OPT_END
};
static const struct opt compare_opts[] = { OPT_END };

int main(int argc, char **argv)
{
    settings_preset(&o.set, 0); /* so that the help text shows the defaults */
    struct opt *opts = settings_opts(&o.set, new_opts);
    if (!opts) {
        fprintf(stderr, "semppl-ckpt: %s\n", fail_text());
        return EXIT_RESOURCE;
    }
    const struct opt_verb verbs[] = {
        { "new", "[options] -o FILE", "makes a fresh checkpoint", opts, run_new },
        { "show", "[--json] FILE", "says what a checkpoint holds", show_opts, run_show },
        { "compare", "A B", "names the first difference, history aside", compare_opts,
          run_compare },
        { 0 },
    };
    int status = opt_main("semppl-ckpt", verbs, argc, argv);
    free(opts);
    return status;
}
