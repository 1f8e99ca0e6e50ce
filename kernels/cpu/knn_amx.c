/*
 * knn_amx.c - scores for knn_bf16.h by tiles (amx.h).
 */
#include "kernels/cpu/amx.h"
#include "kernels/cpu/knn_bf16.h"

static void plan(void *to, size_t steps)
{
    struct amx_step *step = to;
    for (size_t s = 0; s < steps; s++)
        step[s] = (struct amx_step){ (uint32_t)(s * KNN_STEP), (uint32_t)s };
}

/* The bank passes by. */
static struct amx_block block_of(const struct knn_block *b)
{
    return (struct amx_block){ .rows = b->queries,
                               .cols = b->rows,
                               .c = b->c,
                               .a0 = b->query,
                               .a1 = b->query + KNN_PART,
                               .b0 = b->bank,
                               .b1 = b->bank + KNN_PART,
                               .stride = KNN_DEPTH * sizeof(uint16_t),
                               .b_each = KNN_STEP,
                               .step = b->plan,
                               .n = b->steps,
                               .stream = AMX_STREAM_B };
}

static void begin(const struct knn_block *b)
{
    struct amx_block k = block_of(b);
    amx_block_begin(&k);
}

static void end(const struct knn_block *b)
{
    struct amx_block k = block_of(b);
    amx_block_end(&k);
}

static void close(void)
{
    _tile_release();
}

const struct knn_unit knn_tiles = { sizeof(struct amx_step), plan, amx_begin, begin, end, close };
