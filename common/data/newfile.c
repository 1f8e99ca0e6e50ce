/*
 * newfile.c - see newfile.h.
 */
#include "common/data/newfile.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *newfile_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? mem_strdup(".")
           : slash == path ? mem_strdup("/")
                           : mem_printf("%.*s", (int)(slash - path), path);
}

/* The name beside path. */
static char *name_beside(const char *path)
{
    enum { SUFFIX = 32 };
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    size_t folder = (size_t)(last - path), n = strlen(last);
    if (n > NAME_MAX - SUFFIX)
        last += n - (NAME_MAX - SUFFIX);
    return mem_printf("%.*s%s.tmp.%ld", (int)folder, path, last, (long)getpid());
}

/* A file without a name, so that a kill leaves nothing; with a name where that is not known. */
static int open_beside(struct newfile *f)
{
    char *folder = newfile_folder(f->path);
    if (!folder)
        return -ENOMEM;
    if (access("/proc/self/fd", X_OK) == 0) /* the way to a name later */
        f->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    free(folder);
    if (f->fd >= 0)
        return 0;
    unlink(f->tmp); /* left by a killed process of the same number */
    f->fd = open(f->tmp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    f->named = f->fd >= 0;
    return f->named ? 0 : fail_errno("%s: cannot be written", f->name);
}

int newfile_open(struct newfile *f, const char *path)
{
    struct stat st;
    int rc = 0;
    *f = (struct newfile){ .fd = -1 };
    if (*path == '\0')
        return fail(-EINVAL, "the name of a file is empty");
    bool there = stat(path, &st) == 0, special = there && !S_ISREG(st.st_mode);
    if (there && S_ISDIR(st.st_mode))
        return fail(-EISDIR, "%s: is a folder", path);
    if (!there && errno == ENAMETOOLONG) /* which a file without a name would not tell yet */
        return fail_errno("%s: cannot be written", path);
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        f->path = realpath(path, NULL); /* NULL if it leads nowhere yet: then the link goes */
    if (!(f->name = mem_strdup(path)) || (!f->path && !(f->path = mem_strdup(path))))
        rc = -ENOMEM;
    else if (!special)
        rc = (f->tmp = name_beside(f->path)) ? open_beside(f) : -ENOMEM;
    if (rc < 0)
        newfile_abort(f);
    return rc;
}

int newfile_check(const char *path)
{
    struct newfile f;
    int rc = newfile_open(&f, path);
    if (rc == 0 && f.tmp)
        close(f.fd);
    newfile_abort(&f);
    return rc;
}

int newfile_sync(struct newfile *f)
{
    return fsync(f->fd) == 0 ? 0 : fail_errno("%s: cannot be brought to disk", f->name);
}

/* A file without a name gets one, beside its own. */
static int give_name(struct newfile *f)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/self/fd/%d", f->fd);
    unlink(f->tmp); /* left by a process of the same number, killed between two lines here */
    f->named = linkat(AT_FDCWD, from, AT_FDCWD, f->tmp, AT_SYMLINK_FOLLOW) == 0;
    return f->named ? 0 : fail_errno("%s: cannot be given its name", f->name);
}

/* A rename is only safe on disk once its folder is. The file has its name by now: where this cannot
 * be, it is not worth a failure. */
static void sync_folder(const char *path)
{
    char *folder = newfile_folder(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

int newfile_commit(struct newfile *f)
{
    int rc = newfile_sync(f);
    if (rc == 0 && !f->named)
        rc = give_name(f);
    if (rc == 0 && rename(f->tmp, f->path) != 0)
        rc = fail_errno("%s: cannot be given its name", f->name);
    if (rc == 0) {
        f->named = false;
        sync_folder(f->path);
    }
    newfile_abort(f);
    return rc;
}

void newfile_abort(struct newfile *f)
{
    if (f->named)
        unlink(f->tmp);
    free(f->name);
    free(f->path);
    free(f->tmp);
    *f = (struct newfile){ .fd = -1 };
}
