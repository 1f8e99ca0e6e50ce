/*
 * base.h - the few words that every file of the project shares.
 */
#ifndef SEMPPL_BASE_H
#define SEMPPL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED __attribute__((unused))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* One of the two is evaluated twice: neither may do anything. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
