/*
 * h5_string.h - private to h5*.c.
 */
#ifndef SEMPPL_H5_STRING_H
#define SEMPPL_H5_STRING_H

#include <hdf5.h>
#include <stddef.h>

/* A copy of a fixed-length string without its padding; the caller's. NULL: there is no memory. */
char *h5_fixed_string(const char *s, size_t n, H5T_str_t pad);

#endif
