/*
 * ceiling.c - what the machine can do at this hour: arithmetic and memory, all CPUs together.
 *
 * Operands are random: with zeros the tile unit is a fifth faster than any work could make it.
 */
#include "bench/ceiling.h"
#include "bench/bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS = 64, OUT = 32 * 32 }; /* floats that a task may write */

struct job {
    struct bench *b;
    size_t tasks, piece;
    int again;
    int (*task)(void *job, size_t i, int worker);
    uint8_t *from, *to;
    double work[TASKS]; /* operations of a task */
};

static void job_run(void *arg)
{
    struct job *j = arg;
    pool_run(j->b->pool, j->tasks, j->task, j);
}

/* -- arithmetic ---------------------------------------------------------------------------- */

static int fma_task(void *arg, size_t i, int worker UNUSED)
{
    struct job *j = arg;
    j->work[i] = ISA_BEST(j->b->kn, ceiling_fma)((float *)j->to + i * OUT, (float *)j->from);
    return 0;
}

static int pairs_task(void *arg, size_t i, int worker UNUSED)
{
    struct job *j = arg;
    j->work[i] = ceiling_fma_avx512bf16((float *)j->to + i * OUT, (float *)j->from);
    return 0;
}

static int tile_task(void *arg, size_t i, int worker UNUSED)
{
    struct job *j = arg;
    j->work[i] = ceiling_tile_amx((float *)j->to + i * OUT, (uint16_t *)j->from);
    return 0;
}

static double arithmetic(struct bench *b, enum kern_type type, size_t n,
                         int (*task)(void *, size_t, int))
{
    struct job j = { .b = b,
                     .tasks = TASKS,
                     .task = task,
                     .from = bench_random(type, n),
                     .to = bench_random(KERN_F32, TASKS * OUT) };
    double t = bench_seconds(job_run, &j);
    free(j.from);
    free(j.to);
    return 1e-9 * TASKS * j.work[0] / t;
}

double ceiling_fma(struct bench *b)
{
    return arithmetic(b, KERN_F32, 64, fma_task);
}

double ceiling_bf16(struct bench *b)
{
    if (b->kn->isa & ISA_AMX)
        return arithmetic(b, KERN_BF16, CEILING_TILES, tile_task);
    if (b->kn->isa & ISA_AVX512BF16)
        return arithmetic(b, KERN_BF16, 2 * 64, pairs_task);
    return ceiling_fma(b);
}

/* -- memory -------------------------------------------------------------------------------- */

static int read_task(void *arg, size_t i, int worker UNUSED)
{
    struct job *j = arg;
    uint32_t sum = 0;
    for (int k = 0; k < j->again; k++)
        sum ^= ISA_BEST(j->b->kn, ceiling_read)(j->from + i * j->piece, j->piece);
    memcpy(j->to, &sum, sizeof(sum)); /* what nobody needs would not be read */
    return 0;
}

static int copy_task(void *arg, size_t i, int worker UNUSED)
{
    struct job *j = arg;
    for (int k = 0; k < j->again; k++)
        memcpy(j->to + i * j->piece, j->from + i * j->piece, j->piece);
    return 0;
}

static double memory(struct bench *b, size_t nbytes, size_t piece, int again,
                     int (*task)(void *, size_t, int))
{
    struct job j = { .b = b,
                     .tasks = nbytes / piece,
                     .piece = piece,
                     .again = again,
                     .task = task,
                     .from = bench_random(KERN_F32, nbytes / 4),
                     .to = bench_random(KERN_F32, task == copy_task ? nbytes / 4 : 1) };
    double t = bench_seconds(job_run, &j);
    free(j.from);
    free(j.to);
    return 1e-9 * (double)nbytes * again / t;
}

double ceiling_read(struct bench *b, size_t nbytes, size_t piece, int again)
{
    return memory(b, nbytes, piece, again, read_task);
}

double ceiling_copy(struct bench *b, size_t nbytes, size_t piece, int again)
{
    return 2 * memory(b, nbytes, piece, again, copy_task);
}

void ceilings(struct bench *b)
{
    enum { KB = 1 << 10, MB = 1 << 20 };
    size_t threads = (size_t)pool_threads(b->pool);
    b->fma = ceiling_fma(b);
    b->bf16 = ceiling_bf16(b);
    b->copy = ceiling_copy(b, 512 * MB, MB, 1);
    printf("## Ceilings, measured in this run (%s, %zu threads)\n\n", kern_describe(b->kn),
           threads);
    printf("| ceiling | |\n|:--|--:|\n");
    printf("| float32 multiply-adds | %.0f GF/s |\n", b->fma);
    printf("| bfloat16 products | %.0f GF/s |\n", b->bf16);
    printf("| read, memory (512 MB) | %.1f GB/s |\n", ceiling_read(b, 512 * MB, MB, 1));
    printf("| copy, memory (512 MB to 512 MB) | %.1f GB/s |\n", b->copy);
    printf("| read, last cache (32 MB) | %.1f GB/s |\n", ceiling_read(b, 32 * MB, 512 * KB, 1));
    printf("| copy, last cache (16 MB to 16 MB) | %.1f GB/s |\n",
           ceiling_copy(b, 16 * MB, 512 * KB, 1));
    printf("| read, second cache (512 KB a thread) | %.1f GB/s |\n",
           ceiling_read(b, 512 * KB * threads, 512 * KB, 64));
    printf("| copy, second cache (256 KB to 256 KB a thread) | %.1f GB/s |\n\n",
           ceiling_copy(b, 256 * KB * threads, 256 * KB, 64));
    fflush(stdout);
}
