/*
 * columns.c - see columns.h. Nothing that comes from a file is believed before it is checked.
 */
#include "common/data/columns.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

uint32_t crc_bytes(uint32_t crc, const void *bytes, size_t n)
{
    return n ? (uint32_t)crc32_z(crc, bytes, n) : crc; /* zlib takes NULL for a new beginning */
}

int columns_read_classes(const struct h5in *in, struct classes *c)
{
    char **name;
    size_t n;
    int rc = h5_read_strings(in, "classes", &name, &n);

    if (rc < 0)
        return rc;
    if (n > INT32_MAX)
        rc = fail(-EINVAL, "%s: dataset classes has too many names", in->name);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!*name[i])
            rc = fail(-EINVAL, "%s: dataset classes has an empty name", in->name);
        else if (i > 0 && strcmp(name[i - 1], name[i]) >= 0)
            rc = fail(-EINVAL, "%s: dataset classes is not sorted bytewise, or repeats a name: %s",
                      in->name, name[i]);
        else
            rc = classes_add(c, name[i]);
    }
    for (size_t i = 0; i < n; i++)
        free(name[i]);
    free(name);
    return rc;
}

static int read_labels(const struct h5in *in, const char *dataset, const struct rows *r,
                       int32_t **out)
{
    int rc;

    if (!(*out = mem_alloc(r->n, sizeof(**out), dataset)))
        return -ENOMEM;
    if ((rc = h5_read(in, dataset, H5_I32, r->n, *out)) < 0)
        return rc;
    for (size_t i = 0; i < r->n; i++)
        if ((*out)[i] < -1 || (*out)[i] >= (int64_t)r->classes.n)
            return fail(-EINVAL, "%s: dataset %s, row %zu: label %d of %s", in->name, dataset, i,
                        (int)(*out)[i], TEXT_COUNT(r->classes.n, "class", "classes"));
    return 0;
}

int columns_check_offsets(const struct h5in *in, const char *dataset, const uint64_t *offset,
                          size_t n, uint64_t total, bool empty)
{
    if (offset[0] != 0)
        return fail(-EINVAL, "%s: dataset %s does not begin with 0", in->name, dataset);
    for (size_t i = 0; i < n; i++)
        if (offset[i + 1] < offset[i] + !empty || offset[i + 1] > total)
            return fail(-EINVAL, "%s: dataset %s, row %zu: %s the row before, or too large",
                        in->name, dataset, i, empty ? "below" : "not above");
    if (offset[n] != total)
        return fail(-EINVAL, "%s: dataset %s does not end with the number of bytes", in->name,
                    dataset);
    return 0;
}

static int read_keys(const struct h5in *in, struct rows *r)
{
    size_t total;
    int rc = h5_shape(in, "key", H5_U8, 1, &total);

    if (rc < 0)
        return rc;
    if (!(r->key_offset = mem_alloc(r->n + 1, sizeof(*r->key_offset), "key_offset")) ||
        !(r->key = mem_alloc(total, 1, "key")))
        return -ENOMEM;
    if ((rc = h5_read(in, "key_offset", H5_U64, r->n + 1, r->key_offset)) < 0 ||
        (rc = columns_check_offsets(in, "key_offset", r->key_offset, r->n, total, false)) < 0 ||
        (rc = h5_read(in, "key", H5_U8, total, r->key)) < 0)
        return rc;
    if (total > 0 && memchr(r->key, 0, total))
        return fail(-EINVAL, "%s: dataset key has a NUL byte", in->name);
    return 0;
}

int columns_read(const struct h5in *in, struct rows *r)
{
    int rc = h5_shape(in, "id", H5_U64, 1, &r->n);

    if (rc < 0)
        return rc;
    if (r->n > COLUMNS_MAX)
        return fail(-EINVAL, "%s: %zu rows, at most 2^32 are possible", in->name, r->n);
    if (!(r->id = mem_alloc(r->n, sizeof(*r->id), "id")))
        return -ENOMEM;
    if ((rc = h5_read(in, "id", H5_U64, r->n, r->id)) < 0 ||
        (rc = columns_read_classes(in, &r->classes)) < 0 ||
        (rc = read_labels(in, "label", r, &r->label)) < 0)
        return rc;
    if (h5_has(in, "truth") && (rc = read_labels(in, "truth", r, &r->truth)) < 0)
        return rc;
    return read_keys(in, r);
}

int columns_write(struct h5out *o, const struct rows *r)
{
    static const uint64_t none;
    size_t n = r->n, nkey = n ? r->key_offset[n] : 0, n1 = n + 1;
    int rc;

    if ((rc = h5_write_strings(o, "classes", r->classes.name, r->classes.n)) < 0 ||
        (rc = h5_write(o, "id", H5_U64, 1, &n, r->id)) < 0 ||
        (rc = h5_write(o, "label", H5_I32, 1, &n, r->label)) < 0 ||
        (r->truth && (rc = h5_write(o, "truth", H5_I32, 1, &n, r->truth)) < 0) ||
        (rc = h5_write(o, "key_offset", H5_U64, 1, &n1, n ? r->key_offset : &none)) < 0)
        return rc;
    return h5_write(o, "key", H5_U8, 1, &nkey, r->key);
}

uint32_t columns_crc(uint32_t crc, const struct rows *r)
{
    uint64_t none = 0;

    for (size_t i = 0; i < r->classes.n; i++)
        crc = crc_bytes(crc, r->classes.name[i], strlen(r->classes.name[i]) + 1);
    crc = crc_bytes(crc, r->id, r->n * sizeof(*r->id));
    crc = crc_bytes(crc, r->label, r->n * sizeof(*r->label));
    if (r->truth)
        crc = crc_bytes(crc, r->truth, r->n * sizeof(*r->truth));
    crc = crc_bytes(crc, r->n ? r->key_offset : &none, (r->n + 1) * sizeof(*r->key_offset));
    return crc_bytes(crc, r->key, r->n ? r->key_offset[r->n] : 0);
}

int columns_check_crc(const struct h5in *in, uint32_t crc)
{
    int64_t want;
    int rc;

    if (!h5_has_attr(in, "", "checksum"))
        return 0;
    if ((rc = h5_attr_int(in, "", "checksum", &want)) < 0)
        return rc;
    if (want != (int64_t)crc)
        return fail(-EIO, "%s: damaged: its columns do not match its checksum", in->name);
    return 0;
}
