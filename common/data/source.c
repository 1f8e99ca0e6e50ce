/*
 * source.c - the list of inputs, and reading them; source_walk.c and source_tar.c fill it.
 */
#include "common/data/source_list.h"

#include "common/base/fail.h"
#include "common/data/image.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL_MEMORY ((size_t)64 << 20) /* a larger tar goes to a temporary file */

void source_init(struct source *s)
{
    *s = (struct source){ 0 };
    spool_init(&s->spool, SPOOL_MEMORY, NULL);
}

void source_release(struct source *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->file[i].path);
    free(s->file);
    free(s->by_key);
    classes_release(&s->classes);
    spool_release(&s->spool);
    *s = (struct source){ 0 };
}

int source_list(struct source *s, const struct source_file *file)
{
    int rc = file->path == NULL             ? -ENOMEM
             : strlen(file->path) > INT_MAX ? fail(-ENAMETOOLONG, "a name is too long")
                                            : 0;
    if (rc == 0)
        rc = mem_grow(&s->file, &s->room, s->n + 1, sizeof *s->file);
    if (rc < 0) {
        free(file->path);
        return rc;
    }
    s->file[s->n] = *file;
    s->file[s->n].class = -1;
    s->n++;
    return 0;
}

bool source_hidden(const char *name)
{
    return name[0] == '.' || strcmp(name, "__MACOSX") == 0;
}

void source_reason(struct source_file *file, int err)
{
    file->reason = err == ENOENT ? "not there" : err == ELOOP ? "loop" : "cannot be read";
    file->err = err;
}

/* -- lists of names ---- */

static int list_one(struct source *s, char *name)
{
    struct source_file file = { .path = mem_strdup(name), .below = -1 };
    struct stat st;
    if (stat(name, &st) != 0)
        source_reason(&file, errno);
    else
        source_stat(&file, &st);
    return source_list(s, &file);
}

int source_add_list(struct source *s, const char *list, bool nul)
{
    bool in = strcmp(list, "-") == 0;
    FILE *f = in ? stdin : fopen(list, "re");
    const char *shown = in ? "standard input" : list;
    if (f == NULL)
        return fail_errno("%s: cannot be opened", shown);
    char *name = NULL;
    size_t room = 0;
    ssize_t n;
    int rc = 0;
    for (size_t line = 1; rc == 0 && (n = getdelim(&name, &room, nul ? '\0' : '\n', f)) >= 0;
         line++) {
        if (!nul && memchr(name, '\0', (size_t)n) != NULL)
            rc = fail(-EINVAL, "%s: line %zu holds a NUL byte; lists with NULs need -0", shown,
                      line);
        if (!nul && n > 0 && name[n - 1] == '\n')
            name[n - 1] = '\0';
        if (rc == 0 && *name != '\0')
            rc = list_one(s, name);
    }
    if (rc == 0 && !feof(f)) /* getdelim() marks no error where memory is lacking */
        rc = fail_errno("%s: cannot be read", shown);
    free(name);
    if (!in)
        fclose(f);
    return rc;
}

/* -- when all are listed ---- */

static int by_key(const void *a, const void *b, void *arg)
{
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int order = strcmp(source_key(arg, i), source_key(arg, j));
    return order != 0 ? order : (i > j) - (i < j);
}

/* A key stands for one row. Of a tar's members with one name the last counts, as when it is
 * unpacked; of other inputs the first. */
static void find_repeats(struct source *s)
{
    for (size_t i = 0; i + 1 < s->n; i++) {
        size_t a = s->by_key[i], b = s->by_key[i + 1];
        if (strcmp(source_key(s, a), source_key(s, b)) != 0)
            continue;
        bool tar = a >= s->tar_first && b < s->tar_first + s->tar_n;
        struct source_file *file = &s->file[tar ? a : b];
        if (!tar) { /* so that a third of them meets the first again */
            s->by_key[i] = b;
            s->by_key[i + 1] = a;
        }
        if (file->reason != NULL)
            continue;
        file->reason = "repeated";
        file->detail = tar ? "a later member of the tar has the same name"
                           : "an earlier input has the same key";
    }
}

int source_finish(struct source *s)
{
    int rc = classes_sort(&s->classes);
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        struct source_file *file = &s->file[i];
        const char *below = file->below >= 0 ? file->path + file->below : "";
        const char *slash = strchr(below, '/');
        if (slash == NULL)
            continue;
        char *name = mem_printf("%.*s", (int)(slash - below), below);
        if (name == NULL)
            return -ENOMEM;
        file->class = classes_find(&s->classes, name);
        free(name);
    }
    if (rc == 0 && (s->by_key = mem_alloc(s->n, sizeof *s->by_key, "keys")) == NULL)
        rc = -ENOMEM;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < s->n; i++)
        s->by_key[i] = i;
    qsort_r(s->by_key, s->n, sizeof *s->by_key, by_key, s);
    find_repeats(s);
    return 0;
}

size_t source_find(const struct source *s, const char *key)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(source_key(s, s->by_key[mid]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < s->n && strcmp(source_key(s, s->by_key[lo]), key) == 0; lo++)
        if (s->file[s->by_key[lo]].reason == NULL ||
            strcmp(s->file[s->by_key[lo]].reason, "repeated") != 0)
            return s->by_key[lo];
    return s->n;
}

/* -- reading ---- */

static int skip(const char **reason, const char *word, const char *detail)
{
    *reason = word;
    fail(-EINVAL, "%s", detail);
    return 1;
}

/* What a file that is no picture is, where that is likely to surprise. */
static int skip_stranger(const char **reason, const uint8_t *head, size_t n)
{
    static const struct {
        const char *magic, *what;
        size_t n, at;
    } known[] = {
        { "GIF8", "a GIF", 4, 0 },           { "WEBP", "a WebP picture", 4, 8 },
        { "BM", "a BMP picture", 2, 0 },     { "II*\0", "a TIFF or raw picture", 4, 0 },
        { "MM\0*", "a TIFF picture", 4, 0 }, { "ftyp", "a HEIF or AVIF picture, or a film", 4, 4 },
        { "PK\3\4", "a zip archive", 4, 0 }, { "ustar", "a tar archive", 5, 257 },
        { "%PDF", "a PDF", 4, 0 },           { "\x89HDF", "an HDF5 file", 4, 0 },
    };
    if (n == 0)
        return skip(reason, "empty", "");
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (n >= known[i].at + known[i].n &&
            memcmp(head + known[i].at, known[i].magic, known[i].n) == 0)
            return skip(reason, "not a JPEG or PNG", known[i].what);
    return skip(reason, "not a JPEG or PNG", "");
}

static int too_large(const char **reason)
{
    return skip(reason, "too large", "more than 1 GiB");
}

static int read_member(const struct source *s, const struct source_file *file, uint8_t **bytes,
                       size_t *n, const char **reason)
{
    const uint8_t *from = s->spool.data + file->at;
    if (image_sniff(from, file->size) == IMAGE_NONE)
        return skip_stranger(reason, from, file->size);
    if (bytes == NULL)
        return 0;
    *n = file->size;
    if ((*bytes = mem_alloc(*n, 1, "a picture")) == NULL)
        return -ENOMEM;
    memcpy(*bytes, from, *n);
    return 0;
}

/* Up to n bytes; fewer at the end of the file; -1 and errno. */
static ssize_t read_some(int fd, uint8_t *to, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = read(fd, to + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

static int read_open(int fd, uint8_t **bytes, size_t *n, const char **reason)
{
    uint8_t head[512];
    struct stat st;
    ssize_t got;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return skip(reason, "not a file", "it was one a moment ago");
    if ((got = read_some(fd, head, sizeof head)) < 0)
        return skip(reason, "cannot be read", strerror(errno));
    if (image_sniff(head, (size_t)got) == IMAGE_NONE)
        return skip_stranger(reason, head, (size_t)got);
    if (bytes == NULL)
        return 0;
    if ((uint64_t)st.st_size > SOURCE_MAX_BYTES)
        return too_large(reason);
    size_t room = MAX((size_t)st.st_size, (size_t)got);
    if ((*bytes = mem_alloc(room, 1, "a picture")) == NULL)
        return -ENOMEM;
    memcpy(*bytes, head, (size_t)got);
    *n = (size_t)got;
    if ((got = read_some(fd, *bytes + *n, room - *n)) >= 0) {
        *n += (size_t)got;
        return 0;
    }
    int err = errno;
    free(*bytes);
    *bytes = NULL;
    return skip(reason, "cannot be read", strerror(err));
}

int source_read(const struct source *s, size_t i, uint8_t **bytes, size_t *n, const char **reason)
{
    const struct source_file *file = &s->file[i];
    if (file->reason != NULL)
        return skip(reason, file->reason,
                    file->err != 0         ? strerror(file->err)
                    : file->detail != NULL ? file->detail
                                           : "");
    if (file->size > SOURCE_MAX_BYTES)
        return too_large(reason);
    if (i >= s->tar_first && i < s->tar_first + s->tar_n)
        return read_member(s, file, bytes, n, reason);
    /* O_NONBLOCK: a pipe that has taken the file's place must not stop us */
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        struct source_file now = { 0 };
        if (errno == ENOMEM || errno == EMFILE || errno == ENFILE)
            return fail_errno("%s: cannot be opened", file->path);
        source_reason(&now, errno);
        return skip(reason, now.reason, strerror(now.err));
    }
    int rc = read_open(fd, bytes, n, reason);
    close(fd);
    return rc;
}
