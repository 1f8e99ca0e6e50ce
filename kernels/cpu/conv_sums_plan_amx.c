/*
 * conv_sums_plan_amx.c - see conv_sums_amx.h: versions, shares and tasks.
 */
#include "kernels/cpu/conv_sums_amx.h"

enum {
    SHARE_PIXELS = 256,       /* about: what a block reads stays in the first cache */
    WIDE = 40,                /* columns from which their padding is no burden */
    TASKS = 16,               /* wanted */
    TASK_MACS = 16 << 20,     /* that a task has at least */
    PART_SUMS = 8,            /* blocks of sums that a task makes of each that it reads of a */
    SHARD_SHARES = 8,         /* else its sums are not worth their while */
    SUMS_BYTES = 768 << 10,   /* of a task's sums: they stay in the second cache */
    PARTIAL_FLOATS = 8 << 20, /* of all partial sums at most */
};

static size_t blocks_of(size_t channels)
{
    return (channels + AMX_SIDE - 1) / AMX_SIDE;
}

static void add_version(struct sums *s, size_t tap)
{
    const struct conv_tap *t = &s->plan.phase[0].tap[tap];
    size_t row = s->each ? t->row : t->row % s->plan.step, col = s->wide ? t->col % 2 : t->col;
    size_t i = 0;
    while (i < s->nversions && (s->version[i].row != row || s->version[i].col != col))
        i++;
    if (i == s->nversions)
        s->version[s->nversions++] = (struct sums_version){ row, col };
    s->version_of[tap] = (uint8_t)i;
    s->pair[tap] = s->each ? 0 : (t->row / s->plan.step * s->pitch + t->col - col) / 2;
}

/* Shares of whole images, or of rows of one, about as long as they should be. */
static void cut_rows(struct conv_plan *p)
{
    size_t plane = p->oh * p->ow;
    if (plane <= SHARE_PIXELS) {
        conv_cut(p, MIN(SHARE_PIXELS / plane, p->n), p->rows);
    } else {
        size_t shares = (plane + SHARE_PIXELS / 2) / SHARE_PIXELS;
        conv_cut(p, 1, (p->rows + shares - 1) / shares);
    }
}

/* Not by rows. A picture's rows are copied first, to have zeros around. */
static bool by_pixels(const struct sums *s)
{
    return s->each && !s->plan.plain;
}

static size_t steps_of_rows(const struct sums *s, size_t rows)
{
    return ((rows - 1) * s->dy_pitch + s->plan.ow + AMX_DEPTH - 1) / AMX_DEPTH;
}

static void cut_shares(struct sums *s)
{
    struct conv_plan *p = &s->plan;
    size_t span = (p->span_rows - 1) / p->step;
    if (by_pixels(s)) {
        size_t all = (p->n * p->oh * p->ow + AMX_DEPTH - 1) / AMX_DEPTH;
        size_t wanted = SHARE_PIXELS / AMX_DEPTH;
        s->nshares = MAX((all + wanted / 2) / wanted, (size_t)1);
        s->steps = (all + s->nshares - 1) / s->nshares;
        s->pairs = s->steps * AMX_TILE;
    } else {
        cut_rows(p);
        s->nshares = p->ntasks;
        s->steps = steps_of_rows(s, p->task_images * p->task_rows);
        s->raster_rows = p->task_rows + (s->each ? 0 : span);
        /* and what the last step reads behind it */
        size_t cells = p->task_images * s->raster_rows * s->pitch + AMX_DEPTH;
        s->pairs = conv_round_up(cells, AMX_DEPTH) / 2;
    }
}

struct sums_share sums_share_of(const struct sums *s, size_t i)
{
    const struct conv_plan *p = &s->plan;
    struct sums_share sh = { 0 };
    if (by_pixels(s)) {
        size_t plane = p->oh * p->ow, pixels = p->n * plane;
        size_t all = (pixels + AMX_DEPTH - 1) / AMX_DEPTH;
        size_t from = all * i / s->nshares, to = all * (i + 1) / s->nshares;
        sh.steps = to - from;
        sh.pixels = MIN(sh.steps * AMX_DEPTH, pixels - from * AMX_DEPTH);
        from *= AMX_DEPTH;
        sh.image = from / plane;
        sh.row = from % plane / p->ow;
        sh.col = from % p->ow;
    } else {
        struct conv_share rows = conv_share_of(p, i);
        sh.image = rows.image;
        sh.row = rows.row;
        sh.images = rows.images;
        sh.rows = rows.rows;
        sh.pixels = rows.images * rows.rows * p->ow;
        sh.steps = steps_of_rows(s, rows.images * rows.rows);
    }
    return sh;
}

/* Steps lie one behind the other in a; b's rasters may have more columns, and images more rows. */
void sums_list_steps(struct sums *s)
{
    const struct conv_plan *p = &s->plan;
    for (size_t i = 0; i < s->steps; i++) {
        size_t cell = i * AMX_DEPTH, row = cell / s->dy_pitch, col = cell % s->dy_pitch;
        if (!s->each)
            cell = (row + row / p->task_rows * (s->raster_rows - p->task_rows)) * s->pitch + col;
        s->step[i] = (struct amx_step){ (uint32_t)(i * s->step_numbers), (uint32_t)(cell / 2) };
    }
}

/*
 * Shards, long enough to be worth their sums, and ranges of b's blocks, short enough for their sums
 * to stay in the second cache, but of some, since each reads all of a.
 */
static void cut_tasks(struct sums *s, double macs)
{
    size_t block = s->taps * s->blocks_a * AMX_C;
    size_t by_work = (size_t)(macs * (double)s->plan.n / TASK_MACS);
    s->partial_floats = s->blocks_b * block;
    s->shards = MIN((size_t)TASKS, s->nshares / SHARD_SHARES);
    s->shards = MIN(s->shards, MIN(by_work, PARTIAL_FLOATS / s->partial_floats));
    s->shards = MAX(s->shards, (size_t)1);
    size_t parts = MIN((size_t)TASKS, by_work) / s->shards;
    size_t most = SUMS_BYTES / (block * sizeof(float));
    s->each_part = MAX(s->blocks_b / MAX(parts, (size_t)1), (PART_SUMS + s->taps - 1) / s->taps);
    s->each_part = MAX(MIN(MIN(s->each_part, most), s->blocks_b), (size_t)1);
    s->parts = (s->blocks_b + s->each_part - 1) / s->each_part;
}

void sums_plan(struct sums *s, const struct kern_conv *cv)
{
    struct conv_plan *p = &s->plan;
    size_t plane = cv->oh * cv->ow;
    bool one = cv->kh * cv->kw == 1;
    conv_plan_forward(p, cv, !one && cv->c <= CONV_PLAIN && cv->c * cv->kw <= AMX_SIDE);
    bool whole = plane % AMX_DEPTH == 0 || plane > SHARE_PIXELS;
    s->each = one || cv->ow % 2 == 1 || !whole;
    s->wide =
        !s->each && !p->plain && cv->stride == 1 && (cv->ow % AMX_DEPTH == 0 || cv->ow > WIDE);
    s->pitch = s->wide ? conv_round_up(p->columns, 2) : cv->ow;
    s->dy_pitch = cv->ow % AMX_DEPTH == 0 ? cv->ow : s->pitch;
    s->swapped = one && cv->c < cv->k;
    s->taps = p->phase[0].ntaps;
    size_t cx = p->plain ? cv->kw * cv->c : cv->c;
    s->ca = s->swapped ? cx : cv->k;
    s->cb = s->swapped ? cv->k : cx;
    s->blocks_a = blocks_of(s->ca);
    s->blocks_b = blocks_of(s->cb);
    s->step_numbers = s->blocks_a * 2 * AMX_B;
    for (size_t t = 0; t < s->taps; t++)
        add_version(s, t);
    cut_shares(s);
    s->a_numbers = s->steps * s->step_numbers;
    s->b_numbers = s->nversions * s->pairs * 2 * AMX_DEPTH;
    if (p->plain) {
        s->band_numbers = conv_round_up(
            p->task_images * conv_band_rows(p, p->task_rows) * p->columns * p->ic + AMX_SIDE,
            AMX_SIDE);
    }
    cut_tasks(s, conv_image_macs(cv));
}
