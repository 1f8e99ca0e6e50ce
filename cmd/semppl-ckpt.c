/*
 * semppl-ckpt - makes, shows and compares checkpoints, carries encoders from and to files of other
 * programs, and says what works on a machine.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/opt.h"
#include "common/base/prov.h"
#include "common/base/text.h"
#include "common/data/outfile.h"
#include "common/model/bridge.h"
#include "common/model/fingerprint.h"
#include "common/model/selftest.h"
#include "common/model/state_show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static struct {
    int preset;
    const char *output;
    struct settings set;
    bool json, list, target, as_is;
    int format;
} o = { .output = "-" };

/* -- new ---- */

/* The state as a checkpoint, with its seed in this program's line of the history. */
static int write_state(struct state *s)
{
    struct ckpt c = { 0 };
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)s->set.seed);
    int rc = prov_note("seed", seed);
    if (rc == 0)
        rc = history_self(&s->history);
    if (rc == 0)
        rc = state_to_ckpt(s, &c);
    if (rc == 0)
        rc = ckpt_write(&c, o.output);
    ckpt_release(&c);
    return rc;
}

static int run_new(int n, char **operands)
{
    if (n > 0)
        return fail(-EUSAGE, "new takes no operand: %s", operands[0]);
    /* A small stem says what the pictures are like: then all the rest suits them too. */
    if (!opt_given(&o.preset) && opt_given(&o.set.stem) && o.set.stem == STEM_SMALL)
        o.preset = 1;
    struct settings set;
    struct state s;
    settings_preset(&set, o.preset);
    settings_merge(&set, &o.set);
    int rc = state_new(&s, &set);
    if (rc == 0)
        rc = write_state(&s);
    state_release(&s);
    return rc;
}

/* -- show ---- */

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
        rc = state_show_json(&s, stdout);
    else if (rc == 0)
        state_show(&s, stdout);
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
    if (strcmp(operands[0], "-") == 0 && strcmp(operands[1], "-") == 0)
        return fail(-EUSAGE, "standard input can be read once only");
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

/* -- import and export ---- */

/* Out comes another format than goes in. */
static int check_output(const char *input)
{
    return outfile_spares(o.output, &input, 1);
}

/* What the encoder makes of the test pictures. */
static int take_fingerprint(struct fingerprint *f, const char *name, const struct settings *set,
                            const float *param, const float *running)
{
    struct pool *pool = NULL;
    struct kern *kn = NULL;
    int rc = pool_open(&pool, opt_common.threads);
    if (rc == 0 && (rc = kern_open(&kn, pool)) < 0)
        fail(rc, "cannot open the CPU's kernels: %s", strerror(-rc));
    if (rc == 0)
        rc = fingerprint_take(f, kn, name, set, param, running);
    kern_close(kn);
    pool_close(pool);
    return rc;
}

static void say_fingerprint(const struct fingerprint *f)
{
    char first[128] = "", mean[128] = "";
    size_t n = 0, m = 0;
    for (size_t i = 0; i < MIN(f->features, (size_t)FINGERPRINT_FIRST); i++)
        n += (size_t)snprintf(first + n, sizeof first - n, " %.6g", f->x[i]);
    for (size_t i = 0; i < FINGERPRINT_PICTURES; i++)
        m += (size_t)snprintf(mean + m, sizeof mean - m, " %.6g", fingerprint_mean(f, i));
    log_info("features of the test pictures:%s ...; means%s", first, mean);
}

/* What was found about the encoder. */
static void describe(const struct settings *set, char *text, size_t size)
{
    static const char *const names[] = { "width", "sk", "stem", "shortcut", "padding" };
    size_t at = 0;
    char value[64];
    settings_print(set, settings_table, value, sizeof value);
    at += (size_t)snprintf(text, size, "%s", value);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (const struct setting *row = settings_table; row->name; row++)
            if (strcmp(row->name, names[i]) == 0) {
                settings_print(set, row, value, sizeof value);
                at += (size_t)snprintf(text + at, size - at, ", %s %s", names[i], value);
            }
}

/* Every array of the file, used or not. */
static int list_arrays(const char *path)
{
    struct tensors t;
    int rc = tensors_open(&t, path);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < t.n; i++) {
        printf("%s\t%s\t", t.item[i].name, t.item[i].dtype);
        for (int k = 0; k < t.item[i].ndim; k++)
            printf("[%zu]", t.item[i].dim[k]);
        putchar('\n');
    }
    for (size_t i = 0; i < t.nunknown; i++)
        log_info("%s: nothing is known of the class %s", t.name, t.unknown[i]);
    tensors_release(&t);
    return 0;
}

enum { UNUSED_NAMED = 4 }; /* --json names all */

static void say_import(const struct bridge *b, const struct state *s)
{
    const struct tensors *t = &b->tensors;
    char text[256], rest[1024] = "";
    size_t unused = 0, at = 0;
    describe(&s->set, text, sizeof text);
    for (size_t i = 0; i < t->n; i++) {
        if (b->used[i])
            continue;
        if (unused++ < UNUSED_NAMED)
            at += (size_t)snprintf(rest + at, sizeof rest - at, " %.200s", t->item[i].name);
    }
    log_info("%s: %s", t->name, text);
    log_info("%d tensors of %llu parameters, %d batch norms; arrays not used: %zu%s%s",
             s->large.nparams, (unsigned long long)net_parameters(&s->large), s->large.nstats,
             unused, rest, unused > UNUSED_NAMED ? " ..." : "");
    for (size_t i = 0; i < t->nunknown; i++)
        log_info("%s: nothing is known of the class %s", t->name, t->unknown[i]);
}

static int json_list(const char *before, char *const *item, size_t n)
{
    int rc = 0;
    fputs(before, stdout);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = json_put(stdout, i ? ", " : "", item[i]);
    return rc;
}

static int json_import(const struct bridge *b, const struct state *s, const struct fingerprint *f)
{
    const struct tensors *t = &b->tensors;
    char **unused = mem_alloc(t->n, sizeof *unused, "names");
    size_t n = 0;
    if (!unused)
        return -ENOMEM;
    for (size_t i = 0; i < t->n; i++)
        if (!b->used[i])
            unused[n++] = t->item[i].name;
    printf("{\"v\": 1, \"tensors\": %d, \"parameters\": %llu, \"batch_norms\": %d, \"settings\": ",
           s->large.nparams, (unsigned long long)net_parameters(&s->large), s->large.nstats);
    settings_put(stdout, &s->set);
    int rc = json_list(", \"unused\": [", unused, n);
    if (rc == 0)
        rc = json_list("], \"unknown\": [", t->unknown, t->nunknown);
    fputs("], \"features\": [", stdout);
    for (size_t i = 0; i < MIN(f->features, (size_t)FINGERPRINT_FIRST); i++)
        printf("%s%.9g", i ? ", " : "", f->x[i]);
    fputs("], \"means\": [", stdout);
    for (size_t i = 0; i < FINGERPRINT_PICTURES; i++)
        printf("%s%.9g", i ? ", " : "", fingerprint_mean(f, i));
    puts("]}");
    free(unused);
    return rc;
}

/* A fresh state with the file's encoder in both networks. */
static int import_state(struct bridge *b, struct state *s)
{
    struct settings set;
    int rc = bridge_settings(b, opt_given(&o.preset) ? o.preset : -1, &set);
    if (rc < 0)
        return rc;
    settings_merge(&set, &o.set);
    if ((rc = state_new(s, &set)) < 0 ||
        (rc = bridge_fill(b, &s->large, s->theta + state_param_offset(s, "encoder"),
                          s->running + state_running_offset(s, "encoder"), &s->updates)) < 0)
        return rc;
    memcpy(s->xi, s->theta, s->ntarget * sizeof *s->xi);
    memcpy(s->running_target, s->running, s->nrunning_target * sizeof *s->running_target);
    s->updates_target = s->updates;
    const struct tensors *t = &b->tensors;
    return prov_input(t->name, (uint32_t)crc32_z(0, t->bytes, t->size));
}

static int run_import(int n, char **operands)
{
    if (n != 1)
        return fail(-EUSAGE, "import wants one file, not %d", n);
    if (o.list && (o.json || opt_given(&o.output)))
        return fail(-EUSAGE, "--list only names arrays: it goes with neither --json nor -o");
    if (o.list)
        return list_arrays(operands[0]);
    if (o.json && strcmp(o.output, "-") == 0)
        return fail(-EUSAGE,
                    "--json and the checkpoint cannot both go to standard output: give -o");
    struct bridge b;
    struct state s = { 0 };
    struct fingerprint f = { 0 };
    int rc = check_output(operands[0]);
    if (rc < 0 || (rc = bridge_open(&b, operands[0])) < 0)
        return rc;
    rc = import_state(&b, &s);
    if (rc == 0)
        rc = take_fingerprint(&f, b.tensors.name, &s.set, s.theta, s.running);
    if (rc == 0)
        rc = write_state(&s);
    if (rc == 0) {
        say_import(&b, &s);
        say_fingerprint(&f);
    }
    if (rc == 0 && o.json)
        rc = json_import(&b, &s, &f);
    fingerprint_release(&f);
    state_release(&s);
    bridge_release(&b);
    return rc;
}

/* What was written, read as import reads it: the same encoder, to the bit. */
static int read_back(const struct settings *set, const struct fingerprint *want)
{
    struct bridge b;
    struct settings found;
    struct net net = { 0 };
    struct fingerprint f = { 0 };
    float *param = NULL, *running = NULL;
    int64_t updates;
    int rc = bridge_open(&b, o.output);
    if (rc == 0 && (rc = bridge_settings(&b, -1, &found)) == 0)
        rc = encoder_build(&net, &found, FINGERPRINT_SIDE);
    if (rc == 0) {
        param = mem_alloc(net.floats, sizeof *param, "weights");
        running = mem_alloc(net.stat_floats, sizeof *running, "statistics");
        rc = param && running ? bridge_fill(&b, &net, param, running, &updates) : -ENOMEM;
    }
    if (rc == 0)
        rc = take_fingerprint(&f, o.output, &found, param, running);
    if (rc == 0 && (found.padding != set->padding || !fingerprint_same(&f, want)))
        rc = fail(-EIO, "%s: what was written is another encoder", o.output);
    fingerprint_release(&f);
    free(param);
    free(running);
    net_release(&net);
    bridge_release(&b);
    return rc;
}

static int run_export(int n, char **operands)
{
    if (n != 1)
        return fail(-EUSAGE, "export wants one checkpoint, not %d", n);
    if (strcmp(o.output, "-") == 0)
        return fail(-EUSAGE, "export wants -o FILE, which it reads back");
    struct ckpt c = { 0 };
    struct state s = { 0 };
    struct fingerprint f = { 0 };
    struct stat st;
    int rc = check_output(operands[0]);
    if (rc == 0)
        rc = ckpt_read_groups(&c, operands[0], state_network_groups(o.target));
    if (rc == 0)
        rc = state_network_from_ckpt(&s, &c, o.target);
    if (rc == 0)
        rc = take_fingerprint(&f, c.name, &s.set, o.target ? s.xi : s.theta,
                              o.target ? s.running_target : s.running);
    if (rc == 0)
        rc = bridge_export(&s, o.target, &c, o.output, o.as_is);
    if (rc == 0 && stat(o.output, &st) == 0 && S_ISREG(st.st_mode) &&
        (rc = read_back(&s.set, &f)) < 0)
        unlink(o.output);
    if (rc == 0)
        say_fingerprint(&f);
    fingerprint_release(&f);
    state_release(&s);
    ckpt_release(&c);
    return rc;
}

/* -- selftest ---- */

static int run_selftest(int n, char **operands)
{
    if (n > 0)
        return fail(-EUSAGE, "selftest takes no operand: %s", operands[0]);
    struct pool *pool = NULL;
    int rc = pool_open(&pool, opt_common.threads);
    if (rc == 0)
        rc = selftest(pool, stdout);
    pool_close(pool);
    return rc;
}

static const char *const formats[] = { "safetensors", NULL };

#define OPT_PRESET(h)                                                                              \
    {                                                                                              \
        .kind = OPT_KIND_CHOICE, .letter = 'p', .name = "preset", .to = &o.preset, .arg = "NAME",  \
        .help = (h), .choices = settings_presets, .meanings = settings_preset_meanings             \
    }

static const struct opt new_opts[] = {
    OPT_STR('o', "output", &o.output, "FILE", "the new checkpoint; -: standard output"),
    OPT_PRESET("settings not given; with --stem small alone: cifar"), OPT_END
};
static const struct opt show_opts[] = {
    OPT_FLAG(0, "json", &o.json, "one JSON object instead of text"), OPT_END
};
static const struct opt compare_opts[] = { OPT_END };
static const struct opt import_opts[] = {
    OPT_STR('o', "output", &o.output, "FILE", "the new checkpoint; -: standard output"),
    OPT_FLAG('l', "list", &o.list, "only name all arrays, with type and shape"),
    OPT_FLAG(0, "json", &o.json, "what was imported as one JSON object, to standard output"),
    OPT_COMMON,
    OPT_PRESET("settings neither given nor of the encoder; for a small stem: cifar"),
    OPT_END
};
static const struct opt export_opts[] = {
    OPT_STR('o', "output", &o.output, "FILE", "the file to write"),
    OPT_CHOICE('f', "format", &o.format, formats, "of the file"),
    OPT_FLAG('t', "target", &o.target, "the target network's encoder, not the online one's"),
    OPT_FLAG(0, "as-is", &o.as_is, "also an encoder that torchvision does not have"),
    OPT_COMMON,
    OPT_END
};

static const struct opt selftest_opts[] = { OPT_COMMON, OPT_END };

int main(int argc, char **argv)
{
    settings_preset(&o.set, 0); /* so that the help text shows the defaults */
    struct opt *fresh = settings_opts(&o.set, new_opts);
    struct opt *import = settings_opts(&o.set, import_opts);
    if (!fresh || !import) {
        fprintf(stderr, "semppl-ckpt: %s\n", fail_text());
        free(fresh);
        free(import);
        return EXIT_RESOURCE;
    }
    const struct opt_verb verbs[] = {
        { "new", "[options] -o FILE", "makes a fresh checkpoint", fresh, run_new },
        { "show", "[--json] FILE", "says what a checkpoint holds", show_opts, run_show },
        { "compare", "A B", "names the first difference, history aside", compare_opts,
          run_compare },
        { "import", "[options] FILE -o CHECKPOINT",
          "a fresh checkpoint around another program's encoder", import, run_import },
        { "export", "[options] CHECKPOINT -o FILE", "writes the encoder for other programs",
          export_opts, run_export },
        { "selftest", "", "what works on this machine, devices included", selftest_opts,
          run_selftest },
        { 0 },
    };
    int status = opt_main("semppl-ckpt", verbs, argc, argv);
    free(fresh);
    free(import);
    return status;
}
