/*
 * cgroup.c - see cgroup.h: from a process's own group up to the root, file by file.
 */
#include "common/base/cgroup.h"
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static FILE *open_in(const char *folder, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n < (int)sizeof path ? fopen(path, "re") : NULL;
}

/* A file of one number; fallback if it is not there or says "max". */
static uint64_t number_in(const char *folder, const char *name, uint64_t fallback)
{
    uint64_t v;
    FILE *f = open_in(folder, name);
    if (!f)
        return fallback;
    if (fscanf(f, "%" SCNu64, &v) != 1)
        v = fallback;
    fclose(f);
    return v;
}

/* Pages of files, which are given up when memory is needed. */
static uint64_t cache_in(const char *folder)
{
    uint64_t cache = 0, v;
    char line[128];
    FILE *f = open_in(folder, "memory.stat");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "inactive_file %" SCNu64, &v) == 1 ||
            sscanf(line, "active_file %" SCNu64, &v) == 1)
            cache += v;
    if (f)
        fclose(f);
    return cache;
}

static uint64_t memory_in(const char *folder)
{
    uint64_t most = number_in(folder, "memory.max", UINT64_MAX);
    if (most == UINT64_MAX)
        return most;
    uint64_t used = number_in(folder, "memory.current", 0);
    used -= MIN(used, cache_in(folder));
    return most > used ? most - used : 0;
}

static double cpus_in(const char *folder)
{
    double quota, period, cpus = INFINITY;
    FILE *f = open_in(folder, "cpu.max"); /* "max 100000" without a limit */
    if (f && fscanf(f, "%lf %lf", &quota, &period) == 2 && period > 0)
        cpus = quota / period;
    if (f)
        fclose(f);
    return cpus;
}

struct cgroup_limits cgroup_limits_of(const char *mounted, const char *group)
{
    struct cgroup_limits least = { UINT64_MAX, INFINITY };
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s%s", mounted, group) >= (int)sizeof folder)
        return least;
    for (size_t root = strlen(mounted);; *strrchr(folder, '/') = '\0') {
        uint64_t memory = memory_in(folder);
        least.memory = MIN(least.memory, memory);
        least.cpus = fmin(least.cpus, cpus_in(folder));
        if (strlen(folder) <= root)
            return least;
    }
}

struct cgroup_limits cgroup_limits(void)
{
    char line[PATH_MAX], group[PATH_MAX] = "/";
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "0::/", 4) == 0)
            snprintf(group, sizeof group, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (f)
        fclose(f);
    return cgroup_limits_of("/sys/fs/cgroup", group);
}
