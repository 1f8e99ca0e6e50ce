/*
 * semppl-eval - how well embeddings tell classes apart: nearest neighbours, or a linear probe,
 * trained on the labelled rows of a bank and tested on rows whose class is known.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/opt.h"
#include "common/base/text.h"
#include "common/data/embed.h"
#include "common/model/device.h"
#include "common/model/knn_vote.h"
#include "common/model/probe.h"
#include "common/model/score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 1024 };

static struct {
    const char *bank, *report, *log, *device;
    int k, vote;
    double temperature;
    bool json, overlap;
    uint64_t mem, seed;
} o = {
    .k = 20, .vote = KNN_WEIGHTED, .temperature = 0.07, .mem = (uint64_t)4 << 30, .device = "auto"
};

#define SHARED_OPTIONS                                                                             \
    OPT_STR('b', "bank", &o.bank, "SHARD", "embeddings with labelled rows to learn from"),         \
        OPT_FLAG(0, "json", &o.json, "print one JSON record instead of a table"),                  \
        OPT_STR(0, "report", &o.report, "DIR", "folder for eval.json and pictures"),               \
        OPT_STR(0, "log", &o.log, "JSONL", "training log to draw the learning curve from"),        \
        OPT_FLAG(0, "allow-overlap", &o.overlap, "test rows may lie in the bank too"),             \
        OPT_SIZE(0, "mem", &o.mem, "SIZE", 1 << 20, 1e18, "memory for embeddings"),                \
        OPT_DEVICE(&o.device), OPT_COMMON

static const struct opt knn_opts[] = {
    OPT_INT('k', "neighbours", &o.k, "N", 1, 4096, "neighbours that vote for each test row"),
    OPT_CHOICE(0, "vote", &o.vote, knn_rule_names, "what a neighbour's vote counts"),
    OPT_FLOAT(0, "temperature", &o.temperature, "T", 1e-4, 1e4,
              "weighted votes count exp(similarity / T)"),
    SHARED_OPTIONS, OPT_END
};

static const struct opt linear_opts[] = { OPT_U64('s', "seed", &o.seed, "N",
                                                  "which labelled rows choose the strength"),
                                          SHARED_OPTIONS, OPT_END };

/* What one run holds. */
struct job {
    bool linear;
    bool own; /* one file is bank and test: its labelled rows, and the others */
    struct pool *pool;
    struct kern *kn;
    struct embed_all all; /* the bank's embeddings */
    struct knn_bank bank;
    struct knn_vote vote;
    struct probe probe;
    struct score score;
    struct history history;
    struct progress progress;
    int32_t *idx;
    float *sim; /* of neighbours, or the probe's scores */
    uint64_t twice;
    char *twice_key; /* of the first test row that is in the bank */
    char *title, *details;
};

static int fit_probe(struct job *j)
{
    const struct embed *e = &j->all.e;
    size_t n = j->bank.n;
    int32_t *label = mem_alloc(n, sizeof *label, "labels");
    uint64_t *id = mem_alloc(n, sizeof *id, "ids");
    int rc = label && id ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && rc >= 0; i++) {
        label[i] = e->rows.label[j->bank.row[i]];
        id[i] = e->rows.id[j->bank.row[i]];
    }
    if (rc >= 0)
        rc = probe_fit(&j->probe, j->kn, j->pool, e->x, j->bank.row, label, id, n, e->d,
                       j->bank.nclasses, o.seed);
    if (rc >= 0)
        log_debug("strength %.3g: %.4f of %s right; %s to %.6f", j->probe.strength,
                  j->probe.held_accuracy,
                  TEXT_COUNT(j->probe.held, "held-out row", "held-out rows"),
                  TEXT_COUNT(j->probe.iterations, "step", "steps"), j->probe.objective);
    free(label);
    free(id);
    return rc;
}

static int open_bank(struct job *j)
{
    char *bank[] = { (char *)(uintptr_t)o.bank };
    size_t k = j->linear ? 1 : (size_t)o.k;
    int rc = embed_read_labelled(&j->all, bank, 1, o.mem / 2);
    if (rc < 0 || (rc = prov_input(j->all.e.name, j->all.e.checksum)) < 0 ||
        (rc = history_merge(&j->history, &j->all.e.history)) < 0 ||
        (rc = knn_bank_open(&j->bank, j->kn, &j->all.e, k, o.mem / 2)) < 0 ||
        (rc = score_open(&j->score, &j->all.e.rows.classes, j->bank.per_class)) < 0)
        return rc;
    knn_bank_tell(&j->bank);
    j->idx = mem_alloc((size_t)BLOCK * k, sizeof *j->idx, "neighbours");
    j->sim = mem_alloc((size_t)BLOCK * MAX(k, j->bank.nclasses), sizeof *j->sim, "scores");
    if (!j->idx || !j->sim)
        return -ENOMEM;
    return j->linear
               ? fit_probe(j)
               : knn_vote_open(&j->vote, (enum knn_rule)o.vote, o.temperature, j->bank.nclasses);
}

/* The best classes by score, of equals the lower label; none if a score is not finite. */
static size_t best_scores(int32_t *top, const float *score, size_t nclasses)
{
    size_t n = 0;
    for (size_t c = 0; c < nclasses; c++) {
        size_t at = n;
        if (!isfinite(score[c]))
            return 0;
        while (at > 0 && score[c] > score[top[at - 1]])
            at--;
        if (at == SCORE_TOP)
            continue;
        n += n < SCORE_TOP;
        for (size_t i = n - 1; i > at; i--)
            top[i] = top[i - 1];
        top[at] = (int32_t)c;
    }
    return n;
}

static int score_linear(struct job *j, const struct embed *t, size_t row, int32_t truth,
                        const float *score)
{
    int32_t top[SCORE_TOP];
    size_t n = best_scores(top, score, j->bank.nclasses), len;
    const char *key = rows_key(&t->rows, row, &len);
    if (n == 0) /* the row lies beyond float32, counted in deviations of the bank's */
        return fail(-ENUMERIC, "%s: row %zu (%.*s): the probe's scores are not finite", t->name,
                    row, (int)MIN(len, (size_t)400), key);
    score_add(&j->score, truth, top, n);
    return 0;
}

static int note_overlap(struct job *j, const struct rows *r, size_t row)
{
    size_t len;
    const char *key = rows_key(r, row, &len);
    if (j->twice++ == 0 && !(j->twice_key = mem_printf("%.*s", (int)len, key)))
        return -ENOMEM;
    return 0;
}

/* Rows first .. first+n-1 of t, at most BLOCK of them. */
static int test_rows(struct job *j, const struct embed *t, size_t first, size_t n, const float *x)
{
    size_t k = (size_t)o.k;
    int rc = j->linear ? probe_score(&j->probe, j->kn, x, n, j->sim)
                       : knn_search(&j->bank, x, NULL, n, j->idx, j->sim);
    for (size_t i = 0; i < n && rc >= 0; i++) {
        const struct rows *r = &t->rows;
        size_t at = first + i;
        if (j->own && (r->label[at] >= 0 || knn_bank_has(&j->bank, r->id[at])))
            continue;
        int32_t truth = r->truth && r->truth[at] >= 0 ? r->truth[at] : r->label[at];
        if (truth >= 0 && knn_bank_has(&j->bank, r->id[at]))
            rc = note_overlap(j, r, at);
        if (rc >= 0 && j->linear) {
            rc = score_linear(j, t, at, truth, j->sim + i * j->bank.nclasses);
        } else if (rc >= 0) {
            knn_vote_count(&j->vote, &j->bank, j->idx + i * k, j->sim + i * k, k);
            score_add(&j->score, truth, j->vote.order, MIN(j->vote.voted, (size_t)SCORE_TOP));
        }
    }
    progress_add(&j->progress, n);
    return rc;
}

static int test_block(void *arg, const struct embed *t, size_t first, size_t n, const float *x)
{
    struct job *j = arg;
    int rc = 0;
    for (size_t at = 0; at < n && rc >= 0; at += BLOCK)
        rc = test_rows(j, t, first + at, MIN((size_t)BLOCK, n - at), x + at * t->d);
    return rc;
}

static int end_file(void *arg, const struct embed *t)
{
    struct job *j = arg;
    int rc = prov_input(t->name, t->checksum);
    return rc < 0 ? rc : history_merge(&j->history, &t->history);
}

static int test_stream(struct job *j, char **operands, int n)
{
    int rc = embed_stream(operands, n, o.mem, &j->all.e, test_block, end_file, j);
    if (rc >= 0 && j->twice && !o.overlap)
        rc = fail(-EINVAL, "the bank holds %s too (the first: %s); --allow-overlap counts them",
                  TEXT_COUNT(j->twice, "test row", "test rows"), j->twice_key);
    if (rc >= 0 && j->score.rows == 0)
        rc = fail(-EINVAL, "no test row has a known class");
    return rc;
}

/* What was done, as a line for people and as members of the record. */
static int describe(struct job *j)
{
    const struct embed_kind *kind = &j->all.e.kind;
    const struct probe *p = &j->probe;
    char *layer = json_quote(kind->layer, strlen(kind->layer));
    char *net = json_quote(kind->net, strlen(kind->net));
    char *checkpoint = json_quote(kind->checkpoint, strlen(kind->checkpoint));
    char *shared = layer && net && checkpoint
                       ? mem_printf("\"layer\": %s, \"net\": %s, \"checkpoint\": %s, "
                                    "\"dimensions\": %zu, \"bank\": %zu, \"overlap\": %llu",
                                    layer, net, checkpoint, j->all.e.d, j->bank.n,
                                    (unsigned long long)j->twice)
                       : NULL;
    free(layer);
    free(net);
    free(checkpoint);
    if (!shared)
        return -ENOMEM;
    char held[32] = "null";
    if (isfinite(p->held_accuracy))
        snprintf(held, sizeof held, "%.6f", p->held_accuracy);
    if (j->linear) {
        j->title = mem_printf("linear probe (L2 strength %.3g) of %s, tested on %llu", p->strength,
                              TEXT_COUNT(j->bank.n, "labelled row", "labelled rows"),
                              (unsigned long long)j->score.rows);
        j->details = mem_printf(
            "\"method\": \"linear\", \"strength\": %.6g, \"held_out\": %zu, "
            "\"held_out_accuracy\": %s, \"iterations\": %zu, \"seed\": %llu, %s",
            p->strength, p->held, held, p->iterations, (unsigned long long)o.seed, shared);
    } else {
        j->title = mem_printf("%d nearest of %s (%s), tested on %llu", o.k,
                              TEXT_COUNT(j->bank.n, "labelled row", "labelled rows"),
                              knn_rule_names[o.vote], (unsigned long long)j->score.rows);
        j->details = mem_printf("\"method\": \"knn\", \"k\": %d, \"vote\": \"%s\", "
                                "\"temperature\": %.6g, %s",
                                o.k, knn_rule_names[o.vote], o.temperature, shared);
    }
    free(shared);
    j->score.title = j->title;
    j->score.details = j->details;
    return j->title && j->details ? 0 : -ENOMEM;
}

static int tell(struct job *j)
{
    int rc = describe(j);
    if (rc >= 0)
        rc = history_self(&j->history);
    if (rc >= 0 && o.report)
        rc = score_report(&j->score, o.report, o.log, &j->history);
    if (rc < 0)
        return rc;
    if (j->score.skipped)
        log_warn("passed over: %s without a known class",
                 TEXT_COUNT(j->score.skipped, "test row", "test rows"));
    if (o.json)
        rc = score_json(&j->score, stdout, &j->history);
    else
        score_table(&j->score, stdout);
    if (rc >= 0 && fflush(stdout) != 0)
        rc = fail_errno("standard output");
    return rc;
}

static int evaluate(struct job *j, int n, char **operands)
{
    int rc;
    if (!o.bank) {
        struct stat sb;
        if (n != 1 || strcmp(operands[0], "-") == 0 ||
            (stat(operands[0], &sb) == 0 && S_ISFIFO(sb.st_mode))) /* it is read twice */
            return fail(-EUSAGE, "labelled rows are missing: give -b BANK, or one file that holds "
                                 "labelled and other rows");
        j->own = true;
        o.bank = operands[0];
    }
    if (o.log && !o.report)
        return fail(-EUSAGE, "--log is drawn into --report DIR");
    if (strcmp(o.bank, "-") == 0 && stream_stdin(operands, n) > 0)
        return fail(-EUSAGE, "standard input cannot be both the bank and the test rows");
    if (o.report &&
        ((rc = score_report_spares(o.report, (const char *const[]){ o.bank, o.log }, 2)) < 0 ||
         (rc = score_report_spares(o.report, (const char *const *)operands, (size_t)n)) < 0))
        return rc;
    if ((rc = pool_open(&j->pool, opt_common.threads)) < 0)
        return rc;
    if ((rc = device_open(&j->kn, j->pool, o.device)) < 0 || (rc = open_bank(j)) < 0)
        return rc;
    progress_start(&j->progress, "rows", 0);
    rc = test_stream(j, operands, n);
    progress_end(&j->progress);
    return rc < 0 ? rc : tell(j);
}

static int run(bool linear, int n, char **operands)
{
    struct job j = { .linear = linear };
    int rc = evaluate(&j, n, operands);
    score_close(&j.score);
    probe_release(&j.probe);
    knn_vote_close(&j.vote);
    knn_bank_close(&j.bank);
    embed_all_release(&j.all);
    history_release(&j.history);
    rc = device_close(j.kn, rc);
    pool_close(j.pool);
    free(j.idx);
    free(j.sim);
    free(j.twice_key);
    free(j.title);
    free(j.details);
    return rc;
}

static int run_knn(int n, char **operands)
{
    return run(false, n, operands);
}

static int run_linear(int n, char **operands)
{
    return run(true, n, operands);
}

static const struct opt_verb verbs[] = {
    { "knn", "[options] [-b BANK] [TEST...]", "score the vote of the nearest labelled rows",
      knn_opts, run_knn },
    { "linear", "[options] [-b BANK] [TEST...]",
      "score a linear classifier fitted to the labelled rows", linear_opts, run_linear },
    { 0 }
};

int main(int argc, char **argv)
{
    return opt_main("semppl-eval", verbs, argc, argv);
}
