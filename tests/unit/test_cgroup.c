/*
 * test_cgroup.c - limits of groups that are folders of files here.
 */
#include "common/base/cgroup.h"
#include "tests/t.h"
#include "tests/unit/files.h"
#include <math.h>

static void put(const char *path, const char *text)
{
    files_write(path, text, strlen(text));
}

static void check_memory(const char *group, uint64_t want, const char *what)
{
    uint64_t got = cgroup_limits_of("groups", group).memory;
    ok(got == want, "memory: %s", what);
    if (got != want)
        printf("# %llu for %llu\n", (unsigned long long)got, (unsigned long long)want);
}

static void check_cpus(const char *group, double want, const char *what)
{
    double got = cgroup_limits_of("groups", group).cpus;
    ok(got == want, "CPUs: %s (%g)", what, got);
}

int main(void)
{
    files_enter();
    files_must(system("mkdir -p groups/batch/job/step") == 0, "folders");
    check_memory("/", UINT64_MAX, "the root has no limit");
    check_cpus("/batch/job/step", INFINITY, "no file says one");

    put("groups/batch/memory.max", "max\n");
    put("groups/batch/job/memory.max", "1000000\n");
    put("groups/batch/job/memory.current", "700000\n");
    put("groups/batch/job/step/memory.max", "max\n");
    check_memory("/batch/job/step", 300000, "the limit is of the group above");
    check_memory("/batch/job", 300000, "or its own");
    check_memory("/batch", UINT64_MAX, "and of none above that");
    put("groups/batch/job/memory.stat", "anon 300000\ninactive_file 150000\nactive_file 50000\n");
    check_memory("/batch/job/step", 500000, "pages of files are given up");
    put("groups/batch/job/step/memory.max", "400000\n");
    check_memory("/batch/job/step", 400000, "the tighter one counts");
    put("groups/batch/job/memory.current", "1700000\n");
    check_memory("/batch/job/step", 0, "more than the limit is in use");
    check_memory("/elsewhere/that/is/not/here", UINT64_MAX, "a group that is not to be seen");

    put("groups/cpu.max", "800000 100000\n");
    put("groups/batch/job/cpu.max", "250000 100000\n");
    put("groups/batch/job/step/cpu.max", "max 100000\n");
    check_cpus("/batch/job/step", 2.5, "the limit is of the group above");
    check_cpus("/batch", 8, "or of the root, in a container");
    check_cpus("/elsewhere", 8, "also where the own group is not to be seen");
    put("groups/cpu.max", "1 0\n");
    check_cpus("/", INFINITY, "a period of nothing");

    struct cgroup_limits own = cgroup_limits();
    ok(own.cpus > 0 && own.memory > 0, "of this process");
    return done();
}
