/*
 * avail.c - how much memory this process can still take, as far as Linux tells.
 */
#include "common/base/avail.h"
#include "common/base/cgroup.h"
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

static uint64_t available_of_limit(void)
{
    struct rlimit limit;
    uint64_t pages = 0;
    if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%" SCNu64, &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

uint64_t mem_available(void)
{
    uint64_t machine = available_of_machine(), group = cgroup_limits().memory;
    uint64_t limit = available_of_limit();
    return MIN(MIN(machine, group), limit);
}
