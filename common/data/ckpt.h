/*
 * ckpt.h - checkpoints as a container: named tensors and attributes, semppl-checkpoint(5). What
 * they mean is the model's business (common/model/state.h).
 */
#ifndef SEMPPL_CKPT_H
#define SEMPPL_CKPT_H

#include "common/base/prov.h"
#include "common/data/h5.h"
#include "common/data/rows.h"

#define CKPT_FORMAT "semppl-checkpoint"
#define CKPT_VERSION 1
#define CKPT_MAX_DIMS 4

struct ckpt_tensor {
    char *name; /* path with groups: "online/encoder/layer1.0.conv1.weight" */
    enum h5_type type;
    int ndim; /* 0: scalar */
    size_t dim[CKPT_MAX_DIMS];
    size_t count;
    void *data; /* owned */
};

struct ckpt_attr {
    char *name;
    enum h5_attr_kind kind;
    int64_t i; /* of H5_ATTR_UINT, which is above INT64_MAX, the bits */
    double d;
    char *s;
};

struct ckpt {
    struct ckpt_tensor
        *tensor; /* in name order after ckpt_read; in order of addition before ckpt_write */
    size_t ntensors, tensor_room;
    struct ckpt_attr *attr;
    size_t nattrs, attr_room;
    struct classes classes;
    struct history history;
    uint32_t checksum; /* of the whole file, after reading: as stored, else of what was read */
    char *name;        /* of the file, for messages */
};

int ckpt_read(struct ckpt *c, const char *path); /* "-" is standard input */
/* Of the tensors only those below groups of the root, up to a NULL: a queue can be larger than the
 * rest. Their own checksums are verified in place of the file's. */
int ckpt_read_groups(struct ckpt *c, const char *path, const char *const *group);
/* Atomic, replaces path; "-" is standard output. The same content makes the same bytes, in whatever
 * order it was added. */
int ckpt_write(const struct ckpt *c, const char *path);
void ckpt_release(struct ckpt *c);

/* Adds a zeroed tensor and returns its data for filling; NULL (worded) if there is no memory or the
 * name is taken. */
void *ckpt_add(struct ckpt *c, const char *name, enum h5_type type, int ndim, const size_t *dim);
/* A tensor by name, which must have this type and shape; NULL (worded) otherwise. */
void *ckpt_get(const struct ckpt *c, const char *name, enum h5_type type, int ndim,
               const size_t *dim);
const struct ckpt_tensor *ckpt_find(const struct ckpt *c,
                                    const char *name); /* NULL if absent, not worded */

int ckpt_put_int(struct ckpt *c, const char *name, int64_t v); /* sets or replaces */
int ckpt_put_uint(struct ckpt *c, const char *name, uint64_t v);
int ckpt_put_double(struct ckpt *c, const char *name, double v);
int ckpt_put_string(struct ckpt *c, const char *name, const char *v);
const struct ckpt_attr *ckpt_attr(const struct ckpt *c, const char *name); /* NULL if absent */

/* CRC-32 over class names, all attributes, and names, shapes, bytes of all tensors, in name order;
 * history aside. Stored by ckpt_write(), verified by ckpt_read() (-EIO). Here and below -ENOMEM
 * (worded) if there is no memory for the order. */
int ckpt_checksum(const struct ckpt *c, uint32_t *sum);
/* The same over the tensors below a group of the root. */
int ckpt_group_checksum(const struct ckpt *c, const char *group, uint32_t *sum);
/* FNV-1a 64 of the tensors below prefix ("online/encoder"; full names, shapes, bytes, in name
 * order), as 16 hex digits: names the weights that made an embedding. */
int ckpt_hash(const struct ckpt *c, const char *prefix, char hex[17]);

/*
 * 0 if equal in every tensor, attribute and class name, history aside; else -ENEGATIVE with the
 * first difference (class names, attributes, tensors, each in name order) worded: which thing, and
 * for tensors the first element that differs, both values, and how many differ. Floats are equal if
 * their bits are.
 */
int ckpt_compare(const struct ckpt *a, const struct ckpt *b);

#endif
