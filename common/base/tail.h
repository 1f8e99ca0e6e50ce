/*
 * tail.h - the last byte of what a program sends to standard output, kept back until it succeeds.
 *
 * A stream of complete files has no end mark: after a failure, or a kill, between two files, the
 * reader would take what came for all there is. So the last byte of each file goes out only with
 * the first of the next, or when the program ends well; otherwise the reader finds a file cut off.
 */
#ifndef SEMPPL_TAIL_H
#define SEMPPL_TAIL_H

#include "common/base/base.h"

/* Writes n bytes to standard output but for the last one, behind the one that was kept. */
int tail_write(const uint8_t *bytes, size_t n);
/* Writes the byte that was kept, if there is one; opt_main() does it at the end of a good run. */
int tail_send(void);

#endif
