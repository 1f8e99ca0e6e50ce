/*
 * columns.h - the columns of rows.h in HDF5, the same in image and embedding shards: id, label,
 * truth, key, key_offset, classes.
 */
#ifndef SEMPPL_COLUMNS_H
#define SEMPPL_COLUMNS_H

#include "common/data/h5.h"
#include "common/data/rows.h"

#define COLUMNS_MAX ((uint64_t)1 << 32) /* rows of one file */

/*
 * Reads and checks all: as many labels and keys as ids, labels below the number of classes or -1,
 * keys that are not empty and hold no NUL, class names sorted and different. Release r with
 * rows_release(), on failure too.
 */
int columns_read(const struct h5in *in, struct rows *r);
int columns_read_classes(const struct h5in *in, struct classes *c);
int columns_write(struct h5out *o, const struct rows *r);
/* Continues a CRC-32 over everything in r. */
uint32_t columns_crc(uint32_t crc, const struct rows *r);
/* crc32() of zlib for any length. */
uint32_t crc_bytes(uint32_t crc, const void *bytes, size_t n);

/* 0 if offset[n+1] starts at 0, rises with every row (or stays, if rows may be empty), and ends at
 * total; else -EINVAL, worded with the dataset's name. */
int columns_check_offsets(const struct h5in *in, const char *dataset, const uint64_t *offset,
                          size_t n, uint64_t total, bool empty);
/* The attribute checksum, if the file has one, must equal crc: -EIO (worded) if not. */
int columns_check_crc(const struct h5in *in, uint32_t crc);

#endif
