/*
 * source_walk.c - folders, walked without surprises: symbolic links are followed, but never back
 * into a folder that is being walked; nothing is opened but folders.
 */
#include "common/base/fail.h"
#include "common/data/source_list.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

struct folder { /* the folders from the operand down to here */
    const struct folder *up;
    dev_t dev;
    ino_t ino;
};

struct walk {
    struct source *s;
    uint32_t key; /* as in struct source_file, for all of one operand */
    int32_t below;
};

void source_stat(struct source_file *file, const struct stat *st)
{
    file->size = S_ISREG(st->st_mode) && st->st_size > 0 ? (uint64_t)st->st_size : 0;
    if (S_ISREG(st->st_mode))
        return;
    file->reason = "not a file";
    file->detail = S_ISDIR(st->st_mode)    ? "a folder"
                   : S_ISFIFO(st->st_mode) ? "a named pipe"
                   : S_ISSOCK(st->st_mode) ? "a socket"
                                           : "a device";
}

/* The names in a folder, all read before anything below is opened: one descriptor at any depth. */
static int folder_names(char ***names, size_t *n, const char *path, int *err, size_t *hidden)
{
    size_t room = 0;
    int rc = 0;
    *names = NULL;
    *n = 0;
    DIR *dir = opendir(*path != '\0' ? path : "/");
    if (dir == NULL) {
        *err = errno;
        return 0;
    }
    struct dirent *entry;
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (source_hidden(name)) {
            (*hidden)++;
            continue;
        }
        rc = mem_grow(names, &room, *n + 1, sizeof **names);
        if (rc == 0 && ((*names)[*n] = mem_strdup(name)) == NULL)
            rc = -ENOMEM;
        if (rc == 0)
            (*n)++;
    }
    *err = rc == 0 ? errno : 0;
    closedir(dir);
    return rc;
}

static int walk_folder(const struct walk *w, const char *path, const struct folder *here);

static int walk_name(const struct walk *w, const char *path, const char *name,
                     const struct folder *here)
{
    struct source_file file = { .key = w->key, .below = w->below };
    struct stat st;
    file.path = mem_printf("%s/%s", path, name);
    if (file.path == NULL)
        return -ENOMEM;
    if (stat(file.path, &st) != 0) {
        source_reason(&file, errno);
        return source_list(w->s, &file);
    }
    if (!S_ISDIR(st.st_mode)) {
        source_stat(&file, &st);
        return source_list(w->s, &file);
    }
    for (const struct folder *f = here; f != NULL; f = f->up) {
        if (f->dev == st.st_dev && f->ino == st.st_ino) {
            file.reason = "loop";
            file.detail = "a link to a folder that it lies in";
            return source_list(w->s, &file);
        }
    }
    struct folder in = { here, st.st_dev, st.st_ino };
    int rc = here->up == NULL ? classes_add(&w->s->classes, name) : 0;
    if (rc == 0)
        rc = walk_folder(w, file.path, &in);
    free(file.path);
    return rc;
}

static int walk_folder(const struct walk *w, const char *path, const struct folder *here)
{
    char **names;
    size_t n;
    int err = 0;
    int rc = folder_names(&names, &n, path, &err, &w->s->hidden);
    for (size_t i = 0; i < n; i++) {
        if (rc == 0)
            rc = walk_name(w, path, names[i], here);
        free(names[i]);
    }
    free(names);
    if (rc == 0 && err != 0) {
        struct source_file file = { .path = mem_strdup(path), .key = w->key, .below = w->below };
        source_reason(&file, err);
        if (here->up == NULL) { /* the operand itself has no key below it */
            file.key = 0;
            file.below = -1;
        }
        rc = source_list(w->s, &file);
    }
    return rc;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct source_file *)a)->path, ((const struct source_file *)b)->path);
}

int source_add_operand(struct source *s, const char *operand, bool long_keys)
{
    struct stat st;
    if (stat(operand, &st) != 0)
        return fail_errno("%s: cannot be read", operand);
    if (!S_ISDIR(st.st_mode)) {
        struct source_file file = { .path = mem_strdup(operand), .below = -1 };
        source_stat(&file, &st);
        return source_list(s, &file);
    }
    size_t len = strlen(operand), first = s->n;
    while (len > 0 && operand[len - 1] == '/')
        len--; /* "/" becomes "", to which "/name" is added */
    char *path = mem_printf("%.*s", (int)len, operand);
    if (path == NULL)
        return -ENOMEM;
    struct walk w = { s, long_keys ? 0 : (uint32_t)len + 1, (int32_t)len + 1 };
    struct folder top = { NULL, st.st_dev, st.st_ino };
    int rc = walk_folder(&w, path, &top);
    free(path);
    if (s->n > first)
        qsort(s->file + first, s->n - first, sizeof *s->file, by_path);
    return rc;
}
