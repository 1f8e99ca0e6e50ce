/*
 * conv.c - fast convolutions: packs weights, lays out the band of a pass (conv.h), and spreads its
 * tasks over the pool.
 *
 * How sums are cut depends on shapes only, and what tasks sum is added in their order, so results
 * are the same bits for any number of threads; how tasks are cut by channels, which do not meet in
 * a sum, follows that number (parts.c). Windows of 3 x 3 with stride 1 and whole groups of channels
 * take fewer multiplications (wino.h). bfloat16 goes to the tile unit (conv_amx.h), if there is
 * one; without, it is multiplied in pairs (conv_pairs.h) or as float32. Windows beyond conv.h's
 * limits go to ref/, packed weights included.
 */
#include "kernels/cpu/conv_amx.h"
#include "kernels/cpu/wino.h"
#include <errno.h>
#include <math.h>
#include <string.h>

enum {
    TASKS = 32,
    TASK_MACS = 6 << 20,   /* some 60 us */
    PACK_BLOCKS = 8,       /* of a task that packs weights */
    SUM_FLOATS = 10 << 10, /* in backward-weights, dy and a block of a band: in the first cache */
    SUM_CHANNELS = 512,    /* of an input in place: pixels further apart meet in the first cache */
    SHARD_TASKS = 64,
    SHARD_PIXELS = 1024,      /* if weights are heavy, and their sums too */
    PIECE_FLOATS = 64 << 10,  /* of sums that stay in the second cache, beside operands */
    PARTIAL_FLOATS = 8 << 20, /* of all partial sums at most */
};

static const struct conv_limits limits = { .band = 160 << 10,
                                           .pixels = 4096,
                                           .tasks = TASKS,
                                           .macs = TASK_MACS,
                                           .weights = CONV_HELD,
                                           .shared = 128 };

static bool is_fast(const struct kern_conv *cv)
{
    return cv->stride <= CONV_MAX_STEP && cv->kh * cv->kw <= CONV_MAX_TAPS;
}

/* For conv_amx.h. Not asked there: that file's code is not for every processor. */
static bool is_for_tiles(const struct kern *kn, const struct kern_conv *cv)
{
    enum { MOST_CHANNELS = 1 << 20 }; /* places of weights are counted in 32 bits */
    return cv->type == KERN_BF16 && kn->isa & ISA_AMX && cv->stride <= CONV_MAX_STEP &&
           cv->kh * cv->kw <= CONV_MAX_TAPS && cv->c < MOST_CHANNELS && cv->k < MOST_CHANNELS;
}

/* How many numbers of the input are taken for a float: conv.h. */
static size_t pair_of(const struct kern *kn, const struct kern_conv *cv)
{
    bool inputs = cv->c > CONV_PLAIN ? cv->c % 2 == 0 : cv->kw * cv->c <= CONV_PAIR;
    bool paired = cv->type == KERN_BF16 && kn->isa & ISA_AVX512BF16 && inputs && cv->k % 2 == 0;
    return paired ? 2 : 1;
}

static const struct conv_kernels *kernels_of(const struct conv_plan *p)
{
    return p->kn->isa & ISA_AVX512BF16 && p->pair > 1 ? &conv_kernels_avx512bf16
                                                      : ISA_BEST(p->kn, conv_kernels);
}

/* -- packed weights ------------------------------------------------------------------------ */

/*
 * Two copies, for forward and backward-data: for each group of output channels of the pass, block
 * of input channels, tap and input channel the group's weights side by side.
 */
static void plan_channels(struct conv_plan *p, struct kern *kn, const struct kern_conv *cv,
                          bool backward)
{
    p->kn = kn;
    p->pair = pair_of(kn, cv);
    p->plain = !backward && cv->c <= CONV_PLAIN;
    p->ic = p->plain ? cv->c : (backward ? cv->k : cv->c) / p->pair;
    p->oc = backward ? cv->c : cv->k;
    p->ntaps_packed = p->plain ? cv->kh : cv->kh * cv->kw;
    p->nblocks = p->plain ? 1 : (p->ic + CONV_BLOCK - 1) / CONV_BLOCK;
    p->last =
        p->plain ? (cv->kw * cv->c + p->pair - 1) / p->pair : p->ic - (p->nblocks - 1) * CONV_BLOCK;
    p->group = kernels_of(p)->group;
    p->ngroups = (p->oc + p->group - 1) / p->group;
}

static size_t packed_floats(struct kern *kn, const struct kern_conv *cv, bool backward)
{
    struct conv_plan p;
    plan_channels(&p, kn, cv, backward);
    return conv_round_up(p.oc, CONV_BLOCK) * conv_input_channels(&p) * p.ntaps_packed;
}

static size_t conv_packed(struct kern *kn, const struct kern_conv *cv)
{
    if (is_for_tiles(kn, cv))
        return conv_amx_packed(cv);
    if (wino_is(cv))
        return wino_packed(kn, cv);
    if (!is_fast(cv))
        return ref_conv_packed(kn, cv);
    return (packed_floats(kn, cv, false) + packed_floats(kn, cv, true)) * sizeof(float);
}

struct pack {
    struct conv_plan plan[2]; /* forward, backward: channels only */
    const struct kern_conv *cv;
    const float *w;
    float *packed[2];
};

/* The weight of an output for number c of the input (of the row, if plain) and a tap; 0 behind the
 * last. */
static float weight_of(const struct pack *a, bool backward, size_t o, size_t c, size_t tap)
{
    const struct conv_plan *p = &a->plan[backward];
    size_t taps = a->cv->kh * a->cv->kw, kw = a->cv->kw;
    size_t out = (backward ? 1 : a->cv->c) * taps, in = (backward ? a->cv->c : 1) * taps;
    if (o >= p->oc || (p->plain && c >= kw * p->ic))
        return 0;
    return a->w[o * out + (p->plain ? c % p->ic * taps + tap * kw + c / p->ic : c * in + tap)];
}

/* A group's weights for float number c of the input (of the row, if plain) and a tap. */
static float *pack_lanes(const struct pack *a, bool backward, float *to, size_t g, size_t c,
                         size_t tap)
{
    const struct conv_plan *p = &a->plan[backward];
    size_t width = conv_group_width(p, g);
    for (size_t o = g * p->group, end = o + width; o < end; o++, to++) {
        if (p->pair == 1) {
            *to = weight_of(a, backward, o, c, tap);
            continue;
        }
        for (size_t i = 0; i < 2; i++)
            kern_store(KERN_BF16, to, i, weight_of(a, backward, o, 2 * c + i, tap));
    }
    return to;
}

static size_t pack_pieces(const struct conv_plan *p)
{
    return (p->nblocks + PACK_BLOCKS - 1) / PACK_BLOCKS;
}

/* Some blocks of a group. */
static int pack_task(void *arg, size_t i, int worker UNUSED)
{
    const struct pack *a = arg;
    size_t forward = a->plan[0].ngroups * pack_pieces(&a->plan[0]);
    bool backward = i >= forward;
    const struct conv_plan *p = &a->plan[backward];
    size_t pieces = pack_pieces(p), at = backward ? i - forward : i;
    size_t g = at / pieces, first = at % pieces * PACK_BLOCKS;
    size_t before =
        g * p->group * conv_input_channels(p) + first * CONV_BLOCK * conv_group_width(p, g);
    float *to = a->packed[backward] + before * p->ntaps_packed;
    for (size_t b = first; b < MIN(first + PACK_BLOCKS, p->nblocks); b++) {
        size_t cn = b + 1 < p->nblocks ? CONV_BLOCK : p->last;
        for (size_t tap = 0; tap < p->ntaps_packed; tap++)
            for (size_t c = 0; c < cn; c++)
                to = pack_lanes(a, backward, to, g, b * CONV_BLOCK + c, tap);
    }
    return 0;
}

static int pack_one(struct kern *kn, const struct kern_conv_weights *weights)
{
    const struct kern_conv *cv = &weights->cv;
    if (is_for_tiles(kn, cv))
        return conv_amx_pack(kn, cv, weights->packed, weights->w);
    if (wino_is(cv))
        return wino_pack(kn, cv, weights->packed, weights->w);
    if (!is_fast(cv))
        return ref_conv_pack(kn, weights, 1);
    struct pack a = { .cv = cv, .w = weights->w };
    a.packed[0] = weights->packed;
    a.packed[1] = a.packed[0] + packed_floats(kn, cv, false);
    plan_channels(&a.plan[0], kn, cv, false);
    plan_channels(&a.plan[1], kn, cv, true);
    size_t forward = a.plan[0].ngroups * pack_pieces(&a.plan[0]);
    size_t backward = a.plan[1].ngroups * pack_pieces(&a.plan[1]);
    return pool_run(kn->pool, forward + backward, pack_task, &a);
}

static int conv_pack(struct kern *kn, const struct kern_conv_weights *list, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = pack_one(kn, &list[i]);
    return rc;
}

/* -- the plan of a pass -------------------------------------------------------------------- */

/* How this backend's band lies in memory: see conv.h. */
static void plan_memory(struct conv_plan *p, struct kern *kn, const struct kern_conv *cv,
                        bool backward)
{
    plan_channels(p, kn, cv, backward);
    p->part = (p->columns + p->step - 1) / p->step;
    p->across = !p->plain ? CONV_BLOCK : p->pair > 1 ? p->last : p->step * p->ic;
    p->row_floats = !p->plain     ? p->step * p->part * CONV_BLOCK
                    : p->pair > 1 ? p->phase[0].cols * p->across
                                  : p->columns * p->ic;
    p->row_numbers = p->row_floats * p->nblocks;
    for (size_t i = 0; i < p->nphases; i++)
        for (size_t t = 0; t < p->phase[i].ntaps; t++) {
            struct conv_tap *tap = &p->phase[i].tap[t];
            tap->in = tap->row * p->row_floats +
                      (tap->col % p->step * p->part + tap->col / p->step) * CONV_BLOCK;
        }
}

static void plan_forward(struct conv_plan *p, struct kern *kn, const struct kern_conv *cv)
{
    conv_plan_forward(p, cv, cv->c <= CONV_PLAIN);
    plan_memory(p, kn, cv, false);
}

static void plan_backward(struct conv_plan *p, struct kern *kn, const struct kern_conv *cv)
{
    conv_plan_backward(p, cv);
    plan_memory(p, kn, cv, true);
}

/* A window of one cell that never leaves the image needs no band: every float is read in place. */
static void plan_in_place(struct conv_plan *p)
{
    p->in_place = conv_input_type(p) == KERN_F32 && !p->plain && p->span_rows == 1 &&
                  p->span_cols == 1 && p->top == 0 && p->left == 0 &&
                  conv_band_rows(p, p->rows) <= p->ih && p->columns <= p->iw;
    if (!p->in_place)
        return;
    p->row_floats = p->row_numbers = p->iw * p->ic;
    p->across = p->step * p->ic;
}

/* Floats of a full task's band. */
static void plan_room(struct conv_plan *p)
{
    /* a last block's rows beyond its channels are read (and not used) by backward-weights */
    p->band_floats = conv_round_up(
        p->task_images * conv_band_rows(p, p->task_rows) * p->row_numbers + 2 * CONV_BLOCK, 16);
}

static size_t phase_pixels(const struct conv_plan *p, const struct conv_phase *ph)
{
    return p->task_images * MIN(p->task_rows, ph->rows) * ph->cols;
}

static size_t places_bytes(const struct conv_plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->nphases; i++)
        n += 2 * phase_pixels(p, &p->phase[i]);
    return conv_round_up(n * sizeof(size_t), 64);
}

/* Where the pixels of a full task are in the band and in the output: once a call, for all tasks. */
static void list_places(struct conv_plan *p, void *memory)
{
    size_t image_rows = p->in_place ? p->ih : conv_band_rows(p, p->task_rows);
    size_t *to = memory, image = image_rows * p->row_floats;
    for (size_t i = 0; i < p->nphases; i++) {
        struct conv_phase *ph = &p->phase[i];
        size_t rows = MIN(p->task_rows, ph->rows), at = 0;
        ph->in = to;
        ph->out = to + phase_pixels(p, ph);
        to = ph->out + phase_pixels(p, ph);
        for (size_t g = 0; g < p->task_images; g++)
            for (size_t u = 0; u < rows; u++)
                for (size_t v = 0; v < ph->cols; v++, at++) {
                    size_t row = g * p->oh + ph->row0 + u * p->out_step;
                    ph->in[at] = g * image + u * p->step * p->row_floats + v * p->across;
                    ph->out[at] = (row * p->ow + ph->col0 + v * p->out_step) * p->oc;
                }
    }
}

/* -- the passes ---------------------------------------------------------------------------- */

/* Runs a planned pass; with ep->bn also sums up the channels. */
static int run(struct conv_plan *p, struct conv_forward *f, double macs,
               const struct kern_epilogue *ep)
{
    plan_in_place(p);
    conv_cut_tasks(p, &limits, macs, p->oc * conv_input_channels(p) * p->ntaps_packed);
    plan_room(p);
    size_t padded = p->ngroups * p->group, sums = ep && ep->bn ? p->ntasks * 2 * padded : 0;
    uint8_t *shared = kern_shared(p->kn, places_bytes(p) + sums * sizeof(double));
    if (!shared || kern_scratch(p->kn, p->band_floats * sizeof(float)))
        return -ENOMEM;
    list_places(p, shared);
    f->plan = p;
    f->group_parts = conv_group_parts(p->kn, p, &limits, macs, p->ngroups);
    if (sums)
        f->sums = (double *)(shared + places_bytes(p));
    int rc = pool_run(p->kn->pool, p->ntasks * f->group_parts, kernels_of(p)->forward, f);
    return rc == 0 && sums ? conv_sum_up(p->kn, p, ep->bn, f->sums, padded) : rc;
}

static int conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                        const void *packed, const struct kern_epilogue *ep)
{
    if (is_for_tiles(kn, cv))
        return conv_amx_forward(kn, cv, y, x, packed, ep);
    if (wino_is(cv))
        return wino_forward(kn, cv, y, x, packed, ep);
    if (!is_fast(cv))
        return ref_conv_forward(kn, cv, y, x, packed, ep);
    struct conv_plan p;
    struct conv_forward f = { .y = y,
                              .x = x,
                              .packed = packed,
                              .scale = ep->scale,
                              .shift = ep->shift,
                              .residual = ep->residual,
                              .relu = ep->relu };
    plan_forward(&p, kn, cv);
    return run(&p, &f, conv_image_macs(cv), ep);
}

static int conv_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                              const void *packed, bool add)
{
    if (is_for_tiles(kn, cv))
        return conv_amx_backward_data(kn, cv, dx, dy, packed, add);
    if (wino_is(cv))
        return wino_backward_data(kn, cv, dx, dy, packed, add);
    if (!is_fast(cv))
        return ref_conv_backward_data(kn, cv, dx, dy, packed, add);
    struct conv_plan p;
    struct conv_forward f = { .y = dx,
                              .x = dy,
                              .packed = (const float *)packed + packed_floats(kn, cv, false),
                              .residual = add ? dx : NULL };
    plan_backward(&p, kn, cv);
    return run(&p, &f, conv_image_macs(cv), NULL);
}

/* Tasks of at most so many rows, evenly. */
static void cut_rows(struct conv_plan *p, size_t most)
{
    size_t tasks = (p->rows + most - 1) / most;
    conv_cut(p, 1, (p->rows + tasks - 1) / tasks);
}

/*
 * Into how many shards the pixels are cut. The order of float32's sums depends on it, and shards of
 * 64 tasks of one group each are what it has always been; pairs take as few as pieces of dw allow.
 */
static void plan_shards(struct conv_weights *d, double macs, size_t pixels, size_t sums)
{
    const struct conv_plan *p = d->plan;
    bool paired = p->pair > 1;
    size_t tasks = paired ? TASKS : SHARD_TASKS, parts = paired ? 1 : p->ngroups;
    d->nshards = MIN((tasks + parts - 1) / parts, p->ntasks);
    if (paired || sums > CONV_HELD)
        d->nshards = MIN(d->nshards, pixels / SHARD_PIXELS);
    d->nshards = MIN(d->nshards, (size_t)(macs / TASK_MACS) / parts);
    d->nshards = MAX(MIN(d->nshards, PARTIAL_FLOATS / sums), (size_t)1);
}

/*
 * Into what pieces dw is cut: as large as stay in the second cache and leave enough tasks, but not
 * much wider than high. x is packed once for all groups of a piece, dy for all of its blocks.
 */
static void plan_pieces(struct conv_weights *d, double macs, size_t sums)
{
    const struct conv_plan *p = d->plan;
    size_t wanted = MAX((size_t)TASKS, 3 * (size_t)pool_threads(p->kn->pool));
    size_t tasks = MAX((size_t)fmin((double)wanted, macs / TASK_MACS), (size_t)1);
    size_t floats = MIN((size_t)PIECE_FLOATS, sums * d->nshards / tasks);
    d->groups = MIN(p->ngroups, (size_t)CONV_GROUPS);
    while (d->groups > 1 && d->groups * p->group * d->groups * p->group / 2 > floats)
        d->groups /= 2;
    size_t block = d->groups * (sums / p->ngroups / p->nblocks);
    size_t most = MIN(MAX(floats / block, (size_t)1), p->nblocks);
    d->nblocks = (p->nblocks + most - 1) / most;
    d->blocks = (p->nblocks + d->nblocks - 1) / d->nblocks;
    d->npieces = (p->ngroups + d->groups - 1) / d->groups * d->nblocks;
    d->piece_floats = d->blocks * block;
}

static int conv_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw,
                                 const void *x, const void *dy)
{
    if (is_for_tiles(kn, cv))
        return conv_amx_backward_weights(kn, cv, dw, x, dy);
    if (wino_is(cv))
        return wino_backward_weights(kn, cv, dw, x, dy);
    if (!is_fast(cv))
        return ref_conv_backward_weights(kn, cv, dw, x, dy);
    struct conv_plan p;
    plan_forward(&p, kn, cv);
    const struct conv_kernels *kernels = kernels_of(&p);
    if (p.ic % CONV_BLOCK == 0 && (p.pair > 1 || p.ic <= SUM_CHANNELS)) /* whole blocks are read */
        plan_in_place(&p);
    size_t plane = cv->oh * cv->ow;
    size_t width = MIN(p.group, conv_round_up(p.oc, CONV_BLOCK));
    size_t most = p.pair * SUM_FLOATS / (width + p.pair * CONV_BLOCK);
    if (plane <= most)
        conv_cut(&p, MIN(most / plane, p.n), p.rows);
    else
        cut_rows(&p, MAX(most / cv->ow, (size_t)1));
    struct conv_weights d = { .plan = &p, .x = x, .dy = dy, .dw = dw };
    d.row_stride =
        p.plain ? conv_round_up(cv->kw * cv->c, CONV_BLOCK) + CONV_BLOCK : CONV_BLOCK * p.pair;
    size_t sums = p.ngroups * p.nblocks * p.phase[0].ntaps * d.row_stride * p.group;
    double macs = conv_image_macs(cv) * (double)cv->n;
    plan_shards(&d, macs, cv->n * plane, sums);
    plan_pieces(&d, macs, sums);
    p.row_numbers = p.in_place ? 0 : p.row_floats * d.blocks;
    plan_room(&p);
    size_t pixels = phase_pixels(&p, &p.phase[0]);
    size_t operands = (pixels + p.pair - 1) / p.pair * (d.groups * p.group + CONV_PAIR);
    d.operand_floats = p.band_floats + conv_round_up(operands, CONV_BLOCK); /* dy, pairs of x */
    bool many = d.nshards > 1;
    uint8_t *shared = kern_shared(kn, places_bytes(&p) + many * d.nshards * d.npieces *
                                                             d.piece_floats * sizeof(float));
    if (!shared || kern_scratch(kn, (d.operand_floats + !many * d.piece_floats) * sizeof(float)))
        return -ENOMEM;
    list_places(&p, shared);
    d.partial = many ? (float *)(shared + places_bytes(&p)) : NULL;
    int rc = pool_run(kn->pool, d.nshards * d.npieces, kernels->weights, &d);
    return rc || !many ? rc : pool_run(kn->pool, p.ngroups * p.nblocks, kernels->reduce, &d);
}

void cpu_init_conv(struct kern_ops *o, unsigned isa UNUSED)
{
    o->conv_packed = conv_packed;
    o->conv_pack = conv_pack;
    o->conv_forward = conv_forward;
    o->conv_backward_data = conv_backward_data;
    o->conv_backward_weights = conv_backward_weights;
}
