/*
 * outfile.h - text and the like into a file that appears whole or not at all (newfile.h), and which
 * names are of one file.
 */
#ifndef SEMPPL_OUTFILE_H
#define SEMPPL_OUTFILE_H

#include "common/data/newfile.h"
#include <stdio.h>

struct outfile {
    FILE *file; /* for the caller's fprintf() and fwrite(); errors are looked at by the commit */
    struct newfile new;
};

/* Whether two names are of one file, which need not be there yet: what is read would be replaced by
 * what is made of it. "-" is none. */
bool outfile_same(const char *a, const char *b);
/* -EUSAGE (worded) if out is one of the n files that are read. NULL and "-" are none. */
int outfile_spares(const char *out, const char *const *read, size_t n);
/* -EUSAGE (worded) if two of the n names that are written are of one file, or "-". NULL is none. */
int outfile_apart(const char *const *out, size_t n);

int outfile_open(struct outfile *o, const char *path);
int outfile_sync(struct outfile *o);   /* all to disk: then the commit can hardly fail */
int outfile_commit(struct outfile *o); /* closes in every case */
void outfile_abort(struct outfile *o); /* removes it; fine on a zeroed or committed one */

#endif
