/*
 * h5.c - reading datasets of HDF5 files with every answer checked.
 */
#include "common/data/h5.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/h5_string.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_DEPTH 8
#define MAX_RANK 8
/* Deflate makes at most 1032 bytes of one (zlib, "Technical Details"); more is a bomb or damage. */
#define INFLATE_MAX 1032
#define CHUNK_MAX ((size_t)1 << 30)

static const struct {
    const char *word;
    size_t size;
} types[] = {
    [H5_U8] = { "u8", 1 },   [H5_U16] = { "u16", 2 }, [H5_I32] = { "i32", 4 },
    [H5_U32] = { "u32", 4 }, [H5_I64] = { "i64", 8 }, [H5_U64] = { "u64", 8 },
    [H5_F32] = { "f32", 4 }, [H5_F64] = { "f64", 8 },
};

size_t h5_sizeof(enum h5_type type)
{
    return types[type].size;
}

static hid_t native(enum h5_type type)
{
    switch (type) {
    case H5_U8:
        return H5T_NATIVE_UINT8;
    case H5_U16:
        return H5T_NATIVE_UINT16;
    case H5_I32:
        return H5T_NATIVE_INT32;
    case H5_U32:
        return H5T_NATIVE_UINT32;
    case H5_I64:
        return H5T_NATIVE_INT64;
    case H5_U64:
        return H5T_NATIVE_UINT64;
    case H5_F32:
        return H5T_NATIVE_FLOAT;
    default:
        return H5T_NATIVE_DOUBLE;
    }
}

/* Which of our types is this, in either byte order? -1: none. */
static int type_of(hid_t t)
{
    const struct {
        hid_t little, big;
        enum h5_type type;
    } known[] = {
        { H5T_STD_U8LE, H5T_STD_U8BE, H5_U8 },      { H5T_STD_U16LE, H5T_STD_U16BE, H5_U16 },
        { H5T_STD_I32LE, H5T_STD_I32BE, H5_I32 },   { H5T_STD_U32LE, H5T_STD_U32BE, H5_U32 },
        { H5T_STD_I64LE, H5T_STD_I64BE, H5_I64 },   { H5T_STD_U64LE, H5T_STD_U64BE, H5_U64 },
        { H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5_F32 }, { H5T_IEEE_F64LE, H5T_IEEE_F64BE, H5_F64 },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (H5Tequal(t, known[i].little) > 0 || H5Tequal(t, known[i].big) > 0)
            return (int)known[i].type;
    return -1;
}

/* Walks a path through hard links only: soft links could lead through external ones. 1 if it is
 * there, 0 if not, negative (worded) for links and damage. */
static int hard_path(const struct h5in *in, const char *path)
{
    char part[512];
    size_t n = strlen(path), depth = 0;

    if (n == 0)
        return 1;
    if (n >= sizeof(part))
        return 0;
    for (size_t i = 1; i <= n; i++) {
        H5L_info_t info;
        if (path[i] != '/' && path[i])
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        htri_t there = H5Lexists(in->file, part, H5P_DEFAULT);
        if (there == 0)
            return 0;
        if (there < 0 || H5Lget_info(in->file, part, &info, H5P_DEFAULT) < 0)
            return fail(-EIO, "%s: %s: damaged HDF5 metadata", in->name, part);
        if (info.type != H5L_TYPE_HARD)
            return fail(-EINVAL, "%s: %s is a soft or external link, which is not followed",
                        in->name, part);
        if (++depth > MAX_DEPTH)
            return fail(-EINVAL, "%s: %s: groups are nested too deeply", in->name, part);
        if (path[i]) { /* what follows can only be in a group */
            H5O_info_t object;
            if (H5Oget_info_by_name(in->file, part, &object, H5P_DEFAULT) < 0)
                return fail(-EIO, "%s: %s: damaged HDF5 metadata", in->name, part);
            if (object.type != H5O_TYPE_GROUP)
                return 0;
        }
    }
    return 1;
}

bool h5_has(const struct h5in *in, const char *dataset)
{
    return hard_path(in, dataset) > 0;
}

int h5_object(const struct h5in *in, const char *path, hid_t *object)
{
    int rc = hard_path(in, path);

    *object = -1;
    if (rc < 0)
        return rc;
    if (rc == 0)
        return fail(-ENOENT, "%s: there is no %s", in->name, path);
    if ((*object = H5Oopen(in->file, *path ? path : "/", H5P_DEFAULT)) < 0)
        return fail(-EIO, "%s: %s: damaged HDF5 metadata", in->name, path);
    return 0;
}

/* An open dataset, all its properties known and acceptable. */
struct data {
    hid_t id, space, type, dcpl;
    H5D_layout_t layout;
    bool filtered;
    int ndim;
    size_t dim[MAX_RANK];
    size_t count, bytes; /* elements; bytes as the file's type */
};

static void data_close(struct data *d)
{
    if (d->dcpl > 0)
        H5Pclose(d->dcpl);
    if (d->type > 0)
        H5Tclose(d->type);
    if (d->space > 0)
        H5Sclose(d->space);
    if (d->id > 0)
        H5Oclose(d->id);
    *d = (struct data){ 0 };
}

static int check_storage(const struct h5in *in, const char *name, struct data *d)
{
    hsize_t chunk[MAX_RANK];
    size_t chunk_bytes = H5Tget_size(d->type);

    d->layout = H5Pget_layout(d->dcpl);
    if (d->layout == H5D_VIRTUAL || H5Pget_external_count(d->dcpl) > 0)
        return fail(-EINVAL, "%s: dataset %s keeps its bytes in other files", in->name, name);
    if (d->layout != H5D_CHUNKED)
        return d->layout < 0 ? fail(-EIO, "%s: %s: damaged HDF5 metadata", in->name, name) : 0;

    if (H5Pget_chunk(d->dcpl, MAX_RANK, chunk) != d->ndim)
        return fail(-EIO, "%s: %s: damaged HDF5 metadata", in->name, name);
    for (int i = 0; i < d->ndim; i++)
        if (chunk[i] == 0 || chunk_bytes > CHUNK_MAX / chunk[i])
            return fail(-EINVAL, "%s: dataset %s has chunks of more than 1 GiB", in->name, name);
        else
            chunk_bytes *= chunk[i];
    int n = H5Pget_nfilters(d->dcpl);
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t values = 0;
        H5Z_filter_t f =
            H5Pget_filter2(d->dcpl, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
        if (f != H5Z_FILTER_DEFLATE && f != H5Z_FILTER_SHUFFLE && f != H5Z_FILTER_FLETCHER32)
            return fail(-EINVAL, "%s: dataset %s is packed with filter %d, which is not known",
                        in->name, name, (int)f);
    }
    d->filtered = n > 0;
    return n < 0 ? fail(-EIO, "%s: %s: damaged HDF5 metadata", in->name, name) : 0;
}

static int check_size(const struct h5in *in, const char *name, struct data *d)
{
    hsize_t dim[MAX_RANK];
    size_t limit = in->size;
    int rc;

    d->ndim = H5Sget_simple_extent_ndims(d->space);
    if (d->ndim < 0 || d->ndim > MAX_RANK || H5Sget_simple_extent_type(d->space) == H5S_NULL)
        return fail(-EINVAL, "%s: dataset %s has no shape that can be read", in->name, name);
    H5Sget_simple_extent_dims(d->space, dim, NULL);
    d->count = 1;
    for (int i = 0; i < d->ndim; i++) {
        d->dim[i] = (size_t)dim[i];
        if ((rc = mem_product(&d->count, d->count, d->dim[i])) < 0)
            return fail(rc, "%s: dataset %s claims an impossible size", in->name, name);
    }
    if ((rc = check_storage(in, name, d)) < 0)
        return rc;
    if (d->filtered && (rc = mem_product(&limit, limit, INFLATE_MAX)) < 0)
        return rc;
    if (mem_product(&d->bytes, d->count, H5Tget_size(d->type)) < 0 || d->bytes > limit)
        return fail(-EINVAL, "%s: dataset %s claims more bytes than the file holds", in->name,
                    name);
    return 0;
}

static int data_open(const struct h5in *in, const char *name, struct data *d)
{
    *d = (struct data){ 0 };
    int rc = h5_object(in, name, &d->id);

    if (rc == -ENOENT)
        return fail(rc, "%s: there is no dataset %s", in->name, name);
    if (rc < 0)
        return rc;
    if (H5Iget_type(d->id) != H5I_DATASET) {
        rc = fail(-EINVAL, "%s: %s is not a dataset", in->name, name);
    } else if ((d->space = H5Dget_space(d->id)) < 0 || (d->type = H5Dget_type(d->id)) < 0 ||
               (d->dcpl = H5Dget_create_plist(d->id)) < 0) {
        rc = fail(-EIO, "%s: %s: damaged HDF5 metadata", in->name, name);
    } else {
        rc = check_size(in, name, d);
    }
    if (rc < 0)
        data_close(d);
    return rc;
}

/* data_open() for elements that convert to type. */
static int data_open_as(const struct h5in *in, const char *name, enum h5_type type, struct data *d)
{
    int rc = data_open(in, name, d);

    if (rc < 0)
        return rc;
    int have = type_of(d->type);
    if (have != (int)type && !(have == H5_F32 && type == H5_F64)) {
        rc = fail(-EINVAL, "%s: dataset %s has elements of type %s, not %s", in->name, name,
                  have < 0 ? "unknown" : types[have].word, types[type].word);
        data_close(d);
    }
    return rc;
}

int h5_describe(const struct h5in *in, const char *dataset, enum h5_type *type, int max, int *ndim,
                size_t *dim)
{
    struct data d;
    int rc = data_open(in, dataset, &d);

    if (rc < 0)
        return rc;
    int have = type_of(d.type);
    if (have < 0)
        rc = fail(-EINVAL, "%s: dataset %s has elements of an unknown type", in->name, dataset);
    else if (d.ndim > max)
        rc = fail(-EINVAL, "%s: dataset %s has %d dimensions, at most %d are known", in->name,
                  dataset, d.ndim, max);
    if (rc == 0) {
        *type = (enum h5_type)have;
        *ndim = d.ndim;
        memcpy(dim, d.dim, (size_t)d.ndim * sizeof(*dim));
    }
    data_close(&d);
    return rc;
}

int h5_shape(const struct h5in *in, const char *dataset, enum h5_type type, int ndim, size_t *dim)
{
    struct data d;
    int rc = data_open_as(in, dataset, type, &d);

    if (rc < 0)
        return rc;
    if (d.ndim != ndim)
        rc = fail(-EINVAL, "%s: dataset %s has %s, not %d", in->name, dataset,
                  TEXT_COUNT((uint64_t)d.ndim, "dimension", "dimensions"), ndim);
    else
        memcpy(dim, d.dim, (size_t)ndim * sizeof(*dim));
    data_close(&d);
    return rc;
}

static int damaged_data(const struct h5in *in, const char *dataset)
{
    return fail(-EIO, "%s: dataset %s is damaged and cannot be read", in->name, dataset);
}

int h5_read(const struct h5in *in, const char *dataset, enum h5_type type, size_t n, void *out)
{
    struct data d;
    int rc = data_open_as(in, dataset, type, &d);

    if (rc < 0)
        return rc;
    if (d.count != n)
        rc = fail(-EINVAL, "%s: dataset %s has %s, not %zu", in->name, dataset,
                  TEXT_COUNT(d.count, "element", "elements"), n);
    else if (n > 0 && H5Dread(d.id, native(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
        rc = damaged_data(in, dataset);
    data_close(&d);
    return rc;
}

int h5_read_rows(const struct h5in *in, const char *dataset, enum h5_type type, size_t first,
                 size_t count, size_t rowlen, void *out)
{
    hsize_t start[MAX_RANK] = { first }, size[MAX_RANK] = { count }, n;
    size_t have = 1;
    hid_t memory = -1;
    struct data d;
    int rc = data_open_as(in, dataset, type, &d);

    if (rc < 0)
        return rc;
    for (int i = 1; i < d.ndim; i++) {
        size[i] = d.dim[i];
        have *= d.dim[i];
    }
    if (d.ndim < 1 || have != rowlen)
        rc = fail(-EINVAL, "%s: dataset %s has rows of %s, not %zu", in->name, dataset,
                  TEXT_COUNT(d.ndim < 1 ? 0 : have, "element", "elements"), rowlen);
    else if (first > d.dim[0] || count > d.dim[0] - first)
        rc = fail(-EINVAL, "%s: dataset %s has %s, not %zu", in->name, dataset,
                  TEXT_COUNT(d.dim[0], "row", "rows"), first + count);
    if (rc < 0 || count == 0 || rowlen == 0)
        goto out;
    n = (hsize_t)count * rowlen;
    memory = H5Screate_simple(1, &n, NULL);
    if (memory < 0 || H5Sselect_hyperslab(d.space, H5S_SELECT_SET, start, NULL, size, NULL) < 0 ||
        H5Dread(d.id, native(type), memory, d.space, H5P_DEFAULT, out) < 0)
        rc = damaged_data(in, dataset);
    if (memory > 0)
        H5Sclose(memory);
out:
    data_close(&d);
    return rc;
}

int h5_offset(const struct h5in *in, const char *dataset, enum h5_type type, uint64_t *offset)
{
    struct data d;
    int rc = data_open_as(in, dataset, type, &d);

    if (rc < 0)
        return rc;
    haddr_t at = d.bytes == 0 ? 0 : H5Dget_offset(d.id);
    if (d.layout != H5D_CONTIGUOUS || H5Tequal(d.type, native(type)) <= 0 || at == HADDR_UNDEF)
        rc = -ENOTSUP;
    else if (at > in->size || d.bytes > in->size - at)
        rc = fail(-EIO, "%s: dataset %s reaches beyond the end of the file", in->name, dataset);
    *offset = at;
    data_close(&d);
    return rc;
}

int h5_pread(const struct h5in *in, uint64_t offset, void *out, size_t n)
{
    char *p = out;

    if (offset > in->size || n > in->size - offset)
        return fail(-EIO, "%s: %s wanted beyond the end of the file", in->name,
                    TEXT_COUNT(n, "byte", "bytes"));
    if (in->image) {
        memcpy(out, in->image + offset, n);
        return 0;
    }
    while (n > 0) {
        ssize_t k = pread(in->fd, p, MIN(n, (size_t)1 << 30), (off_t)offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno("%s", in->name);
        if (k == 0)
            return fail(-EIO, "%s: the file has become shorter while it was read", in->name);
        p += k;
        offset += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

/* -- strings ---- */

char *h5_fixed_string(const char *s, size_t n, H5T_str_t pad)
{
    n = strnlen(s, n);
    while (pad == H5T_STR_SPACEPAD && n > 0 && s[n - 1] == ' ')
        n--;
    char *copy = mem_alloc(n + 1, 1, "string");
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

int h5_read_strings(const struct h5in *in, const char *dataset, char ***out, size_t *n)
{
    char *raw = NULL, **list = NULL;
    hid_t memory = -1;
    struct data d;
    int rc = data_open(in, dataset, &d);

    *out = NULL;
    *n = 0;
    if (rc < 0)
        return rc;
    bool variable = H5Tis_variable_str(d.type) > 0;
    size_t size = H5Tget_size(d.type);
    if (H5Tget_class(d.type) != H5T_STRING || d.ndim != 1 || size == 0) {
        rc = fail(-EINVAL, "%s: dataset %s is not a list of strings", in->name, dataset);
        goto out;
    }
    rc = -ENOMEM;
    if (!(raw = mem_alloc(d.count, size, dataset)) ||
        !(list = mem_alloc(d.count + 1, sizeof(*list), dataset)))
        goto out;
    memory = H5Tcopy(d.type);
    rc = 0;
    if (d.count > 0 && H5Dread(d.id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw) < 0)
        rc = damaged_data(in, dataset);
    for (size_t i = 0; i < d.count && rc == 0; i++) {
        const char *s = variable ? ((char **)(void *)raw)[i] : raw + i * size;
        list[i] =
            variable ? mem_strdup(s ? s : "") : h5_fixed_string(s, size, H5Tget_strpad(d.type));
        if (!list[i])
            rc = -ENOMEM;
        else
            *n = i + 1;
    }
    if (variable && d.count > 0)
        H5Dvlen_reclaim(memory, d.space, H5P_DEFAULT, raw);
out:
    if (memory > 0)
        H5Tclose(memory);
    if (rc < 0) {
        for (size_t i = 0; i < *n; i++)
            free(list[i]);
        free(list);
        *n = 0;
    } else {
        *out = list;
    }
    free(raw);
    data_close(&d);
    return rc;
}
