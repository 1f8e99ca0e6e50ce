/*
 * wino.c - see wino.h: how the passes are cut into tasks.
 */
#include "kernels/cpu/wino.h"
#include <errno.h>
#include <string.h>

enum {
    TURNED = 300 << 10, /* floats of a task's turned inputs: 1.2 MB of the second cache */
    MOST_TILES = 120,   /* of a task: the products need room too */
    TURN = 8,           /* channels whose products take as long as turning the inputs */
    TASKS = 32,         /* of backward-weights, wanted */
};

/* Sides have no say: weights that are packed once serve large and small crops. */
bool wino_is(const struct kern_conv *cv)
{
    return cv->kh == 3 && cv->kw == 3 && cv->stride == 1 && cv->c % WINO_CHANNELS == 0 &&
           cv->k % WINO_CHANNELS == 0;
}

static const struct wino_kernels *kernels_of(const struct kern *kn, enum kern_type type)
{
    return type == KERN_BF16 && kn->isa & ISA_AVX512BF16 ? &wino_kernels_avx512bf16
                                                         : ISA_BEST(kn, wino_kernels);
}

/* Floats of the weights of a pass. */
static size_t packed_floats(const struct kern *kn, const struct kern_conv *cv)
{
    return WINO_CELLS * cv->c * cv->k / kernels_of(kn, cv->type)->pair;
}

size_t wino_packed(const struct kern *kn, const struct kern_conv *cv)
{
    return 2 * packed_floats(kn, cv) * sizeof(float);
}

int wino_pack(struct kern *kn, const struct kern_conv *cv, void *packed, const float *w)
{
    const struct wino_kernels *kernels = kernels_of(kn, cv->type);
    struct wino_pack a = { cv->c, cv->k, w, { packed } };
    a.packed[1] = a.packed[0] + packed_floats(kn, cv);
    size_t forward = cv->k / kernels->group * wino_pack_pieces(cv->c);
    size_t backward = cv->c / kernels->group * wino_pack_pieces(cv->k);
    return pool_run(kn->pool, forward + backward, kernels->pack, &a);
}

static void count_tiles(struct wino *w)
{
    w->rows = (w->oh + WINO_TILE - 1) / WINO_TILE;
    w->cols = (w->ow + WINO_TILE - 1) / WINO_TILE;
    w->tiles = w->n * w->rows * w->cols;
}

static int run(struct wino *w, const struct kern_epilogue *ep)
{
    const struct wino_kernels *kernels = kernels_of(w->kn, w->type);
    size_t inputs = w->ic / kernels->pair;
    count_tiles(w);
    size_t blocks = MIN(TURNED / (WINO_CELLS * inputs), (size_t)MOST_TILES) / WINO_PLACES;
    w->each = MAX(blocks, (size_t)1) * WINO_PLACES;
    w->ntasks = (w->tiles + w->each - 1) / w->each;
    size_t turned = WINO_CELLS * (w->each * inputs + WINO_SET);
    size_t products = WINO_CELLS * (w->each * kernels->group + WINO_SET);
    size_t sums = ep && ep->bn ? w->ntasks * 2 * w->oc : 0;
    if (kern_scratch(w->kn, (w->ic + turned + products) * sizeof(float)))
        return -ENOMEM;
    if (sums) {
        w->sums = kern_shared(w->kn, sums * sizeof(double));
        if (!w->sums)
            return -ENOMEM;
    }
    w->groups = w->oc / kernels->group;
    w->parts = cpu_parts(w->kn, w->ntasks, w->groups, w->groups, TURN / (double)w->oc);
    int rc = pool_run(w->kn->pool, w->ntasks * w->parts, kernels->forward, w);
    if (rc < 0 || !sums)
        return rc;
    struct conv_plan p = { .n = w->n, .oh = w->oh, .ow = w->ow, .oc = w->oc, .ntasks = w->ntasks };
    return conv_sum_up(w->kn, &p, ep->bn, w->sums, w->oc);
}

/* A convolution as it is, from x to y. */
static struct wino plain(struct kern *kn, const struct kern_conv *cv, const void *x)
{
    return (struct wino){ .kn = kn,
                          .n = cv->n,
                          .ih = cv->h,
                          .iw = cv->w,
                          .ic = cv->c,
                          .oh = cv->oh,
                          .ow = cv->ow,
                          .oc = cv->k,
                          .top = cv->pad_top,
                          .left = cv->pad_left,
                          .type = cv->type,
                          .x = x };
}

int wino_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                 const float *packed, const struct kern_epilogue *ep)
{
    struct wino w = plain(kn, cv, x);
    w.packed = packed;
    w.scale = ep->scale;
    w.shift = ep->shift;
    w.residual = ep->residual;
    w.relu = ep->relu;
    w.y = y;
    return run(&w, ep);
}

int wino_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                       const float *packed, bool add)
{
    struct wino w = { .kn = kn,
                      .n = cv->n,
                      .ih = cv->oh,
                      .iw = cv->ow,
                      .ic = cv->k,
                      .oh = cv->h,
                      .ow = cv->w,
                      .oc = cv->c,
                      .top = cv->kh - 1 - cv->pad_top,
                      .left = cv->kw - 1 - cv->pad_left,
                      .type = cv->type,
                      .x = dy,
                      .packed = packed + packed_floats(kn, cv),
                      .residual = add ? dx : NULL,
                      .y = dx };
    return run(&w, NULL);
}

int wino_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw, const void *x,
                          const void *dy)
{
    const struct wino_kernels *kernels = kernels_of(kn, cv->type);
    struct wino_sums s = { .g = plain(kn, cv, x), .dy = dy, .dw = dw };
    count_tiles(&s.g);
    s.blocks_c = (cv->c + WINO_BLOCK - 1) / WINO_BLOCK;
    s.blocks_k = (cv->k + WINO_BLOCK - 1) / WINO_BLOCK;
    size_t pairs = s.blocks_c * s.blocks_k;
    s.shards = MIN((TASKS + pairs - 1) / pairs, s.g.tiles / (4 * WINO_CHUNK));
    s.shards = MAX(s.shards, (size_t)1);
    size_t block = WINO_CELLS * WINO_BLOCK * WINO_BLOCK;
    size_t turned = WINO_CELLS * WINO_CHUNK * WINO_BLOCK;
    bool many = s.shards > 1;
    if (kern_scratch(kn, (MAX(cv->c, cv->k) + 2 * turned + (many ? 0 : block)) * sizeof(float)))
        return -ENOMEM;
    if (many && !(s.partial = kern_shared(kn, s.shards * pairs * block * sizeof(float))))
        return -ENOMEM;
    int rc = pool_run(kn->pool, s.shards * pairs, kernels->sums, &s);
    return rc || !many ? rc
                       : pool_run(kn->pool, pairs * (WINO_BLOCK / WINO_ROWS), kernels->reduce, &s);
}
