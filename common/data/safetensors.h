/*
 * safetensors.h - writing safetensors files; tensors.h reads them.
 *
 * A file is the length of its header (8 bytes, little-endian), the header (one JSON object: name to
 * dtype, shape and data_offsets; __metadata__ to strings), and the bytes of all tensors without
 * gaps. Source: the format's description in the safetensors project's README.
 */
#ifndef SEMPPL_SAFETENSORS_H
#define SEMPPL_SAFETENSORS_H

#include "common/data/tensors.h"

/*
 * Atomic, replaces path. Of t its notes count, and of each item name, dtype, ndim, dim, at, nbytes;
 * the bytes follow each other in this order, and are aligned if items of wide types come first.
 */
int safetensors_write(const char *path, const struct tensors *t);

#endif
