/*
 * isa_tiles.c - for programs that are linked with the imitated tile unit: yes, there is one. Such a
 * program is skipped where the kernels' other instructions are missing, and fails if no kernel
 * came to multiply tiles.
 */
#include "kernels/isa.h"
#include "tests/tiles/tiles.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool isa_tiles(void)
{
    return true;
}

static void end(void)
{
    if (!tiles_used()) {
        printf("Bail out! no tiles were multiplied\n");
        fflush(stdout);
        _exit(1);
    }
}

__attribute__((constructor)) static void begin(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512bf16")) {
        printf("1..0 # SKIP this processor has no AVX512_BF16\n");
        exit(0);
    }
    atexit(end);
}
