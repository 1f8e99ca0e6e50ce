/*
 * isa_tiles.c - is there a tile unit, and may this process use it? A file of its own, so that tests
 * can answer for one that they imitate (tests/tiles/).
 */
#include "kernels/isa.h"
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

bool isa_tiles(void)
{
    enum { TILE = 1 << 24, BF16 = 1 << 22, REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & TILE) && (d & BF16) &&
           syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
}
#endif
