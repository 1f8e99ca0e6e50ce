/*
 * semppl-knn - a class and a confidence for every picture, from its nearest labelled embeddings.
 *
 * With a bank, queries stream through in bounded memory. Without, all input is kept (in memory up
 * to half of --mem, in a temporary file beyond): its labelled rows vote for the others.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/opt.h"
#include "common/data/assign.h"
#include "common/data/outfile.h"
#include "common/model/device.h"
#include "common/model/knn_vote.h"
#include "common/model/sheet.h"
#include "common/model/tally.h"
#include <stdlib.h>
#include <string.h>

enum { ANSWERS = 1 << 22, MOST_BLOCK = 4096 }; /* neighbours held at once; queries at once */

static struct {
    const char *bank, *out, *sheet, *device;
    int k, vote, show;
    double temperature, min_confidence;
    bool hdf5;
    uint64_t mem;
    struct opt_list images;
} o = {
    .k = 20, .vote = KNN_WEIGHTED, .temperature = 0.07, .mem = (uint64_t)4 << 30, .device = "auto"
};

static const struct opt opts[] = {
    OPT_STR('b', "bank", &o.bank, "SHARD", "embeddings whose labelled rows vote"),
    OPT_INT('k', "neighbours", &o.k, "N", 1, 4096, "neighbours that vote for each query"),
    OPT_CHOICE(0, "vote", &o.vote, knn_rule_names, "what a neighbour's vote counts"),
    OPT_FLOAT(0, "temperature", &o.temperature, "T", 1e-4, 1e4,
              "weighted votes count exp(similarity / T)"),
    OPT_FLOAT(0, "min-confidence", &o.min_confidence, "P", 0, 1, "below it, the answer is '?'"),
    OPT_INT(0, "show-neighbours", &o.show, "N", 0, 4096, "nearest neighbours to list in each row"),
    OPT_FLAG(0, "hdf5", &o.hdf5, "write HDF5 instead of text"),
    OPT_SIZE(0, "mem", &o.mem, "SIZE", 1 << 20, 1e18, "memory for embeddings"),
    OPT_STR(0, "sheet", &o.sheet, "PICTURE", "contact sheet to draw (.png, .jpg)"),
    OPT_LIST(0, "images", &o.images, "SHARD", "image shard with the sheet's pictures; repeatable"),
    OPT_DEVICE(&o.device),
    OPT_STR('o', "output", &o.out, "FILE", "file to write instead of standard output"),
    OPT_COMMON,
    OPT_END
};

/* What one run holds. */
struct job {
    struct kern *kn;
    struct embed_all all; /* the bank, or all input */
    struct knn_bank bank;
    struct knn_vote vote;
    const struct classes *classes; /* the bank's */
    struct tally tally;
    struct sheet sheet;
    struct assign_writer *w;
    struct history history;
    struct progress progress;
    int32_t *idx;
    float *sim;
    struct assign_neighbour *near;
    size_t block; /* queries at once */
};

static bool to_stdout(void)
{
    return !o.out || strcmp(o.out, "-") == 0;
}

static int open_bank(struct job *j, char **operands, int n)
{
    int rc = o.bank ? embed_read_labelled(&j->all, operands, n, o.mem / 2)
                    : embed_read_all(&j->all, operands, n, o.mem / 2);
    if (rc < 0 || (rc = knn_bank_open(&j->bank, j->kn, &j->all.e, (size_t)o.k, o.mem / 2)) < 0 ||
        (rc = knn_vote_open(&j->vote, (enum knn_rule)o.vote, o.temperature, j->bank.nclasses)) <
            0 ||
        (rc = tally_open(&j->tally, j->bank.nclasses)) < 0 ||
        (o.sheet && (rc = sheet_open(&j->sheet, j->bank.nclasses, (char **)(uintptr_t)o.images.item,
                                     (int)o.images.n)) < 0))
        return rc;
    knn_bank_tell(&j->bank);
    if (j->bank.fewest == 0)
        log_warn("a class without a labelled row can never be given");
    j->classes = &j->all.e.rows.classes;
    j->block = MIN(MAX((size_t)ANSWERS / (size_t)o.k, (size_t)1), (size_t)MOST_BLOCK);
    j->idx = mem_alloc(j->block * (size_t)o.k, sizeof *j->idx, "neighbours");
    j->sim = mem_alloc(j->block * (size_t)o.k, sizeof *j->sim, "neighbours");
    j->near = mem_alloc((size_t)o.show, sizeof *j->near, "neighbours");
    return j->idx && j->sim && j->near ? 0 : -ENOMEM;
}

/* What is known of a query: the truth that a split hid, or the label it came with. */
static int32_t truth_of(const struct rows *r, size_t row)
{
    return r->truth && r->truth[row] >= 0 ? r->truth[row] : r->label[row];
}

static int offer_to_sheet(struct job *j, const struct assign_row *row, int32_t winner,
                          const int32_t *idx, const float *sim)
{
    struct sheet_item it = { .id = row->id,
                             .label = winner,
                             .truth = row->truth,
                             .unsure = row->label < 0,
                             .confidence = row->confidence };
    for (int i = 0; i < SHEET_NEAR; i++) {
        it.near[i] = i < o.k ? idx[i] : -1;
        it.sim[i] = i < o.k ? sim[i] : 0;
    }
    return sheet_offer(&j->sheet, &it);
}

/* One query and its neighbours: the vote, the output row, the books. */
static int answer(struct job *j, const struct rows *r, size_t at, const int32_t *idx,
                  const float *sim)
{
    const struct rows *br = &j->all.e.rows;
    struct assign_row row = { .id = r->id[at], .truth = truth_of(r, at), .near = j->near };
    int32_t winner = knn_vote_count(&j->vote, &j->bank, idx, sim, (size_t)o.k);
    bool sure = j->vote.confidence >= o.min_confidence;
    row.key = rows_key(r, at, &row.keylen);
    row.label = sure ? winner : -1;
    row.confidence = (float)j->vote.confidence;
    for (int i = 0; i < o.show && idx[i] >= 0; i++) {
        struct assign_neighbour *near = &j->near[row.nnear++];
        size_t b = j->bank.row[idx[i]];
        near->key = rows_key(br, b, &near->keylen);
        near->id = br->id[b];
        near->label = br->label[b];
        near->sim = sim[i];
    }
    tally_add(&j->tally, row.label, row.truth, j->vote.confidence);
    int rc = o.sheet ? offer_to_sheet(j, &row, winner, idx, sim) : 0;
    return rc < 0 ? rc : assign_add(j->w, j->classes, &row);
}

/*
 * Rows first .. first+n-1 of e, whose vectors x holds from the beginning; or, if row is given, rows
 * row[0] .. row[n-1], where x holds all.
 */
static int label_rows(struct job *j, const struct embed *e, const float *x, size_t first,
                      const uint32_t *row, size_t n)
{
    size_t d = e->d, k = (size_t)o.k;
    int rc = 0;
    for (size_t at = 0; at < n && rc >= 0; at += j->block) {
        size_t some = MIN(j->block, n - at);
        rc =
            knn_search(&j->bank, row ? x : x + at * d, row ? row + at : NULL, some, j->idx, j->sim);
        for (size_t i = 0; i < some && rc >= 0; i++)
            rc = answer(j, &e->rows, row ? row[at + i] : first + at + i, j->idx + i * k,
                        j->sim + i * k);
        progress_add(&j->progress, some);
    }
    return rc;
}

static int label_block(void *arg, const struct embed *q, size_t first, size_t n, const float *x)
{
    struct job *j = arg;
    for (size_t i = first; i < first + n; i++)
        j->tally.twice += knn_bank_has(&j->bank, q->rows.id[i]);
    return label_rows(j, q, x, first, NULL, n);
}

/* The rows of a file of queries are through: its history, and the output so far. */
static int end_file(void *arg, const struct embed *q)
{
    struct job *j = arg;
    int rc = 0;
    if (to_stdout()) { /* each output image has its own history */
        history_release(&j->history);
        rc = history_merge(&j->history, &j->all.e.history);
    }
    if (rc < 0 || (rc = prov_input(q->name, q->checksum)) < 0 ||
        (rc = history_merge(&j->history, &q->history)) < 0 || !to_stdout() ||
        (rc = history_self(&j->history)) < 0)
        return rc;
    return assign_flush(j->w, j->classes, &j->history);
}

/* Without -b: the unlabelled rows of all input. */
static int label_rest(struct job *j)
{
    const struct embed *e = &j->all.e;
    uint32_t *row = mem_alloc(e->rows.n, sizeof *row, "queries");
    size_t n = 0;
    int rc = row ? 0 : -ENOMEM;
    for (size_t i = 0; row && i < e->rows.n; i++)
        if (e->rows.label[i] < 0)
            row[n++] = (uint32_t)i;
    if (rc >= 0 && n == 0)
        log_warn("every row has a label already; nothing to do");
    if (rc >= 0)
        rc = label_rows(j, e, e->x, 0, row, n);
    if (rc >= 0 && to_stdout() && (rc = history_self(&j->history)) >= 0)
        rc = assign_flush(j->w, j->classes, &j->history);
    free(row);
    return rc;
}

static int check_written(const char *path, int n, char **operands)
{
    int rc = outfile_spares(path, (const char *const *)operands, (size_t)n);
    if (rc == 0)
        rc = outfile_spares(path, &o.bank, 1);
    return rc == 0 ? outfile_spares(path, o.images.item, o.images.n) : rc;
}

static int check_options(int n, char **operands)
{
    int stdin_used = stream_stdin(operands, n);
    for (size_t i = 0; i < o.images.n; i++)
        stdin_used += strcmp(o.images.item[i], "-") == 0;
    stdin_used += o.bank && strcmp(o.bank, "-") == 0;
    if (stdin_used > 1)
        return fail(-EUSAGE, "standard input can only be one of bank, queries and images");
    if (o.show > o.k)
        return fail(-EUSAGE, "--show-neighbours %d: only -k %d are looked for", o.show, o.k);
    if (o.sheet && o.images.n == 0)
        return fail(-EUSAGE, "--sheet needs the pictures: give --images SHARD");
    if (!o.sheet && o.images.n > 0)
        return fail(-EUSAGE, "--images is for --sheet PICTURE");
    int rc = check_written(o.out, n, operands);
    if (rc == 0 && o.sheet && (rc = sheet_check_path("--sheet", o.sheet)) == 0)
        rc = check_written(o.sheet, n, operands);
    return rc == 0 ? outfile_apart((const char *const[]){ o.out, o.sheet }, 2) : rc;
}

static int label_all(struct job *j, int n, char **operands)
{
    char *bank[] = { (char *)(uintptr_t)o.bank };
    int rc = assign_open(&j->w, o.out, o.hdf5, (size_t)o.show); /* before the work: it may fail */
    if (rc < 0 || (rc = o.bank ? open_bank(j, bank, 1) : open_bank(j, operands, n)) < 0 ||
        (rc = prov_input(j->all.e.name, j->all.e.checksum)) < 0 ||
        (rc = history_merge(&j->history, &j->all.e.history)) < 0)
        return rc;
    progress_start(&j->progress, "rows", 0);
    rc = o.bank ? embed_stream(operands, n, o.mem, &j->all.e, label_block, end_file, j)
                : label_rest(j);
    progress_end(&j->progress);
    if (rc >= 0 && o.sheet)
        rc = sheet_write(&j->sheet, o.sheet, &j->bank, j->classes);
    if (rc >= 0 && !to_stdout())
        rc = history_self(&j->history);
    if (rc < 0)
        return rc;
    rc = assign_close(j->w, j->classes, &j->history);
    j->w = NULL;
    if (rc >= 0)
        tally_print(&j->tally, &j->bank, j->classes);
    return rc;
}

static int run(int n, char **operands)
{
    struct job j = { 0 };
    struct pool *pool = NULL;
    int rc = check_options(n, operands);
    if (rc < 0 || (rc = pool_open(&pool, opt_common.threads)) < 0)
        goto out;
    if ((rc = device_open(&j.kn, pool, o.device)) == 0)
        rc = label_all(&j, n, operands);
out:
    assign_abort(j.w);
    sheet_close(&j.sheet);
    tally_close(&j.tally);
    knn_vote_close(&j.vote);
    knn_bank_close(&j.bank);
    embed_all_release(&j.all);
    history_release(&j.history);
    rc = device_close(j.kn, rc);
    pool_close(pool);
    free(j.idx);
    free(j.sim);
    free(j.near);
    free(o.images.item);
    return rc;
}

static const struct opt_verb verbs[] = { { NULL, "[options] [-b BANK] [SHARD...]",
                                           "labels from the nearest labelled embeddings", opts,
                                           run },
                                         { 0 } };

int main(int argc, char **argv)
{
    return opt_main("semppl-knn", verbs, argc, argv);
}
