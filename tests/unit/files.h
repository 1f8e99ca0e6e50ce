/*
 * files.h - for tests that need files: a temporary folder that goes away, whole files in and out,
 * and standard input and output that come from and go to bytes. Failures of the machine end the
 * test.
 */
#ifndef SEMPPL_FILES_H
#define SEMPPL_FILES_H

#include "common/base/base.h"
#include "common/base/tail.h"
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void files_must(bool good, const char *what)
{
    if (!good) {
        printf("Bail out! %s: ", what);
        fflush(stdout);
        perror(NULL);
        exit(1);
    }
}

static char files_dir[200];
static pid_t files_owner;

/* HDF5 itself loses memory when it refuses a damaged file; files_idle() sees what we lose. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static void files_remove(void)
{
    char command[220];

    if (getpid() != files_owner)
        return;
    snprintf(command, sizeof(command), "rm -rf %s", files_dir);
    if (system(command) != 0)
        printf("# %s is left\n", files_dir);
}

/* Makes a temporary folder and enters it: in memory if there is such a place, for syncing each
 * file to a disk takes long. */
static inline void files_enter(void)
{
    const char *in = getenv("TMPDIR");

    if (!in)
        in = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(files_dir, sizeof(files_dir), "%s/semppl-test-XXXXXX", in);
    files_must(mkdtemp(files_dir) && chdir(files_dir) == 0, "a temporary folder");
    files_owner = getpid();
    atexit(files_remove);
}

static inline uint8_t *files_read(const char *path, size_t *n)
{
    struct stat sb;
    FILE *f = fopen(path, "rb");

    files_must(f && fstat(fileno(f), &sb) == 0, path);
    uint8_t *bytes = malloc((size_t)sb.st_size + 1);
    files_must(bytes && fread(bytes, 1, (size_t)sb.st_size, f) == (size_t)sb.st_size, path);
    fclose(f);
    *n = (size_t)sb.st_size;
    return bytes;
}

static inline void files_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    files_must(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, path);
}

static inline bool files_equal(const char *a, const char *b)
{
    size_t n, m;
    uint8_t *x = files_read(a, &n), *y = files_read(b, &m);
    bool same = n == m && memcmp(x, y, n) == 0;

    free(x);
    free(y);
    return same;
}

/* Nothing of HDF5's is open: files, datasets, types, spaces, property lists. */
static inline bool files_idle(void)
{
    hsize_t n, open = 0;

    for (H5I_type_t type = H5I_FILE; type <= H5I_ATTR; type++)
        if (H5Inmembers(type, &n) >= 0 && type != H5I_DATATYPE)
            open += n;
    return open == 0;
}

/* How many names the folder (.) has. */
static inline int files_count(void)
{
    int n = -1;
    FILE *f = popen("ls -A | wc -l", "r");

    files_must(f && fscanf(f, "%d", &n) == 1, "ls");
    pclose(f);
    return n;
}

/* From now on standard input is a pipe that gives these bytes, then ends. */
static inline void files_stdin(const void *bytes, size_t n)
{
    int fd[2];
    const char *p = bytes;

    fflush(stdout);
    files_must(pipe(fd) == 0, "pipe");
    pid_t child = fork();
    files_must(child >= 0, "fork");
    if (child == 0) {
        close(fd[0]);
        signal(SIGPIPE, SIG_DFL);
        while (n > 0) {
            ssize_t k = write(fd[1], p, n);
            if (k <= 0)
                break;
            p += k;
            n -= (size_t)k;
        }
        _exit(0);
    }
    close(fd[1]);
    files_must(dup2(fd[0], STDIN_FILENO) == 0, "dup2");
    close(fd[0]);
}

/* Standard output goes to this file until files_stdout_back(), which gets what came first. */
static inline int files_stdout(const char *path)
{
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0666);

    files_must(saved >= 0 && fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0, path);
    close(fd);
    return saved;
}

static inline void files_stdout_back(int saved)
{
    fflush(stdout);
    files_must(tail_send() == 0, "the tail");
    files_must(dup2(saved, STDOUT_FILENO) >= 0, "dup2");
    close(saved);
}

/* The pipes' writers have ended. */
static inline void files_reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

#endif
