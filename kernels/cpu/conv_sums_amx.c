/*
 * conv_sums_amx.c - see conv_sums_amx.h: the tasks of backward-weights.
 */
#include "kernels/cpu/conv_sums_amx.h"
#include "kernels/cpu/conv_amx.h"
#include "kernels/cpu/conv_turn_amx.h"
#include <errno.h>
#include <string.h>

static size_t zeros_of(const struct sums *s) /* numbers */
{
    return conv_round_up(MAX(s->ca, s->cb), AMX_SIDE);
}

/* What the next share reads: of x and dy as many pixels as it has, or a's rows. */
static void ahead_of(const struct sums *s, size_t next, size_t blocks, struct ahead ahead[2])
{
    const struct conv_plan *p = &s->plan;
    if (s->rows) {
        ahead[0] =
            ahead_begin(s->rows + next * s->a_numbers, s->a_numbers * sizeof *s->rows, blocks);
        return;
    }
    struct sums_share sh = sums_share_of(s, next);
    size_t first = (sh.image * p->oh + sh.row) * p->ow + sh.col, plane = p->oh * p->ow;
    size_t from = first * p->ih * p->iw / plane, all = p->n * p->ih * p->iw;
    size_t pixels = MIN(sh.pixels * p->ih * p->iw / plane, all - from);
    ahead[0] = ahead_begin(s->x + from * p->ic, pixels * p->ic * sizeof *s->x, blocks);
    ahead[1] = ahead_begin(s->dy + first * p->oc, sh.pixels * p->oc * sizeof *s->dy, blocks);
}

/* Adds the products of a share: some of b's blocks, for all taps and all of a. With a version for
 * each tap, a is read once while the version stays. */
static void add_share(const struct sums *s, size_t steps, size_t first, size_t blocks,
                      const uint16_t *rows, const uint16_t *pairs, float *sums, bool add,
                      struct ahead ahead[2])
{
    struct amx_block k = { .stride = AMX_DEPTH * sizeof *rows,
                           .b_each = AMX_DEPTH,
                           .step = s->step,
                           .n = steps,
                           .add = add,
                           .stream = s->each ? AMX_STREAM_A : AMX_STREAM_NONE };
    for (size_t b = 0; b < blocks; b++)
        for (size_t v = 0; v < s->nversions; v++)
            for (size_t a = 0; a < s->blocks_a; a++)
                for (size_t tap = 0; tap < s->taps; tap++) {
                    if (s->version_of[tap] != v)
                        continue;
                    k.rows = tile_rows(s->ca - a * AMX_SIDE);
                    k.cols = tile_rows(s->cb - (first + b) * AMX_SIDE);
                    k.c = sums + ((b * s->taps + tap) * s->blocks_a + a) * AMX_C;
                    k.a0 = rows + a * 2 * AMX_B;
                    k.a1 = k.a0 + AMX_B;
                    k.b0 = pairs + b * s->b_numbers + (v * s->pairs * 2 + s->pair[tap]) * AMX_DEPTH;
                    k.b1 = k.b0 + s->pairs * AMX_DEPTH;
                    amx_block_begin(&k);
                    ahead_look(&ahead[0]);
                    ahead_look(&ahead[1]);
                    amx_block_end(&k);
                }
}

static int rows_task(void *arg, size_t i, int worker)
{
    const struct sums *s = arg;
    struct sums_share sh = sums_share_of(s, i);
    uint16_t *zeros = kern_scratch_of(s->kn, worker);
    memset(zeros, 0, zeros_of(s) * sizeof *zeros);
    sums_make_rows(s, &sh, s->rows + i * s->a_numbers, zeros);
    return 0;
}

/* Some of b's blocks, over the shares of a shard. */
static int sums_task(void *arg, size_t i, int worker)
{
    const struct sums *s = arg;
    size_t shard = i / s->parts, first = i % s->parts * s->each_part;
    size_t blocks = MIN(s->each_part, s->blocks_b - first);
    size_t begin = s->nshares * shard / s->shards, end = s->nshares * (shard + 1) / s->shards;
    uint16_t *zeros = kern_scratch_of(s->kn, worker), *band = zeros + zeros_of(s);
    uint16_t *pairs = band + s->band_numbers, *own = pairs + blocks * s->b_numbers;
    float *sums = s->partial + shard * s->partial_floats + first * s->taps * s->blocks_a * AMX_C;
    memset(zeros, 0, zeros_of(s) * sizeof *zeros);
    amx_begin();
    for (size_t t = begin; t < end; t++) {
        struct sums_share sh = sums_share_of(s, t);
        struct ahead ahead[2] = { { 0 } };
        if (!s->rows)
            sums_make_rows(s, &sh, own, zeros);
        sums_make_pairs(s, &sh, first, blocks, pairs, band, zeros);
        if (t + 1 < end)
            ahead_of(s, t + 1, blocks * s->taps * s->blocks_a, ahead);
        add_share(s, sh.steps, first, blocks, s->rows ? s->rows + t * s->a_numbers : own, pairs,
                  sums, t > begin, ahead);
    }
    _tile_release();
    for (size_t b = 0; s->shards == 1 && b < blocks; b++)
        sums_reduce(s, first + b);
    return 0;
}

static int reduce_task(void *arg, size_t i, int worker UNUSED)
{
    sums_reduce(arg, i);
    return 0;
}

int conv_amx_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw, const void *x,
                              const void *dy)
{
    struct sums s = { .kn = kn, .x = x, .dy = dy, .dw = dw };
    sums_plan(&s, cv);
    size_t steps = conv_round_up(s.steps * sizeof *s.step, 64);
    size_t run = conv_round_up(sums_run_numbers(&s) * sizeof *s.run, 64);
    size_t partial = s.shards * s.partial_floats * sizeof *s.partial;
    size_t rows = s.parts > 1 ? s.nshares * s.a_numbers * sizeof *s.rows : 0;
    size_t own =
        zeros_of(&s) + s.band_numbers + s.each_part * s.b_numbers + (rows ? 0 : s.a_numbers);
    uint8_t *shared = kern_shared(kn, steps + run + partial + rows);
    if (!shared || kern_scratch(kn, own * sizeof(uint16_t)))
        return -ENOMEM;
    s.step = (struct amx_step *)(void *)shared;
    s.run = (int32_t *)(void *)(shared + steps);
    s.partial = (float *)(void *)(shared + steps + run);
    s.rows = rows ? (uint16_t *)(void *)(shared + steps + run + partial) : NULL;
    sums_list_steps(&s);
    sums_list_run(&s);
    int rc = rows ? pool_run(kn->pool, s.nshares, rows_task, &s) : 0;
    if (rc == 0)
        rc = pool_run(kn->pool, s.shards * s.parts, sums_task, &s);
    return rc || s.shards == 1 ? rc : pool_run(kn->pool, s.blocks_b, reduce_task, &s);
}
