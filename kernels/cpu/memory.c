/*
 * memory.c - clearing memory, and how much of it the kernels take.
 */
#include "kernels/cpu/cpu.h"
#include <string.h>

/* -- clearing: one thread is far from filling memory as fast as it can be filled ------------ */

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

/* -- what calls take ----------------------------------------------------------------------- */

/*
 * Sums of parts, which plans limit; where weights' gradients go by tiles, one operand of a
 * convolution once more; every worker's scratch, 1.3 MB for convolutions and the rest for views.
 */
static uint64_t cpu_overhead(struct kern *kn, const struct kern_conv *cv)
{
    enum { SUMS = 48 << 20, WORKER = 3 << 19 };
    uint64_t operand = cv->n * MAX(cv->h * cv->w * cv->c, cv->oh * cv->ow * cv->k);
    return SUMS + (cv->type == KERN_F32 ? 0 : operand * kern_sizeof(cv->type)) +
           (uint64_t)pool_threads(kn->pool) * WORKER;
}

void cpu_init_memory(struct kern_ops *o)
{
    o->zero = cpu_zero;
    o->overhead = cpu_overhead;
}
