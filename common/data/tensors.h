/*
 * tensors.h - named arrays in a file of another program, and their numbers.
 *
 * The file is mapped, not read: a list of what is in it costs no memory for the numbers. One that
 * is cut off meanwhile ends the program, in a sentence; so one file at a time. What a name means is
 * the model's business (common/model/bridge.h).
 */
#ifndef SEMPPL_TENSORS_H
#define SEMPPL_TENSORS_H

#include "common/base/base.h"
#include "common/base/mem.h"

#define TENSOR_MAX_DIMS 8

enum tensor_type {
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_F32,
    TENSOR_F64,
    TENSOR_I32,
    TENSOR_I64,
    TENSOR_OTHER, /* listed, not read */
};

struct tensor {
    char *name;
    char dtype[16]; /* as the file spells it: "F32", "f4" */
    enum tensor_type type;
    int ndim;
    size_t dim[TENSOR_MAX_DIMS], count;
    const uint8_t *at; /* its bytes in the file, little-endian, */
    size_t nbytes;
    bool latin1;  /* which are UTF-8 of characters below 256, one for each byte */
    bool fortran; /* the first axis runs fastest, else the last */
};

struct tensor_note {
    char *key, *value;
};

enum tensors_format { TENSORS_SAFETENSORS, TENSORS_PICKLE };

struct tensors {
    char *name; /* of the file, for messages */
    enum tensors_format format;
    const uint8_t *bytes; /* the whole file */
    size_t size;
    struct tensor *item; /* in name order, no name twice */
    size_t n, room;
    struct tensor_note *note; /* of safetensors: __metadata__ */
    size_t nnotes, notes_room;
    char **unknown; /* of a pickle: classes that mean nothing here, "module.name", each once */
    size_t nunknown, unknown_room;
    bool mapped;
    struct spool spool; /* of what came through a pipe */
};

/*
 * Lists a safetensors file or a pickle, told apart by their first bytes. path "-" is standard
 * input. -EINVAL or -EIO (worded) if the file is damaged, cut off or something else; -EUSAGE for a
 * terminal.
 */
int tensors_open(struct tensors *t, const char *path);
/* The same of bytes in memory, which stay the caller's; name is for messages. */
int tensors_memory(struct tensors *t, const char *name, const uint8_t *bytes, size_t n);
void tensors_release(struct tensors *t);

const struct tensor *tensors_find(const struct tensors *t, const char *name); /* NULL if absent */
const char *tensors_note(const struct tensors *t, const char *key);           /* NULL if absent */

/*
 * The first n of its numbers, the last axis fastest, as float32; what is too large for that becomes
 * infinite. -EINVAL (worded) if it has no floating-point numbers, or its bytes are damaged.
 */
int tensor_floats(const struct tensors *t, const struct tensor *item, size_t n, float *out);
/* Its first number; false if it has none, or they are no integers. */
bool tensor_int(const struct tensor *item, int64_t *out);

/* -- for the readers of formats: safetensors.c, pickle_arrays.c ---- */

/* *item, valid until the next one, has a copy of name, tidy (text.h) because it is printed, and
 * nothing else. -EINVAL (worded) for far too many. */
int tensors_add(struct tensors *t, const char *name, struct tensor **item);
int tensors_add_note(struct tensors *t, char *key, char *value); /* takes both, in any case */
/* count from dim; -EINVAL (worded) if so many numbers have no address. */
int tensor_set_count(const struct tensors *t, struct tensor *item);
/* Bytes a number of this type has; 0 for TENSOR_OTHER. */
size_t tensor_sizeof(enum tensor_type type);

int safetensors_list(struct tensors *t);
int pickle_list(struct tensors *t);

#endif
