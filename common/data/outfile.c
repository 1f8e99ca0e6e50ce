/*
 * outfile.c - see outfile.h. Names that are not files (/dev/stderr, a pipe) are written in place.
 */
#include "common/data/outfile.h"
#include "common/base/fail.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    char *x = newfile_folder(a), *y = newfile_folder(b);
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
    *o = (struct outfile){ 0 };
    int rc = newfile_open(&o->new, path);
    if (rc < 0)
        return rc;
    int fd = o->new.tmp ? o->new.fd : open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    o->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (o->file == NULL) {
        rc = fail_errno("%s: cannot be written", path);
        if (fd >= 0)
            close(fd);
        outfile_abort(o);
    }
    return rc;
}

int outfile_sync(struct outfile *o)
{
    if (fflush(o->file) != 0)
        return fail_errno("%s: cannot be written", o->new.name);
    if (ferror(o->file)) /* of an earlier write, whose reason is forgotten: hardly another */
        return fail(-ENOSPC, "%s: not everything could be written", o->new.name);
    return o->new.tmp ? newfile_sync(&o->new) : 0;
}

int outfile_commit(struct outfile *o)
{
    int rc = outfile_sync(o);
    bool in_place = o->new.tmp == NULL;
    if (rc == 0 && !in_place)
        rc = newfile_commit(&o->new);
    if (fclose(o->file) != 0 && rc == 0 && in_place)
        rc = fail_errno("%s: cannot be written", o->new.name);
    o->file = NULL;
    outfile_abort(o);
    return rc;
}

void outfile_abort(struct outfile *o)
{
    if (o->file != NULL)
        fclose(o->file);
    newfile_abort(&o->new);
    *o = (struct outfile){ 0 };
}
