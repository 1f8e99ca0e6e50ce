/*
 * semppl-train-step - n steps of SemPPL training: from a checkpoint and image shards to the next
 * checkpoint.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/base/text.h"
#include "common/data/h5.h"
#include "common/data/outfile.h"
#include "common/model/device.h"
#include "common/model/dump.h"
#include "common/model/precision.h"
#include "common/model/sheet.h"
#include "common/model/step.h"
#include "common/model/views_sheet.h"
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    int steps;
    const char *in, *out, *log, *views, *dump, *device;
    struct opt_list set;
    int precision, loss_scale;
} o = { .steps = -1, .in = "-", .out = "-", .device = "auto", .loss_scale = PRECISION_LOSS_SCALE };

static const struct opt opts[] = {
    OPT_INT('n', "steps", &o.steps, "N", 0, INT_MAX, "steps to do; required"),
    OPT_STR('c', "checkpoint", &o.in, "FILE", "the checkpoint to begin from"),
    OPT_STR('o', "output", &o.out, "FILE", "where the next checkpoint goes; may be the same file"),
    OPT_STR(0, "log", &o.log, "FILE", "append one JSON object a step"),
    OPT_STR(0, "show-views", &o.views, "PICTURE",
            "draw the crops of the next step (.png, .jpg); with -n 0 and no -o, do no more"),
    OPT_STR(0, "dump-step", &o.dump, "FILE", "with -n 1: write all that went into and came of it"),
    OPT_LIST(0, "set", &o.set, "NAME=VALUE", "change a setting from here on; may be repeated"),
    OPT_CHOICE(0, "precision", &o.precision, precision_names,
               "of activations; auto: bf16 where it is fast; f16 and tf32 are for CUDA devices"),
    OPT_INT(0, "loss-scale", &o.loss_scale, "N", 1, 1 << 24,
            "with --precision f16: what gradients are multiplied by meanwhile; a power of 2"),
    OPT_DEVICE(&o.device),
    OPT_COMMON,
    OPT_END,
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = number;
}

/* The crops are wanted, and no checkpoint. */
static bool only_views(void)
{
    return o.views && o.steps == 0 && !opt_given(&o.out);
}

/* A checkpoint may follow itself; nothing else that is written replaces anything. */
static int check_outputs(int n, char **operands)
{
    const char *const out[] = { only_views() ? NULL : o.out, o.log, o.views, o.dump };
    int rc = outfile_apart(out, ARRAY_LEN(out));
    for (size_t i = 0; i < ARRAY_LEN(out) && rc == 0; i++) {
        rc = outfile_spares(out[i], (const char *const *)operands, (size_t)n);
        if (rc == 0 && out[i] != o.out)
            rc = outfile_spares(out[i], &o.in, 1);
    }
    return rc;
}

/* A power of two changes no bit but of what float16 cannot hold. */
static int check_loss_scale(void)
{
    if (opt_given(&o.loss_scale) && o.precision != PRECISION_F16)
        return fail(-EUSAGE, "--loss-scale is for --precision f16");
    if (o.loss_scale & (o.loss_scale - 1))
        return fail(-EUSAGE, "--loss-scale wants a power of 2, not %d", o.loss_scale);
    return 0;
}

/* What would otherwise fail after hours of work. */
static int check_usage(int n, char **operands)
{
    if (o.steps < 0)
        return fail(-EUSAGE, "how many steps? Give -n STEPS");
    if (n == 0)
        return fail(-EUSAGE, "no data: name at least one image shard");
    int rc = device_check(o.device);
    if (rc == 0)
        rc = check_loss_scale();
    if (rc < 0)
        return rc;
    if ((strcmp(o.in, "-") == 0) + stream_stdin(operands, n) > 1)
        return fail(-EUSAGE, "the checkpoint and the data cannot both come from standard input: "
                             "give -c FILE");
    rc = o.views ? sheet_check_path("--show-views", o.views) : 0;
    if (rc == 0)
        rc = check_outputs(n, operands);
    if (rc == 0 && o.dump && o.steps != 1)
        rc = fail(-EUSAGE, "--dump-step is of one step: give -n 1");
    if (rc == 0 && !only_views())
        rc = h5out_check(o.out);
    return rc == 0 && o.dump ? h5out_check(o.dump) : rc;
}

static int read_state(struct state *s)
{
    struct ckpt c = { 0 };
    int rc = ckpt_read(&c, o.in);
    if (rc == 0)
        rc = prov_input(c.name, c.checksum);
    if (rc == 0)
        rc = state_from_ckpt(s, &c);
    ckpt_release(&c);
    if (rc == 0 && o.set.n > 0)
        rc = state_set(s, o.set.item, o.set.n);
    return rc;
}

/* The settings changed, as a JSON array in this program's line of the history. */
static int note_settings(void)
{
    char *all = NULL;
    for (size_t i = 0; i < o.set.n; i++) {
        char *one = json_quote(o.set.item[i], strlen(o.set.item[i]));
        char *longer = one ? mem_printf("%s%s%s", all ? all : "[", all ? ", " : "", one) : NULL;
        free(one);
        free(all);
        if (!longer)
            return -ENOMEM;
        all = longer;
    }
    if (!all)
        return 0;
    char *closed = mem_printf("%s]", all);
    int rc = closed ? prov_note("set", closed) : -ENOMEM;
    free(closed);
    free(all);
    return rc;
}

static int note_data(struct state *s, const struct shard_set *data)
{
    int rc = 0;
    for (size_t i = 0; i < data->nshards && rc == 0; i++) {
        rc = prov_input(data->shard[i].in.name, data->shard[i].checksum);
        if (rc == 0)
            rc = history_merge(&s->history, &data->shard[i].history);
    }
    return rc;
}

/* One JSON object a line; null for what is undefined. */
static int write_log(FILE *log, const struct step_metrics *m)
{
    const struct {
        const char *key;
        double value;
    } list[] = {
        { "loss", m->loss },
        { "loss_augm", m->loss_augm },
        { "loss_sempos", m->loss_sempos },
        { "loss_inv", m->loss_inv },
        { "lr", m->lr },
        { "ema", m->ema },
        { "grad_norm", m->grad_norm },
        { "queue_fill", m->queue_fill },
        { "pseudo_accuracy", m->pseudo_accuracy },
        { "vote_share", m->vote_share },
        { "spread", m->spread },
        { "images_per_s", m->images_per_s },
        { "t_data", m->t_data },
        { "t_forward", m->t_forward },
        { "t_backward", m->t_backward },
        { "t_update", m->t_update },
    };
    fprintf(log, "{\"v\": 1, \"step\": %lld", (long long)m->step);
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        fprintf(log, ", \"%s\": ", list[i].key);
        if (isfinite(list[i].value))
            fprintf(log, "%.9g", list[i].value);
        else
            fputs("null", log);
    }
    fputs("}\n", log);
    return fflush(log) != 0 || ferror(log) ? fail_errno("%s: cannot write", o.log) : 0;
}

/* Up to n steps, as far as the schedule goes; *m is of the last. 1 if a signal cut them short, else
 * 0. */
static int train(struct step *st, FILE *log, struct step_metrics *m)
{
    struct state *s = st->state;
    uint64_t left = s->step < s->total_steps ? (uint64_t)(s->total_steps - s->step) : 0;
    uint64_t n = MIN((uint64_t)o.steps, left);
    struct progress p;
    double parts[4] = { 0 }, start = log_seconds();
    st->end = s->step + (int64_t)n;
    progress_start(&p, "steps", n);
    int rc = 0;
    uint64_t done = 0;
    for (; done < n && rc == 0 && !stopped; done++) {
        rc = step_run(st, m);
        if (rc == 0 && log)
            rc = write_log(log, m);
        if (rc < 0)
            break;
        progress_add(&p, 1);
        parts[0] += m->t_data;
        parts[1] += m->t_forward;
        parts[2] += m->t_backward;
        parts[3] += m->t_update;
    }
    progress_end(&p);
    if (rc < 0)
        return rc;
    double seconds = log_seconds() - start;
    log_info("%s, %.1f s (%.1f s or %.0f%% waiting for data, %.0f%% forward, %.0f%% "
             "backward, %.0f%% update); step %lld of %lld",
             TEXT_COUNT(done, "step", "steps"), seconds, parts[0], 100 * parts[0] / seconds,
             100 * parts[1] / seconds, 100 * parts[2] / seconds, 100 * parts[3] / seconds,
             (long long)s->step, (long long)s->total_steps);
    if ((uint64_t)o.steps > left)
        log_info("the schedule ends at step %lld: %llu of %s left to do", (long long)s->total_steps,
                 (unsigned long long)left, TEXT_COUNT((uint64_t)o.steps, "step", "steps"));
    return done < n;
}

static int dump(const struct step *st, const struct step_metrics *m)
{
    if (m->step == 0)
        return fail(-EINVAL, "%s: the schedule has ended: there is no step to write to %s", o.in,
                    o.dump);
    return dump_write(st, m, o.dump);
}

static int write_state(const struct state *s)
{
    struct ckpt c = { 0 };
    int rc = state_to_ckpt(s, &c);
    if (rc == 0)
        rc = history_self(&c.history);
    if (rc == 0)
        rc = ckpt_write(&c, o.out);
    ckpt_release(&c);
    return rc;
}

/* How activations are stored, and gradients scaled. */
static int set_precision(struct state *s, struct kern *kn)
{
    enum kern_type type;
    int rc = precision_choose(&type, (enum precision)o.precision, kn);
    if (rc == 0 && o.dump && type != KERN_F32)
        rc = fail(-EUSAGE, "--dump-step writes float32: give --precision f32");
    if (rc < 0)
        return rc;
    state_precision(s, type);
    if (type != KERN_F16)
        return 0;
    char scale[16];
    s->loss_scale = o.loss_scale;
    snprintf(scale, sizeof scale, "%d", o.loss_scale);
    return prov_note("loss_scale", scale);
}

static int run_on(struct state *s, struct shard_set *data, struct pool *pool, struct kern *kn,
                  FILE *log)
{
    struct step st = { 0 };
    struct step_metrics m = { 0 };
    int rc = set_precision(s, kn);
    if (rc == 0)
        rc = step_open(&st, s, kn, pool, data);
    if (rc == 0)
        rc = train(&st, log, &m);
    if (rc == 0 && o.dump)
        rc = dump(&st, &m);
    bool cut = rc > 0;
    if (rc >= 0)
        rc = step_save(&st);
    step_close(&st);
    if (rc == 0)
        rc = write_state(s);
    if (rc == 0 && cut)
        rc = fail(-ESIGNAL, "stopped by a signal; saved after step %lld", (long long)s->step);
    return rc;
}

/* A second one changes nothing: launchers pass on what the terminal has sent already. A terminal
 * that goes away stops the run too, unless it is under nohup(1). */
static void catch_signals(void)
{
    struct sigaction stop = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, hup;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &stop, NULL);
}

static int run(int n, char **operands)
{
    struct state s = { 0 };
    struct shard_set data = { 0 };
    struct pool *pool = NULL;
    struct kern *kn = NULL;
    FILE *log = NULL;
    int rc = check_usage(n, operands);
    if (rc < 0)
        return rc;
    catch_signals();
    if (o.log && !(log = fopen(o.log, "ae")))
        return fail_errno("%s: cannot open", o.log);
    rc = pool_open(&pool, opt_common.threads);
    if (rc == 0) /* crops that are only drawn are made here */
        rc = device_open(&kn, pool, only_views() ? "cpu" : o.device);
    if (rc == 0)
        rc = read_state(&s);
    if (rc == 0)
        rc = note_settings();
    if (rc == 0)
        rc = shard_set_open(&data, operands, n);
    if (rc == 0)
        rc = note_data(&s, &data);
    if (rc == 0 && o.views)
        rc = views_sheet(o.views, pool, &data, &s.set, s.step);
    if (rc == 0 && !only_views())
        rc = run_on(&s, &data, pool, kn, log);
    rc = device_close(kn, rc);
    pool_close(pool);
    shard_set_close(&data);
    state_release(&s);
    if (log)
        fclose(log);
    free(o.set.item);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct opt_verb verbs[] = {
        { NULL, "-n STEPS [-c FILE] [-o FILE] [options] SHARD...",
          "n steps of training: from a checkpoint and image shards to the next checkpoint", opts,
          run },
        { 0 },
    };
    return opt_main("semppl-train-step", verbs, argc, argv);
}
