/*
 * ckpt.c - checkpoints: tensors and attributes by name, in memory and in HDF5.
 */
#include "common/data/ckpt.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/ckpt_order.h"
#include "common/data/columns.h"
#include <stdlib.h>
#include <string.h>

#define MAX_TENSORS 100000
#define MAX_DEPTH 7 /* of groups; h5_object() goes one further */

/* What the container itself keeps in the root, under names that are therefore taken. */
static bool reserved(const char *name)
{
    static const char *const names[] = { "format",   "version", "complete",
                                         "checksum", "history", "classes" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* -- in memory ---- */

void *ckpt_add(struct ckpt *c, const char *name, enum h5_type type, int ndim, const size_t *dim)
{
    struct ckpt_tensor t = { .type = type, .ndim = ndim, .count = 1 };

    if (ckpt_find(c, name) || reserved(name) || ndim > CKPT_MAX_DIMS) {
        fail(-EINVAL, "%s: tensor %s cannot be added (its name is taken)", ckpt_name(c), name);
        return NULL;
    }
    for (int i = 0; i < ndim; i++) {
        t.dim[i] = dim[i];
        if (mem_product(&t.count, t.count, dim[i]) < 0)
            return NULL;
    }
    if (mem_grow(&c->tensor, &c->tensor_room, c->ntensors + 1, sizeof(*c->tensor)) < 0 ||
        !(t.name = mem_strdup(name)))
        return NULL;
    if (!(t.data = mem_alloc(t.count, h5_sizeof(type), name))) {
        free(t.name);
        return NULL;
    }
    c->tensor[c->ntensors++] = t;
    return t.data;
}

const struct ckpt_tensor *ckpt_find(const struct ckpt *c, const char *name)
{
    for (size_t i = 0; i < c->ntensors; i++)
        if (strcmp(c->tensor[i].name, name) == 0)
            return &c->tensor[i];
    return NULL;
}

void *ckpt_get(const struct ckpt *c, const char *name, enum h5_type type, int ndim,
               const size_t *dim)
{
    struct ckpt_tensor want = { .type = type, .ndim = ndim };
    const struct ckpt_tensor *t = ckpt_find(c, name);
    char have[CKPT_SHAPE_TEXT], wanted[CKPT_SHAPE_TEXT];

    if (!t) {
        fail(-ENOENT, "%s: there is no tensor %s", ckpt_name(c), name);
        return NULL;
    }
    for (int i = 0; i < ndim; i++)
        want.dim[i] = dim[i];
    if (!ckpt_same_shape(t, &want)) {
        fail(-EINVAL, "%s: tensor %s is %s, not %s", ckpt_name(c), name, ckpt_shape_text(t, have),
             ckpt_shape_text(&want, wanted));
        return NULL;
    }
    return t->data;
}

const struct ckpt_attr *ckpt_attr(const struct ckpt *c, const char *name)
{
    for (size_t i = 0; i < c->nattrs; i++)
        if (strcmp(c->attr[i].name, name) == 0)
            return &c->attr[i];
    return NULL;
}

static int put_attr(struct ckpt *c, const char *name, struct ckpt_attr v)
{
    struct ckpt_attr *a = (struct ckpt_attr *)ckpt_attr(c, name);
    int rc;

    if (reserved(name)) {
        free(v.s);
        return fail(-EINVAL, "%s: attribute %s is the container's own", ckpt_name(c), name);
    }
    if (!a) {
        if ((rc = mem_grow(&c->attr, &c->attr_room, c->nattrs + 1, sizeof(*c->attr))) < 0 ||
            !(v.name = mem_strdup(name))) {
            free(v.s);
            return -ENOMEM;
        }
        c->attr[c->nattrs++] = v;
        return 0;
    }
    free(a->s);
    v.name = a->name;
    *a = v;
    return 0;
}

int ckpt_put_int(struct ckpt *c, const char *name, int64_t v)
{
    return put_attr(c, name, (struct ckpt_attr){ .kind = H5_ATTR_INT, .i = v });
}

int ckpt_put_uint(struct ckpt *c, const char *name, uint64_t v)
{
    enum h5_attr_kind kind = v > INT64_MAX ? H5_ATTR_UINT : H5_ATTR_INT;

    return put_attr(c, name, (struct ckpt_attr){ .kind = kind, .i = (int64_t)v });
}

int ckpt_put_double(struct ckpt *c, const char *name, double v)
{
    return put_attr(c, name, (struct ckpt_attr){ .kind = H5_ATTR_DOUBLE, .d = v });
}

int ckpt_put_string(struct ckpt *c, const char *name, const char *v)
{
    char *s = mem_strdup(v);

    return s ? put_attr(c, name, (struct ckpt_attr){ .kind = H5_ATTR_STRING, .s = s }) : -ENOMEM;
}

void ckpt_release(struct ckpt *c)
{
    for (size_t i = 0; i < c->ntensors; i++) {
        free(c->tensor[i].name);
        free(c->tensor[i].data);
    }
    for (size_t i = 0; i < c->nattrs; i++) {
        free(c->attr[i].name);
        free(c->attr[i].s);
    }
    free(c->tensor);
    free(c->attr);
    free(c->name);
    classes_release(&c->classes);
    history_release(&c->history);
    *c = (struct ckpt){ 0 };
}

/* -- reading ---- */

struct reader {
    struct ckpt *c;
    const struct h5in *in;
    const char *const *group; /* that are read; NULL: everything */
    uint64_t bytes; /* of all tensors so far: hard links could show one dataset many times */
    int rc;
    char path[512];
    size_t len;
    int depth;
};

static int read_tensor(struct reader *r)
{
    enum h5_type type;
    size_t dim[CKPT_MAX_DIMS], count = 1;
    int ndim, rc = h5_describe(r->in, r->path, &type, CKPT_MAX_DIMS, &ndim, dim);

    if (rc < 0)
        return rc;
    for (int i = 0; i < ndim; i++)
        count *= dim[i]; /* h5_describe() has checked the product */
    r->bytes += count * h5_sizeof(type);
    if (r->bytes > r->in->size || r->c->ntensors >= MAX_TENSORS)
        return fail(-EINVAL, "%s: the tensors claim more bytes than the file holds", r->in->name);
    void *data = ckpt_add(r->c, r->path, type, ndim, dim);
    if (!data)
        return -ENOMEM;
    return h5_read(r->in, r->path, type, count, data);
}

static bool wanted(const struct reader *r, const char *name)
{
    const char *const *g = r->group;

    while (g && *g && strcmp(*g, name) != 0)
        g++;
    return !g || *g;
}

/* Visits one link: a group's are visited in turn, a dataset is read. */
static herr_t visit(hid_t group, const char *name, const H5L_info_t *info UNUSED, void *arg)
{
    struct reader *r = arg;
    size_t before = r->len, n = strlen(name);
    hid_t object;

    if (r->depth == 0 && (reserved(name) || !wanted(r, name)))
        return 0;
    if (r->len + n + 2 > sizeof(r->path) || r->depth > MAX_DEPTH) {
        r->rc = fail(-EINVAL, "%s: %.80s: names are too long, or groups nested too deeply",
                     r->in->name, r->path);
        return -1;
    }
    if (r->len > 0)
        r->path[r->len++] = '/';
    memcpy(r->path + r->len, name, n + 1);
    r->len += n;
    (void)group;
    if ((r->rc = h5_object(r->in, r->path, &object)) == 0) {
        H5I_type_t kind = H5Iget_type(object);
        if (kind == H5I_DATASET) {
            r->rc = read_tensor(r);
        } else if (kind == H5I_GROUP) {
            r->depth++;
            if (H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, r) < 0 && r->rc == 0)
                r->rc = fail(-EIO, "%s: group %s is damaged", r->in->name, r->path);
            r->depth--;
        } else {
            r->rc = fail(-EINVAL, "%s: %s is neither group nor dataset", r->in->name, r->path);
        }
        H5Oclose(object);
    }
    r->len = before;
    r->path[before] = '\0';
    return r->rc < 0 ? -1 : 0;
}

static int read_attr(void *arg, const char *name, enum h5_attr_kind kind, int64_t i, double d,
                     const char *s)
{
    if (reserved(name))
        return 0;
    switch (kind) {
    case H5_ATTR_INT:
        return ckpt_put_int(arg, name, i);
    case H5_ATTR_UINT:
        return ckpt_put_uint(arg, name, (uint64_t)i);
    case H5_ATTR_DOUBLE:
        return ckpt_put_double(arg, name, d);
    default:
        return ckpt_put_string(arg, name, s);
    }
}

static int check_sum(const struct h5in *in, const char *object, uint32_t have)
{
    int64_t want;
    int rc = h5_attr_int(in, object, "checksum", &want);

    if (rc < 0)
        return rc;
    return want == (int64_t)have
               ? 0
               : fail(-EIO, "%s: damaged: the content does not match its checksum", in->name);
}

/* A file by another program may have none, one of an early version has none of its groups. */
static int check_sums(struct ckpt *c, const struct h5in *in, const char *const *group)
{
    uint32_t sum = 0;
    int64_t stored;
    int rc;

    if (!group || !h5_has_attr(in, "", "checksum")) {
        if ((rc = ckpt_checksum(c, &c->checksum)) < 0)
            return rc;
        return h5_has_attr(in, "", "checksum") ? check_sum(in, "", c->checksum) : 0;
    }
    if ((rc = h5_attr_int(in, "", "checksum", &stored)) < 0)
        return rc;
    c->checksum = (uint32_t)stored;
    for (; *group && rc == 0; group++)
        if (h5_has_attr(in, *group, "checksum") && (rc = ckpt_group_checksum(c, *group, &sum)) == 0)
            rc = check_sum(in, *group, sum);
    return rc;
}

static int read_all(struct ckpt *c, const struct h5in *in, const char *const *group)
{
    struct reader r = { .c = c, .in = in, .group = group };
    int rc = h5_check_format(in, CKPT_FORMAT, CKPT_VERSION, &c->history);

    if (rc < 0)
        return rc;
    if (!(c->name = mem_strdup(in->name)))
        return -ENOMEM;
    if (h5_has(in, "classes") && (rc = columns_read_classes(in, &c->classes)) < 0)
        return rc;
    if ((rc = h5_each_attr(in, read_attr, c)) < 0)
        return rc;
    if (H5Literate(in->file, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, &r) < 0 && r.rc == 0)
        r.rc = fail(-EIO, "%s: the list of tensors is damaged", in->name);
    if (r.rc < 0)
        return r.rc;
    ckpt_sort(c);
    return check_sums(c, in, group);
}

int ckpt_read_groups(struct ckpt *c, const char *path, const char *const *group)
{
    struct h5in in;
    int rc;

    *c = (struct ckpt){ 0 };
    if ((rc = h5in_open(&in, path)) < 0)
        return rc;
    rc = read_all(c, &in, group);
    h5in_close(&in);
    if (rc < 0)
        ckpt_release(c);
    return rc;
}

int ckpt_read(struct ckpt *c, const char *path)
{
    return ckpt_read_groups(c, path, NULL);
}

/* -- writing ---- */

/* The checksum of a tensor's group of the root, if the last tensor was not in it too. */
static int write_group_sum(const struct ckpt *c, struct h5out *o, const char *name,
                           const char *last)
{
    size_t n = strcspn(name, "/");
    char group[256];
    uint32_t sum = 0;

    if (name[n] == '\0' || n >= sizeof(group) || strncmp(name, last, n + 1) == 0)
        return 0;
    memcpy(group, name, n);
    group[n] = '\0';
    int rc = ckpt_group_checksum(c, group, &sum);
    return rc < 0 ? rc : h5_put_int(o, group, "checksum", sum);
}

static int write_all(const struct ckpt *c, struct h5out *o)
{
    struct ckpt_order order;
    const char *last = "";
    uint32_t sum = 0;
    int rc = ckpt_order_init(&order, c);

    for (size_t i = 0; i < c->ntensors && rc == 0; i++) {
        const struct ckpt_tensor *t = order.tensor[i];
        rc = h5_write(o, t->name, t->type, t->ndim, t->dim, t->data);
        if (rc == 0)
            rc = write_group_sum(c, o, t->name, last);
        last = t->name;
    }
    for (size_t i = 0; i < c->nattrs && rc == 0; i++) {
        const struct ckpt_attr *a = order.attr[i];
        rc = a->kind == H5_ATTR_INT      ? h5_put_int(o, "", a->name, a->i)
             : a->kind == H5_ATTR_UINT   ? h5_put_uint(o, "", a->name, (uint64_t)a->i)
             : a->kind == H5_ATTR_DOUBLE ? h5_put_double(o, "", a->name, a->d)
                                         : h5_put_string(o, "", a->name, a->s);
    }
    ckpt_order_release(&order);
    if (rc == 0)
        rc = h5_write_strings(o, "classes", c->classes.name, c->classes.n);
    if (rc == 0)
        rc = ckpt_checksum(c, &sum);
    return rc < 0 ? rc : h5_put_int(o, "", "checksum", sum);
}

int ckpt_write(const struct ckpt *c, const char *path)
{
    struct h5out o;
    int rc = h5out_open(&o, path);

    if (rc < 0)
        return rc;
    if ((rc = write_all(c, &o)) < 0) {
        h5out_abort(&o);
        return rc;
    }
    return h5out_commit(&o, CKPT_FORMAT, CKPT_VERSION, &c->history);
}
