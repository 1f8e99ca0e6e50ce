/*
 * shard_writer.c - collects rows and makes shards of them, of bounded size or of any.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/columns.h"
#include "common/data/image.h"
#include "common/data/outfile.h"
#include "common/data/shard.h"
#include <ctype.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#define SPOOL_MEMORY ((size_t)64 << 20) /* bytes kept before they go beside the target */
/* Bounds of what a file takes besides its pictures: everything of fixed number, with HDF5's own;
 * and what each row adds (id 8, label 4, truth 4, offsets 16, crc 4, size 4, orientation 1). */
#define FIXED_BYTES 10240
#define ROW_BYTES 41
#define MASK_BYTES 12 /* offset and crc, in a file that has masks */

struct shard_writer {
    char *path, *dir;
    char *head, *tail; /* of a numbered name, around the number; NULL: not numbered */
    int digits;
    uint64_t limit; /* UINT64_MAX: none */
    uint64_t fixed; /* bytes of a file without rows and history */
    size_t side;
    bool truth;
    char *recipe;
    const struct history *history;
    struct rows rows; /* of the file being made */
    uint16_t (*size)[2];
    uint8_t *orientation;
    uint32_t *crc;
    uint64_t *offset;
    uint64_t *mask_offset;
    size_t room[5];
    struct spool bytes;
    struct spool masks; /* of a file's rows, none for those before the first mask if decoded */
    size_t nfiles;
};

/* Splits "name-%05d.h5"; a name without % is not numbered. */
static int parse_pattern(struct shard_writer *w)
{
    const char *percent = strchr(w->path, '%'), *p;

    if (!percent)
        return 0;
    p = percent + 1;
    bool padded = *p == '0';
    while (padded && isdigit((unsigned char)*p) && w->digits < 100)
        w->digits = w->digits * 10 + (*p++ - '0');
    if (*p != 'd' || w->digits > 20 || strchr(p, '%') || (padded && w->digits == 0))
        return fail(-EUSAGE, "%s: a numbered name has one %%d or %%05d, and no other %%", w->path);
    if (!(w->head = mem_strdup(w->path)) || !(w->tail = mem_strdup(p + 1)))
        return -ENOMEM;
    w->head[percent - w->path] = '\0';
    return 0;
}

bool shard_writer_names(const char *path, const char *file)
{
    const char *percent = strchr(path, '%'), *d = percent ? strchr(percent, 'd') : NULL;
    const char *slash = strrchr(path, '/'), *base = strrchr(file, '/');

    if (!d)
        return outfile_same(path, file);
    size_t before = (size_t)(percent - (slash && slash < percent ? slash + 1 : path));
    base = base ? base + 1 : file;
    size_t digits = strlen(base) < before ? 0 : strspn(base + before, "0123456789");
    if (digits == 0)
        return false;
    char *name =
        mem_printf("%.*s%.*s%s", (int)(percent - path), path, (int)digits, base + before, d + 1);
    bool same = name && outfile_same(name, file);
    free(name);
    return same;
}

static int set_dir(struct shard_writer *w)
{
    char *copy = mem_strdup(w->path);

    if (copy)
        w->dir = mem_strdup(dirname(copy));
    free(copy);
    return w->dir ? 0 : -ENOMEM;
}

static uint64_t fixed_bytes(const struct shard_writer *w)
{
    const struct classes *c = &w->rows.classes;
    uint64_t wide = 1;

    for (size_t i = 0; i < c->n; i++)
        wide = MAX(wide, strlen(c->name[i]));
    return FIXED_BYTES + c->n * wide + (w->recipe ? strlen(w->recipe) : 0);
}

int shard_writer_open(struct shard_writer **out, const char *path, uint64_t limit, size_t side,
                      bool truth, const struct classes *classes, const char *recipe,
                      const struct history *h)
{
    struct shard_writer *w = mem_alloc(1, sizeof(*w), "shard");
    bool pipe = !path || strcmp(path, "-") == 0;
    int rc = -ENOMEM;

    *out = NULL;
    if (!w)
        return rc;
    w->limit = limit ? limit : UINT64_MAX;
    w->side = side;
    w->truth = truth;
    w->history = h;
    spool_init(&w->bytes, SIZE_MAX, NULL);
    spool_init(&w->masks, SIZE_MAX, NULL);
    if (!(w->path = mem_strdup(pipe ? "-" : path)) || (recipe && !(w->recipe = mem_strdup(recipe))))
        goto failed;
    if (pipe) {
        w->limit = MIN(w->limit, SHARD_IMAGE_LIMIT);
    } else {
        if ((rc = parse_pattern(w)) < 0 || (rc = set_dir(w)) < 0)
            goto failed;
        if (!w->head)
            w->limit = UINT64_MAX;
        spool_init(&w->bytes, SPOOL_MEMORY, w->dir);
        spool_init(&w->masks, SPOOL_MEMORY, w->dir);
    }
    if ((rc = classes_copy(&w->rows.classes, classes)) < 0)
        goto failed;
    w->fixed = fixed_bytes(w);
    if ((rc = h5out_check(w->path)) < 0)
        goto failed;
    *out = w;
    return 0;
failed:
    shard_writer_abort(w);
    return rc;
}

/* At least the bytes that a file takes which ends with this row. */
static uint64_t file_bytes(const struct shard_writer *w, const struct shard_row *row)
{
    const struct history *h = w->history;
    const struct rows *r = &w->rows;
    uint64_t line = 0, n = r->n + 1, masks = 0;

    for (size_t i = 0; h && i < h->n; i++)
        line = MAX(line, strlen(h->line[i]));
    if (w->masks.len > 0 || row->mask)
        masks = n * MASK_BYTES + (w->side > 0 ? n * w->side * w->side : w->masks.len + row->nmask);
    return w->fixed + (h ? h->n : 0) * line + n * ROW_BYTES + masks +
           (r->n ? r->key_offset[r->n] : 0) + row->keylen + w->bytes.len + row->nbytes;
}

static int write_masks(struct shard_writer *w, struct h5out *o)
{
    size_t n = w->rows.n, n1 = n + 1, dim[3] = { n, w->side, w->side };
    uint32_t *crc = mem_alloc(n, sizeof(*crc), "mask_crc");
    int rc;

    if (!crc)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        crc[i] = crc_bytes(0, w->masks.data + w->mask_offset[i],
                           w->mask_offset[i + 1] - w->mask_offset[i]);
    rc = h5_write(o, "mask_crc", H5_U32, 1, &n, crc);
    if (rc == 0 && w->side > 0)
        rc = h5_write(o, "mask", H5_U8, 3, dim, w->masks.data);
    else if (rc == 0 && (rc = h5_write(o, "mask_offset", H5_U64, 1, &n1, w->mask_offset)) == 0)
        rc = h5_write(o, "mask", H5_U8, 1, &w->masks.len, w->masks.data);
    free(crc);
    return rc;
}

static int write_file(struct shard_writer *w, struct h5out *o)
{
    const struct rows *r = &w->rows;
    size_t n = r->n, n1 = n + 1, size[2] = { n, 2 }, pixels[4] = { n, w->side, w->side, 3 };
    uint64_t none = 0, *offset = n ? w->offset : &none;
    uint32_t crc;
    int rc;

    if ((rc = columns_write(o, r)) < 0 ||
        (rc = h5_write(o, "size", H5_U16, 2, size, w->size)) < 0 ||
        (rc = h5_write(o, "orientation", H5_U8, 1, &n, w->orientation)) < 0 ||
        (rc = h5_write(o, "crc", H5_U32, 1, &n, w->crc)) < 0)
        return rc;
    crc = columns_crc(0, r);
    crc = crc_bytes(crc, w->size, n * sizeof(*w->size));
    crc = crc_bytes(crc, w->orientation, n);
    crc = crc_bytes(crc, w->crc, n * sizeof(*w->crc));
    if (w->side > 0) {
        rc = h5_write(o, "pixels", H5_U8, 4, pixels, w->bytes.data);
    } else {
        crc = crc_bytes(crc, offset, n1 * sizeof(*offset));
        if ((rc = h5_write(o, "offset", H5_U64, 1, &n1, offset)) == 0)
            rc = h5_write(o, "bytes", H5_U8, 1, &w->bytes.len, w->bytes.data);
    }
    if (rc == 0 && w->masks.len > 0)
        rc = write_masks(w, o);
    if (rc == 0 && w->recipe)
        rc = h5_put_string(o, "", "recipe", w->recipe);
    return rc < 0 ? rc : h5_put_int(o, "", "checksum", crc);
}

/* The rows so far become a file; the writer is empty again. */
static int finish(struct shard_writer *w)
{
    struct rows *r = &w->rows;
    struct h5out o;
    char *name = w->head ? mem_printf("%s%0*zu%s", w->head, w->digits, w->nfiles, w->tail)
                         : mem_strdup(w->path);
    int rc = name ? image_spares(name) : -ENOMEM;

    if (rc == 0)
        rc = h5out_open(&o, name);
    free(name);
    if (rc < 0)
        return rc;
    if (w->truth && !r->truth && !(r->truth = mem_alloc(1, sizeof(*r->truth), "truth")))
        rc = -ENOMEM; /* no rows, yet the column is there */
    if (rc < 0 || (rc = write_file(w, &o)) < 0) {
        h5out_abort(&o);
        return rc;
    }
    if ((rc = h5out_commit(&o, SHARD_FORMAT, SHARD_VERSION, w->history)) < 0)
        return rc;
    w->nfiles++;
    r->n = 0;
    spool_clear(&w->bytes);
    spool_clear(&w->masks);
    return 0;
}

static int check_row(const struct shard_writer *w, const struct shard_row *row)
{
    int64_t nclasses = (int64_t)w->rows.classes.n;
    int key = (int)MIN(row->keylen, 400);

    if (row->keylen == 0 || memchr(row->key, 0, row->keylen))
        return fail(-EINVAL, "%s: a key is empty or holds a NUL byte", w->path);
    if (row->label < -1 || row->label >= nclasses || row->truth < -1 || row->truth >= nclasses)
        return fail(-EINVAL, "%s: %.*s: no such class", w->path, key, row->key);
    if (row->h == 0 || row->h > UINT16_MAX || row->w == 0 || row->w > UINT16_MAX)
        return fail(-EINVAL, "%s: %.*s: a picture of %zu x %zu, at most 65535 x 65535 are possible",
                    w->path, key, row->key, row->h, row->w);
    if (row->nbytes == 0 || (w->side > 0 && (row->nbytes != w->side * w->side * 3 ||
                                             row->h != w->side || row->w != w->side)))
        return fail(-EINVAL, "%s: %.*s: %zu bytes are no picture for this shard", w->path, key,
                    row->key, row->nbytes);
    if (row->mask && w->side > 0 && row->nmask != w->side * w->side)
        return fail(-EINVAL, "%s: %.*s: %zu bytes are no mask for this shard", w->path, key,
                    row->key, row->nmask);
    return row->orientation < 1 || row->orientation > 8
               ? fail(-EINVAL, "%s: %.*s: orientation %d is not in 1..8", w->path, key, row->key,
                      row->orientation)
               : 0;
}

static int spool_zeros(struct spool *s, size_t n)
{
    uint8_t *zeros = mem_alloc(n, 1, "a mask");
    int rc = zeros ? spool_append(s, zeros, n) : -ENOMEM;

    free(zeros);
    return rc;
}

/* Row n's mask. Decoded ones lie one behind the other from the first row on, so that zeros stand
 * for those that are not there, once there is one at all. */
static int add_mask(struct shard_writer *w, const struct shard_row *row, size_t n)
{
    size_t plane = w->side * w->side;
    bool begin = w->side > 0 && row->mask && w->masks.len == 0;
    int rc = mem_grow(&w->mask_offset, &w->room[4], n + 2, sizeof(*w->mask_offset));

    for (size_t i = 0; rc == 0 && begin && i < n; i++) {
        rc = spool_zeros(&w->masks, plane);
        w->mask_offset[i + 1] = w->masks.len;
    }
    if (rc == 0 && row->mask)
        rc = spool_append(&w->masks, row->mask, row->nmask);
    else if (rc == 0 && w->side > 0 && w->masks.len > 0)
        rc = spool_zeros(&w->masks, plane);
    if (rc < 0)
        return rc;
    w->mask_offset[0] = 0;
    w->mask_offset[n + 1] = w->masks.len;
    return 0;
}

int shard_writer_add(struct shard_writer *w, const struct shard_row *row)
{
    struct rows *r = &w->rows;
    uint64_t key_offset[2] = { 0, row->keylen }, id = row->id;
    int32_t label = row->label, truth = row->truth;
    struct rows one = { .n = 1,
                        .id = &id,
                        .label = &label,
                        .key_offset = key_offset,
                        .key = (uint8_t *)row->key,
                        .truth = w->truth ? &truth : NULL };
    size_t n;
    int rc = check_row(w, row);

    if (rc < 0)
        return rc;
    if (r->n > 0 && (r->n >= COLUMNS_MAX || file_bytes(w, row) > w->limit)) {
        if (r->n >= COLUMNS_MAX && w->limit == UINT64_MAX)
            return fail(-EINVAL, "%s: more than 2^32 rows", w->path);
        if ((rc = finish(w)) < 0)
            return rc;
    }
    n = r->n;
    if ((rc = mem_grow(&w->size, &w->room[0], n + 1, sizeof(*w->size))) < 0 ||
        (rc = mem_grow(&w->orientation, &w->room[1], n + 1, 1)) < 0 ||
        (rc = mem_grow(&w->crc, &w->room[2], n + 1, sizeof(*w->crc))) < 0 ||
        (rc = mem_grow(&w->offset, &w->room[3], n + 2, sizeof(*w->offset))) < 0 ||
        (rc = spool_append(&w->bytes, row->bytes, row->nbytes)) < 0 ||
        (rc = add_mask(w, row, n)) < 0 || (rc = rows_append(r, &one, 0, 1)) < 0)
        return rc;
    w->size[n][0] = (uint16_t)row->h;
    w->size[n][1] = (uint16_t)row->w;
    w->orientation[n] = (uint8_t)row->orientation;
    w->crc[n] = crc_bytes(0, row->bytes, row->nbytes);
    w->offset[0] = 0;
    w->offset[n + 1] = w->bytes.len;
    return 0;
}

int shard_writer_close(struct shard_writer *w, size_t *nfiles)
{
    int rc = w->rows.n > 0 || w->nfiles == 0 ? finish(w) : 0;

    if (nfiles)
        *nfiles = w->nfiles;
    shard_writer_abort(w);
    return rc;
}

void shard_writer_abort(struct shard_writer *w)
{
    if (!w)
        return;
    rows_release(&w->rows);
    spool_release(&w->bytes);
    spool_release(&w->masks);
    free(w->size);
    free(w->orientation);
    free(w->crc);
    free(w->offset);
    free(w->mask_offset);
    free(w->recipe);
    free(w->head);
    free(w->tail);
    free(w->path);
    free(w->dir);
    free(w);
}
