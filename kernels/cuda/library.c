/*
 * library.c - opening vendor libraries at run time.
 */
#include "kernels/cuda/library.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *missing = ""; /* a lib->why */

/* The first of the files that loads; NULL: lib->why has the loader's word on each. */
static void *first_file(struct library *lib)
{
    size_t used = (size_t)snprintf(lib->why, sizeof lib->why, "%s does not load", lib->what);
    for (const char *const *file = lib->files; *file; file++) {
        void *handle = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
        if (handle)
            return handle;
        if (used < sizeof lib->why)
            used += (size_t)snprintf(lib->why + used, sizeof lib->why - used, "%s%s",
                                     file == lib->files ? ": " : "; ", dlerror());
    }
    return NULL;
}

static int fill(struct library *lib)
{
    void *handle = first_file(lib);
    if (!handle)
        return -ENOTSUP;
    for (const struct library_symbol *s = lib->symbols; s->name; s++) {
        void *symbol = dlsym(handle, s->name);
        if (!symbol) {
            snprintf(lib->why, sizeof lib->why, "%s has no %s: it is of another version", lib->what,
                     s->name);
            dlclose(handle);
            return -ENOTSUP;
        }
        memcpy(s->pointer, &symbol, sizeof symbol); /* POSIX: as large as a function's pointer */
    }
    return 0;
}

int library_open(struct library *lib)
{
    pthread_mutex_lock(&lock);
    if (!lib->tried)
        lib->rc = fill(lib);
    lib->tried = 1;
    if (lib->rc < 0)
        missing = lib->why;
    pthread_mutex_unlock(&lock);
    return lib->rc;
}

const char *cuda_missing(void)
{
    pthread_mutex_lock(&lock);
    const char *why = missing;
    pthread_mutex_unlock(&lock);
    return why;
}
