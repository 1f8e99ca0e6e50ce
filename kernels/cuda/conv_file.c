/*
 * conv_file.c - the file of timings: which engine was the fastest, so that later runs on the same
 * kind of device need not try, and compute the same bits.
 *
 * Programs that run at the same time may each add a line to what they read; the last to rename its
 * file wins, and the others try again at their next start.
 */
#include "kernels/cuda/convolve.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER "# convolutions of semppl-tools: device, library, what, engine, nanoseconds\n"

enum { MOST = 4 << 20 }; /* bytes; a file that has become larger is begun anew */

/* a + b in room bytes; false: too long, or nothing to begin with. */
static bool join(char *to, const char *a, const char *b)
{
    int n = a ? snprintf(to, PATH_MAX, "%s%s", a, b) : -1;
    return n > 0 && n < PATH_MAX && to[0] == '/';
}

/* The folder; make: and it is made, with the one around it. */
static bool folder(char *path, bool make)
{
    const char *own = getenv("SEMPPL_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    if (own)
        return join(path, own, "") && (!make || mkdir(path, 0777) == 0 || access(path, W_OK) == 0);
    char around[PATH_MAX];
    if (!(xdg && *xdg ? join(around, xdg, "") : join(around, getenv("HOME"), "/.cache")))
        return false;
    if (make)
        mkdir(around, 0700);
    return join(path, around, "/semppl") &&
           (!make || mkdir(path, 0777) == 0 || access(path, W_OK) == 0);
}

/* The whole file as a string; NULL: there is none that can be used. */
static char *slurp(const char *folder)
{
    char path[PATH_MAX];
    FILE *f = join(path, folder, "/convolutions.txt") ? fopen(path, "re") : NULL;
    char *text = f ? malloc(MOST + 1) : NULL;
    size_t n = text ? fread(text, 1, MOST + 1, f) : 0;
    if (f)
        fclose(f);
    if (n == 0 || n > MOST || memchr(text, '\0', n)) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

/* Is this line of key? Then its engine and nanoseconds. */
static bool parse(const char *line, const char *key, char engine[CONV_NAME], double *ns)
{
    size_t n = strlen(key);
    char end;
    if (strncmp(line, key, n) != 0 || line[n] != '\t')
        return false;
    return sscanf(line + n + 1, "%511[^\t\n]\t%lf%c", engine, ns, &end) == 3 && end == '\n';
}

static const char *after(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

bool conv_file_find(const char *key, char engine[CONV_NAME])
{
    char path[PATH_MAX];
    char *text = folder(path, false) ? slurp(path) : NULL;
    bool found = false;
    double ns;
    for (const char *line = text; line && *line && !found; line = after(line))
        found = parse(line, key, engine, &ns);
    free(text);
    return found;
}

/* The old lines but those of key, and the new one. */
static bool write_all(FILE *f, const char *old, const char *key, const char *engine, double ns)
{
    size_t n = strlen(key);
    fputs(HEADER, f);
    for (const char *line = old; line && *line; line = after(line)) {
        bool whole = after(line)[-1] == '\n', same = strncmp(line, key, n) == 0 && line[n] == '\t';
        if (whole && !same && *line != '#')
            fwrite(line, 1, (size_t)(after(line) - line), f);
    }
    fprintf(f, "%s\t%s\t%.0f\n", key, engine, ns);
    return fflush(f) == 0 && !ferror(f);
}

void conv_file_put(const char *key, const char *engine, double ns)
{
    char path[PATH_MAX], name[PATH_MAX], beside[PATH_MAX];
    if (!folder(path, true) || !join(name, path, "/convolutions.txt") ||
        !join(beside, path, "/convolutions.XXXXXX"))
        return;
    int fd = mkstemp(beside);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        if (fd >= 0)
            close(fd);
        return;
    }
    char *old = slurp(path);
    bool good = write_all(f, old, key, engine, ns);
    free(old);
    if (fclose(f) != 0 || !good || chmod(beside, 0644) != 0 || rename(beside, name) != 0)
        unlink(beside);
}
