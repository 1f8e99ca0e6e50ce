/*
 * embed_writer.c - collects vectors with their columns and makes embedding shards of them.
 */
#include "common/base/fail.h"
#include "common/data/columns.h"
#include "common/data/embed.h"
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#define SPOOL_MEMORY ((size_t)256 << 20) /* bytes kept before they go beside the target */
/* Bounds of what an image takes besides x and keys: see shard_writer.c. */
#define FIXED_BYTES 10240
#define ROW_BYTES 32

struct embed_writer {
    char *path, *dir;
    size_t limit;  /* bytes of a file, SIZE_MAX: none */
    size_t nnames; /* of the class names, the bytes in a file */
    size_t d;
    struct embed_kind kind;
    const struct history *history;
    struct rows rows; /* of the file being made */
    struct spool x;
    size_t nfiles;
};

int embed_writer_open(struct embed_writer **out, const char *path, size_t d,
                      const struct embed_kind *kind, const struct history *h)
{
    struct embed_writer *w = mem_alloc(1, sizeof(*w), "embeddings");
    bool pipe = !path || strcmp(path, "-") == 0;
    char *copy;
    int rc = -ENOMEM;

    *out = NULL;
    if (!w)
        return rc;
    w->d = d;
    w->kind = *kind;
    w->history = h;
    w->limit = pipe ? EMBED_IMAGE_LIMIT : SIZE_MAX;
    spool_init(&w->x, SIZE_MAX, NULL);
    if (!(w->path = mem_strdup(pipe ? "-" : path)))
        goto failed;
    if (!pipe) {
        if ((copy = mem_strdup(path)))
            w->dir = mem_strdup(dirname(copy));
        free(copy);
        if (!w->dir)
            goto failed;
        spool_init(&w->x, SPOOL_MEMORY, w->dir);
    }
    if ((rc = h5out_check(w->path)) < 0)
        goto failed;
    *out = w;
    return 0;
failed:
    embed_writer_abort(w);
    return rc;
}

/* At least the bytes that a file of n rows takes. */
static size_t file_bytes(const struct embed_writer *w, size_t n, size_t nkey)
{
    const struct history *h = w->history;
    size_t line = 0;

    for (size_t i = 0; h && i < h->n; i++)
        line = MAX(line, strlen(h->line[i]));
    return FIXED_BYTES + w->nnames + (h ? h->n : 0) * line + nkey +
           n * (ROW_BYTES + w->d * sizeof(float));
}

static int write_file(struct embed_writer *w, struct h5out *o)
{
    const struct embed_kind *k = &w->kind;
    size_t dim[2] = { w->rows.n, w->d };
    uint32_t crc = crc_bytes(columns_crc(0, &w->rows), w->x.data, w->x.len);
    int rc;

    if ((rc = columns_write(o, &w->rows)) < 0 ||
        (rc = h5_write(o, "x", H5_F32, 2, dim, w->x.data)) < 0 ||
        (rc = h5_put_string(o, "", "layer", k->layer)) < 0 ||
        (rc = h5_put_string(o, "", "net", k->net)) < 0 ||
        (rc = h5_put_string(o, "", "checkpoint", k->checkpoint)) < 0 ||
        (rc = h5_put_int(o, "", "normalised", k->normalised)) < 0)
        return rc;
    return h5_put_int(o, "", "checksum", crc);
}

/* The rows so far become a file; the writer is empty again. */
static int finish(struct embed_writer *w)
{
    struct h5out o;
    int rc = h5out_open(&o, w->path);

    if (rc < 0)
        return rc;
    if ((rc = write_file(w, &o)) < 0) {
        h5out_abort(&o);
        return rc;
    }
    if ((rc = h5out_commit(&o, EMBED_FORMAT, EMBED_VERSION, w->history)) < 0)
        return rc;
    w->nfiles++;
    w->rows.n = 0;
    spool_clear(&w->x);
    return 0;
}

/* How many of count rows still fit into the file: all, if it has no limit. */
static size_t rows_that_fit(const struct embed_writer *w, const struct rows *src, size_t first,
                            size_t count)
{
    const struct rows *r = &w->rows;
    size_t have = r->n ? r->key_offset[r->n] : 0, n = count;

    while (n > 0 &&
           file_bytes(w, r->n + n, have + (src->key_offset[first + n] - src->key_offset[first])) >
               w->limit)
        n = n > 16 ? n - n / 16 : n - 1;
    return n;
}

int embed_writer_add(struct embed_writer *w, const struct rows *src, size_t first, size_t count,
                     const float *x)
{
    struct classes *c = &w->rows.classes;
    size_t known = c->n, wide = 0;
    int rc = classes_meet(c, &src->classes, w->path, "the rows that follow");

    for (size_t i = 0; i < c->n && c->n != known; i++)
        wide = MAX(wide, strlen(c->name[i]));
    if (c->n != known)
        w->nnames = c->n * wide;
    while (rc == 0 && count > 0) {
        size_t n = rows_that_fit(w, src, first, count);
        if (n == 0 && w->rows.n > 0) {
            rc = finish(w);
            continue;
        }
        n = MAX(n, 1); /* one row that is larger than the limit */
        if ((rc = spool_append(&w->x, x, n * w->d * sizeof(*x))) == 0)
            rc = rows_append(&w->rows, src, first, n);
        first += n;
        count -= n;
        x += n * w->d;
    }
    return rc;
}

int embed_writer_close(struct embed_writer *w)
{
    int rc = w->rows.n > 0 || w->nfiles == 0 ? finish(w) : 0;

    embed_writer_abort(w);
    return rc;
}

void embed_writer_abort(struct embed_writer *w)
{
    if (!w)
        return;
    rows_release(&w->rows);
    spool_release(&w->x);
    free(w->path);
    free(w->dir);
    free(w);
}
