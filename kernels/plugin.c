/*
 * plugin.c - finding and loading the CUDA plugin.
 */
#include "kernels/plugin.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 512 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct kern_plugin *loaded;
static int status;
static char reason[ROOM], path[4096];

static int no(int rc, const char *fmt, ...) PRINTF(2, 3);
static int no(int rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, ROOM, fmt, ap);
    va_end(ap);
    return rc;
}

/* In path, the folder of the running program with tail behind it; false if it cannot be told. */
static bool beside_program(const char *tail)
{
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0 || (size_t)n >= sizeof path - 1)
        return false;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    size_t left = slash ? sizeof path - (size_t)(slash - path) : 0;
    return slash && (size_t)snprintf(slash, left, "%s", tail) < left;
}

static int find(void)
{
    static const char *const tails[] = { "/" KERN_PLUGIN_FILE, "/../lib/semppl/" KERN_PLUGIN_FILE };
    const char *named = secure_getenv("SEMPPL_CUDA");
    if (named && *named) {
        if (!strchr(named, '/')) /* dlopen would look for it everywhere */
            return no(-ELIBBAD, "SEMPPL_CUDA is no path: %.200s; ./%.200s would be", named, named);
        if ((size_t)snprintf(path, sizeof path, "%s", named) >= sizeof path)
            return no(-ELIBBAD, "the path in SEMPPL_CUDA is too long");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(tails); i++)
        if (beside_program(tails[i]) && access(path, F_OK) == 0)
            return 0;
    return no(-ENODEV, KERN_PLUGIN_FILE " is not installed with this program");
}

static int open_plugin(void)
{
    int rc = find();
    if (rc < 0)
        return rc;
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) /* dlerror() names the file */
        return no(-ELIBBAD, "the CUDA plugin does not load: %s", dlerror());
    union { /* POSIX's way from an object's pointer to a function's */
        void *object;
        kern_plugin_get *get;
    } symbol = { dlsym(lib, KERN_PLUGIN_SYMBOL) };
    const struct kern_plugin *p = symbol.object ? symbol.get() : NULL;
    if (!p)
        return no(-ELIBBAD, "%.400s is no plugin of semppl-tools", path);
    if (p->abi != KERN_ABI || p->table_size != sizeof(struct kern_ops) ||
        p->state_size != sizeof(struct kern))
        return no(-ELIBBAD, "%.400s is of another version than this program", path);
    loaded = p;
    return 0;
}

static void load(void)
{
    status = open_plugin();
}

const char *plugin_path(void)
{
    return path;
}

int plugin_load(const struct kern_plugin **plugin, const char **why)
{
    pthread_once(&once, load);
    *plugin = loaded;
    *why = reason;
    return status;
}
