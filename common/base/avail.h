/*
 * avail.h - how much memory this process can still take.
 */
#ifndef SEMPPL_AVAIL_H
#define SEMPPL_AVAIL_H

#include "common/base/base.h"

/*
 * Bytes: the least of what the machine has available, what the process's control groups leave, and
 * what its limit on address space (ulimit -v) leaves. UINT64_MAX if the system tells nothing.
 */
uint64_t mem_available(void);

#endif
