/*
 * h5driver.h - an HDF5 virtual file driver of our own: writes to a descriptor or to memory, reads
 * from either.
 *
 * The library hides errno, and a file whose last write failed cannot be closed cleanly. So writing
 * never fails towards HDF5: the sink remembers the first errno, drops what follows, and the owner
 * looks at it after the file is closed. In memory it also gives the finished image, which
 * H5Fget_file_image() of HDF5 up to 1.14.6 gets wrong for superblock 2. Reading is bounded by the
 * image: the core driver would make up zeros behind its end. And a file is read by the descriptor
 * that it was looked at through: its name may be another's by the time that HDF5 would open it.
 */
#ifndef SEMPPL_H5DRIVER_H
#define SEMPPL_H5DRIVER_H

#include "common/base/base.h"
#include <hdf5.h>

struct h5sink {
    int fd;         /* of an open file, or -1: memory */
    uint8_t *image; /* memory: room bytes, owned */
    size_t room;
    uint64_t size; /* bytes of the file so far */
    int error;     /* the first errno, 0 if there was none */
};

/* An access property list that creates files in sink; negative (not worded) on failure. */
hid_t h5sink_fapl(struct h5sink *sink);
/* One that opens, for reading, the file that image holds; it stays the caller's. *error becomes
 * ENOMEM where the driver itself is left without memory: the library only says that it failed. */
hid_t h5image_fapl(const uint8_t *image, size_t size, int *error);
/* The same for the file of size bytes that fd is open on. */
hid_t h5fd_fapl(int fd, size_t size, int *error);
void h5sink_release(struct h5sink *sink); /* the image; fd stays the owner's */

#endif
