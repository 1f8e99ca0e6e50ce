/*
 * labels.h - label lists: a TSV of key and class, for any subset of the rows.
 *
 * One row a line: KEY<tab>CLASS, further columns ignored. Both are escaped as rows_print_key()
 * writes them (\t \n \\ \xHH); a leading "./" is dropped. Empty lines are ignored, CR before the
 * newline and a byte order mark at the beginning too. The same key with two classes is refused. The
 * class "?" is none: what semppl-knn writes when it is not sure.
 */
#ifndef SEMPPL_LABELS_H
#define SEMPPL_LABELS_H

#include "common/data/rows.h"

struct label {
    char *key;     /* owned */
    char *name;    /* of its class, owned */
    size_t line;   /* in the file, from 1 */
    int32_t label; /* index into classes, -1 for "?" */
};

struct labels {
    struct label *item; /* sorted bytewise by key, without repeats */
    size_t n, room;
    struct classes classes;
    uint32_t checksum; /* CRC-32 of the file */
};

int labels_read(struct labels *l, const char *path);
void labels_release(struct labels *l);

#endif
