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

static int put_memory(void *arg, const struct embed *e, size_t first, size_t n, const float *x)
{
    memcpy((float *)arg + first * e->d, x, n * e->d * sizeof(*x));
    return 0;
}

/* With visit the vectors go there, else into e->x. */
static int next_file(struct stream *st, struct embed *e, size_t bytes, embed_visit *visit,
                     void *arg)
{
    struct h5in in;
    int rc;

    *e = (struct embed){ 0 };
    if ((rc = stream_next(st, &in)) <= 0)
        return rc;
    if ((rc = load_columns(&in, e)) == 0 && !visit &&
        !(e->x = mem_alloc(e->rows.n, e->d * sizeof(*e->x), "x")))
        rc = -ENOMEM;
    if (rc == 0)
        rc = load_vectors(&in, e, bytes, visit ? visit : put_memory, visit ? arg : e->x);
    h5in_close(&in);
    if (rc < 0)
        embed_release(e);
    return rc < 0 ? rc : 1;
}

int embed_next(struct stream *st, struct embed *e)
{
    return next_file(st, e, BLOCK, NULL, NULL);
}

int embed_next_blocks(struct stream *st, struct embed *e, size_t bytes, embed_visit *visit,
                      void *arg)
{
    return next_file(st, e, bytes, visit, arg);
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

int embed_compatible(const struct embed *a, const struct embed *b)
{
    int rc;

    if ((rc = same_word(a, b, "layer", a->kind.layer, b->kind.layer)) < 0 ||
        (rc = same_word(a, b, "network", a->kind.net, b->kind.net)) < 0 ||
        (rc = same_word(a, b, "checkpoint", a->kind.checkpoint, b->kind.checkpoint)) < 0 ||
        (rc = same_word(a, b, "normalised", a->kind.normalised ? "yes" : "no",
                        b->kind.normalised ? "yes" : "no")) < 0)
        return rc;
    if (a->d != b->d)
        return fail(-EINVAL, "%s and %s cannot be compared: %zu and %zu dimensions", a->name,
                    b->name, a->d, b->d);
    return 0;
}

static int put_spool(void *arg, const struct embed *e, size_t first UNUSED, size_t n,
                     const float *x)
{
    struct embed_all *a = arg;

    return spool_append(&a->spool, x, n * e->d * sizeof(*x));
}

static int put_labelled(void *arg, const struct embed *e, size_t first, size_t n, const float *x)
{
    struct embed_all *a = arg;
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        if (e->rows.label[first + i] >= 0 &&
            (rc = spool_append(&a->spool, x + i * e->d, e->d * sizeof(*x))) == 0)
            rc = rows_append(&a->e.rows, &e->rows, first + i, 1);
    return rc;
}

/* Adds the file next, whose columns are loaded, to all that came before. */
static int join(struct embed_all *a, const struct h5in *in, struct embed *next, bool first,
                bool labelled)
{
    int rc;

    if (first) {
        a->e.d = next->d;
        a->e.kind = next->kind;
        if (!(a->e.name = mem_strdup(next->name)))
            return -ENOMEM;
    }
    if ((rc = embed_compatible(&a->e, next)) < 0 ||
        (rc = classes_meet(&a->e.rows.classes, &next->rows.classes, a->e.name, next->name)) < 0 ||
        (rc = load_vectors(in, next, BLOCK, labelled ? put_labelled : put_spool, a)) < 0 ||
        (!labelled && (rc = rows_append(&a->e.rows, &next->rows, 0, next->rows.n)) < 0))
        return rc;
    a->e.checksum =
        first ? next->checksum : crc_bytes(a->e.checksum, &next->checksum, sizeof(next->checksum));
    return history_merge(&a->e.history, &next->history);
}

static int read_all(struct embed_all *a, char **operands, int n, uint64_t mem, bool labelled)
{
    struct stream *st;
    struct h5in in;
    size_t files = 0;
    int rc;

    *a = (struct embed_all){ 0 };
    spool_init(&a->spool, (size_t)MIN(mem, SIZE_MAX), NULL);
    if ((rc = stream_open(&st, operands, n)) < 0)
        return rc;
    while ((rc = stream_next(st, &in)) > 0) {
        struct embed next = { 0 };
        if ((rc = load_columns(&in, &next)) == 0)
            rc = join(a, &in, &next, files++ == 0, labelled);
        embed_release(&next);
        h5in_close(&in);
        if (rc < 0)
            break;
    }
    stream_close(st);
    if (rc == 0 && files == 0)
        rc = fail(-EINVAL, "standard input: empty, no embeddings");
    if (rc < 0)
        embed_all_release(a);
    else
        a->e.x = (float *)(void *)a->spool.data;
    return rc;
}

int embed_read_all(struct embed_all *a, char **operands, int n, uint64_t mem)
{
    return read_all(a, operands, n, mem, false);
}

int embed_read_labelled(struct embed_all *a, char **operands, int n, uint64_t mem)
{
    return read_all(a, operands, n, mem, true);
}

void embed_all_release(struct embed_all *a)
{
    a->e.x = NULL; /* the spool's */
    embed_release(&a->e);
    spool_release(&a->spool);
}
