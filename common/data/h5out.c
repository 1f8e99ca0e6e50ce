/*
 * h5out.c - writing HDF5: whole or not at all, and the same bytes for the same content.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/tail.h"
#include "common/data/h5.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGN 64
#define ALIGN_FROM 4096
#define ATTR_MAX 65000 /* what an object header can hold of one attribute, a little less */

static hid_t little(enum h5_type type)
{
    switch (type) {
    case H5_U8:
        return H5T_STD_U8LE;
    case H5_U16:
        return H5T_STD_U16LE;
    case H5_I32:
        return H5T_STD_I32LE;
    case H5_U32:
        return H5T_STD_U32LE;
    case H5_I64:
        return H5T_STD_I64LE;
    case H5_U64:
        return H5T_STD_U64LE;
    case H5_F32:
        return H5T_IEEE_F32LE;
    default:
        return H5T_IEEE_F64LE;
    }
}

/* A write that failed has left its reason; else it is HDF5's own. */
static int cannot(const struct h5out *o, const char *what)
{
    errno = o->sink->error;
    if (errno)
        return fail_errno("%s", o->name);
    return fail(-EIO, "%s: HDF5 cannot write %s", o->name, what);
}

/* Decides how path is written. */
static int open_path(struct h5out *o, const char *path)
{
    o->sink->fd = -1;
    if (!path || strcmp(path, "-") == 0) {
        o->name = mem_strdup("standard output");
        if (o->name && isatty(STDOUT_FILENO))
            return fail(-EUSAGE, "standard output is a terminal, and HDF5 is no text: name a file "
                                 "(-o), or pipe it on");
        return o->name ? 0 : -ENOMEM;
    }
    int rc = newfile_open(&o->new, path);
    o->sink->fd = o->new.fd;
    if (rc == 0 && !(o->name = mem_strdup(path)))
        rc = -ENOMEM;
    return rc;
}

/* How groups are made, the root too: without times, and with all links and attributes in the object
 * header. In indexed storage, which HDF5 would choose for more than eight, damage crashes it. */
static herr_t set_group(hid_t gcpl)
{
    herr_t a = H5Pset_obj_track_times(gcpl, false);
    herr_t b = H5Pset_link_phase_change(gcpl, UINT16_MAX, 0);
    herr_t c = H5Pset_attr_phase_change(gcpl, UINT16_MAX, 0);

    return a < 0 || b < 0 || c < 0 ? -1 : 0;
}

int h5out_open(struct h5out *o, const char *path)
{
    hid_t fapl = -1, fcpl = -1;
    int rc;

    *o = (struct h5out){ .file = -1 };
    h5_start();
    if (!(o->sink = mem_alloc(1, sizeof(*o->sink), "HDF5 output")))
        return -ENOMEM;
    if ((rc = open_path(o, path)) < 0)
        goto out;
    if ((fapl = h5sink_fapl(o->sink)) < 0 || (fcpl = H5Pcreate(H5P_FILE_CREATE)) < 0 ||
        H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0 ||
        H5Pset_alignment(fapl, ALIGN_FROM, ALIGN) < 0 || set_group(fcpl) < 0 ||
        (o->file = H5Fcreate(o->name, H5F_ACC_TRUNC, fcpl, fapl)) < 0)
        rc = cannot(o, "a file");
out:
    if (fapl > 0)
        H5Pclose(fapl);
    if (fcpl > 0)
        H5Pclose(fcpl);
    if (rc < 0)
        h5out_abort(o);
    return rc;
}

int h5out_check(const char *path)
{
    struct h5out o;
    int rc = h5out_open(&o, path);

    if (rc == 0)
        h5out_abort(&o);
    return rc;
}

int h5_group(struct h5out *o, const char *name)
{
    htri_t there = H5Lexists(o->file, name, H5P_DEFAULT);

    if (there > 0)
        return 0;
    hid_t gcpl = H5Pcreate(H5P_GROUP_CREATE), group = -1;
    if (there == 0 && gcpl >= 0 && set_group(gcpl) >= 0)
        group = H5Gcreate2(o->file, name, H5P_DEFAULT, gcpl, H5P_DEFAULT);
    if (gcpl > 0)
        H5Pclose(gcpl);
    if (group < 0)
        return cannot(o, name);
    H5Gclose(group);
    return 0;
}

/* The groups on the way to name. */
static int groups_above(struct h5out *o, const char *name)
{
    char part[512];
    int rc = 0;

    if (strlen(name) >= sizeof(part))
        return fail(-EINVAL, "%s: the name %.60s... is too long", o->name, name);
    for (const char *slash = strchr(name, '/'); slash && rc == 0; slash = strchr(slash + 1, '/')) {
        memcpy(part, name, (size_t)(slash - name));
        part[slash - name] = '\0';
        rc = h5_group(o, part);
    }
    return rc;
}

/* Creates a contiguous dataset and writes all of it; the memory type may equal the file's. */
static int write_all(struct h5out *o, const char *dataset, hid_t file_type, hid_t memory_type,
                     int ndim, const size_t *dim, const void *data)
{
    hsize_t d[H5S_MAX_RANK], count = 1;
    hid_t space = -1, dcpl = -1, set = -1;
    int rc = groups_above(o, dataset);

    if (rc < 0)
        return rc;
    for (int i = 0; i < ndim; i++)
        count *= d[i] = dim[i];
    if ((space = ndim ? H5Screate_simple(ndim, d, NULL) : H5Screate(H5S_SCALAR)) < 0 ||
        (dcpl = H5Pcreate(H5P_DATASET_CREATE)) < 0 || H5Pset_obj_track_times(dcpl, false) < 0 ||
        H5Pset_fill_time(dcpl, H5D_FILL_TIME_NEVER) < 0 ||
        (set = H5Dcreate2(o->file, dataset, file_type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT)) <
            0 ||
        (count > 0 && H5Dwrite(set, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
        rc = cannot(o, dataset);
    if (set > 0)
        H5Dclose(set);
    if (dcpl > 0)
        H5Pclose(dcpl);
    if (space > 0)
        H5Sclose(space);
    return rc;
}

int h5_write(struct h5out *o, const char *dataset, enum h5_type type, int ndim, const size_t *dim,
             const void *data)
{
    hid_t memory = H5Tget_native_type(little(type), H5T_DIR_ASCEND);
    int rc = write_all(o, dataset, little(type), memory, ndim, dim, data);

    H5Tclose(memory);
    return rc;
}

/* A fixed-length, NUL-padded UTF-8 string of n bytes, at least one. */
static hid_t string_type(size_t n)
{
    hid_t t = H5Tcopy(H5T_C_S1);

    H5Tset_size(t, MAX(n, 1));
    H5Tset_cset(t, H5T_CSET_UTF8);
    H5Tset_strpad(t, H5T_STR_NULLPAD);
    return t;
}

int h5_write_strings(struct h5out *o, const char *dataset, char *const *s, size_t n)
{
    size_t width = 1;

    for (size_t i = 0; i < n; i++)
        width = MAX(width, strlen(s[i]));
    char *packed = mem_alloc(n, width, dataset);
    if (!packed)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        memcpy(packed + i * width, s[i], strlen(s[i]));

    hid_t type = string_type(width);
    int rc = write_all(o, dataset, type, type, 1, &n, packed);
    H5Tclose(type);
    free(packed);
    return rc;
}

static int put(struct h5out *o, const char *object, const char *name, hid_t file_type,
               hid_t memory_type, const void *value)
{
    hid_t id = H5Oopen(o->file, *object ? object : "/", H5P_DEFAULT), space = -1, attr = -1;
    int rc = 0;

    if (id < 0 || (H5Aexists(id, name) > 0 && H5Adelete(id, name) < 0) ||
        (space = H5Screate(H5S_SCALAR)) < 0 ||
        (attr = H5Acreate2(id, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attr, memory_type, value) < 0)
        rc = cannot(o, name);
    if (attr > 0)
        H5Aclose(attr);
    if (space > 0)
        H5Sclose(space);
    if (id > 0)
        H5Oclose(id);
    return rc;
}

int h5_put_int(struct h5out *o, const char *object, const char *name, int64_t v)
{
    return put(o, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &v);
}

int h5_put_uint(struct h5out *o, const char *object, const char *name, uint64_t v)
{
    return put(o, object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &v);
}

int h5_put_double(struct h5out *o, const char *object, const char *name, double v)
{
    return put(o, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &v);
}

int h5_put_string(struct h5out *o, const char *object, const char *name, const char *s)
{
    if (strlen(s) > ATTR_MAX)
        return fail(-EINVAL, "%s: attribute %s is longer than %d bytes", o->name, name, ATTR_MAX);
    hid_t type = string_type(strlen(s));
    int rc = put(o, object, name, type, type, s);

    H5Tclose(type);
    return rc;
}

/* The finished image to standard output, or into the pipe or device at path. */
static int send_image(struct h5out *o)
{
    if (!o->new.path)
        return tail_write(o->sink->image, (size_t)o->sink->size);
    int fd = open(o->new.path, O_WRONLY | O_CLOEXEC), rc = 0;
    if (fd < 0)
        return fail_errno("%s", o->name);
    for (uint64_t put = 0; put < o->sink->size && rc == 0;) {
        size_t ask = (size_t)MIN(o->sink->size - put, (uint64_t)1 << 30);
        ssize_t k = write(fd, o->sink->image + put, ask);
        if (k > 0)
            put += (uint64_t)k;
        else if (k == 0 || errno != EINTR)
            rc = k == 0 ? fail(-ENOSPC, "%s: nothing more can be written", o->name)
                        : fail_errno("%s", o->name);
    }
    if (close(fd) < 0 && rc == 0)
        rc = fail_errno("%s", o->name);
    return rc;
}

int h5out_commit(struct h5out *o, const char *format, int version, const struct history *h)
{
    int rc;

    if ((rc = h5_put_string(o, "", "format", format)) < 0 ||
        (rc = h5_put_int(o, "", "version", version)) < 0 ||
        (h && h->n > 0 && (rc = h5_write_strings(o, "history", h->line, h->n)) < 0) ||
        (rc = h5_put_int(o, "", "complete", 1)) < 0)
        goto out;
    hid_t file = o->file;
    o->file = -1;
    if (H5Fclose(file) < 0 || o->sink->error)
        rc = cannot(o, "the end of the file");
    else
        rc = o->new.tmp ? newfile_commit(&o->new) : send_image(o);
out:
    h5out_abort(o);
    return rc;
}

void h5out_abort(struct h5out *o)
{
    if (o->file > 0)
        H5Fclose(o->file);
    if (o->sink) {
        if (o->sink->fd >= 0)
            close(o->sink->fd);
        h5sink_release(o->sink);
    }
    newfile_abort(&o->new);
    free(o->sink);
    free(o->name);
    *o = (struct h5out){ .file = -1 };
}
