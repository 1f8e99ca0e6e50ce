/*
 * semppl-prep - pictures in folders, lists and tar streams become image shards.
 *
 * Every file is accounted for: it is stored, or the ledger names it with the reason. Files are
 * listed first, then labels are settled, then batches are read and decoded by all threads and
 * stored in order by one.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/base/pool.h"
#include "common/base/prov.h"
#include "common/base/text.h"
#include "common/data/image.h"
#include "common/data/intake.h"
#include "common/data/labels.h"
#include "common/data/ledger.h"
#include "common/data/outfile.h"
#include "common/data/shard.h"
#include "common/data/source.h"
#include "common/data/split.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum on_error { SKIP, FAIL, KEEP };
static const char *const on_error_names[] = { "skip", "fail", "keep", NULL };

enum { BATCH_FILES = 64 };               /* a thread in a batch */
#define BATCH_BYTES ((uint64_t)64 << 20) /* of files in a batch, or of a thread's pixels */

static struct {
    const char *output, *labels, *ledger, *files_from, *masks;
    int labels_per_class, short_side, pixels, on_error;
    double label_fraction;
    uint64_t seed, shard_size;
    bool null, strict, saliency;
} o = { .output = "-", .shard_size = SHARD_IMAGE_LIMIT };

static const struct opt opts[] = {
    OPT_STR('o', "output", &o.output, "FILE",
            "the shard; with %d or %05d in it, numbered shards; -: standard output"),
    OPT_STR('l', "labels", &o.labels, "TSV", "path and class of any files, instead of folders"),
    OPT_INT(0, "labels-per-class", &o.labels_per_class, "N", 1, 1e9,
            "keep the labels of N pictures a class, hide the others"),
    OPT_FLOAT(0, "label-fraction", &o.label_fraction, "F", 1e-9, 1,
              "keep the labels of this part of each class, hide the others"),
    OPT_U64('s', "seed", &o.seed, "N", "which labels are kept"),
    OPT_INT(0, "short-side", &o.short_side, "PX", 1, 65500,
            "shrink larger pictures to this short side"),
    OPT_INT(0, "pixels", &o.pixels, "PX", 1, 4096, "store decoded squares of this side"),
    OPT_STR(0, "masks", &o.masks, "DIR",
            "masks of the pictures' foregrounds: PNG or JPEG under the same paths"),
    OPT_FLAG(0, "saliency", &o.saliency, "compute such masks from the pictures' colours"),
    OPT_SIZE(0, "shard-size", &o.shard_size, "SIZE", 65536, 1e15,
             "bytes of a shard on standard output or with a numbered name"),
    OPT_STR(0, "ledger", &o.ledger, "TSV", "account of every file that was not simply stored"),
    OPT_CHOICE(0, "on-error", &o.on_error, on_error_names,
               "skip what cannot be used, fail at it, or keep what can be saved of it"),
    OPT_FLAG(0, "strict", &o.strict, "exit status 4 if any file was skipped"),
    OPT_STR(0, "files-from", &o.files_from, "FILE",
            "names of files, one a line; -: standard input"),
    OPT_FLAG('0', "null", &o.null, "names in --files-from end in NUL"),
    OPT_COMMON,
    OPT_END
};

struct job {
    struct source source;
    struct labels labels;
    struct intake_rule rule;
    const struct classes *classes;
    int32_t *truth, *label; /* [source.n] as given; after the split */
    bool split;
    struct pool *pool;
    struct history history;
    struct shard_writer *writer;
    struct ledger ledger;
    uint64_t *id;       /* [source.n] of the stored */
    size_t *same, room; /* hash table over id of stored files' numbers + 1 */
    size_t stored, duplicates, conflicts, masks, faults;
    size_t *stored_in, *labelled_in;          /* [classes] rows stored, labels kept */
    double start, reading, decoding, writing; /* seconds; the first two summed over threads */
};

/* -- what goes in ---- */

/* What is about to be replaced: "-o *.jpg" would be the first picture. */
static int check_targets(void)
{
    const char *read[] = { o.labels, o.files_from };
    for (size_t i = 0; i < ARRAY_LEN(read); i++)
        if (read[i] != NULL && shard_writer_names(o.output, read[i]))
            return fail(-EUSAGE, "%s is an input, and would be replaced", read[i]);
    int rc = image_spares(o.output);
    if (rc < 0 || o.ledger == NULL)
        return rc;
    if (shard_writer_names(o.output, o.ledger))
        return fail(-EUSAGE, "%s cannot be both %s and the ledger", o.ledger,
                    strchr(o.output, '%') != NULL ? "a shard" : "the shard");
    rc = outfile_spares(o.ledger, read, ARRAY_LEN(read));
    return rc < 0 ? rc : image_spares(o.ledger);
}

static int check_options(int n, char **operands)
{
    int streams = o.files_from != NULL && strcmp(o.files_from, "-") == 0;
    for (int i = 0; i < n; i++)
        streams += strcmp(operands[i], "-") == 0;
    if (streams > 1)
        return fail(-EUSAGE, "standard input can be read once only");
    if (n == 0 && o.files_from == NULL && isatty(STDIN_FILENO))
        return fail(-EUSAGE, "name a folder or files, or give a tar stream on standard input");
    if (o.null && o.files_from == NULL)
        return fail(-EUSAGE, "-0 says how --files-from is written, which is not given");
    if (opt_given(&o.labels_per_class) && opt_given(&o.label_fraction))
        return fail(-EUSAGE, "--labels-per-class and --label-fraction exclude each other");
    if (opt_given(&o.seed) && !opt_given(&o.labels_per_class) && !opt_given(&o.label_fraction))
        return fail(-EUSAGE, "--seed has no effect without --labels-per-class or --label-fraction");
    if (o.pixels > 0 && o.short_side > 0)
        return fail(-EUSAGE, "--pixels and --short-side exclude each other");
    if (o.masks != NULL && o.saliency)
        return fail(-EUSAGE, "--masks and --saliency exclude each other");
    struct stat st;
    if (o.masks != NULL && (stat(o.masks, &st) != 0 || !S_ISDIR(st.st_mode)))
        return fail(-ENOENT, "%s: there is no such folder of masks", o.masks);
    if (opt_given(&o.shard_size) && strcmp(o.output, "-") != 0 && strchr(o.output, '%') == NULL)
        return fail(-EUSAGE, "--shard-size needs a numbered name, such as -o name-%%05d.h5");
    if (o.ledger != NULL && strcmp(o.ledger, "-") == 0)
        return fail(-EUSAGE, "--ledger needs the name of a file");
    return check_targets();
}

static int list_inputs(struct job *j, int n, char **operands)
{
    struct source *s = &j->source;
    bool many = n + (o.files_from != NULL) > 1;
    int rc = n == 0 && o.files_from == NULL ? source_add_tar(s) : 0;
    for (int i = 0; rc == 0 && i < n; i++)
        rc = strcmp(operands[i], "-") == 0 ? source_add_tar(s)
                                           : source_add_operand(s, operands[i], many);
    if (rc == 0 && o.files_from != NULL)
        rc = source_add_list(s, o.files_from, o.null);
    if (rc == 0)
        rc = source_finish(s);
    if (rc == 0 && s->n == 0)
        rc = fail(-ENOENT, "no files in the input");
    return rc;
}

/* The history names the input and a checksum of its listing: keys and sizes. */
static int note_inputs(struct job *j, int n, char **operands)
{
    char seed[24], what[64];
    uint32_t crc = 0;
    for (size_t i = 0; i < j->source.n; i++) {
        const char *key = source_key(&j->source, i);
        uint8_t size[8];
        for (int b = 0; b < 8; b++)
            size[b] = (uint8_t)(j->source.file[i].size >> 8 * b);
        crc = (uint32_t)crc32_z(crc, (const Bytef *)key, strlen(key) + 1);
        crc = (uint32_t)crc32_z(crc, size, sizeof size);
    }
    snprintf(what, sizeof what, "%d inputs", n + (o.files_from != NULL));
    int rc = prov_input(n == 1 && o.files_from == NULL   ? operands[0]
                        : n == 0 && o.files_from != NULL ? o.files_from
                        : n == 0                         ? "-"
                                                         : what,
                        crc);
    if (rc >= 0 && o.labels != NULL)
        rc = prov_input(o.labels, j->labels.checksum);
    snprintf(seed, sizeof seed, "%" PRIu64, o.seed);
    if (rc >= 0 && j->split)
        rc = prov_note("seed", seed);
    return rc < 0 ? rc : history_self(&j->history);
}

/* -- labels ---- */

static int label_from_list(struct job *j)
{
    struct source *s = &j->source;
    size_t unknown = 0, line = 0;
    const char *name = "";
    int rc = labels_read(&j->labels, o.labels);
    for (size_t i = 0; rc == 0 && i < j->labels.n; i++) {
        const struct label *l = &j->labels.item[i];
        size_t at = source_find(s, l->key);
        if (at < s->n) {
            j->truth[at] = l->label;
            continue;
        }
        if (unknown++ == 0 || l->line < line) {
            line = l->line;
            name = l->key;
        }
    }
    if (rc == 0 && unknown > 0)
        rc = fail(
            -EINVAL,
            "%s: line %zu: %s is not among the inputs, whose paths are like %s (such lines: %zu)",
            o.labels, line, name, source_key(s, 0), unknown);
    return rc;
}

struct sniff {
    const struct job *j;
    bool *picture;
};

static int sniff_task(void *arg, size_t i, int worker UNUSED)
{
    const struct sniff *s = arg;
    const char *reason;
    int rc = s->j->truth[i] < 0 ? 1 : source_read(&s->j->source, i, NULL, NULL, &reason);
    s->picture[i] = rc == 0;
    return MIN(rc, 0);
}

struct probe {
    const struct job *j;
    const size_t *row;
    bool *good;
};

static int probe_task(void *arg, size_t i, int worker UNUSED)
{
    const struct probe *p = arg;
    struct intake picture;
    int rc = intake_read(&picture, &p->j->source, p->row[i], &p->j->rule, false);
    p->good[i] = rc == 0 && picture.reason == NULL;
    intake_release(&picture);
    return rc;
}

static int probe_rows(void *arg, const size_t *row, size_t n, bool *good)
{
    struct job *j = arg;
    struct probe p = { j, row, good };
    return pool_run(j->pool, n, probe_task, &p);
}

static void warn_of_short_classes(const struct job *j, const size_t *kept)
{
    size_t n = 0;
    for (size_t k = 0; k < j->classes->n; k++) {
        if (kept[k] >= (size_t)o.labels_per_class)
            continue;
        if (n++ < 10)
            log_warn("class \"%s\" has %s, not %d", j->classes->name[k],
                     TEXT_COUNT(kept[k], "sound picture", "sound pictures"), o.labels_per_class);
    }
    if (n > 10)
        log_warn("fewer than %d also in %s more", o.labels_per_class,
                 TEXT_COUNT(n - 10, "class", "classes"));
}

static int split_labels(struct job *j)
{
    size_t n = j->source.n, nclasses = j->classes->n;
    bool *keep = mem_alloc(n, sizeof *keep, "the split");
    size_t *kept = mem_alloc(nclasses, sizeof *kept, "the split");
    uint64_t *rank = mem_alloc(n, sizeof *rank, "the split");
    int rc = keep == NULL || kept == NULL || rank == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        struct sniff s = { j, keep };
        rc = pool_run(j->pool, n, sniff_task, &s);
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        j->label[i] = keep[i] ? j->truth[i] : -1;
        if (keep[i])
            rank[i] = split_rank(o.seed, j->classes->name[j->truth[i]], source_key(&j->source, i));
    }
    if (rc == 0)
        rc = split_choose(keep, kept, j->label, rank, n, nclasses, (size_t)o.labels_per_class,
                          o.label_fraction, probe_rows, j);
    for (size_t i = 0; rc == 0 && i < n; i++)
        j->label[i] = keep[i] ? j->truth[i] : -1;
    if (rc == 0 && o.labels_per_class > 0)
        warn_of_short_classes(j, kept);
    free(keep);
    free(kept);
    free(rank);
    return rc;
}

static int settle_labels(struct job *j)
{
    size_t n = j->source.n;
    j->truth = mem_alloc(n, sizeof *j->truth, "labels");
    j->label = mem_alloc(n, sizeof *j->label, "labels");
    if (j->truth == NULL || j->label == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        j->truth[i] = o.labels != NULL ? -1 : j->source.file[i].class;
    int rc = o.labels != NULL ? label_from_list(j) : 0;
    if (rc < 0)
        return rc;
    j->classes = o.labels != NULL ? &j->labels.classes : &j->source.classes;
    j->split = o.labels_per_class > 0 || o.label_fraction > 0;
    if (j->split && j->classes->n == 0)
        return fail(-EINVAL, "there are no labels to split: neither sub-folders nor --labels");
    memcpy(j->label, j->truth, n * sizeof *j->label);
    return j->split ? split_labels(j) : 0;
}

/* -- what comes out ---- */

/* The number of an earlier stored file with the same content, or source.n; remembers this one. */
static size_t find_same(struct job *j, size_t i)
{
    size_t at = j->id[i] & (j->room - 1);
    for (; j->same[at] != 0; at = (at + 1) & (j->room - 1))
        if (j->id[j->same[at] - 1] == j->id[i])
            return j->same[at] - 1;
    j->same[at] = i + 1;
    return j->source.n;
}

static int note_duplicate(struct job *j, size_t i, size_t same)
{
    const char *key = source_key(&j->source, i), *other = source_key(&j->source, same);
    bool conflict = j->truth[i] != j->truth[same] && j->truth[i] >= 0 && j->truth[same] >= 0;
    char *detail =
        mem_printf("the same bytes as %s%s", other, conflict ? ", which has another class" : "");
    if (detail == NULL)
        return -ENOMEM;
    ledger_add(&j->ledger, LEDGER_STORED, key, "duplicate", detail);
    free(detail);
    j->duplicates++;
    j->conflicts += conflict;
    return 0;
}

/* A mask that cannot be used is told, and its picture stored without one. */
static int note_mask(struct job *j, const char *key, const struct intake *p)
{
    j->masks += p->mask != NULL;
    if (*p->fault == '\0')
        return 0;
    if (o.on_error == FAIL)
        return fail(-EIO, "%s", p->fault);
    ledger_add(&j->ledger, LEDGER_STORED, key, "mask", p->fault);
    j->faults++;
    return 0;
}

static int store(struct job *j, size_t i, const struct intake *p)
{
    const char *key = source_key(&j->source, i);
    j->reading += p->reading;
    j->decoding += p->decoding;
    if (p->reason != NULL) {
        if (o.on_error == FAIL)
            return fail(-EIO, "%s: %s%s%s", key, p->reason, *p->detail != '\0' ? ": " : "",
                        p->detail);
        ledger_add(&j->ledger, LEDGER_SKIPPED, key, p->reason, p->detail);
        return 0;
    }
    struct shard_row row = { .key = key,
                             .keylen = strlen(key),
                             .id = p->id,
                             .label = j->label[i],
                             .truth = j->truth[i],
                             .h = p->h,
                             .w = p->w,
                             .orientation = p->orientation,
                             .bytes = p->bytes,
                             .nbytes = p->n,
                             .mask = p->mask,
                             .nmask = p->nmask };
    double start = log_seconds();
    int rc = note_mask(j, key, p);
    if (rc == 0)
        rc = shard_writer_add(j->writer, &row);
    j->writing += log_seconds() - start;
    if (rc < 0)
        return rc;
    j->stored++;
    if (j->truth[i] >= 0)
        j->stored_in[j->truth[i]]++;
    if (j->label[i] >= 0)
        j->labelled_in[j->label[i]]++;
    if (p->truncated)
        ledger_add(&j->ledger, LEDGER_KEPT, key, "truncated", p->detail);
    else if (*p->detail != '\0')
        ledger_add(&j->ledger, LEDGER_STORED, key, "oddity", p->detail);
    j->id[i] = p->id;
    size_t same = find_same(j, i);
    return same < j->source.n ? note_duplicate(j, i, same) : 0;
}

struct batch {
    const struct job *j;
    size_t first;
    struct intake *picture;
};

static int batch_task(void *arg, size_t i, int worker UNUSED)
{
    const struct batch *b = arg;
    return intake_read(&b->picture[i], &b->j->source, b->first + i, &b->j->rule, true);
}

/* All threads on a batch, then its pictures to the shard in order. */
static int store_all(struct job *j)
{
    uint64_t pixels = MAX(3 * (uint64_t)o.pixels * (uint64_t)o.pixels, 1);
    uint64_t share = MAX(MIN(BATCH_BYTES / pixels, BATCH_FILES), 1); /* of a thread */
    size_t most = (size_t)share * (size_t)pool_threads(j->pool), n;
    struct batch b = { .j = j, .picture = mem_alloc(most, sizeof *b.picture, "a batch") };
    struct progress progress;
    int rc = b.picture == NULL ? -ENOMEM : 0;
    progress_start(&progress, "files", j->source.n);
    for (; rc == 0 && b.first < j->source.n; b.first += n) {
        uint64_t bytes = 0;
        for (n = 0; n < MIN(most, j->source.n - b.first) && bytes < BATCH_BYTES; n++)
            bytes += MIN(j->source.file[b.first + n].size, SOURCE_MAX_BYTES);
        memset(b.picture, 0, n * sizeof *b.picture);
        rc = pool_run(j->pool, n, batch_task, &b);
        for (size_t i = 0; i < n; i++) {
            if (rc == 0)
                rc = store(j, b.first + i, &b.picture[i]);
            intake_release(&b.picture[i]);
        }
        progress_add(&progress, n);
    }
    progress_end(&progress);
    free(b.picture);
    return rc;
}

/* -- the account ---- */

static void say_labels(const struct job *j)
{
    size_t n = j->classes->n, labels = 0, least = SIZE_MAX, most = 0, empty = 0;
    const char *name = NULL;
    for (size_t k = 0; k < n; k++) {
        labels += j->labelled_in[k];
        least = MIN(least, j->labelled_in[k]);
        most = MAX(most, j->labelled_in[k]);
        if (j->stored_in[k] == 0 && empty++ == 0)
            name = j->classes->name[k];
    }
    if (n == 0) {
        log_info("no labels");
        return;
    }
    if (empty == 1)
        log_warn("class \"%s\" has no pictures", name);
    else if (empty > 1)
        log_warn("%zu classes have no pictures: %s and others", empty, name);
    if (least == most)
        log_info("%zu of %s labelled: %zu in each of %s", labels,
                 TEXT_COUNT(j->stored, "picture", "pictures"), most,
                 TEXT_COUNT(n, "class", "classes"));
    else
        log_info("%zu of %s labelled: %zu to %zu in each of %zu classes", labels,
                 TEXT_COUNT(j->stored, "picture", "pictures"), least, most, n);
}

static void say_masks(const struct job *j)
{
    if (j->faults > 0)
        log_warn("%s that cannot be used%s", TEXT_COUNT(j->faults, "mask", "masks"),
                 o.ledger == NULL ? "; --ledger FILE names them" : "");
    if (o.masks != NULL && j->masks == 0)
        log_warn("%s holds no mask of these pictures: that of %s would be the PNG or JPEG of this "
                 "name there, whatever the ending",
                 o.masks, source_key(&j->source, 0));
    else if (o.masks != NULL || o.saliency)
        log_info("%zu of %s with a mask", j->masks, TEXT_COUNT(j->stored, "picture", "pictures"));
}

static void say_account(const struct job *j, size_t nfiles)
{
    double all = log_seconds() - j->start;
    double work = MAX(j->reading + j->decoding, 1e-9);
    if (j->duplicates > 0)
        log_warn("%s with the content of an earlier one%s",
                 TEXT_COUNT(j->duplicates, "picture", "pictures"),
                 j->conflicts > 0 ? ", not always under the same class" : "");
    if (j->ledger.count[LEDGER_KEPT] > 0)
        log_warn("%s kept", TEXT_COUNT(j->ledger.count[LEDGER_KEPT], "truncated picture",
                                       "truncated pictures"));
    say_labels(j);
    say_masks(j);
    log_debug("%s with a leading dot or __MACOSX left out; %s",
              TEXT_COUNT(j->source.hidden, "name", "names"), TEXT_COUNT(nfiles, "shard", "shards"));
    log_debug("threads: %.0f %% reading, %.0f %% decoding; writing took %.1f s of %.1f",
              100 * j->reading / work, 100 * j->decoding / work, j->writing, all);
    log_info("%s = %zu stored + %zu skipped; %.1f s, %.0f a second",
             TEXT_COUNT(j->source.n, "file", "files"), j->stored, j->ledger.count[LEDGER_SKIPPED],
             all, (double)j->source.n / MAX(all, 1e-9));
}

static int open_outputs(struct job *j)
{
    size_t n = j->source.n;
    for (j->room = 16; j->room < 2 * n;)
        j->room *= 2;
    j->id = mem_alloc(n, sizeof *j->id, "files");
    j->same = mem_alloc(j->room, sizeof *j->same, "files");
    j->stored_in = mem_alloc(j->classes->n, sizeof *j->stored_in, "classes");
    j->labelled_in = mem_alloc(j->classes->n, sizeof *j->labelled_in, "classes");
    if (j->id == NULL || j->same == NULL || j->stored_in == NULL || j->labelled_in == NULL)
        return -ENOMEM;
    char *text = intake_recipe(&j->rule);
    int rc = text == NULL ? -ENOMEM
                          : shard_writer_open(&j->writer, o.output, o.shard_size, (size_t)o.pixels,
                                              j->split, j->classes, text, &j->history);
    free(text);
    return rc < 0 ? rc : ledger_open(&j->ledger, o.ledger);
}

static int close_outputs(struct job *j)
{
    size_t nfiles = 0;
    struct shard_writer *w = j->writer;
    int rc = 0;
    if (j->stored == 0) {
        (void)ledger_commit(&j->ledger); /* the reasons are wanted now more than ever */
        return fail(-EIO, "none of %s is a picture that can be stored",
                    TEXT_COUNT(j->source.n, "file", "files"));
    }
    if ((rc = ledger_sync(&j->ledger)) < 0) /* no shard without its account */
        return rc;
    j->writer = NULL;
    if ((rc = shard_writer_close(w, &nfiles)) < 0 || (rc = ledger_commit(&j->ledger)) < 0)
        return rc;
    say_account(j, nfiles);
    if (o.strict && j->ledger.count[LEDGER_SKIPPED] > 0)
        rc = fail(-ESKIPPED, "skipped %zu of %s", j->ledger.count[LEDGER_SKIPPED],
                  TEXT_COUNT(j->source.n, "file", "files"));
    return rc;
}

static void release(struct job *j)
{
    if (j->writer != NULL)
        shard_writer_abort(j->writer);
    ledger_abort(&j->ledger);
    pool_close(j->pool);
    source_release(&j->source);
    labels_release(&j->labels);
    history_release(&j->history);
    free(j->truth);
    free(j->label);
    free(j->id);
    free(j->same);
    free(j->stored_in);
    free(j->labelled_in);
}

static int run(int n, char **operands)
{
    struct job j = { .start = log_seconds(),
                     .rule = { .pixels = (size_t)o.pixels,
                               .short_side = (size_t)o.short_side,
                               .keep = o.on_error == KEEP,
                               .masks = o.masks,
                               .saliency = o.saliency } };
    int rc = check_options(n, operands);
    source_init(&j.source);
    if (rc == 0)
        rc = pool_open(&j.pool, opt_common.threads);
    if (rc == 0)
        rc = list_inputs(&j, n, operands);
    if (rc == 0)
        rc = settle_labels(&j);
    if (rc == 0)
        rc = note_inputs(&j, n, operands);
    if (rc == 0)
        rc = open_outputs(&j);
    if (rc == 0)
        rc = store_all(&j);
    if (rc == 0)
        rc = close_outputs(&j);
    release(&j);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct opt_verb verbs[] = {
        { NULL, "[options] [INPUT...]",
          "pictures in folders, lists and tar streams become image shards", opts, run },
        { 0 },
    };
    return opt_main("semppl-prep", verbs, argc, argv);
}
