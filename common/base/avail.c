/*
 * avail.c - how much memory this process can still take, as far as Linux tells.
 */
#include "common/base/avail.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* MemAvailable of /proc/meminfo. */
static uint64_t available_of_machine(void)
{
    uint64_t kb, found = UINT64_MAX;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %" SCNu64, &kb) == 1)
            found = kb * 1024;
    if (f)
        fclose(f);
    return found;
}

/* A file of one number; fallback if it is not there or says "max". */
static uint64_t number_in(const char *path, uint64_t fallback)
{
    uint64_t v;
    FILE *f = fopen(path, "re");
    if (!f)
        return fallback;
    if (fscanf(f, "%" SCNu64, &v) != 1)
        v = fallback;
    fclose(f);
    return v;
}

/* Control groups version 2, as seen from inside a container. */
static uint64_t available_of_group(void)
{
    uint64_t most = number_in("/sys/fs/cgroup/memory.max", UINT64_MAX);
    uint64_t used = number_in("/sys/fs/cgroup/memory.current", 0);
    uint64_t cache = 0, v;
    char line[128];
    if (most == UINT64_MAX)
        return most;
    FILE *f = fopen("/sys/fs/cgroup/memory.stat", "re"); /* file pages are given up when needed */
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "inactive_file %" SCNu64, &v) == 1 ||
            sscanf(line, "active_file %" SCNu64, &v) == 1)
            cache += v;
    if (f)
        fclose(f);
    used -= MIN(used, cache);
    return most > used ? most - used : 0;
}

static uint64_t available_of_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    uint64_t used = number_in("/proc/self/statm", 0) * (uint64_t)sysconf(_SC_PAGESIZE);
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

uint64_t mem_available(void)
{
    uint64_t machine = available_of_machine(), group = available_of_group();
    uint64_t limit = available_of_limit();
    return MIN(MIN(machine, group), limit);
}
