/*
 * outfile.c - see outfile.h. Names that are not files (/dev/stderr, a pipe) are written in place.
 */
#include "common/data/outfile.h"
#include "common/base/fail.h"
#include "common/base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder that path lies in; "" was looked for before. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? mem_strdup(".")
           : slash == path ? mem_strdup("/")
                           : mem_printf("%.*s", (int)(slash - path), path);
}

/* A file without a name, so that a kill leaves nothing; with a name where that is not known. */
static int open_beside(struct outfile *o)
{
    char *folder = folder_of(o->path);
    int fd = -1;
    if (folder == NULL)
        return -ENOMEM;
    if (access("/proc/self/fd", X_OK) == 0) /* the way to a name later */
        fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    free(folder);
    o->nameless = fd >= 0;
    if (fd < 0)
        fd = open(o->tmp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    o->named = fd >= 0 && !o->nameless;
    return fd;
}

static bool same_inode(const char *a, const char *b, mode_t kind)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && (x.st_mode & S_IFMT) == kind &&
           x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Files that are not there yet are the same if they will be: x and ./x. */
static bool same_place(const char *a, const char *b)
{
    char *x = folder_of(a), *y = folder_of(b);
    bool same = x != NULL && y != NULL && strcmp(last_part(a), last_part(b)) == 0 &&
                same_inode(x, y, S_IFDIR);
    free(x);
    free(y);
    return same;
}

bool outfile_same(const char *a, const char *b)
{
    if (strcmp(a, "-") == 0 || strcmp(b, "-") == 0)
        return strcmp(a, b) == 0;
    return strcmp(a, b) == 0 || same_inode(a, b, S_IFREG) || same_place(a, b);
}

int outfile_spares(const char *out, const char *const *read, size_t n)
{
    for (size_t i = 0; out && strcmp(out, "-") != 0 && i < n; i++)
        if (read[i] && outfile_same(out, read[i]))
            return fail(-EUSAGE, "%s is an input, and would be replaced", out);
    return 0;
}

int outfile_apart(const char *const *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; out[i] && j < i; j++)
            if (out[j] && outfile_same(out[i], out[j]))
                return fail(-EUSAGE, "%s cannot take two outputs",
                            strcmp(out[i], "-") == 0 ? "standard output" : out[i]);
    return 0;
}

int outfile_open(struct outfile *o, const char *path)
{
    struct stat st;
    *o = (struct outfile){ 0 };
    if (*path == '\0')
        return fail(-EINVAL, "the name of a file is empty");
    bool there = stat(path, &st) == 0, in_place = there && !S_ISREG(st.st_mode);
    if (there && S_ISDIR(st.st_mode))
        return fail(-EISDIR, "%s: is a folder", path);
    o->path = there ? realpath(path, NULL) : NULL; /* a link stays, and what it names is replaced */
    if (o->path == NULL)
        o->path = mem_strdup(path);
    if (o->path != NULL && !in_place)
        o->tmp = mem_printf("%s.tmp.%ld", o->path, (long)getpid());
    if (o->path == NULL || (!in_place && o->tmp == NULL)) {
        outfile_abort(o);
        return -ENOMEM;
    }
    int fd = in_place ? open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) : open_beside(o);
    o->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (o->file == NULL) {
        int rc = fail_errno("%s: cannot be written", path);
        if (fd >= 0)
            close(fd);
        outfile_abort(o);
        return rc;
    }
    return 0;
}

/* A rename is only safe on disk once its directory is. Not every file system can sync one. */
static void sync_directory(const char *path)
{
    char *dir = folder_of(path);
    int fd = dir == NULL ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(dir);
}

int outfile_sync(struct outfile *o)
{
    if (fflush(o->file) != 0)
        return fail_errno("%s: cannot be written", o->path);
    if (ferror(o->file)) /* of an earlier write, whose reason is forgotten: hardly another */
        return fail(-ENOSPC, "%s: not everything could be written", o->path);
    if (o->tmp != NULL && fsync(fileno(o->file)) != 0)
        return fail_errno("%s: cannot be brought to disk", o->path);
    return 0;
}

/* A file without a name gets one, beside its own. */
static int name_beside(struct outfile *o)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/self/fd/%d", fileno(o->file));
    unlink(o->tmp); /* left by a process of the same number, killed between two lines here */
    if (linkat(AT_FDCWD, from, AT_FDCWD, o->tmp, AT_SYMLINK_FOLLOW) != 0)
        return fail_errno("%s: cannot be given its name", o->path);
    o->named = true;
    return 0;
}

int outfile_commit(struct outfile *o)
{
    int rc = outfile_sync(o);
    if (rc == 0 && o->nameless)
        rc = name_beside(o);
    if (fclose(o->file) != 0 && rc == 0)
        rc = fail_errno("%s: cannot be written", o->path);
    o->file = NULL;
    if (rc == 0 && o->named) {
        if (rename(o->tmp, o->path) != 0) {
            rc = fail_errno("%s: cannot be given its name", o->path);
        } else {
            o->named = false;
            sync_directory(o->path);
        }
    }
    outfile_abort(o);
    return rc;
}

void outfile_abort(struct outfile *o)
{
    if (o->file != NULL)
        fclose(o->file);
    if (o->named && o->tmp != NULL)
        unlink(o->tmp);
    free(o->tmp);
    free(o->path);
    *o = (struct outfile){ 0 };
}
