/*
 * h5open.h - opens an HDF5 file for reading, once it is known that the library survives it.
 *
 * HDF5 does not withstand damaged metadata: it crashes or never returns. Our own files carry
 * checksums over all metadata and an attribute checksum over the rest. Any other file is first read
 * by a child process, all that a reader of ours could read of it; what kills the child is refused.
 */
#ifndef SEMPPL_H5OPEN_H
#define SEMPPL_H5OPEN_H

#include "common/data/stream.h"

/* in->image, or the file on disk that in->fd is open on; superblock is its version. -EIO (worded)
 * if damaged. */
int h5open(struct h5in *in, unsigned superblock);

#endif
