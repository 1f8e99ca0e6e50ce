/*
 * h5.h - HDF5 with every answer checked: datasets and attributes of known type and shape, in and
 * out.
 *
 * Reading never trusts a size: products are checked, and a dataset that claims more bytes than its
 * file holds is refused (-EINVAL, worded with file and dataset). So are soft and external links,
 * external and virtual storage, and filters other than shuffle, deflate and fletcher32. Files by
 * other programs may be chunked, compressed, big-endian, and have strings of variable length.
 *
 * Writing goes to memory first for pipes, else to a file without a name in the target's folder
 * (NAME.tmp.PID where the file system has no such thing); h5out_commit() syncs, renames and syncs
 * the folder, so a target is whole or absent, and a killed program leaves nothing behind. Files are
 * superblock v2 (H5F_LIBVER_V18), contiguous little-endian datasets, big ones aligned to 64 bytes;
 * no variable-length types, filters, links, user blocks or times: the same content makes the same
 * bytes. Attributes: 64-bit integers with or without sign, doubles, fixed UTF-8 strings.
 */
#ifndef SEMPPL_H5_H
#define SEMPPL_H5_H

#include "common/base/prov.h"
#include "common/data/h5driver.h"
#include "common/data/newfile.h"
#include "common/data/stream.h"
#include <hdf5.h>

enum h5_type { H5_U8, H5_U16, H5_I32, H5_U32, H5_I64, H5_U64, H5_F32, H5_F64 };
size_t h5_sizeof(enum h5_type type);

/* -- reading ---- */

bool h5_has(const struct h5in *in,
            const char *dataset); /* dataset or group; "a/b" paths are fine */
/*
 * Shape of a dataset: exactly ndim dimensions (dim[] filled), elements that convert to type without
 * loss (the same integer type, or a float that is no wider); checks bytes <= file, or what the
 * file's bytes can inflate to.
 */
int h5_shape(const struct h5in *in, const char *dataset, enum h5_type type, int ndim, size_t *dim);
/* Reads all of it, converting to type; n elements expected. */
int h5_read(const struct h5in *in, const char *dataset, enum h5_type type, size_t n, void *out);
/* Reads rows [first, first+count) of a dataset of ndim >= 1 dimensions whose rows have rowlen
 * elements. */
int h5_read_rows(const struct h5in *in, const char *dataset, enum h5_type type, size_t first,
                 size_t count, size_t rowlen, void *out);
/* Where the bytes of a contiguous dataset lie in the file, for h5_pread(); -ENOTSUP (not worded) if
 * it is chunked or converted. */
int h5_offset(const struct h5in *in, const char *dataset, enum h5_type type, uint64_t *offset);
/* n bytes at offset of the file; any thread. -EIO (worded) if they are not there. */
int h5_pread(const struct h5in *in, uint64_t offset, void *out, size_t n);

/* Attributes of the root ("" ) or of an object. -ENOENT (worded) if absent. */
int h5_attr_int(const struct h5in *in, const char *object, const char *name, int64_t *out);
int h5_attr_double(const struct h5in *in, const char *object, const char *name, double *out);
int h5_attr_string(const struct h5in *in, const char *object, const char *name,
                   char **out); /* free() */
bool h5_has_attr(const struct h5in *in, const char *object, const char *name);
/* Calls visit for every attribute of the root, in name order; kind as stored. UINT is an integer
 * above INT64_MAX, whose bits come in i. */
enum h5_attr_kind { H5_ATTR_INT, H5_ATTR_UINT, H5_ATTR_DOUBLE, H5_ATTR_STRING };
int h5_each_attr(const struct h5in *in,
                 int (*visit)(void *arg, const char *name, enum h5_attr_kind kind, int64_t i,
                              double d, const char *s),
                 void *arg);

/* A list of strings: one dataset of strings, 1-D; bytes behind a NUL are dropped. */
int h5_read_strings(const struct h5in *in, const char *dataset, char ***out,
                    size_t *n); /* free each, then list */

/* Checks format (must equal), version (<= max), complete == 1; history, if any, is merged into h
 * (may be NULL). */
int h5_check_format(const struct h5in *in, const char *format, int max_version, struct history *h);

/*
 * What a path names, for those who walk a file: opens the object behind hard links only. Negative:
 * -ENOENT (worded) if there is none, -EINVAL (worded) for links. Close with H5Oclose().
 */
int h5_object(const struct h5in *in, const char *path, hid_t *object);
/* The type of a dataset's elements, one of ours; and its shape, at most max dimensions. */
int h5_describe(const struct h5in *in, const char *dataset, enum h5_type *type, int max, int *ndim,
                size_t *dim);

/* -- writing ---- */

struct h5out {
    hid_t file;
    char *name;         /* for messages */
    struct newfile new; /* without tmp: all in memory first, then to its path, or standard output */
    struct h5sink *sink; /* what has been written */
};
int h5out_open(struct h5out *o, const char *path);
/* Fails (worded) as that would: a terminal, no such folder, a full disk, are better told before the
 * work. */
int h5out_check(const char *path);
/* Groups on the way to a dataset are made. */
int h5_write(struct h5out *o, const char *dataset, enum h5_type type, int ndim, const size_t *dim,
             const void *data);
int h5_write_strings(struct h5out *o, const char *dataset, char *const *s, size_t n);
int h5_group(struct h5out *o, const char *name); /* fine if it is there already */
int h5_put_int(struct h5out *o, const char *object, const char *name, int64_t v);
int h5_put_uint(struct h5out *o, const char *object, const char *name, uint64_t v);
int h5_put_double(struct h5out *o, const char *object, const char *name, double v);
/* At most 65000 bytes: -EINVAL (worded) beyond. */
int h5_put_string(struct h5out *o, const char *object, const char *name, const char *s);
/*
 * format, version, history (a dataset of strings, if it has lines) and, last, complete = 1; then to
 * disk (synced, renamed) or out. Closes in every case. A full disk is -ENOSPC, worded with path.
 */
int h5out_commit(struct h5out *o, const char *format, int version, const struct history *h);
void h5out_abort(struct h5out *o); /* leaves nothing behind; fine on a zeroed or committed one */

#endif
