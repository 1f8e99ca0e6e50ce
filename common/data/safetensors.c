/*
 * safetensors.c - the list of a safetensors file, as strict as its own library is: no gaps, no
 * overlaps, nothing behind the last tensor.
 */
#include "common/data/safetensors.h"
#include "common/base/fail.h"
#include "common/base/prov.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/data/outfile.h"
#include <stdlib.h>
#include <string.h>

#define HEADER_MOST ((size_t)100 << 20) /* bytes; the limit of the format's own library */

static const struct dtype {
    const char *name;
    enum tensor_type type;
    size_t size;
} dtypes[] = {
    { "F32", TENSOR_F32, 4 },    { "F16", TENSOR_F16, 2 },       { "BF16", TENSOR_BF16, 2 },
    { "F64", TENSOR_F64, 8 },    { "I64", TENSOR_I64, 8 },       { "I32", TENSOR_I32, 4 },
    { "I16", TENSOR_OTHER, 2 },  { "I8", TENSOR_OTHER, 1 },      { "U64", TENSOR_OTHER, 8 },
    { "U32", TENSOR_OTHER, 4 },  { "U16", TENSOR_OTHER, 2 },     { "U8", TENSOR_OTHER, 1 },
    { "BOOL", TENSOR_OTHER, 1 }, { "F8_E4M3", TENSOR_OTHER, 1 }, { "F8_E5M2", TENSOR_OTHER, 1 },
};

struct reader {
    struct tensors *t;
    struct json j;
    const uint8_t *data; /* behind the header */
    size_t ndata;
};

static int bad_header(const struct reader *r)
{
    return fail(-EINVAL, "%s: the header is not JSON as safetensors has it", r->t->name);
}

/* A string without its escapes, the caller's. */
static int text(struct reader *r, char **out)
{
    const char *s;
    size_t n;
    int rc = json_string(&r->j, &s, &n) ? json_unquote(s, n, out) : -EINVAL;
    return rc == -EINVAL ? bad_header(r) : rc;
}

/* -- one entry of the header ---- */

/* [a, b, ...], at most most of them; how many, or negative. */
static int counts(struct reader *r, size_t *v, int most)
{
    int n = 0;
    if (!json_is(&r->j, '['))
        return bad_header(r);
    if (json_is(&r->j, ']'))
        return 0;
    do {
        if (n == most || !json_count(&r->j, &v[n++]))
            return bad_header(r);
    } while (json_is(&r->j, ','));
    return json_is(&r->j, ']') ? n : bad_header(r);
}

/* Whether the bytes are there, and as many as the shape wants. */
static int place(struct reader *r, struct tensor *item, const size_t *offset)
{
    size_t size = 0;
    item->type = TENSOR_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(dtypes); i++)
        if (strcmp(dtypes[i].name, item->dtype) == 0) {
            item->type = dtypes[i].type;
            size = dtypes[i].size;
        }
    if (offset[0] > offset[1] || offset[1] > r->ndata)
        return fail(-EIO, "%s: %s lies beyond the end of the file", r->t->name, item->name);
    item->at = r->data + offset[0];
    item->nbytes = offset[1] - offset[0];
    int rc = tensor_set_count(r->t, item);
    if (rc == 0 && size > 0 && item->nbytes != item->count * size)
        rc = fail(-EINVAL, "%s: %s has %s, its shape wants %zu", r->t->name, item->name,
                  TEXT_COUNT(item->nbytes, "byte", "bytes"), item->count * size);
    return rc;
}

enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };

/* The name of a member, and the colon; 0 if it is none of the three. */
static int member(struct reader *r, unsigned *which)
{
    char *key;
    int rc = text(r, &key);
    if (rc < 0)
        return rc;
    *which = strcmp(key, "dtype") == 0          ? DTYPE
             : strcmp(key, "shape") == 0        ? SHAPE
             : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                : 0;
    free(key);
    return json_is(&r->j, ':') ? 0 : bad_header(r);
}

static int read_dtype(struct reader *r, struct tensor *item)
{
    char *dtype;
    int rc = text(r, &dtype);
    if (rc < 0)
        return rc;
    snprintf(item->dtype, sizeof item->dtype, "%s", dtype);
    text_tidy(item->dtype);
    free(dtype);
    return 0;
}

/* Behind its opening bracket. */
static int read_tensor(struct reader *r, const char *name)
{
    struct tensor *item;
    unsigned have = 0, which;
    size_t offset[2];
    int rc = tensors_add(r->t, name, &item);
    if (rc < 0)
        return rc;
    do {
        rc = member(r, &which);
        if (rc == 0 && (which == 0 || (have & which)))
            rc = bad_header(r);
        else if (rc == 0 && which == DTYPE)
            rc = read_dtype(r, item);
        else if (rc == 0 && which == SHAPE)
            rc = item->ndim = counts(r, item->dim, TENSOR_MAX_DIMS);
        else if (rc == 0 && counts(r, offset, 2) != 2)
            rc = bad_header(r);
        if (rc < 0)
            return rc;
        have |= which;
    } while (json_is(&r->j, ','));
    if (have != (DTYPE | SHAPE | OFFSETS) || !json_is(&r->j, '}'))
        return bad_header(r);
    return place(r, item, offset);
}

/* Behind the opening bracket of __metadata__. */
static int read_notes(struct reader *r)
{
    if (json_is(&r->j, '}'))
        return 0;
    do {
        char *key, *value = NULL;
        int rc = text(r, &key);
        if (rc < 0)
            return rc;
        rc = json_is(&r->j, ':') ? text(r, &value) : bad_header(r);
        if (rc < 0)
            free(key);
        else
            rc = tensors_add_note(r->t, key, value);
        if (rc < 0)
            return rc;
    } while (json_is(&r->j, ','));
    return json_is(&r->j, '}') ? 0 : bad_header(r);
}

/* -- the whole header ---- */

static int read_entry(struct reader *r)
{
    char *name;
    int rc = text(r, &name);
    if (rc < 0)
        return rc;
    if (!json_is(&r->j, ':') || !json_is(&r->j, '{'))
        rc = bad_header(r);
    else if (strcmp(name, "__metadata__") == 0)
        rc = read_notes(r);
    else
        rc = read_tensor(r, name);
    free(name);
    return rc;
}

static int read_header(struct reader *r)
{
    if (!json_is(&r->j, '{'))
        return bad_header(r);
    if (json_is(&r->j, '}'))
        return json_end(&r->j) ? 0 : bad_header(r);
    do {
        int rc = read_entry(r);
        if (rc < 0)
            return rc;
    } while (json_is(&r->j, ','));
    return json_is(&r->j, '}') && json_end(&r->j) ? 0 : bad_header(r);
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (x->nbytes > y->nbytes) - (x->nbytes < y->nbytes);
}

/* Each tensor begins where the one before it ends. */
static int check_gaps(struct reader *r)
{
    struct tensors *t = r->t;
    const uint8_t *at = r->data;
    if (t->n > 0)
        qsort(t->item, t->n, sizeof *t->item, by_place);
    for (size_t i = 0; i < t->n; i++) {
        if (t->item[i].at != at)
            return fail(-EINVAL, "%s: there is a gap or an overlap before %s", t->name,
                        t->item[i].name);
        at += t->item[i].nbytes;
    }
    if (at != r->data + r->ndata)
        return fail(-EINVAL, "%s: %s without a tensor", t->name,
                    TEXT_COUNT(r->ndata - (size_t)(at - r->data), "byte", "bytes"));
    return 0;
}

int safetensors_list(struct tensors *t)
{
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)t->bytes[i] << 8 * i;
    if (length > t->size - 8 || length > HEADER_MOST)
        return fail(-EIO, "%s: the header claims %llu bytes of a file of %zu", t->name,
                    (unsigned long long)length, t->size);
    char *header = mem_alloc((size_t)length + 1, 1, "the header");
    if (!header)
        return -ENOMEM;
    memcpy(header, t->bytes + 8, (size_t)length);
    struct reader r = { t, { header }, t->bytes + 8 + length, t->size - 8 - (size_t)length };
    int rc = read_header(&r);
    if (rc == 0 && r.j.at != header + length)
        rc = bad_header(&r); /* there is a NUL in it */
    free(header);
    return rc < 0 ? rc : check_gaps(&r);
}

/* -- writing ---- */

static void quote(FILE *f, const char *before, const char *s, int *rc)
{
    char *quoted = json_quote(s, strlen(s));
    if (!quoted)
        *rc = -ENOMEM;
    else
        fprintf(f, "%s%s", before, quoted);
    free(quoted);
}

static void write_entry(FILE *f, const struct tensor *item, size_t offset, int *rc)
{
    quote(f, ",", item->name, rc);
    fprintf(f, ":{\"dtype\":\"%s\",\"shape\":[", item->dtype);
    for (int i = 0; i < item->ndim; i++)
        fprintf(f, "%s%zu", i ? "," : "", item->dim[i]);
    fprintf(f, "],\"data_offsets\":[%zu,%zu]}", offset, offset + item->nbytes);
}

static int make_header(char **header, size_t *length, const struct tensors *t)
{
    int rc = 0;
    size_t offset = 0;
    FILE *f = open_memstream(header, length);
    if (!f)
        return fail(-ENOMEM, "no memory for a header");
    fputs("{\"__metadata__\":{", f);
    for (size_t i = 0; i < t->nnotes && rc == 0; i++) {
        quote(f, i ? "," : "", t->note[i].key, &rc);
        quote(f, ":", t->note[i].value, &rc);
    }
    fputc('}', f);
    for (size_t i = 0; i < t->n && rc == 0; i++) {
        write_entry(f, &t->item[i], offset, &rc);
        offset += t->item[i].nbytes;
    }
    fputc('}', f);
    fprintf(f, "%*s", (int)(-ftell(f) & 7), "");
    if (fclose(f) != 0)
        rc = fail(-ENOMEM, "no memory for a header");
    return rc;
}

int safetensors_write(const char *path, const struct tensors *t)
{
    struct outfile o = { 0 };
    char *header = NULL;
    size_t length = 0;
    int rc = make_header(&header, &length, t);
    if (rc == 0)
        rc = outfile_open(&o, path);
    if (rc == 0) {
        for (int i = 0; i < 8; i++)
            fputc((int)(length >> 8 * i & 255), o.file);
        fwrite(header, 1, length, o.file);
        for (size_t i = 0; i < t->n; i++)
            fwrite(t->item[i].at, 1, t->item[i].nbytes, o.file);
        rc = outfile_commit(&o);
    }
    free(header);
    return rc;
}
