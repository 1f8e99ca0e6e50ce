/*
 * embed.c - embedding shards, one by one or all as one.
 */
#include "common/data/embed.h"
#include "common/base/fail.h"
#include "common/data/columns.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)1 << 20) /* bytes of x read at a time */

static int read_word(const struct h5in *in, const char *name, char *out, size_t room)
{
    char *s;
    int rc = h5_attr_string(in, "", name, &s);

    if (rc < 0)
        return rc;
    if (strlen(s) >= room)
        rc = fail(-EINVAL, "%s: attribute %s is longer than %zu bytes", in->name, name, room - 1);
    else
        strcpy(out, s);
    free(s);
    return rc;
}

static int read_kind(const struct h5in *in, struct embed_kind *k)
{
    int64_t normalised;
    int rc;

    if ((rc = read_word(in, "layer", k->layer, sizeof(k->layer))) < 0 ||
        (rc = read_word(in, "net", k->net, sizeof(k->net))) < 0 ||
        (rc = read_word(in, "checkpoint", k->checkpoint, sizeof(k->checkpoint))) < 0 ||
        (rc = h5_attr_int(in, "", "normalised", &normalised)) < 0)
        return rc;
    k->normalised = normalised != 0;
    return 0;
}

/* Everything but x; e->d is its width. */
static int load_columns(const struct h5in *in, struct embed *e)
{
    size_t dim[2];
    int rc = h5_check_format(in, EMBED_FORMAT, EMBED_VERSION, &e->history);

    if (rc < 0)
        return rc;
    if (!(e->name = mem_strdup(in->name)))
        return -ENOMEM;
    if ((rc = read_kind(in, &e->kind)) < 0 || (rc = columns_read(in, &e->rows)) < 0 ||
        (rc = h5_shape(in, "x", H5_F32, 2, dim)) < 0)
        return rc;
    if (dim[0] != e->rows.n || dim[1] == 0)
        return fail(-EINVAL, "%s: dataset x is [%zu][%zu], not [%zu][d]", e->name, dim[0], dim[1],
                    e->rows.n);
    e->d = dim[1];
    e->checksum = columns_crc(0, &e->rows);
    return 0;
}

static int check_vectors(const struct embed *e, size_t first, size_t count, const float *x)
{
    for (size_t i = 0; i < count; i++) {
        const char *wrong = "all zero";
        for (size_t j = 0; j < e->d; j++) {
            if (!isfinite(x[i * e->d + j])) {
                wrong = "not finite";
                break;
            }
            if (x[i * e->d + j] != 0)
                wrong = NULL;
        }
        if (wrong) {
            size_t len;
            const char *key = rows_key(&e->rows, first + i, &len);
            return fail(-ENUMERIC, "%s: row %zu (%.*s): the embedding is %s", e->name, first + i,
                        (int)MIN(len, 400), key, wrong);
        }
    }
    return 0;
}

/* Reads x in blocks of rows, checks them, and shows each to visit. */
static int load_vectors(const struct h5in *in, struct embed *e, size_t bytes, embed_visit *visit,
                        void *arg)
{
    size_t step = MAX(bytes / (e->d * sizeof(float)), 1), n;
    float *x = mem_alloc(MIN(step, e->rows.n), e->d * sizeof(*x), "a block of x");
    int rc = x ? 0 : -ENOMEM;

    for (size_t first = 0; first < e->rows.n && rc == 0; first += n) {
        n = MIN(step, e->rows.n - first);
        if ((rc = h5_read_rows(in, "x", H5_F32, first, n, e->d, x)) < 0 ||
            (rc = check_vectors(e, first, n, x)) < 0)
            break;
        e->checksum = crc_bytes(e->checksum, x, n * e->d * sizeof(*x));
        rc = visit(arg, e, first, n, x);
    }
    free(x);
    return rc < 0 ? rc : columns_check_crc(in, e->checksum);
}

void embed_release(struct embed *e)
{
    rows_release(&e->rows);
    free(e->x);
    free(e->name);
    history_release(&e->history);
    *e = (struct embed){ 0 };
}

/* One of the words that tell kinds apart: 0 if equal. */
static int same_word(const struct embed *a, const struct embed *b, const char *what, const char *x,
                     const char *y)
{
    if (strcmp(x, y) == 0)
        return 0;
    return fail(-EINVAL, "%s and %s cannot be compared: %s %s and %s", a->name, b->name, what,
                *x ? x : "(none)", *y ? y : "(none)");
}

/* Can from be compared with to, and do its classes meet those of to? An empty to takes all that it
 * is asked for. */
static int meet(struct embed *to, const struct embed *from)
{
    int rc;

    if (!to->name) {
        to->d = from->d;
        to->kind = from->kind;
        if (!(to->name = mem_strdup(from->name)))
            return -ENOMEM;
    }
    if ((rc = same_word(to, from, "layer", to->kind.layer, from->kind.layer)) < 0 ||
        (rc = same_word(to, from, "network", to->kind.net, from->kind.net)) < 0 ||
        (rc = same_word(to, from, "checkpoint", to->kind.checkpoint, from->kind.checkpoint)) < 0 ||
        (rc = same_word(to, from, "normalised", to->kind.normalised ? "yes" : "no",
                        from->kind.normalised ? "yes" : "no")) < 0)
        return rc;
    if (to->d != from->d)
        return fail(-EINVAL, "%s and %s cannot be compared: %zu and %zu dimensions", to->name,
                    from->name, to->d, from->d);
    return classes_meet(&to->rows.classes, &from->rows.classes, to->name, from->name);
}

/* The files of the operands, each in blocks of about bytes. */
static int each_file(char **operands, int n, size_t bytes, struct embed *with, embed_visit *visit,
                     embed_end *end, void *arg)
{
    struct stream *st;
    struct h5in in;
    size_t files = 0;
    int rc = stream_open(&st, operands, n);

    if (rc < 0)
        return rc;
    while ((rc = stream_next(st, &in)) > 0) {
        struct embed e = { 0 };
        files++;
        if ((rc = load_columns(&in, &e)) == 0 && (rc = meet(with, &e)) == 0 &&
            (rc = load_vectors(&in, &e, bytes, visit, arg)) == 0)
            rc = end(arg, &e);
        embed_release(&e);
        h5in_close(&in);
        if (rc < 0)
            break;
    }
    stream_close(st);
    return rc == 0 && files == 0 ? fail(-EINVAL, "there is no embedding shard in the input") : rc;
}

int embed_stream(char **operands, int n, uint64_t mem, struct embed *with, embed_visit *visit,
                 embed_end *end, void *arg)
{
    size_t bytes = (size_t)MIN(MAX(mem / 8, (uint64_t)1 << 20), (uint64_t)32 << 20);

    return each_file(operands, n, bytes, with, visit, end, arg);
}

/* -- all as one ---- */

static int put_all(void *arg, const struct embed *e, size_t first, size_t n, const float *x)
{
    struct embed_all *a = arg;
    int rc = spool_append(&a->spool, x, n * e->d * sizeof(*x));

    return rc < 0 ? rc : rows_append(&a->e.rows, &e->rows, first, n);
}

static int put_labelled(void *arg, const struct embed *e, size_t first, size_t n, const float *x)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        if (e->rows.label[first + i] >= 0)
            rc = put_all(arg, e, first + i, 1, x + i * e->d);
    return rc;
}

static int end_file(void *arg, const struct embed *e)
{
    struct embed_all *a = arg;

    a->e.checksum =
        a->files++ == 0 ? e->checksum : crc_bytes(a->e.checksum, &e->checksum, sizeof(e->checksum));
    return history_merge(&a->e.history, &e->history);
}

static int read_all(struct embed_all *a, char **operands, int n, uint64_t mem, embed_visit *put)
{
    *a = (struct embed_all){ 0 };
    spool_init(&a->spool, (size_t)MIN(mem, SIZE_MAX), NULL);
    int rc = each_file(operands, n, BLOCK, &a->e, put, end_file, a);
    if (rc < 0)
        embed_all_release(a);
    else
        a->e.x = (float *)(void *)a->spool.data;
    return rc;
}

int embed_read_all(struct embed_all *a, char **operands, int n, uint64_t mem)
{
    return read_all(a, operands, n, mem, put_all);
}

int embed_read_labelled(struct embed_all *a, char **operands, int n, uint64_t mem)
{
    return read_all(a, operands, n, mem, put_labelled);
}

void embed_all_release(struct embed_all *a)
{
    a->e.x = NULL; /* the spool's */
    embed_release(&a->e);
    spool_release(&a->spool);
}
