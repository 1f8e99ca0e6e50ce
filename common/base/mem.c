/*
 * mem.c - checked sizes, aligned blocks, growing arrays, and spools that overflow into a file.
 */
#include "common/base/mem.h"
#include "common/base/fail.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int mem_product(size_t *out, size_t a, size_t b)
{
    if (__builtin_mul_overflow(a, b, out))
        return fail(-EOVERFLOW, "size too large: %zu times %zu", a, b);
    return 0;
}

enum { HUGE_PAGE = 2 << 20 };

static size_t block_align(size_t bytes)
{
    return bytes < 2 * HUGE_PAGE ? 64 : HUGE_PAGE;
}

/* A large block is whole huge pages. */
static size_t block_room(size_t bytes)
{
    size_t align = block_align(bytes);
    return MAX((bytes + align - 1) / align * align, align);
}

void *mem_block(size_t bytes)
{
    size_t align = block_align(bytes);
    if (bytes > PTRDIFF_MAX - align)
        return NULL;
    void *p = aligned_alloc(align, block_room(bytes));
    if (p && align == HUGE_PAGE)
        (void)madvise(p, block_room(bytes), MADV_HUGEPAGE); /* advice: small pages do as well */
    return p;
}

/* Pages that are given up come back as zeros when somebody touches them (madvise(2)). */
void *mem_zeroed(size_t bytes)
{
    void *p = mem_block(bytes);
    bool large = block_align(bytes) == HUGE_PAGE;
    if (p && (!large || madvise(p, block_room(bytes), MADV_DONTNEED) < 0))
        memset(p, 0, bytes);
    return p;
}

void *mem_alloc(size_t n, size_t size, const char *what)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        fail(-ENOMEM, "no memory for %s: %zu times %zu bytes", what, n, size);
        return NULL;
    }
    void *p = mem_zeroed(bytes);
    if (!p)
        fail(-ENOMEM, "no memory for %s: %zu bytes", what, bytes);
    return p;
}

int mem_grow(void *block, size_t *cap, size_t n, size_t size)
{
    void *old, *grown;
    size_t room = *cap, bytes;
    if (n <= room)
        return 0;
    room = room > SIZE_MAX / 2 ? n : MAX(MAX(2 * room, n), 8);
    if (__builtin_mul_overflow(room, size, &bytes) || bytes > PTRDIFF_MAX)
        return fail(-ENOMEM, "no memory for %zu times %zu bytes", n, size);
    memcpy(&old, block, sizeof old);
    grown = realloc(old, MAX(bytes, 1));
    if (!grown)
        return fail(-ENOMEM, "no memory for %zu bytes", bytes);
    memcpy(block, &grown, sizeof grown);
    *cap = room;
    return 0;
}

char *mem_strdup(const char *s)
{
    char *copy = strdup(s);
    if (!copy)
        fail(-ENOMEM, "no memory for %zu bytes of text", strlen(s));
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        fail(-ENOMEM, "no memory for a text");
        return NULL;
    }
    return text;
}

/* -- Spools ---- */

void spool_init(struct spool *s, size_t limit, const char *dir)
{
    if (!dir)
        dir = getenv("TMPDIR");
    if (!dir || !*dir)
        dir = "/tmp";
    *s = (struct spool){ .fd = -1, .limit = limit, .dir = dir };
}

/* A zeroed struct is an empty spool too, so 0 is no file: opt_main() keeps it taken. */
static bool in_file(const struct spool *s)
{
    return s->fd > 0;
}

static int open_nameless(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0 || errno == ENOENT || errno == EACCES || errno == ENOTDIR)
        return fd;
    char *path = mem_printf("%s/semppl-XXXXXX", dir); /* the file system has no nameless files */
    if (!path) {
        errno = ENOMEM;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

/* Disk space is reserved before it is mapped: a full disk is then a failure, not a bus error. */
static int grow_file(struct spool *s, size_t need)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = need + MAX(need / 2, 1u << 20);
    if (room < need || room > PTRDIFF_MAX - page)
        return fail(-ENOMEM, "%s: no room for %zu bytes", s->dir, need);
    int fd = in_file(s) ? s->fd : open_nameless(s->dir);
    if (fd < 0)
        return fail_errno("%s: cannot make a temporary file", s->dir);
    room = (room + page - 1) / page * page;
    int err = posix_fallocate(fd, 0, (off_t)room);
    if (err == ENOSPC || err == EDQUOT || err == EFBIG) { /* then no more than must be */
        room = (need + page - 1) / page * page;
        err = posix_fallocate(fd, 0, (off_t)room);
    }
    void *map = MAP_FAILED;
    if (err == 0 && in_file(s))
        map = mremap(s->data, s->room, room, MREMAP_MAYMOVE);
    else if (err == 0)
        map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        errno = err ? err : errno;
        err = fail_errno("%s: no room for a temporary file of %zu bytes", s->dir, need);
        if (!in_file(s))
            close(fd);
        return err;
    }
    if (!in_file(s)) {
        if (s->len)
            memcpy(map, s->data, s->len);
        free(s->data);
    }
    s->data = map;
    s->room = room;
    s->fd = fd;
    return 0;
}

static int grow_memory(struct spool *s, size_t need)
{
    size_t room = MIN(MAX(MAX(need, s->room > SIZE_MAX / 2 ? 0 : 2 * s->room), 4096), s->limit);
    uint8_t *data = realloc(s->data, MAX(room, 1));
    if (!data)
        return fail(-ENOMEM, "no memory for %zu bytes", room);
    s->data = data;
    s->room = room;
    return 0;
}

int spool_append(struct spool *s, const void *bytes, size_t n)
{
    size_t need;
    if (__builtin_add_overflow(s->len, n, &need))
        return fail(-EOVERFLOW, "size too large: %zu more bytes", n);
    if (need > s->room) {
        int rc = in_file(s) || need > s->limit ? grow_file(s, need) : grow_memory(s, need);
        if (rc < 0)
            return rc;
    }
    if (n)
        memcpy(s->data + s->len, bytes, n);
    s->len = need;
    return 0;
}

void spool_clear(struct spool *s)
{
    s->len = 0;
}

void spool_release(struct spool *s)
{
    if (in_file(s)) {
        munmap(s->data, s->room);
        close(s->fd);
    } else {
        free(s->data);
    }
    *s = (struct spool){ .fd = -1, .limit = s->limit, .dir = s->dir };
}
