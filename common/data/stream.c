/*
 * stream.c - splits a stream of HDF5 files by the end-of-file address in each superblock.
 *
 * The length of an HDF5 file stands in its first bytes, so a pipe can be read image by image. The
 * length is a claim: memory grows as bytes arrive, never ahead of them.
 */
#include "common/data/stream.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/h5open.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest part of a superblock that must be seen to know the length: version 1, 8-byte
 * addresses. No HDF5 file is shorter. */
#define HEAD 52
#define FIRST_STEP ((size_t)1 << 20) /* bytes asked for before any have arrived */

struct stream {
    char **operand; /* copies */
    int n, next;    /* operands, and the next to open */
    int fd;         /* of the present operand, -1 if none */
    char *name;     /* of the present operand */
    bool std;       /* present operand: standard input */
    bool regular;   /* present operand: a file whose size is known */
    uint64_t size;  /* present operand: of that file */
    uint64_t at;    /* present operand: where the next image begins */
    size_t images;  /* present operand: images delivered */
    bool several;   /* present operand: known to hold more than one */
};

void h5_start(void)
{
    static bool started;

    if (started)
        return;
    started = true;
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0); /* the library looks once, when it starts */
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
}

bool h5_signature(const uint8_t *bytes, size_t n)
{
    return n >= 8 && memcmp(bytes, "\211HDF\r\n\032\n", 8) == 0;
}

static uint64_t little_endian(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = n; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/*
 * Bytes of the HDF5 file that begins with head[HEAD]: the end-of-file address of its superblock
 * (HDF5 File Format Specification, section II.A). -EINVAL (worded) if it is not one we read.
 */
static int image_length(const uint8_t *head, const char *name, uint64_t *length)
{
    unsigned version = head[8], width, base;

    if (version <= 1) {
        width = head[13];
        base = version == 0 ? 24 : 28;
    } else if (version <= 3) {
        width = head[9];
        base = 12;
    } else {
        return fail(-EINVAL, "%s: HDF5 superblock version %u is not known", name, version);
    }
    if (width != 2 && width != 4 && width != 8)
        return fail(-EIO, "%s: damaged HDF5 superblock: addresses of %u bytes", name, width);
    if (little_endian(head + base, width) != 0)
        return fail(-EINVAL, "%s: HDF5 files with a user block cannot be read", name);
    *length = little_endian(head + base + 2 * width, width);
    if (*length <= HEAD)
        return fail(-EIO, "%s: damaged HDF5 superblock: a file of %s", name,
                    TEXT_COUNT(*length, "byte", "bytes"));
    return 0;
}

static int not_hdf5(const char *name)
{
    return fail(-EINVAL, "%s: not an HDF5 file", name);
}

/* Up to n bytes of the present operand from its position on; fewer only at its end. */
static int read_bytes(struct stream *st, uint8_t *out, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n) {
        size_t ask = MIN(n - *got, (size_t)1 << 30);
        ssize_t k = st->regular ? pread(st->fd, out + *got, ask, (off_t)(st->at + *got))
                                : read(st->fd, out + *got, ask);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno("%s", st->name);
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return 0;
}

/* The whole image behind head (have bytes of it) into memory; it claims length bytes. */
static int read_image(struct stream *st, const uint8_t *head, size_t have, uint64_t length,
                      uint8_t **image)
{
    size_t room = 0, got = have;
    int rc;

    *image = NULL;
    st->at += have;
    while (got < length) {
        size_t want = (size_t)MIN(length, MAX(2 * got, FIRST_STEP)), k;
        /* exact steps instead of mem_grow(), whose last doubling would be memory nobody uses */
        uint8_t *larger = realloc(*image, want);
        if (!larger) {
            rc = fail(-ENOMEM, "%s: no memory for an HDF5 file of %" PRIu64 " bytes", st->name,
                      length);
            goto failed;
        }
        *image = larger;
        if (room == 0)
            memcpy(larger, head, have);
        room = want;
        if ((rc = read_bytes(st, *image + got, room - got, &k)) < 0)
            goto failed;
        st->at += k;
        got += k;
        if (got < room) {
            rc = fail(-EIO, "%s: cut off after %zu of %" PRIu64 " bytes", st->name, got, length);
            goto failed;
        }
    }
    return 0;
failed:
    free(*image);
    *image = NULL;
    return rc;
}

static int next_operand(struct stream *st)
{
    const char *path = st->operand[st->next];
    bool std = st->std = strcmp(path, "-") == 0;
    struct stat sb;

    st->at = 0;
    st->images = 0;
    st->several = false;
    if (!(st->name = mem_strdup(std ? "standard input" : path)))
        return -ENOMEM;
    st->fd = std ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    if (st->fd < 0 || fstat(st->fd, &sb) < 0)
        return fail_errno("%s", st->name);
    if (S_ISDIR(sb.st_mode))
        return fail(-EISDIR, "%s: is a folder, not an HDF5 file", st->name);
    /* standard input that somebody has begun to read is taken as a pipe, from where it stands */
    st->regular = S_ISREG(sb.st_mode) && (!std || lseek(st->fd, 0, SEEK_CUR) == 0);
    st->size = (uint64_t)sb.st_size;
    st->next++;
    return 0;
}

static void end_operand(struct stream *st)
{
    if (st->fd >= 0)
        close(st->fd);
    free(st->name);
    st->fd = -1;
    st->name = NULL;
}

/* Is the file on disk long enough for this image, and is what follows another HDF5 file? */
static int check_disk(struct stream *st, uint64_t length)
{
    uint64_t left = st->size - st->at;
    uint8_t head[8];
    size_t got;
    int rc;

    if (length > left)
        return fail(-EIO, "%s: cut off after %" PRIu64 " of %" PRIu64 " bytes", st->name, left,
                    length);
    if (length == left)
        return 0;
    st->at += length;
    rc = read_bytes(st, head, sizeof(head), &got);
    st->at -= length;
    if (rc == 0 && !h5_signature(head, got))
        rc = fail(-EINVAL, "%s: behind the HDF5 file, %s not of HDF5", st->name,
                  TEXT_COUNT(left - length, "byte", "bytes"));
    st->several = true;
    return rc;
}

/* The next image of the present operand: 1, 0 at its end, or negative. */
static int next_image(struct stream *st, struct h5in *in)
{
    uint8_t head[HEAD];
    uint64_t length = 0;
    size_t got;
    int rc;

    if ((rc = read_bytes(st, head, HEAD, &got)) < 0)
        return rc;
    if (got == 0) {
        if (st->images == 0 && !st->std)
            return fail(-EINVAL, "%s: empty, not an HDF5 file", st->name);
        return 0;
    }
    if (!h5_signature(head, got)) {
        if (st->images > 0)
            return fail(-EINVAL, "%s: bytes that are not HDF5 follow HDF5 file %zu", st->name,
                        st->images);
        return got < 8 && memcmp(head, "\211HDF\r\n\032\n", got) == 0
                   ? fail(-EIO, "%s: cut off after %s of an HDF5 file", st->name,
                          TEXT_COUNT(got, "byte", "bytes"))
                   : not_hdf5(st->name);
    }
    if (got < HEAD)
        return fail(-EIO, "%s: cut off after %s of an HDF5 file", st->name,
                    TEXT_COUNT(got, "byte", "bytes"));
    if ((rc = image_length(head, st->name, &length)) < 0)
        return rc;
    if (st->regular && (rc = check_disk(st, length)) < 0)
        return rc;

    *in = (struct h5in){ .file = -1, .fd = -1, .size = (size_t)length };
    st->images++;
    in->name = st->several || st->images > 1 ? mem_printf("%s[%zu]", st->name, st->images)
                                             : mem_strdup(st->name);
    if (!in->name)
        return -ENOMEM;
    if (st->regular && length == st->size) {
        in->fd = fcntl(st->fd, F_DUPFD_CLOEXEC, 0);
        if (in->fd < 0) {
            rc = fail_errno("%s", in->name);
            goto failed;
        }
        st->at = st->size;
        rc = h5open(in, head[8]);
    } else {
        rc = read_image(st, head, HEAD, length, &in->image);
        if (rc == 0)
            rc = h5open(in, head[8]);
    }
    if (rc == 0)
        return 1;
failed:
    h5in_close(in);
    return rc;
}

int stream_stdin(char *const *operands, int n)
{
    int times = n == 0;

    for (int i = 0; i < n; i++)
        times += strcmp(operands[i], "-") == 0;
    return times;
}

int stream_open(struct stream **out, char **operands, int n)
{
    static char *const standard_input[] = { "-" };
    char *const *from = n > 0 ? operands : standard_input;
    struct stream *st = mem_alloc(1, sizeof(*st), "stream");
    int std = stream_stdin(operands, n);

    *out = NULL;
    h5_start();
    if (!st)
        return -ENOMEM;
    *st = (struct stream){ .fd = -1 };
    n = MAX(n, 1);
    if (!(st->operand = mem_alloc((size_t)n, sizeof(*st->operand), "operands")))
        goto no_memory;
    for (; st->n < n; st->n++)
        if (!(st->operand[st->n] = mem_strdup(from[st->n])))
            goto no_memory;
    if (std > 1 || (std == 1 && isatty(STDIN_FILENO))) {
        stream_close(st);
        return std > 1 ? fail(-EUSAGE, "standard input (-) is named twice")
                       : fail(-EUSAGE, "standard input is a terminal: name a file, or pipe one in");
    }
    *out = st;
    return 0;
no_memory:
    stream_close(st);
    return -ENOMEM;
}

int stream_next(struct stream *st, struct h5in *in)
{
    int rc;

    *in = (struct h5in){ .file = -1, .fd = -1 };
    for (;;) {
        if (!st->name) {
            if (st->next == st->n)
                return 0;
            if ((rc = next_operand(st)) < 0) {
                end_operand(st);
                return rc;
            }
        }
        if ((rc = next_image(st, in)) != 0)
            return rc;
        end_operand(st);
    }
}

void stream_close(struct stream *st)
{
    if (!st)
        return;
    end_operand(st);
    for (int i = 0; i < st->n; i++)
        free(st->operand[i]);
    free(st->operand);
    free(st);
}

int h5in_open(struct h5in *in, const char *path)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    char *operand = (char *)path;
    struct stream *st;
    struct h5in second;
    int rc = stream_open(&st, &operand, 1);

    *in = (struct h5in){ .file = -1, .fd = -1 };
    if (rc < 0)
        return rc;
    rc = stream_next(st, in);
    if (rc == 0)
        rc = fail(-EINVAL, "%s: empty, not an HDF5 file", name);
    if (rc == 1 && (rc = stream_next(st, &second)) == 1) {
        h5in_close(&second);
        rc = fail(-EINVAL, "%s: more than one HDF5 file, where one is expected", name);
    }
    stream_close(st);
    if (rc < 0)
        h5in_close(in);
    return rc;
}

void h5in_close(struct h5in *in)
{
    if (in->file > 0)
        H5Fclose(in->file);
    if (in->name && in->fd >= 0)
        close(in->fd);
    free(in->image);
    free(in->name);
    *in = (struct h5in){ .file = -1, .fd = -1 };
}
