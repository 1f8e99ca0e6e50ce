/*
 * cgroup.h - what the control groups that hold this process leave to it: containers, batch systems
 * and services are often given less than they see.
 *
 * Groups of version 2 (Linux, Documentation/admin-guide/cgroup-v2.rst). A group's limits hold for
 * all groups below it, so the tightest of a process's own and of those above it counts. What cannot
 * be read has no limit: inside a container the groups above are not to be seen.
 */
#ifndef SEMPPL_CGROUP_H
#define SEMPPL_CGROUP_H

#include "common/base/base.h"

struct cgroup_limits {
    uint64_t memory; /* bytes that can still be taken; UINT64_MAX: no limit */
    double cpus;     /* whose time can be used; INFINITY: no limit */
};

struct cgroup_limits cgroup_limits(void);
/* The same for another group, as /proc/self/cgroup names it, and another place than
 * /sys/fs/cgroup. */
struct cgroup_limits cgroup_limits_of(const char *mounted, const char *group);

#endif
