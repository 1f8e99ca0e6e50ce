/*
 * h5driver.c - the driver of h5driver.h.
 */
#include "common/data/h5driver.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/* What the property list carries, and what an open file is to HDF5. */
struct sink_info {
    struct h5sink *sink; /* to write to; NULL: image or fd is read */
    const uint8_t *image;
    int fd; /* if there is no image */
    size_t size;
    int *error; /* reading: what the driver fails of on opening */
};
struct sink_file {
    H5FD_t pub;
    struct h5sink *sink; /* NULL: reading */
    const uint8_t *image;
    int fd;
    size_t size;
    haddr_t eoa;
};

static H5FD_t *sink_open(const char *name UNUSED, unsigned flags, hid_t fapl,
                         haddr_t maxaddr UNUSED)
{
    const struct sink_info *info = H5Pget_driver_info(fapl);
    struct sink_file *f;

    /* H5Fcreate() first tries to open: there is nothing yet */
    if (!info || (info->sink && !(flags & H5F_ACC_CREAT)) ||
        (!info->sink && (flags & (H5F_ACC_CREAT | H5F_ACC_RDWR))))
        return NULL;
    if (!(f = calloc(1, sizeof(*f)))) {
        *(info->sink ? &info->sink->error : info->error) = ENOMEM;
        return NULL;
    }
    f->sink = info->sink;
    f->image = info->image;
    f->fd = info->fd;
    f->size = info->size;
    return &f->pub;
}

static herr_t sink_close(H5FD_t *file)
{
    free(file);
    return 0;
}

/* Two opens are the same file if they have the same place in memory, or the same descriptor. */
static int sink_cmp(const H5FD_t *a, const H5FD_t *b)
{
    const struct sink_file *f = (const struct sink_file *)a, *g = (const struct sink_file *)b;
    uintptr_t x = f->sink ? (uintptr_t)f->sink : (uintptr_t)f->image;
    uintptr_t y = g->sink ? (uintptr_t)g->sink : (uintptr_t)g->image;

    return x != y ? (x < y ? -1 : 1) : f->fd < g->fd ? -1 : f->fd > g->fd;
}

static herr_t sink_query(const H5FD_t *file UNUSED, unsigned long *flags)
{
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t sink_get_eoa(const H5FD_t *file, H5FD_mem_t type UNUSED)
{
    return ((const struct sink_file *)file)->eoa;
}

static herr_t sink_set_eoa(H5FD_t *file, H5FD_mem_t type UNUSED, haddr_t eoa)
{
    ((struct sink_file *)file)->eoa = eoa;
    return 0;
}

static haddr_t sink_get_eof(const H5FD_t *file, H5FD_mem_t type UNUSED)
{
    const struct sink_file *f = (const struct sink_file *)file;

    return f->sink ? f->sink->size : f->size;
}

/* Memory for n bytes; those that begin to count are zero, as the holes of a file are. The rest is
 * not touched, so that it costs nothing. */
static int sink_grow(struct h5sink *s, uint64_t n)
{
    if (n > s->room) {
        uint64_t room = MAX(n, (uint64_t)s->room * 2);
        uint8_t *larger = realloc(s->image, room);
        if (!larger)
            return ENOMEM;
        s->image = larger;
        s->room = room;
    }
    if (n > s->size)
        memset(s->image + s->size, 0, n - s->size);
    return 0;
}

static herr_t sink_write(H5FD_t *file, H5FD_mem_t type UNUSED, hid_t dxpl UNUSED, haddr_t at,
                         size_t n, const void *bytes)
{
    struct h5sink *s = ((struct sink_file *)file)->sink;
    const char *p = bytes;

    if (!s)
        return -1;
    if (s->fd < 0 && !s->error && !(s->error = sink_grow(s, at + n)) && n > 0)
        memcpy(s->image + at, bytes, n);
    for (size_t put = 0; s->fd >= 0 && !s->error && put < n;) {
        ssize_t k = pwrite(s->fd, p + put, MIN(n - put, (size_t)1 << 30), (off_t)(at + put));
        if (k > 0)
            put += (size_t)k;
        else if (k == 0 || errno != EINTR)
            s->error = k == 0 ? ENOSPC : errno;
    }
    s->size = MAX(s->size, at + n);
    return 0;
}

/* Up to n bytes at a place of fd; fewer at its end, or where it cannot be read. */
static size_t read_at(int fd, char *p, size_t n, haddr_t at)
{
    size_t got = 0;

    while (got < n) {
        ssize_t k = pread(fd, p + got, MIN(n - got, (size_t)1 << 30), (off_t)(at + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        got += (size_t)k;
    }
    return got;
}

static herr_t sink_read(H5FD_t *file, H5FD_mem_t type UNUSED, hid_t dxpl UNUSED, haddr_t at,
                        size_t n, void *bytes)
{
    const struct sink_file *f = (const struct sink_file *)file;
    const struct h5sink *s = f->sink;
    char *p = bytes;
    size_t got = 0;

    if (!s) {
        if (at > f->size || n > f->size - at)
            return -1;
        if (!f->image)
            return read_at(f->fd, p, n, at) == n ? 0 : -1;
        memcpy(p, f->image + at, n);
        return 0;
    }

    if (s->fd >= 0) {
        got = read_at(s->fd, p, n, at);
    } else {
        got = at < s->size ? MIN(n, s->size - at) : 0;
        if (got > 0)
            memcpy(p, s->image + at, got);
    }
    memset(p + got, 0, n - got); /* a hole, or lost to an error that is remembered */
    return 0;
}

/* At the end of the file's life, and on flushes: it becomes as long as HDF5 has decided. */
static herr_t sink_truncate(H5FD_t *file, hid_t dxpl UNUSED, hbool_t closing UNUSED)
{
    const struct sink_file *f = (const struct sink_file *)file;
    struct h5sink *s = f->sink;

    if (!s || s->error || s->size == f->eoa)
        return 0;
    if (s->fd < 0)
        s->error = sink_grow(s, f->eoa);
    else if (ftruncate(s->fd, (off_t)f->eoa) < 0)
        s->error = errno;
    s->size = f->eoa;
    return 0;
}

static const H5FD_class_t sink_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 512 + 77, /* below 512 belongs to the library */
#endif
    .name = "semppl",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct sink_info),
    .open = sink_open,
    .close = sink_close,
    .cmp = sink_cmp,
    .query = sink_query,
    .get_eoa = sink_get_eoa,
    .set_eoa = sink_set_eoa,
    .get_eof = sink_get_eof,
    .read = sink_read,
    .write = sink_write,
    .truncate = sink_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

static hid_t fapl_of(struct sink_info info)
{
    static hid_t driver;
    hid_t fapl;

    if (driver <= 0 && (driver = H5FDregister(&sink_class)) < 0)
        return -1;
    if ((fapl = H5Pcreate(H5P_FILE_ACCESS)) < 0)
        return -1;
    if (H5Pset_driver(fapl, driver, &info) < 0) {
        H5Pclose(fapl);
        return -1;
    }
    return fapl;
}

hid_t h5sink_fapl(struct h5sink *sink)
{
    return fapl_of((struct sink_info){ .sink = sink, .fd = -1 });
}

hid_t h5image_fapl(const uint8_t *image, size_t size, int *error)
{
    return fapl_of((struct sink_info){ .image = image, .fd = -1, .size = size, .error = error });
}

hid_t h5fd_fapl(int fd, size_t size, int *error)
{
    return fapl_of((struct sink_info){ .fd = fd, .size = size, .error = error });
}

void h5sink_release(struct h5sink *sink)
{
    free(sink->image);
    *sink = (struct h5sink){ .fd = -1 };
}
