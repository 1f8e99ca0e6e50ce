/*
 * conv_sums_isa.c - the inner loops of backward-weights, compiled once an instruction set.
 *
 * For a tap, a block of input channels and a group of output channels, a piece of dw is summed in
 * registers over all pixels of a band; bands follow one another in a task, and the sums of the
 * tasks are added in their order.
 */
#include "kernels/cpu/conv_band.h"

/*
 * dw [ROWS][NV * LANES] += sum over pixels of x [ROWS] (broadcast) times dy [NV * LANES]; RUN
 * pixels from each place on are neighbours.
 */
#define SUMS(name, ROWS, RUN, NV)                                                                  \
    static void name(float *dw, const float *x, const size_t *in, const float *dy, size_t pixels)  \
    {                                                                                              \
        vec acc[ROWS][NV];                                                                         \
        UNROLL for (int r = 0; r < (ROWS); r++) UNROLL for (int v = 0; v < (NV); v++) acc[r][v] =  \
            (vec){ 0 };                                                                            \
        for (size_t i = 0; i < pixels; i += (RUN)) {                                               \
            const float *from = x + in[i];                                                         \
            UNROLL for (int j = 0; j < (RUN); j++)                                                 \
            {                                                                                      \
                vec d[NV];                                                                         \
                UNROLL for (int v = 0; v < (NV); v++) d[v] = *(const vec *)(dy + v * LANES);       \
                UNROLL for (int r = 0; r < (ROWS); r++)                                            \
                {                                                                                  \
                    float f = from[j * CONV_BLOCK + r];                                            \
                    UNROLL for (int v = 0; v < (NV); v++) acc[r][v] += d[v] * f;                   \
                }                                                                                  \
                dy += (NV)*LANES;                                                                  \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int r = 0; r < (ROWS); r++) UNROLL for (int v = 0; v < (NV); v++)              \
        {                                                                                          \
            *(vec *)(dw + (r * (NV) + v) * LANES) += acc[r][v];                                    \
        }                                                                                          \
    }

#if LANES == 16
SUMS(sums_one, 16, 1, 1)
SUMS(sums_one_pairs, 16, 2, 1)
SUMS(sums_two, 8, 1, 2)
SUMS(sums_two_pairs, 8, 2, 2)
SUMS(sums_one_plain, 9, 1, 1) /* 3 x 3 of a picture */
SUMS(sums_two_plain, 9, 1, 2)
#elif LANES == 8
SUMS(sums_one, 4, 1, 2)
SUMS(sums_one_pairs, 4, 2, 2)
#else
SUMS(sums_one, 2, 1, 4)
SUMS(sums_one_pairs, 2, 2, 4)
#endif

struct sums_kind {
    size_t rows;
    void (*run)(float *dw, const float *x, const size_t *in, const float *dy, size_t pixels);
};

static struct sums_kind sums_kind(size_t width, bool pairs, bool plain)
{
#if LANES == 16
    bool two = width > CONV_BLOCK;
    if (plain)
        return (struct sums_kind){ 9, two ? sums_two_plain : sums_one_plain };
    if (two)
        return (struct sums_kind){ 8, pairs ? sums_two_pairs : sums_two };
    return (struct sums_kind){ 16, pairs ? sums_one_pairs : sums_one };
#else
    (void)width;
    return (struct sums_kind){ LANES / 2, pairs && !plain ? sums_one_pairs : sums_one };
#endif
}

/* The group's channels of dy for the pixels of a share, side by side; zeros behind the last. */
static void pack_dy(const struct conv_plan *p, float *to, const float *dy, size_t pixels,
                    size_t width, size_t valid)
{
    for (size_t i = 0; i < pixels; i++, dy += p->oc, to += width) {
        size_t k = 0;
        for (; k + LANES <= valid; k += LANES)
            *(vec *)(to + k) = *(const vec *)(dy + k);
        for (; k < width; k++)
            to[k] = k < valid ? dy[k] : 0;
    }
}

/* One group of output channels over a fixed part of the pixels: shard by shard, each band in turn
 * small enough for the first cache. */
int ISA(conv_weights_task)(void *arg, size_t i, int worker)
{
    const struct conv_weights *d = arg;
    const struct conv_plan *p = d->plan;
    const struct conv_phase *ph = &p->phase[0];
    size_t g = i % p->ngroups, shard = i / p->ngroups;
    size_t width = conv_group_width(p, g), valid = MIN(width, p->oc - g * p->group);
    struct sums_kind kind = sums_kind(width, ph->cols % 2 == 0, p->plain);
    float *band = kern_scratch_of(p->kn, worker), *dy = band + p->band_floats;
    float *partial = d->partial + i * d->partial_floats;
    memset(partial, 0, d->partial_floats * sizeof(float));
    for (size_t t = p->ntasks * shard / d->nshards; t < p->ntasks * (shard + 1) / d->nshards; t++) {
        struct conv_share sh = conv_share_of(p, t);
        size_t pixels = sh.images * sh.rows * p->ow,
               block_floats = conv_pack_band(p, band, d->x, &sh);
        pack_dy(p, dy, d->dy + (sh.image * p->oh + sh.row) * p->ow * p->oc + g * p->group, pixels,
                width, valid);
        for (size_t b = 0; b < p->nblocks; b++) {
            size_t cn = b + 1 < p->nblocks ? CONV_BLOCK : p->last;
            for (size_t a = 0; a < ph->ntaps; a++)
                for (size_t c = 0; c < cn; c += kind.rows)
                    kind.run(partial + ((b * ph->ntaps + a) * d->row_stride + c) * width,
                             band + b * block_floats + ph->tap[a].in + c, ph->in, dy, pixels);
        }
    }
    return 0;
}

/* Adds the shards of one group and block, in order, to dw [k][c][kh][kw]. */
int ISA(conv_reduce_task)(void *arg, size_t i, int worker UNUSED)
{
    const struct conv_weights *d = arg;
    const struct conv_plan *p = d->plan;
    size_t g = i / p->nblocks, b = i % p->nblocks, width = conv_group_width(p, g);
    size_t valid = MIN(width, p->oc - g * p->group), ntaps = p->phase[0].ntaps;
    size_t cn = b + 1 < p->nblocks ? CONV_BLOCK : p->last, kw = p->plain ? p->last / p->ic : 1;
    size_t taps = ntaps * kw; /* of the whole window */
    for (size_t a = 0; a < ntaps; a++)
        for (size_t c = 0; c < cn; c++) {
            float sum[2 * CONV_BLOCK] = { 0 };
            const float *from =
                d->partial + g * d->partial_floats + ((b * ntaps + a) * d->row_stride + c) * width;
            for (size_t s = 0; s < d->nshards; s++, from += p->ngroups * d->partial_floats)
                for (size_t k = 0; k < width; k++)
                    sum[k] += from[k];
            size_t channel = p->plain ? c % p->ic : b * CONV_BLOCK + c;
            size_t tap = p->plain ? a * kw + c / p->ic : a;
            float *to = d->dw + (g * p->group * p->ic + channel) * taps + tap;
            for (size_t k = 0; k < valid; k++)
                to[k * p->ic * taps] += sum[k];
        }
    return 0;
}
