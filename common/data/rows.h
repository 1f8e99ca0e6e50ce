/*
 * rows.h - the columns that every row carries through the pipeline, and class names.
 *
 * Image shards and embedding shards hold one row a picture; key, id, label, truth and the class
 * names travel with it.
 */
#ifndef SEMPPL_ROWS_H
#define SEMPPL_ROWS_H

#include "common/base/base.h"

/* Class names, bytewise sorted, without repeats; a label is an index into them. */
struct classes {
    char **name; /* owned */
    size_t n, room;
};

int classes_add(struct classes *c,
                const char *name);   /* unsorted; call classes_sort() when all are in */
int classes_sort(struct classes *c); /* sorts bytewise and drops repeats */
int classes_find(const struct classes *c, const char *name); /* index or -1; c sorted */
int classes_copy(struct classes *to, const struct classes *from);
/*
 * Labels meet by name: 0 if both lists are equal or one is empty (then to becomes the other);
 * otherwise -EINVAL, with the first names that only one side has. a and b name the two files in the
 * sentence.
 */
int classes_meet(struct classes *to, const struct classes *from, const char *a, const char *b);
void classes_release(struct classes *c);

struct rows {
    size_t n;
    uint64_t *id;   /* [n] stable hash of the content (FNV-1a 64 of the original file's bytes) */
    int32_t *label; /* [n] -1: none given */
    int32_t *truth; /* [n] the label that a split hid, or the label; -1 unknown; NULL if the file
                       has none */
    uint8_t *key;   /* path bytes of all rows, back to back, any byte but NUL */
    uint64_t *key_offset; /* [n+1] */
    struct classes classes;
    size_t room, key_room; /* of the columns, for rows_append(); 0 if they are exactly filled */
};

/* Key of a row as bytes and length (not NUL-terminated). */
const char *rows_key(const struct rows *r, size_t row, size_t *len);
/*
 * Appends rows [first, first+count) of from to the columns of to (both with the same classes, which
 * stay as they are). A row from a side without truth gets its label as truth, if the other side has
 * some.
 */
int rows_append(struct rows *to, const struct rows *from, size_t first, size_t count);
void rows_release(struct rows *r);

/* FNV-1a, 64 bit (Fowler, Noll, Vo); seed with ROWS_HASH0, may be continued. */
#define ROWS_HASH0 0xcbf29ce484222325u
uint64_t rows_hash(uint64_t h, const void *bytes, size_t n);

/* Writes a key as one TSV field: tab, newline and backslash as \t \n \\, each byte of another
 * control character (text.h) as \xHH. */
void rows_print_key(void *stdio_file, const char *key, size_t len);
/*
 * Writes a class's name as a column of a table: its first characters, at most |width|, as
 * text_tidy() leaves them, and spaces up to |width|; these come first if width is negative.
 */
void rows_print_name(void *stdio_file, const char *name, int width);
/* Characters of a name in UTF-8; a byte that is not counts as one. */
int rows_name_width(const char *name);

#endif
