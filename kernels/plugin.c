/*
 * plugin.c - finding and loading the CUDA plugin.
 */
#include "kernels/plugin.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 512 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct kern_plugin *plugin;
static char reason[ROOM];

/* The folder of the running program with tail behind it; false if it cannot be told. */
static bool beside_program(char *path, size_t room, const char *tail)
{
    ssize_t n = readlink("/proc/self/exe", path, room - 1);
    if (n <= 0 || (size_t)n >= room - 1)
        return false;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    size_t left = slash ? room - (size_t)(slash - path) : 0;
    return slash && (size_t)snprintf(slash, left, "%s", tail) < left;
}

static bool find(char *path, size_t room)
{
    static const char *const tails[] = { "/" KERN_PLUGIN_FILE, "/../lib/semppl/" KERN_PLUGIN_FILE };
    const char *named = getenv("SEMPPL_CUDA");
    if (named && *named)
        return strchr(named, '/') && (size_t)snprintf(path, room, "%s", named) < room;
    for (size_t i = 0; i < ARRAY_LEN(tails); i++)
        if (beside_program(path, room, tails[i]) && access(path, F_OK) == 0)
            return true;
    return false;
}

static void load(void)
{
    char path[4096];
    if (!find(path, sizeof path)) {
        snprintf(reason, ROOM, KERN_PLUGIN_FILE " is not installed with this program");
        return;
    }
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(reason, ROOM, "the CUDA plugin does not load: %s", dlerror());
        return;
    }
    union { /* POSIX's way from an object's pointer to a function's */
        void *object;
        kern_plugin_get *get;
    } symbol = { dlsym(lib, KERN_PLUGIN_SYMBOL) };
    const struct kern_plugin *p = symbol.object ? symbol.get() : NULL;
    if (!p || p->abi != KERN_ABI || p->table_size != sizeof(struct kern_ops))
        snprintf(reason, ROOM, "%.400s is of another version than this program", path);
    else
        plugin = p;
}

const struct kern_plugin *plugin_load(const char **why)
{
    pthread_once(&once, load);
    *why = reason;
    return plugin;
}
