/*
 * test_newfile.c - files that appear whole or not at all, with and without a file system that has
 * files without names.
 */
#include "common/base/fail.h"
#include "common/data/newfile.h"
#include "tests/t.h"
#include "tests/unit/files.h"
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool all_named; /* as where there are no files without names */

/* In place of the C library's. */
int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    if (all_named && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static int write_word(const char *path, const char *word, bool commit)
{
    struct newfile f;
    int rc = newfile_open(&f, path);
    if (rc < 0)
        return rc;
    int fd = f.fd;
    files_must(write(fd, word, strlen(word)) == (ssize_t)strlen(word), path);
    if (commit)
        rc = newfile_commit(&f);
    newfile_abort(&f);
    close(fd);
    return rc;
}

static bool holds(const char *path, const char *word)
{
    char text[16] = "";
    FILE *f = fopen(path, "r");
    bool same = f && fgets(text, sizeof text, f) && strcmp(text, word) == 0;
    if (f)
        fclose(f);
    return same;
}

static void check_files(const char *how)
{
    char longest[NAME_MAX + 2], tmp[64];
    struct stat st;
    memset(longest, 'n', NAME_MAX);
    longest[NAME_MAX] = '\0';
    snprintf(tmp, sizeof tmp, "a.tmp.%ld", (long)getpid());
    files_must(close(open(tmp, O_CREAT | O_WRONLY, 0600)) == 0, tmp); /* of a killed one */

    ok(write_word("a", "old", true) == 0 && holds("a", "old"), "%s: a file", how);
    ok(write_word("a", "new", false) == 0 && holds("a", "old"), "%s: that is given up", how);
    ok(write_word("a", "new", true) == 0 && holds("a", "new"), "%s: that replaces one", how);
    ok(stat(tmp, &st) < 0, "%s: and leaves nothing beside it", how);
    files_must(symlink("a", "link") == 0, "link");
    ok(write_word("link", "more", true) == 0 && holds("a", "more") && lstat("link", &st) == 0 &&
           S_ISLNK(st.st_mode),
       "%s: a link stays", how);
    ok(write_word(longest, "word", true) == 0 && holds(longest, "word"), "%s: the longest name: %s",
       how, fail_text());
    strcat(longest, "n");
    struct newfile f;
    ok(newfile_open(&f, longest) == -ENAMETOOLONG, "%s: a longer one is refused at once", how);
    longest[NAME_MAX] = '\0';
    unlink(longest);
    unlink("link");
    unlink("a");
    ok(newfile_open(&f, "gone/a") == -ENOENT, "%s: no folder: %s", how, fail_text());
}

int main(void)
{
    struct newfile f;
    files_enter();
    check_files("without a name");
    all_named = true;
    check_files("with a name");
    ok(newfile_open(&f, ".") == -EISDIR, "%s", fail_text());
    ok(newfile_open(&f, "") == -EINVAL, "%s", fail_text());
    ok(newfile_open(&f, "/dev/null") == 0 && !f.tmp && f.fd < 0, "a device is not replaced");
    newfile_abort(&f);
    newfile_abort(&f);
    return done();
}
