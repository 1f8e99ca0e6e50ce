/*
 * h5_attr.c - reading attributes, and the ones that every file of ours has.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/h5.h"
#include "common/data/h5_string.h"
#include "common/data/jsonl.h"
#include <stdlib.h>
#include <string.h>

struct value {
    enum h5_attr_kind kind;
    int64_t i; /* of H5_ATTR_UINT the bits */
    double d;
    char *s; /* owned */
};

static int attr_string(const struct h5in *in, const char *name, hid_t attr, hid_t type,
                       struct value *v)
{
    size_t size = H5Tget_size(type);
    char *raw = NULL;
    int rc = 0;

    if (H5Tis_variable_str(type) > 0) {
        if (H5Aread(attr, type, &raw) < 0)
            return fail(-EIO, "%s: attribute %s is damaged", in->name, name);
        if (!(v->s = mem_strdup(raw ? raw : "")))
            rc = -ENOMEM;
        H5free_memory(raw);
        return rc;
    }
    if (size > in->size)
        return fail(-EINVAL, "%s: attribute %s claims more bytes than the file holds", in->name,
                    name);
    if (!(raw = mem_alloc(size + 1, 1, name)))
        return -ENOMEM;
    if (H5Aread(attr, type, raw) < 0)
        rc = fail(-EIO, "%s: attribute %s is damaged", in->name, name);
    else if (!(v->s = h5_fixed_string(raw, size, H5Tget_strpad(type))))
        rc = -ENOMEM;
    free(raw);
    return rc;
}

static int attr_number(const struct h5in *in, const char *name, hid_t attr, hid_t type,
                       struct value *v)
{
    H5T_class_t class = H5Tget_class(type);
    uint64_t u = 0;
    herr_t status;

    if (H5Tget_size(type) > 8 || (class != H5T_INTEGER && class != H5T_FLOAT))
        return fail(-EINVAL, "%s: attribute %s is no integer, float or string", in->name, name);
    if (class == H5T_FLOAT) {
        v->kind = H5_ATTR_DOUBLE;
        status = H5Aread(attr, H5T_NATIVE_DOUBLE, &v->d);
    } else if (H5Tget_sign(type) == H5T_SGN_NONE) {
        status = H5Aread(attr, H5T_NATIVE_UINT64, &u);
        if (status >= 0 && u > INT64_MAX)
            v->kind = H5_ATTR_UINT;
        v->i = (int64_t)u;
    } else {
        status = H5Aread(attr, H5T_NATIVE_INT64, &v->i);
    }
    return status < 0 ? fail(-EIO, "%s: attribute %s is damaged", in->name, name) : 0;
}

/* The value of one open attribute; names are for messages. */
static int attr_value(const struct h5in *in, const char *name, hid_t attr, struct value *v)
{
    hid_t space = H5Aget_space(attr), type = H5Aget_type(attr);
    int rc;

    *v = (struct value){ .kind = H5_ATTR_INT };
    if (space < 0 || type < 0) {
        rc = fail(-EIO, "%s: attribute %s is damaged", in->name, name);
    } else if (H5Sget_simple_extent_npoints(space) != 1) {
        rc = fail(-EINVAL, "%s: attribute %s is not a single value", in->name, name);
    } else if (H5Tget_class(type) == H5T_STRING) {
        v->kind = H5_ATTR_STRING;
        rc = attr_string(in, name, attr, type, v);
    } else {
        rc = attr_number(in, name, attr, type, v);
    }
    if (type > 0)
        H5Tclose(type);
    if (space > 0)
        H5Sclose(space);
    return rc;
}

static int attr_get(const struct h5in *in, const char *object, const char *name, struct value *v)
{
    hid_t id, attr = -1;
    int rc = h5_object(in, object, &id);

    *v = (struct value){ .kind = H5_ATTR_INT };
    if (rc < 0)
        return rc;
    htri_t there = H5Aexists(id, name);
    if (there == 0)
        rc = fail(-ENOENT, "%s: there is no attribute %s%s%s", in->name, name,
                  *object ? " of " : "", object);
    else if (there < 0 || (attr = H5Aopen(id, name, H5P_DEFAULT)) < 0)
        rc = fail(-EIO, "%s: attribute %s is damaged", in->name, name);
    else
        rc = attr_value(in, name, attr, v);
    if (attr > 0)
        H5Aclose(attr);
    H5Oclose(id);
    return rc;
}

static int wrong_kind(const struct h5in *in, const char *name, const char *want, struct value *v)
{
    free(v->s);
    return fail(-EINVAL, "%s: attribute %s is not %s", in->name, name, want);
}

int h5_attr_int(const struct h5in *in, const char *object, const char *name, int64_t *out)
{
    struct value v;
    int rc = attr_get(in, object, name, &v);

    if (rc == 0 && v.kind == H5_ATTR_UINT)
        return fail(-EINVAL, "%s: attribute %s is too large", in->name, name);
    if (rc == 0 && v.kind != H5_ATTR_INT)
        return wrong_kind(in, name, "an integer", &v);
    if (rc == 0)
        *out = v.i;
    return rc;
}

int h5_attr_double(const struct h5in *in, const char *object, const char *name, double *out)
{
    struct value v;
    int rc = attr_get(in, object, name, &v);

    if (rc == 0 && v.kind == H5_ATTR_STRING)
        return wrong_kind(in, name, "a number", &v);
    if (rc == 0)
        *out = v.kind == H5_ATTR_INT    ? (double)v.i
               : v.kind == H5_ATTR_UINT ? (double)(uint64_t)v.i
                                        : v.d;
    return rc;
}

int h5_attr_string(const struct h5in *in, const char *object, const char *name, char **out)
{
    struct value v;
    int rc = attr_get(in, object, name, &v);

    *out = NULL;
    if (rc == 0 && v.kind != H5_ATTR_STRING)
        return wrong_kind(in, name, "a string", &v);
    if (rc == 0)
        *out = v.s;
    return rc;
}

bool h5_has_attr(const struct h5in *in, const char *object, const char *name)
{
    hid_t id;

    if (!h5_has(in, object) || h5_object(in, object, &id) < 0)
        return false;
    bool has = H5Aexists(id, name) > 0;
    H5Oclose(id);
    return has;
}

struct each {
    const struct h5in *in;
    int (*visit)(void *arg, const char *name, enum h5_attr_kind kind, int64_t i, double d,
                 const char *s);
    void *arg;
    int rc;
};

static herr_t each_attr(hid_t object, const char *name, const H5A_info_t *info UNUSED, void *arg)
{
    struct each *e = arg;
    struct value v;
    hid_t attr = H5Aopen(object, name, H5P_DEFAULT);

    if (attr < 0) {
        e->rc = fail(-EIO, "%s: attribute %s is damaged", e->in->name, name);
        return -1;
    }
    if ((e->rc = attr_value(e->in, name, attr, &v)) == 0)
        e->rc = e->visit(e->arg, name, v.kind, v.i, v.d, v.s);
    free(v.s);
    H5Aclose(attr);
    return e->rc < 0 ? -1 : 0;
}

int h5_each_attr(const struct h5in *in,
                 int (*visit)(void *arg, const char *name, enum h5_attr_kind kind, int64_t i,
                              double d, const char *s),
                 void *arg)
{
    struct each e = { in, visit, arg, 0 };
    hid_t root;
    int rc = h5_object(in, "", &root);

    if (rc < 0)
        return rc;
    if (H5Aiterate2(root, H5_INDEX_NAME, H5_ITER_INC, NULL, each_attr, &e) < 0 && e.rc == 0)
        e.rc = fail(-EIO, "%s: the list of attributes is damaged", in->name);
    H5Oclose(root);
    return e.rc;
}

/* -- what every file of ours has ---- */

static int merge_history(const struct h5in *in, struct history *h)
{
    char **line;
    size_t n;
    int rc = h5_read_strings(in, "history", &line, &n);

    for (size_t i = 0; i < n; i++) {
        if (rc == 0 && !jsonl_object(line[i])) /* it is told on as it stands */
            rc = fail(-EINVAL, "%s: dataset history, line %zu: not a JSON object", in->name, i);
        if (rc == 0)
            rc = history_add(h, line[i]);
        free(line[i]);
    }
    free(line);
    return rc;
}

int h5_check_format(const struct h5in *in, const char *format, int max_version, struct history *h)
{
    char *have = NULL;
    int64_t version, complete = 0;
    int rc;

    if (!h5_has_attr(in, "", "format"))
        return fail(-EINVAL, "%s: an HDF5 file, but not a %s (it has no attribute format)",
                    in->name, format);
    if ((rc = h5_attr_string(in, "", "format", &have)) < 0)
        return rc;
    if (strcmp(have, format) != 0)
        rc = fail(-EINVAL, "%s: is a %.40s, not a %s", in->name, have, format);
    free(have);
    if (rc < 0 || (rc = h5_attr_int(in, "", "version", &version)) < 0)
        return rc;
    if (version < 1 || version > max_version)
        return fail(-EINVAL, "%s: version %lld of %s, where 1 to %d are known", in->name,
                    (long long)version, format, max_version);
    if (h5_has_attr(in, "", "complete") && (rc = h5_attr_int(in, "", "complete", &complete)) < 0)
        return rc;
    if (complete != 1)
        return fail(-EIO, "%s: was not written to its end (attribute complete is not 1)", in->name);
    return h && h5_has(in, "history") ? merge_history(in, h) : 0;
}
