/*
 * source_tar.c - a tar stream on standard input, through libarchive.
 *
 * The members' bytes are spooled, so that all classes are known before the first row is written.
 * Only what begins like a picture is kept; of the rest the first bytes, so that source_read() can
 * say what it is.
 */
#include "common/base/fail.h"
#include "common/data/image.h"
#include "common/data/source_list.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, HEAD = 512, TRAILER = 1024 };

struct tar_in {
    struct source *s;
    uint8_t block[BLOCK];
    size_t zeros;  /* how many the stream ends with so far */
    bool any;      /* bytes read */
    char **folder; /* names of its folders, as members and as parts of members' names */
    size_t nfolders, room;
};

static la_ssize_t on_read(struct archive *a, void *arg, const void **block)
{
    struct tar_in *in = arg;
    ssize_t n;
    do
        n = read(STDIN_FILENO, in->block, BLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        archive_set_error(a, errno, "%s", strerror(errno));
    *block = in->block;
    ssize_t tail = n;
    while (tail > 0 && in->block[tail - 1] == 0)
        tail--;
    if (n > 0) {
        in->zeros = tail > 0 ? (size_t)(n - tail) : in->zeros + (size_t)n;
        in->any = true;
    }
    return n;
}

/* name without empty components and "."; NULL without memory. Sets *hidden and *outside (a ".."
 * component). */
static char *tidy(const char *name, bool *hidden, bool *outside)
{
    char *path = mem_alloc(strlen(name) + 1, 1, "a name"), *to = path;
    *hidden = *outside = false;
    while (path != NULL && *name != '\0') {
        size_t n = strcspn(name, "/");
        if (n > 0 && !(n == 1 && name[0] == '.')) {
            if (to != path)
                *to++ = '/';
            char *component = to;
            memcpy(to, name, n);
            to += n;
            *to = '\0';
            if (strcmp(component, "..") == 0)
                *outside = true;
            else if (source_hidden(component))
                *hidden = true;
        }
        name += n + (name[n] == '/');
    }
    return path;
}

static int add_folder(struct tar_in *in, const char *path)
{
    if (*path == '\0')
        return 0;
    int rc = mem_grow(&in->folder, &in->room, in->nfolders + 1, sizeof *in->folder);
    if (rc < 0)
        return rc;
    if ((in->folder[in->nfolders] = mem_strdup(path)) == NULL)
        return -ENOMEM;
    in->nfolders++;
    return 0;
}

static int tar_failure(struct archive *a)
{
    int err = archive_errno(a);
    return fail(err == ENOMEM ? -ENOMEM : -EIO, "standard input: not a whole tar stream: %s",
                archive_error_string(a) != NULL ? archive_error_string(a) : "damaged");
}

/* Spools a member; of strangers and giants the head will do. */
static int spool_member(struct tar_in *in, struct archive *a, struct source_file *file, bool giant)
{
    struct spool *spool = &in->s->spool;
    uint8_t part[BLOCK];
    la_ssize_t n = 0;
    int rc = 0;
    bool keep = true;
    uint64_t seen = 0;
    file->at = spool->len;
    while (rc == 0 && (n = archive_read_data(a, part, seen == 0 ? HEAD : BLOCK)) > 0) {
        if (keep)
            rc = spool_append(spool, part, (size_t)n);
        if (seen == 0)
            keep = image_sniff(part, (size_t)n) != IMAGE_NONE && !giant;
        seen += (uint64_t)n;
    }
    if (n < 0)
        return tar_failure(a);
    file->size = giant ? seen : spool->len - file->at;
    return rc;
}

static int read_member(struct tar_in *in, struct archive *a, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    bool hidden, outside;
    if (name == NULL)
        return fail(-EIO, "standard input: a member of the tar has no name");
    struct source_file file = { .path = tidy(name, &hidden, &outside) };
    if (file.path == NULL)
        return -ENOMEM;
    mode_t type = archive_entry_filetype(entry);
    if (hidden || *file.path == '\0' || type == AE_IFDIR) {
        int rc = type == AE_IFDIR && !hidden ? add_folder(in, file.path) : 0;
        in->s->hidden += hidden;
        free(file.path);
        return rc;
    }
    if (outside || archive_entry_hardlink(entry) != NULL || type != AE_IFREG) {
        file.reason = "not a file";
        file.detail = outside                                 ? "a name that leads out of the tar"
                      : archive_entry_hardlink(entry) != NULL ? "a hard link in a tar"
                      : type == AE_IFLNK                      ? "a symbolic link in a tar"
                      : type == AE_IFIFO                      ? "a named pipe"
                                                              : "a device";
        return source_list(in->s, &file);
    }
    int rc = spool_member(in, a, &file, archive_entry_size(entry) > (la_int64_t)SOURCE_MAX_BYTES);
    if (rc < 0) {
        free(file.path);
        return rc;
    }
    return source_list(in->s, &file);
}

static int read_members(struct tar_in *in, struct archive *a)
{
    struct archive_entry *entry;
    int rc = 0, status;
    while (rc == 0 && (status = archive_read_next_header(a, &entry)) != ARCHIVE_EOF) {
        if (status < ARCHIVE_WARN)
            return tar_failure(a);
        rc = read_member(in, a, entry);
    }
    if (rc < 0)
        return rc;
    if (!in->any)
        return fail(-EIO, "standard input is empty: no tar stream");
    /* A tar ends with two blocks of zeros: without them it was cut between two members. (In a
     * compressed one the cut is the decompressor's to find.) */
    if (archive_filter_count(a) == 1 && in->zeros < TRAILER)
        return fail(-EIO, "standard input: the tar stream was cut off (no end mark)");
    return 0;
}

/* Length of the single folder that all members lie in, 0 if there is none. */
static size_t single_top(const struct tar_in *in)
{
    const struct source *s = in->s;
    const char *first = s->tar_n > 0       ? s->file[s->tar_first].path
                        : in->nfolders > 0 ? in->folder[0]
                                           : "";
    size_t n = strcspn(first, "/");
    for (size_t i = s->tar_first; i < s->tar_first + s->tar_n; i++)
        if (strncmp(s->file[i].path, first, n) != 0 || s->file[i].path[n] != '/')
            return 0;
    for (size_t i = 0; i < in->nfolders; i++)
        if (strncmp(in->folder[i], first, n) != 0 ||
            (in->folder[i][n] != '/' && in->folder[i][n] != '\0'))
            return 0;
    return n;
}

/* The first component of a name is a class. Neighbours mostly share it. */
static int add_class(struct source *s, const char *name)
{
    size_t n = strcspn(name, "/");
    const char *last = s->classes.n > 0 ? s->classes.name[s->classes.n - 1] : "";
    if (strncmp(last, name, n) == 0 && last[n] == '\0')
        return 0;
    char *copy = mem_printf("%.*s", (int)n, name);
    int rc = copy == NULL ? -ENOMEM : classes_add(&s->classes, copy);
    free(copy);
    return rc;
}

/* Keys and classes, when it is known below which folder they begin. */
static int settle(struct tar_in *in)
{
    struct source *s = in->s;
    size_t top = single_top(in), skip = top > 0 ? top + 1 : 0;
    int rc = 0;
    for (size_t i = s->tar_first; i < s->tar_first + s->tar_n; i++) {
        s->file[i].key = (uint32_t)skip;
        s->file[i].below = (int32_t)skip;
        if (rc == 0 && strchr(s->file[i].path + skip, '/') != NULL)
            rc = add_class(s, s->file[i].path + skip);
    }
    for (size_t i = 0; rc == 0 && i < in->nfolders; i++)
        if (strlen(in->folder[i]) > skip)
            rc = add_class(s, in->folder[i] + skip);
    return rc;
}

int source_add_tar(struct source *s)
{
    struct tar_in *in = mem_alloc(1, sizeof *in, "a tar stream");
    struct archive *a = archive_read_new();
    int rc = in == NULL || a == NULL ? fail(-ENOMEM, "no memory for a tar stream") : 0;
    if (rc == 0) {
        in->s = s;
        s->tar_first = s->n;
        archive_read_support_format_tar(a);
        archive_read_support_format_empty(a);
        /* named one by one: "all" would start other programs */
        archive_read_support_filter_gzip(a);
        archive_read_support_filter_bzip2(a);
        archive_read_support_filter_xz(a);
        archive_read_support_filter_zstd(a);
        archive_read_set_option(a, "tar", "read_concatenated_archives", "1");
        rc = archive_read_open(a, in, NULL, on_read, NULL) != ARCHIVE_OK ? tar_failure(a) : 0;
    }
    if (rc == 0)
        rc = read_members(in, a);
    if (rc == 0) {
        s->tar_n = s->n - s->tar_first;
        rc = settle(in);
    }
    if (in != NULL) {
        for (size_t i = 0; i < in->nfolders; i++)
            free(in->folder[i]);
        free(in->folder);
        free(in);
    }
    archive_read_free(a);
    return rc;
}
