/*
 * stream.h - complete HDF5 files, one after the other, from operands or standard input.
 *
 * A stream is zero or more HDF5 files back to back; a file on disk is a stream of one, and may hold
 * several (cat a.h5 b.h5 > c.h5). A file that is alone is opened in place; one in a pipe or behind
 * another is read into memory whole, its length taken from the superblock's end-of-file address.
 * Standard input that is a regular file (program < a.h5) counts as a file on disk. Locks are never
 * taken, and no filter plugins are loaded. Files by other programs are first tried in a child
 * process: see h5open.h.
 *
 * HDF5 is entered by one thread only. h5_pread() needs no HDF5 and may be called from any thread.
 */
#ifndef SEMPPL_STREAM_H
#define SEMPPL_STREAM_H

#include "common/base/base.h"
#include <hdf5.h>

/* One open HDF5 file for reading. */
struct h5in {
    hid_t file; /* -1: closed */
    char *name; /* path or "standard input", with "[i]" behind it for the i-th of several; owned */
    int fd;     /* of the file on disk, or -1 */
    uint8_t *image; /* the whole file in memory, or NULL; owned */
    size_t size;    /* bytes of the file */
};

struct stream;

/* How many of the operands are standard input: those that are "-"; one, if there are none. */
int stream_stdin(char *const *operands, int n);
/*
 * operands: paths, "-" is standard input; n = 0 means standard input. -EUSAGE (worded) if that is a
 * terminal or named twice. An empty standard input is a stream of no files; an empty file is
 * -EINVAL.
 */
int stream_open(struct stream **st, char **operands, int n);
/* 1 and *in opened (close it before the next call is fine, after is too); 0 at the end; negative on
 * failure (-EIO cut off). */
int stream_next(struct stream *st, struct h5in *in);
void stream_close(struct stream *st);

/* A single path; -EINVAL (worded) if more than one file lies in it. */
int h5in_open(struct h5in *in, const char *path);
void h5in_close(struct h5in *in);

/* Sets the HDF5 library up: no locks, no messages of its own, no plugins. Any number of times. */
void h5_start(void);

/* Does HDF5's signature stand here (8 bytes)? */
bool h5_signature(const uint8_t *bytes, size_t n);

#endif
