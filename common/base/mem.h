/*
 * mem.h - memory that is checked: sizes that cannot wrap, and growth that cannot lose the old
 * block.
 *
 * All functions but mem_block() and mem_zeroed() return NULL (or -ENOMEM) after wording the failure
 * with fail(). What they return is the caller's and is released with free(), except for spools.
 */
#ifndef SEMPPL_MEM_H
#define SEMPPL_MEM_H

#include "common/base/base.h"

/* *out = a * b; -EOVERFLOW (worded) if that does not fit. Use it for every product of sizes from a
 * file. */
int mem_product(size_t *out, size_t a, size_t b);

/*
 * At least bytes bytes, 64-byte aligned, not cleared; NULL without words. A large block is in huge
 * pages where the system has some: a tensor that is touched once a pass otherwise waits for a page
 * table every 4096 bytes, and for the kernel the first time.
 */
void *mem_block(size_t bytes);

/* The same, cleared: a large block not here, by one thread, but page by page when it is first
 * touched, by the thread that does. */
void *mem_zeroed(size_t bytes);

/* n * size zeroed bytes, 64-byte aligned; never NULL for n = 0. what names the thing in the
 * failure. */
void *mem_alloc(size_t n, size_t size, const char *what);

/* Grows *block to at least n elements of size bytes (doubling; new bytes are not cleared). *cap
 * holds the room. */
int mem_grow(void *block, size_t *cap, size_t n, size_t size);

char *mem_strdup(const char *s);
char *mem_printf(const char *fmt, ...) PRINTF(1, 2);

/*
 * A spool is a growing array of bytes that lives in memory up to a limit and in an unlinked
 * temporary file beyond it, so that nothing survives a kill. The bytes are addressed as memory in
 * both cases; data moves when it grows.
 */
struct spool {
    uint8_t *data; /* len bytes */
    size_t len, room;
    int fd;          /* of the temporary file, -1 while in memory */
    size_t limit;    /* bytes kept in memory */
    const char *dir; /* where the temporary file goes; the caller's string */
};

void spool_init(struct spool *s, size_t limit, const char *dir); /* dir NULL: $TMPDIR, else /tmp */
int spool_append(struct spool *s, const void *bytes, size_t n);
void spool_clear(struct spool *s); /* len = 0, room is kept */
void spool_release(struct spool *s);

#endif
