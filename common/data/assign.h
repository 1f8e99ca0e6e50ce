/*
 * assign.h - labels given to pictures, as lines of text or as HDF5 (format semppl-labels(5)).
 */
#ifndef SEMPPL_ASSIGN_H
#define SEMPPL_ASSIGN_H

#include "common/base/prov.h"
#include "common/data/rows.h"

#define LABELS_FORMAT "semppl-labels"
#define LABELS_VERSION 1

struct assign_neighbour {
    const char *key;
    size_t keylen;
    uint64_t id;
    int32_t label;
    float sim;
};

struct assign_row {
    const char *key;
    size_t keylen;
    uint64_t id;
    int32_t label; /* -1: unsure */
    int32_t truth; /* -1: unknown */
    float confidence;
    const struct assign_neighbour *near; /* [nnear], at most the writer's number */
    size_t nnear;
};

struct assign_writer;

/*
 * path: "-" or NULL is standard output. Text is one line a row, fields separated by tabs: key,
 * class ("?" if unsure), confidence, then key, class and similarity of each neighbour. HDF5 holds
 * the same; on standard output it is one HDF5 image for each assign_flush(), in a file one for all.
 */
int assign_open(struct assign_writer **w, const char *path, bool hdf5, size_t neighbours);
/* classes: of the labels, the same in every call. */
int assign_add(struct assign_writer *w, const struct classes *classes,
               const struct assign_row *row);
/* The rows of one input are complete: on standard output, they go out now. */
int assign_flush(struct assign_writer *w, const struct classes *classes, const struct history *h);
/* The file appears, if there is one; frees w in every case. */
int assign_close(struct assign_writer *w, const struct classes *classes, const struct history *h);
void assign_abort(struct assign_writer *w); /* NULL is fine */

#endif
