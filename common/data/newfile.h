/*
 * newfile.h - a file that appears whole or not at all: written without a name, synced, given a name
 * beside its own, and renamed.
 *
 * A kill leaves nothing behind; where a file system has no files without names, NAME.tmp.PID (of a
 * name that is too long for that, its end). What is written by means of it: outfile.h, h5.h.
 */
#ifndef SEMPPL_NEWFILE_H
#define SEMPPL_NEWFILE_H

#include "common/base/base.h"

struct newfile {
    char *name; /* as it was given: for messages */
    char *path; /* the same, or what it is a link to: a link stays, and its file is replaced */
    char *tmp;  /* the name beside path; NULL if path is a device or a pipe */
    int fd;     /* for reading and writing, the caller's to close; -1 if tmp is NULL */
    bool named; /* tmp is there */
};

/* The folder that path lies in, the caller's; NULL (worded) without memory. */
char *newfile_folder(const char *path);

/* Fails (worded) for a folder, and where no file can be written. A device or pipe is not opened. */
int newfile_open(struct newfile *f, const char *path);
int newfile_check(const char *path);   /* fails as that would, and leaves nothing open */
int newfile_sync(struct newfile *f);   /* all to disk: then the commit can hardly fail */
int newfile_commit(struct newfile *f); /* before fd is closed; then f is released in any case */
void newfile_abort(struct newfile *f); /* removes the file; fine on a zeroed or committed one */

#endif
