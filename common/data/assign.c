/*
 * assign.c - text goes out row by row; for HDF5 the columns are gathered first.
 */
#include "common/data/assign.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/h5.h"
#include "common/data/outfile.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY = 64 << 20 }; /* bytes of a column before it is spooled to disk */

enum column {
    ID,
    LABEL,
    TRUTH,
    CONFIDENCE,
    KEY,
    KEY_OFFSET,
    NEAR_ID,
    NEAR_LABEL,
    NEAR_SIM,
    COLUMNS
};

struct assign_writer {
    bool hdf5;
    size_t neighbours;
    char *path; /* NULL: standard output */
    struct outfile text;
    struct spool column[COLUMNS];
    size_t n;
    uint64_t keys; /* bytes */
    bool truth;    /* of some row it is known */
};

int assign_open(struct assign_writer **out, const char *path, bool hdf5, size_t neighbours)
{
    struct assign_writer *w = mem_alloc(1, sizeof *w, "the output");
    int rc = w ? 0 : -ENOMEM;
    *out = NULL;
    if (rc < 0)
        return rc;
    w->hdf5 = hdf5;
    w->neighbours = neighbours;
    for (int c = 0; c < COLUMNS; c++)
        spool_init(&w->column[c], MEMORY, NULL);
    if (path && strcmp(path, "-") != 0 && !(w->path = mem_strdup(path)))
        rc = -ENOMEM;
    else if (hdf5)
        rc = h5out_check(w->path);
    else if (w->path)
        rc = outfile_open(&w->text, w->path);
    if (rc < 0) {
        assign_abort(w);
        return rc;
    }
    *out = w;
    return 0;
}

static void print_class(FILE *f, const struct classes *classes, int32_t label)
{
    const char *name = label < 0 ? "?" : classes->name[label];
    rows_print_key(f, name, strlen(name));
}

static int print_row(struct assign_writer *w, const struct classes *classes,
                     const struct assign_row *row)
{
    FILE *f = w->path ? w->text.file : stdout;
    rows_print_key(f, row->key, row->keylen);
    putc('\t', f);
    print_class(f, classes, row->label);
    fprintf(f, "\t%.4f", (double)row->confidence);
    for (size_t i = 0; i < row->nnear; i++) {
        putc('\t', f);
        rows_print_key(f, row->near[i].key, row->near[i].keylen);
        putc('\t', f);
        print_class(f, classes, row->near[i].label);
        fprintf(f, "\t%.4f", (double)row->near[i].sim);
    }
    putc('\n', f);
    return ferror(f) ? fail_errno("%s", w->path ? w->path : "standard output") : 0;
}

static int gather(struct assign_writer *w, const struct assign_row *row)
{
    struct spool *c = w->column;
    int rc = 0;
    w->truth = w->truth || row->truth >= 0;
    if ((rc = spool_append(&c[ID], &row->id, sizeof row->id)) < 0 ||
        (rc = spool_append(&c[LABEL], &row->label, sizeof row->label)) < 0 ||
        (rc = spool_append(&c[TRUTH], &row->truth, sizeof row->truth)) < 0 ||
        (rc = spool_append(&c[CONFIDENCE], &row->confidence, sizeof row->confidence)) < 0 ||
        (rc = spool_append(&c[KEY_OFFSET], &w->keys, sizeof w->keys)) < 0 ||
        (rc = spool_append(&c[KEY], row->key, row->keylen)) < 0)
        return rc;
    w->keys += row->keylen;
    for (size_t i = 0; i < w->neighbours && rc >= 0; i++) {
        struct assign_neighbour none = { .label = -1, .sim = -INFINITY };
        const struct assign_neighbour *at = i < row->nnear ? &row->near[i] : &none;
        if ((rc = spool_append(&c[NEAR_ID], &at->id, sizeof at->id)) < 0 ||
            (rc = spool_append(&c[NEAR_LABEL], &at->label, sizeof at->label)) < 0 ||
            (rc = spool_append(&c[NEAR_SIM], &at->sim, sizeof at->sim)) < 0)
            return rc;
    }
    w->n++;
    return rc;
}

int assign_add(struct assign_writer *w, const struct classes *classes, const struct assign_row *row)
{
    return w->hdf5 ? gather(w, row) : print_row(w, classes, row);
}

static int write_columns(struct assign_writer *w, struct h5out *o, const struct classes *classes)
{
    static const struct {
        const char *name;
        enum h5_type type;
    } plain[] = { [ID] = { "id", H5_U64 },
                  [LABEL] = { "label", H5_I32 },
                  [TRUTH] = { "truth", H5_I32 },
                  [CONFIDENCE] = { "confidence", H5_F32 },
                  [NEAR_ID] = { "neighbour_id", H5_U64 },
                  [NEAR_LABEL] = { "neighbour_label", H5_I32 },
                  [NEAR_SIM] = { "neighbour_similarity", H5_F32 } };
    int rc = spool_append(&w->column[KEY_OFFSET], &w->keys, sizeof w->keys);
    size_t keys = (size_t)w->keys, ends = w->n + 1;
    if (rc < 0 || (rc = h5_write(o, "key", H5_U8, 1, &keys, w->column[KEY].data)) < 0 ||
        (rc = h5_write(o, "key_offset", H5_U64, 1, &ends, w->column[KEY_OFFSET].data)) < 0 ||
        (rc = h5_write_strings(o, "classes", classes->name, classes->n)) < 0)
        return rc;
    for (int c = 0; c < COLUMNS && rc >= 0; c++) {
        size_t dim[2] = { w->n, w->neighbours };
        bool two = c >= NEAR_ID;
        if (c == KEY || c == KEY_OFFSET || (c == TRUTH && !w->truth) || (two && !w->neighbours))
            continue;
        rc = h5_write(o, plain[c].name, plain[c].type, two ? 2 : 1, dim, w->column[c].data);
    }
    return rc;
}

static int write_hdf5(struct assign_writer *w, const struct classes *classes,
                      const struct history *h)
{
    struct h5out o = { 0 };
    int rc = h5out_open(&o, w->path);
    if (rc < 0)
        return rc;
    rc = write_columns(w, &o, classes);
    if (rc < 0)
        h5out_abort(&o);
    else
        rc = h5out_commit(&o, LABELS_FORMAT, LABELS_VERSION, h);
    for (int c = 0; c < COLUMNS; c++)
        spool_clear(&w->column[c]);
    w->n = 0;
    w->keys = 0;
    w->truth = false;
    return rc;
}

int assign_flush(struct assign_writer *w, const struct classes *classes, const struct history *h)
{
    if (w->path)
        return 0;
    if (w->hdf5)
        return write_hdf5(w, classes, h);
    return fflush(stdout) == 0 ? 0 : fail_errno("standard output");
}

int assign_close(struct assign_writer *w, const struct classes *classes, const struct history *h)
{
    int rc = 0;
    if (w->path && w->hdf5)
        rc = write_hdf5(w, classes, h);
    else if (w->path)
        rc = outfile_commit(&w->text);
    else if (!w->hdf5 && fflush(stdout) != 0)
        rc = fail_errno("standard output");
    assign_abort(w);
    return rc;
}

void assign_abort(struct assign_writer *w)
{
    if (!w)
        return;
    outfile_abort(&w->text);
    for (int c = 0; c < COLUMNS; c++)
        spool_release(&w->column[c]);
    free(w->path);
    free(w);
}
