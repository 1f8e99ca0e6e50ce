/*
 * memory.c - clearing memory: one thread is far from filling it as fast as it can be filled.
 */
#include "kernels/cpu/cpu.h"
#include <string.h>

enum { PIECE = 1 << 20 };

struct job {
    uint8_t *to;
    size_t bytes;
};

static int zero_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    memset(j->to + i * PIECE, 0, MIN((size_t)PIECE, j->bytes - i * PIECE));
    return 0;
}

static int cpu_zero(struct kern *kn, void *dev, size_t bytes)
{
    struct job j = { dev, bytes };
    return pool_run(kn->pool, (bytes + PIECE - 1) / PIECE, zero_task, &j);
}

void cpu_init_memory(struct kern_ops *o)
{
    o->zero = cpu_zero;
}
