/*
 * shard.c - reading image shards: everything but the pictures is loaded and checked at open, the
 * pictures are read row by row from any thread.
 */
#include "common/data/shard.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/columns.h"
#include <stdlib.h>
#include <string.h>

/* Pictures that can only be read through HDF5 are loaded whole, if they are not more than this. */
#define LOAD_MAX ((size_t)1 << 30)

static int read_sizes(struct shard *s)
{
    size_t n = s->rows.n, dim[2];
    int rc;

    if (!(s->size = mem_alloc(n, sizeof(*s->size), "size")) ||
        !(s->orientation = mem_alloc(n, 1, "orientation")) ||
        !(s->crc = mem_alloc(n, sizeof(*s->crc), "crc")))
        return -ENOMEM;
    if ((rc = h5_shape(&s->in, "size", H5_U16, 2, dim)) < 0)
        return rc;
    if (dim[0] != n || dim[1] != 2)
        return fail(-EINVAL, "%s: dataset size is not [%zu][2]", s->in.name, n);
    if ((rc = h5_read(&s->in, "size", H5_U16, 2 * n, s->size)) < 0 ||
        (rc = h5_read(&s->in, "orientation", H5_U8, n, s->orientation)) < 0 ||
        (rc = h5_read(&s->in, "crc", H5_U32, n, s->crc)) < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (s->orientation[i] < 1 || s->orientation[i] > 8)
            return fail(-EINVAL, "%s: dataset orientation, row %zu: %u is not in 1..8", s->in.name,
                        i, s->orientation[i]);
        if (s->size[i][0] == 0 || s->size[i][1] == 0 ||
            (s->decoded && (s->size[i][0] != s->h || s->size[i][1] != s->w)))
            return fail(-EINVAL, "%s: dataset size, row %zu: %u x %u is not possible", s->in.name,
                        i, s->size[i][0], s->size[i][1]);
    }
    return 0;
}

/* Shape of bytes or pixels; total is their number of bytes. */
static int read_layout(struct shard *s, size_t *total)
{
    size_t dim[4], n = s->rows.n;
    int rc;

    if (!s->decoded) {
        if ((rc = h5_shape(&s->in, "bytes", H5_U8, 1, total)) < 0)
            return rc;
        if (!(s->offset = mem_alloc(n + 1, sizeof(*s->offset), "offset")))
            return -ENOMEM;
        if ((rc = h5_read(&s->in, "offset", H5_U64, n + 1, s->offset)) < 0)
            return rc;
        return columns_check_offsets(&s->in, "offset", s->offset, n, *total, false);
    }
    if ((rc = h5_shape(&s->in, "pixels", H5_U8, 4, dim)) < 0)
        return rc;
    if (dim[0] != n || dim[1] == 0 || dim[1] > UINT16_MAX || dim[2] == 0 || dim[2] > UINT16_MAX ||
        dim[3] != 3)
        return fail(-EINVAL, "%s: dataset pixels is [%zu][%zu][%zu][%zu], not [%zu][h][w][3]",
                    s->in.name, dim[0], dim[1], dim[2], dim[3], n);
    s->h = dim[1];
    s->w = dim[2];
    *total = n * s->h * s->w * 3; /* h5_shape() has checked the product */
    return 0;
}

/* Where the bytes of a dataset lie; they are loaded where that is nowhere in one piece. */
static int find_bytes(struct shard_bytes *b, const struct h5in *in, const char *name, size_t total)
{
    int rc = h5_offset(in, name, H5_U8, &b->at);

    if (rc != -ENOTSUP)
        return rc;
    if (total > LOAD_MAX)
        return fail(-EINVAL,
                    "%s: dataset %s is stored in chunks, and at more than 1 GiB that is not read: "
                    "write it contiguous, or in smaller shards",
                    in->name, name);
    if (!(b->loaded = mem_alloc(total, 1, name)))
        return -ENOMEM;
    return h5_read(in, name, H5_U8, total, b->loaded);
}

/* Masks may have been put in by another program: the checksum of the columns leaves them out. */
static int read_masks(struct shard *s)
{
    size_t n = s->rows.n, total = 0, dim[3];
    int rc;

    if (!(s->masked = h5_has(&s->in, "mask")))
        return 0;
    if (s->decoded) {
        if ((rc = h5_shape(&s->in, "mask", H5_U8, 3, dim)) < 0)
            return rc;
        if (dim[0] != n || dim[1] != s->h || dim[2] != s->w)
            return fail(-EINVAL, "%s: dataset mask is [%zu][%zu][%zu], not [%zu][%zu][%zu]",
                        s->in.name, dim[0], dim[1], dim[2], n, s->h, s->w);
        total = n * s->h * s->w;
    } else {
        if ((rc = h5_shape(&s->in, "mask", H5_U8, 1, &total)) < 0)
            return rc;
        if (!(s->mask_offset = mem_alloc(n + 1, sizeof(*s->mask_offset), "mask_offset")))
            return -ENOMEM;
        if ((rc = h5_read(&s->in, "mask_offset", H5_U64, n + 1, s->mask_offset)) < 0 ||
            (rc = columns_check_offsets(&s->in, "mask_offset", s->mask_offset, n, total, true)) < 0)
            return rc;
    }
    if (h5_has(&s->in, "mask_crc")) {
        if (!(s->mask_crc = mem_alloc(n, sizeof(*s->mask_crc), "mask_crc")))
            return -ENOMEM;
        if ((rc = h5_read(&s->in, "mask_crc", H5_U32, n, s->mask_crc)) < 0)
            return rc;
    }
    return find_bytes(&s->masks, &s->in, "mask", total);
}

static uint32_t shard_crc(const struct shard *s)
{
    size_t n = s->rows.n;
    uint32_t crc = columns_crc(0, &s->rows);

    crc = crc_bytes(crc, s->size, n * sizeof(*s->size));
    crc = crc_bytes(crc, s->orientation, n);
    crc = crc_bytes(crc, s->crc, n * sizeof(*s->crc));
    return s->decoded ? crc : crc_bytes(crc, s->offset, (n + 1) * sizeof(*s->offset));
}

/* s->in is open; loads and checks the rest. */
static int load(struct shard *s)
{
    size_t total = 0;
    int rc = h5_check_format(&s->in, SHARD_FORMAT, SHARD_VERSION, &s->history);

    if (rc < 0)
        goto out;
    s->decoded = h5_has(&s->in, "pixels");
    if (h5_has_attr(&s->in, "", "recipe"))
        rc = h5_attr_string(&s->in, "", "recipe", &s->recipe);
    if (rc < 0 || (rc = columns_read(&s->in, &s->rows)) < 0 || (rc = read_layout(s, &total)) < 0 ||
        (rc = read_sizes(s)) < 0 || (rc = columns_check_crc(&s->in, shard_crc(s))) < 0 ||
        (rc = find_bytes(&s->pictures, &s->in, s->decoded ? "pixels" : "bytes", total)) < 0 ||
        (rc = read_masks(s)) < 0)
        goto out;
    s->checksum = crc_bytes(0, s->crc, s->rows.n * sizeof(*s->crc));
out:
    if (rc < 0)
        shard_close(s);
    return rc;
}

int shard_next(struct stream *st, struct shard *s)
{
    int rc;

    *s = (struct shard){ 0 };
    if ((rc = stream_next(st, &s->in)) <= 0)
        return rc;
    return (rc = load(s)) < 0 ? rc : 1;
}

int shard_open(struct shard *s, const char *path)
{
    int rc;

    *s = (struct shard){ 0 };
    if ((rc = h5in_open(&s->in, path)) < 0)
        return rc;
    return load(s);
}

void shard_close(struct shard *s)
{
    rows_release(&s->rows);
    free(s->offset);
    free(s->crc);
    free(s->size);
    free(s->orientation);
    free(s->recipe);
    free(s->pictures.loaded);
    free(s->mask_offset);
    free(s->mask_crc);
    free(s->masks.loaded);
    history_release(&s->history);
    h5in_close(&s->in);
    *s = (struct shard){ .in = { .file = -1, .fd = -1 } };
}

size_t shard_row_bytes(const struct shard *s, size_t row)
{
    return s->decoded ? s->h * s->w * 3 : (size_t)(s->offset[row + 1] - s->offset[row]);
}

static int read_bytes(const struct shard *s, const struct shard_bytes *b, uint64_t at, void *out,
                      size_t n)
{
    if (!b->loaded)
        return h5_pread(&s->in, b->at + at, out, n);
    memcpy(out, b->loaded + at, n);
    return 0;
}

/* "FILE: row 3 (KEY): " and what fail_text() says. */
static int row_failed(int rc, const struct shard *s, size_t row, const char *what)
{
    size_t len, k = strnlen(fail_text(), 255);
    const char *key = rows_key(&s->rows, row, &len);
    char why[256];

    memcpy(why, fail_text(), k); /* fail() would overwrite it while reading it */
    why[k] = '\0';
    return fail(rc, "%s: row %zu (%.*s): %s%s", s->in.name, row, (int)MIN(len, 400), key, what,
                why);
}

int shard_row_read(const struct shard *s, size_t row, void *out)
{
    size_t n = shard_row_bytes(s, row), len;
    int rc = read_bytes(s, &s->pictures, s->decoded ? row * n : s->offset[row], out, n);

    if (rc == 0 && crc_bytes(0, out, n) != s->crc[row]) {
        const char *key = rows_key(&s->rows, row, &len);
        rc = fail(-EIO, "%s: row %zu (%.*s) is damaged: its bytes do not match their checksum",
                  s->in.name, row, (int)MIN(len, 400), key);
    }
    return rc;
}

int shard_row_image(const struct shard *s, size_t row, struct image *im)
{
    return shard_row_box(s, row, NULL, im);
}

static int check_size(const struct shard *s, size_t row, size_t h, size_t w)
{
    if (h == s->size[row][0] && w == s->size[row][1])
        return 0;
    return fail(-EIO, "a picture of %zu x %zu, recorded as %u x %u", h, w, s->size[row][0],
                s->size[row][1]);
}

int shard_row_box(const struct shard *s, size_t row, const struct image_box *box, struct image *im)
{
    size_t n = shard_row_bytes(s, row);
    int rc;

    *im = (struct image){ 0 };
    uint8_t *bytes = mem_alloc(n, 1, "picture");
    if (!bytes)
        return -ENOMEM;
    if ((rc = shard_row_read(s, row, bytes)) < 0)
        goto out;
    if (s->decoded) {
        *im = (struct image){ s->h, s->w, bytes };
        return 0;
    }
    if ((rc = image_decode_box(im, bytes, n, box)) == 0)
        rc = check_size(s, row, im->h, im->w);
    if (rc < 0) {
        image_release(im);
        rc = row_failed(rc, s, row, "");
    }
out:
    free(bytes);
    return rc;
}

int shard_row_mask(const struct shard *s, size_t row, struct mask *m)
{
    uint64_t at = !s->masked ? 0 : s->decoded ? row * s->h * s->w : s->mask_offset[row];
    size_t n = !s->masked ? 0 : s->decoded ? s->h * s->w : (size_t)(s->mask_offset[row + 1] - at);
    uint8_t *bytes;
    int rc;

    *m = (struct mask){ 0 };
    if (n == 0)
        return 0;
    if (!(bytes = mem_alloc(n, 1, "mask")))
        return -ENOMEM;
    if ((rc = read_bytes(s, &s->masks, at, bytes, n)) < 0)
        goto out;
    if (s->mask_crc && crc_bytes(0, bytes, n) != s->mask_crc[row])
        rc = fail(-EIO, "damaged: its bytes do not match their checksum");
    if (rc == 0 && s->decoded) {
        *m = (struct mask){ s->h, s->w, bytes };
        bytes = NULL;
    } else if (rc == 0 && (rc = mask_decode(m, bytes, n)) == 0) {
        rc = check_size(s, row, m->h, m->w);
    }
    if (rc < 0)
        rc = row_failed(rc, s, row, "its mask: ");
    else
        rc = mask_cover(m) > 0;
out:
    if (rc <= 0)
        mask_release(m);
    free(bytes);
    return rc;
}

int shard_set_open(struct shard_set *set, char **operands, int n)
{
    struct stream *st;
    int rc;

    *set = (struct shard_set){ 0 };
    if ((rc = stream_open(&st, operands, n)) < 0)
        return rc;
    for (;;) {
        if ((rc = mem_grow(&set->shard, &set->room, set->nshards + 1, sizeof(*set->shard))) < 0)
            break;
        struct shard *s = &set->shard[set->nshards];
        if ((rc = shard_next(st, s)) <= 0)
            break;
        set->nshards++;
        if ((rc = classes_meet(&set->classes, &s->rows.classes, set->shard[0].in.name,
                               s->in.name)) < 0)
            break;
        H5Fclose(s->in.file);
        s->in.file = -1;
    }
    stream_close(st);
    if (rc == 0 &&
        !(set->first = mem_alloc(set->nshards + 1, sizeof(*set->first), "numbers of rows")))
        rc = -ENOMEM;
    if (rc < 0) {
        shard_set_close(set);
        return rc;
    }
    for (size_t i = 0; i < set->nshards; i++)
        set->first[i + 1] = set->first[i] + set->shard[i].rows.n;
    set->nrows = set->first[set->nshards];
    return 0;
}

void shard_set_close(struct shard_set *set)
{
    for (size_t i = 0; i < set->nshards; i++)
        shard_close(&set->shard[i]);
    free(set->shard);
    free(set->first);
    classes_release(&set->classes);
    *set = (struct shard_set){ 0 };
}

int shard_set_labels(int32_t **out, const struct shard_set *set)
{
    if (!(*out = mem_alloc(set->nrows, sizeof(**out), "labels of the data")))
        return -ENOMEM;
    for (size_t i = 0; i < set->nshards; i++)
        memcpy(*out + set->first[i], set->shard[i].rows.label,
               set->shard[i].rows.n * sizeof(**out));
    return 0;
}

struct shard *shard_set_find(struct shard_set *set, size_t row, size_t *row_in_shard)
{
    size_t lo = 0, hi = set->nshards;

    while (hi - lo > 1) { /* the last shard that begins at or before row; skips empty ones */
        size_t mid = lo + (hi - lo) / 2;
        if (set->first[mid] <= row)
            lo = mid;
        else
            hi = mid;
    }
    *row_in_shard = row - set->first[lo];
    return &set->shard[lo];
}
