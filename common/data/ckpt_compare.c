/*
 * ckpt_compare.c - order, checksum, hash and comparison of checkpoints.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/ckpt_order.h"
#include "common/data/columns.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *ckpt_name(const struct ckpt *c)
{
    return c->name ? c->name : "checkpoint";
}

static int tensor_by_name(const void *a, const void *b)
{
    return strcmp((*(const struct ckpt_tensor *const *)a)->name,
                  (*(const struct ckpt_tensor *const *)b)->name);
}

static int attr_by_name(const void *a, const void *b)
{
    return strcmp((*(const struct ckpt_attr *const *)a)->name,
                  (*(const struct ckpt_attr *const *)b)->name);
}

int ckpt_order_init(struct ckpt_order *o, const struct ckpt *c)
{
    o->tensor = mem_alloc(c->ntensors, sizeof(*o->tensor), "order of tensors");
    o->attr = mem_alloc(c->nattrs, sizeof(*o->attr), "order of attributes");
    if (!o->tensor || !o->attr)
        return -ENOMEM;
    for (size_t i = 0; i < c->ntensors; i++)
        o->tensor[i] = &c->tensor[i];
    for (size_t i = 0; i < c->nattrs; i++)
        o->attr[i] = &c->attr[i];
    qsort(o->tensor, c->ntensors, sizeof(*o->tensor), tensor_by_name);
    qsort(o->attr, c->nattrs, sizeof(*o->attr), attr_by_name);
    return 0;
}

void ckpt_order_release(struct ckpt_order *o)
{
    free(o->tensor);
    free(o->attr);
}

static int tensor_in_place(const void *a, const void *b)
{
    return strcmp(((const struct ckpt_tensor *)a)->name, ((const struct ckpt_tensor *)b)->name);
}

static int attr_in_place(const void *a, const void *b)
{
    return strcmp(((const struct ckpt_attr *)a)->name, ((const struct ckpt_attr *)b)->name);
}

void ckpt_sort(struct ckpt *c)
{
    if (c->ntensors > 0)
        qsort(c->tensor, c->ntensors, sizeof(*c->tensor), tensor_in_place);
    if (c->nattrs > 0)
        qsort(c->attr, c->nattrs, sizeof(*c->attr), attr_in_place);
}

bool ckpt_same_shape(const struct ckpt_tensor *a, const struct ckpt_tensor *b)
{
    return a->type == b->type && a->ndim == b->ndim &&
           memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof(*a->dim)) == 0;
}

const char *ckpt_shape_text(const struct ckpt_tensor *t, char out[CKPT_SHAPE_TEXT])
{
    static const char *const words[] = {
        [H5_U8] = "u8",   [H5_U16] = "u16", [H5_I32] = "i32", [H5_U32] = "u32",
        [H5_I64] = "i64", [H5_U64] = "u64", [H5_F32] = "f32", [H5_F64] = "f64",
    };
    int n = snprintf(out, CKPT_SHAPE_TEXT, "%s%s", words[t->type], t->ndim ? " " : "");

    for (int i = 0; i < t->ndim && n < CKPT_SHAPE_TEXT; i++)
        n += snprintf(out + n, (size_t)(CKPT_SHAPE_TEXT - n), "[%zu]", t->dim[i]);
    return out;
}

static size_t tensor_bytes(const struct ckpt_tensor *t)
{
    return t->count * h5_sizeof(t->type);
}

/* Is the tensor below the group, which may have slashes behind it, or is there no group? */
static bool below(const struct ckpt_tensor *t, const char *group)
{
    size_t n = strlen(group);

    while (n > 0 && group[n - 1] == '/')
        n--;
    return n == 0 || (strncmp(t->name, group, n) == 0 && t->name[n] == '/');
}

static uint32_t crc_tensors(uint32_t crc, const struct ckpt_order *o, size_t n, const char *group)
{
    for (size_t i = 0; i < n; i++) {
        const struct ckpt_tensor *t = o->tensor[i];
        char shape[CKPT_SHAPE_TEXT];
        if (!below(t, group))
            continue;
        ckpt_shape_text(t, shape);
        crc = crc_bytes(crc, t->name, strlen(t->name) + 1);
        crc = crc_bytes(crc, shape, strlen(shape) + 1);
        crc = crc_bytes(crc, t->data, tensor_bytes(t));
    }
    return crc;
}

int ckpt_checksum(const struct ckpt *c, uint32_t *sum)
{
    struct ckpt_order o;
    uint32_t crc = 0;
    int rc = ckpt_order_init(&o, c);

    if (rc < 0)
        goto out;
    for (size_t i = 0; i < c->classes.n; i++)
        crc = crc_bytes(crc, c->classes.name[i], strlen(c->classes.name[i]) + 1);
    for (size_t i = 0; i < c->nattrs; i++) {
        const struct ckpt_attr *a = o.attr[i];
        crc = crc_bytes(crc, a->name, strlen(a->name) + 1);
        if (a->kind == H5_ATTR_STRING)
            crc = crc_bytes(crc, a->s, strlen(a->s) + 1);
        else if (a->kind != H5_ATTR_DOUBLE)
            crc = crc_bytes(crc, &a->i, sizeof(a->i));
        else
            crc = crc_bytes(crc, &a->d, sizeof(a->d));
    }
    *sum = crc_tensors(crc, &o, c->ntensors, "");
out:
    ckpt_order_release(&o);
    return rc;
}

int ckpt_group_checksum(const struct ckpt *c, const char *group, uint32_t *sum)
{
    struct ckpt_order o;
    int rc = ckpt_order_init(&o, c);

    if (rc == 0)
        *sum = crc_tensors(0, &o, c->ntensors, group);
    ckpt_order_release(&o);
    return rc;
}

int ckpt_hash(const struct ckpt *c, const char *prefix, char hex[17])
{
    struct ckpt_order o;
    uint64_t h = ROWS_HASH0;
    int rc = ckpt_order_init(&o, c);

    for (size_t i = 0; rc == 0 && i < c->ntensors; i++) {
        const struct ckpt_tensor *t = o.tensor[i];
        char shape[CKPT_SHAPE_TEXT];
        if (!below(t, prefix))
            continue;
        ckpt_shape_text(t, shape);
        h = rows_hash(h, t->name, strlen(t->name) + 1);
        h = rows_hash(h, shape, strlen(shape) + 1);
        h = rows_hash(h, t->data, tensor_bytes(t));
    }
    ckpt_order_release(&o);
    snprintf(hex, 17, "%016" PRIx64, h);
    return rc;
}

/* -- comparison ---- */

/* As few digits as bring the number back. */
static void double_text(double d, char out[40])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, d);
        if (strtod(out, NULL) == d)
            break;
    }
}

static void value_text(const struct ckpt_tensor *t, size_t i, char out[40])
{
    const void *p = t->data;

    switch (t->type) {
    case H5_U8:
        snprintf(out, 40, "%u", ((const uint8_t *)p)[i]);
        break;
    case H5_U16:
        snprintf(out, 40, "%u", ((const uint16_t *)p)[i]);
        break;
    case H5_I32:
        snprintf(out, 40, "%" PRId32, ((const int32_t *)p)[i]);
        break;
    case H5_U32:
        snprintf(out, 40, "%" PRIu32, ((const uint32_t *)p)[i]);
        break;
    case H5_I64:
        snprintf(out, 40, "%" PRId64, ((const int64_t *)p)[i]);
        break;
    case H5_U64:
        snprintf(out, 40, "%" PRIu64, ((const uint64_t *)p)[i]);
        break;
    case H5_F32:
        snprintf(out, 40, "%.9g", (double)((const float *)p)[i]);
        break;
    default:
        double_text(((const double *)p)[i], out);
    }
}

/* "[1][0][2]" of element i. */
static void place_text(const struct ckpt_tensor *t, size_t i, char out[CKPT_SHAPE_TEXT])
{
    size_t at[CKPT_MAX_DIMS];
    int n = 0;

    out[0] = '\0';
    for (int k = t->ndim; k-- > 0;) {
        at[k] = i % t->dim[k];
        i /= t->dim[k];
    }
    for (int k = 0; k < t->ndim && n < CKPT_SHAPE_TEXT; k++)
        n += snprintf(out + n, (size_t)(CKPT_SHAPE_TEXT - n), "[%zu]", at[k]);
}

static int compare_tensor(const struct ckpt *a, const struct ckpt *b, const struct ckpt_tensor *x,
                          const struct ckpt_tensor *y)
{
    char sx[CKPT_SHAPE_TEXT], sy[CKPT_SHAPE_TEXT], vx[40], vy[40];
    size_t size = h5_sizeof(x->type), first = 0, n = 0;
    const char *p = x->data, *q = y->data;

    if (!ckpt_same_shape(x, y))
        return fail(-ENEGATIVE, "tensor %s is %s in %s, %s in %s", x->name, ckpt_shape_text(x, sx),
                    ckpt_name(a), ckpt_shape_text(y, sy), ckpt_name(b));
    if (memcmp(p, q, x->count * size) == 0)
        return 0;
    for (size_t i = 0; i < x->count; i++)
        if (memcmp(p + i * size, q + i * size, size) != 0 && n++ == 0)
            first = i;
    place_text(x, first, sx);
    value_text(x, first, vx);
    value_text(y, first, vy);
    return fail(-ENEGATIVE, "tensor %s%s is %s in %s, %s in %s; %zu of %s different", x->name, sx,
                vx, ckpt_name(a), vy, ckpt_name(b), n, TEXT_COUNT(x->count, "element", "elements"));
}

static void attr_text(const struct ckpt_attr *a, char out[200])
{
    if (a->kind == H5_ATTR_INT)
        snprintf(out, 200, "%" PRId64, a->i);
    else if (a->kind == H5_ATTR_UINT)
        snprintf(out, 200, "%" PRIu64, (uint64_t)a->i);
    else if (a->kind == H5_ATTR_DOUBLE)
        double_text(a->d, out);
    else
        snprintf(out, 200, "\"%.190s\"", a->s);
}

static bool same_attr(const struct ckpt_attr *x, const struct ckpt_attr *y)
{
    if (x->kind != y->kind)
        return false;
    return x->kind == H5_ATTR_STRING   ? strcmp(x->s, y->s) == 0
           : x->kind == H5_ATTR_DOUBLE ? memcmp(&x->d, &y->d, sizeof(x->d)) == 0
                                       : x->i == y->i;
}

static int compare_attr(const struct ckpt *a, const struct ckpt *b, const struct ckpt_attr *x,
                        const struct ckpt_attr *y)
{
    char tx[200], ty[200];

    if (same_attr(x, y))
        return 0;
    attr_text(x, tx);
    attr_text(y, ty);
    return fail(-ENEGATIVE, "attribute %s is %s in %s, %s in %s", x->name, tx, ckpt_name(a), ty,
                ckpt_name(b));
}

static int only_in(const char *what, const char *name, const struct ckpt *c)
{
    return fail(-ENEGATIVE, "%s %s is only in %s", what, name, ckpt_name(c));
}

static int compare_attrs(const struct ckpt *a, const struct ckpt *b, const struct ckpt_order *oa,
                         const struct ckpt_order *ob)
{
    int rc = 0;

    for (size_t i = 0, j = 0; (i < a->nattrs || j < b->nattrs) && rc == 0; i++, j++) {
        int order = i == a->nattrs   ? 1
                    : j == b->nattrs ? -1
                                     : strcmp(oa->attr[i]->name, ob->attr[j]->name);
        rc = order < 0   ? only_in("attribute", oa->attr[i]->name, a)
             : order > 0 ? only_in("attribute", ob->attr[j]->name, b)
                         : compare_attr(a, b, oa->attr[i], ob->attr[j]);
    }
    return rc;
}

static int compare_tensors(const struct ckpt *a, const struct ckpt *b, const struct ckpt_order *oa,
                           const struct ckpt_order *ob)
{
    int rc = 0;

    for (size_t i = 0, j = 0; (i < a->ntensors || j < b->ntensors) && rc == 0; i++, j++) {
        int order = i == a->ntensors   ? 1
                    : j == b->ntensors ? -1
                                       : strcmp(oa->tensor[i]->name, ob->tensor[j]->name);
        rc = order < 0   ? only_in("tensor", oa->tensor[i]->name, a)
             : order > 0 ? only_in("tensor", ob->tensor[j]->name, b)
                         : compare_tensor(a, b, oa->tensor[i], ob->tensor[j]);
    }
    return rc;
}

static int compare_classes(const struct ckpt *a, const struct ckpt *b)
{
    for (size_t i = 0; i < MAX(a->classes.n, b->classes.n); i++) {
        if (i >= b->classes.n)
            return only_in("class", a->classes.name[i], a);
        if (i >= a->classes.n)
            return only_in("class", b->classes.name[i], b);
        int order = strcmp(a->classes.name[i], b->classes.name[i]);
        if (order != 0)
            return only_in("class", (order < 0 ? a : b)->classes.name[i], order < 0 ? a : b);
    }
    return 0;
}

int ckpt_compare(const struct ckpt *a, const struct ckpt *b)
{
    struct ckpt_order oa = { 0 }, ob = { 0 };
    int rc;

    if ((rc = compare_classes(a, b)) == 0 && (rc = ckpt_order_init(&oa, a)) == 0 &&
        (rc = ckpt_order_init(&ob, b)) == 0 && (rc = compare_attrs(a, b, &oa, &ob)) == 0)
        rc = compare_tensors(a, b, &oa, &ob);
    ckpt_order_release(&oa);
    ckpt_order_release(&ob);
    return rc;
}
