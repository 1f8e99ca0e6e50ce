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

int outfile_open(struct outfile *o, const char *path)
{
    struct stat st;
    *o = (struct outfile){ 0 };
    bool in_place = stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    o->path = mem_strdup(path);
    if (!in_place)
        o->tmp = mem_printf("%s.tmp.%ld", path, (long)getpid());
    if (o->path == NULL || (!in_place && o->tmp == NULL)) {
        outfile_abort(o);
        return -ENOMEM;
    }
    o->file = fopen(in_place ? path : o->tmp, "we");
    if (o->file == NULL) {
        int rc = fail_errno("%s: cannot be written", path);
        free(o->tmp); /* nothing to remove */
        o->tmp = NULL;
        outfile_abort(o);
        return rc;
    }
    return 0;
}

/* A rename is only safe on disk once its directory is. Not every file system can sync one. */
static void sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL   ? mem_strdup(".")
                : slash == path ? mem_strdup("/")
                                : mem_printf("%.*s", (int)(slash - path), path);
    int fd = dir == NULL ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(dir);
}

int outfile_commit(struct outfile *o)
{
    int rc = 0;
    errno = 0;
    if (fflush(o->file) != 0 || ferror(o->file))
        rc = fail_errno("%s: cannot be written", o->path);
    else if (o->tmp != NULL && fsync(fileno(o->file)) != 0)
        rc = fail_errno("%s: cannot be brought to disk", o->path);
    if (fclose(o->file) != 0 && rc == 0)
        rc = fail_errno("%s: cannot be written", o->path);
    o->file = NULL;
    if (rc == 0 && o->tmp != NULL) {
        if (rename(o->tmp, o->path) != 0) {
            rc = fail_errno("%s: cannot be given its name", o->path);
        } else {
            free(o->tmp);
            o->tmp = NULL;
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
    if (o->tmp != NULL)
        unlink(o->tmp);
    free(o->tmp);
    free(o->path);
    *o = (struct outfile){ 0 };
}
