/*
 * outfile.h - a file that appears whole or not at all: written beside its name, synced, renamed.
 */
#ifndef SEMPPL_OUTFILE_H
#define SEMPPL_OUTFILE_H

#include "common/base/base.h"
#include <stdio.h>

struct outfile {
    FILE *file; /* for the caller's fprintf() and fwrite(); errors are looked at by the commit */
    char *path, *tmp;
};

int outfile_open(struct outfile *o, const char *path);
int outfile_commit(struct outfile *o); /* closes in every case */
void outfile_abort(struct outfile *o); /* removes it; fine on a zeroed or committed one */

#endif
