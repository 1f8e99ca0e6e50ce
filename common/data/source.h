/*
 * source.h - where pictures come from: folders, files, lists of files, a tar stream.
 *
 * First everything is listed, with its key and class; then files are read by number, from any
 * thread. Nothing that is met is forgotten: what cannot be read (a pipe, a dangling link, a folder
 * without permission) is listed with its reason. Only names that begin with a dot, and __MACOSX,
 * are left out below a folder or in a tar, and counted.
 */
#ifndef SEMPPL_SOURCE_H
#define SEMPPL_SOURCE_H

#include "common/base/mem.h"
#include "common/data/rows.h"

#define SOURCE_MAX_BYTES ((uint64_t)1 << 30) /* larger files are not pictures for this toolkit */

struct source_file {
    char *path;         /* owned; in a tar the member's name */
    uint32_t key;       /* the key is path + key */
    int32_t below;      /* path + below is the part below its folder; -1: under no folder */
    int32_t class;      /* from its folder, index into classes; -1: none */
    int err;            /* errno to reason, or 0 */
    uint64_t size;      /* bytes, as listed */
    uint64_t at;        /* of a tar: where they are in the spool */
    const char *reason; /* why it cannot be read (a fixed word), or NULL */
    const char *detail; /* more about it; NULL if none, or if err says it */
};

struct source {
    struct source_file *file;
    size_t n, room;
    struct classes classes;  /* names of the folders below operands: sorted by source_finish() */
    size_t *by_key;          /* [n] numbers of the files, in bytewise order of their keys */
    size_t hidden;           /* names left out */
    size_t tar_first, tar_n; /* which files are a tar's members */
    struct spool spool;      /* their bytes */
};

void source_init(struct source *s);
void source_release(struct source *s);

/*
 * A folder, or one file. Below a folder, files come in bytewise order of their keys; the first
 * component below it is the class if anything follows. long_keys: keys begin with the operand.
 * -ENOENT etc. (worded) if the operand itself is not there.
 */
int source_add_operand(struct source *s, const char *operand, bool long_keys);
/* The files named in a list, one a line (or NUL-terminated), in its order; "-" is standard input.
 * None has a class. */
int source_add_list(struct source *s, const char *list, bool nul);
/* The members of a tar stream on standard input, in its order. If all lie below one single folder,
 * that folder is the operand, else "." is. */
int source_add_tar(struct source *s);

/* After the last: sorts the classes and numbers them, finds keys that occur twice. */
int source_finish(struct source *s);

static inline const char *source_key(const struct source *s, size_t i)
{
    return s->file[i].path + s->file[i].key;
}
/* The number of the file with this key, or s->n. */
size_t source_find(const struct source *s, const char *key);

/*
 * Reads a file that is a JPEG or PNG by its first bytes: *bytes is malloc'd, the caller's. Returns
 * 0; 1 if it is to be skipped, with *reason (a fixed word) and the detail in fail_text(); -ENOMEM.
 * bytes NULL: only looks at the first bytes. Any thread.
 */
int source_read(const struct source *s, size_t i, uint8_t **bytes, size_t *n, const char **reason);

#endif
