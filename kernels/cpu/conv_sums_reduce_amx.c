/*
 * conv_sums_reduce_amx.c - see conv_sums_amx.h: from blocks of sums to dw.
 */
#include "kernels/cpu/conv_sums_amx.h"
#include "kernels/cpu/conv_turn_amx.h"

/*
 * Numbers of dw one behind the other that come from one row of blocks: of all taps and b's
 * channels, or of a's if these are x. The list holds where they are, from the first of them.
 */
static size_t run_length(const struct sums *s, size_t channels)
{
    return MIN(channels, (size_t)AMX_SIDE) * s->taps;
}

size_t sums_run_numbers(const struct sums *s)
{
    return s->taps * AMX_SIDE;
}

void sums_list_run(struct sums *s)
{
    size_t tap_floats = s->blocks_a * AMX_C, ic = s->plan.ic;
    for (size_t e = 0; e < sums_run_numbers(s); e++) {
        size_t channel = e / s->taps, tap = e % s->taps;
        if (s->plan.plain) { /* of b: column of the window, channel; of dw: channel, row, column */
            size_t kw = s->cb / ic;
            channel = e % kw * ic + e / kw / s->taps;
            tap = e / kw % s->taps;
        }
        s->run[e] = (int32_t)(s->swapped ? place_of(channel) * AMX_SIDE
                                         : tap * tap_floats + place_of(channel % AMX_SIDE));
    }
}

static void add_numbers(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(to + i, _mm512_add_ps(_mm512_loadu_ps(to + i), _mm512_loadu_ps(from + i)));
}

static void add_run(float *to, const float *from, const int32_t *at, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m512i where = _mm512_maskz_loadu_epi32(m, at + i);
        __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, where, from, sizeof *from);
        _mm512_mask_storeu_ps(to + i, m, _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, to + i)));
    }
}

void sums_reduce(const struct sums *s, size_t b)
{
    size_t floats = s->taps * s->blocks_a * AMX_C;
    float *sums = s->partial + b * floats;
    for (size_t sh = 1; sh < s->shards; sh++)
        add_numbers(sums, sums + sh * s->partial_floats, floats);
    for (size_t a = 0; a < s->blocks_a; a++, sums += AMX_C) {
        size_t left_a = s->ca - a * AMX_SIDE, left_b = s->cb - b * AMX_SIDE;
        size_t rows = MIN(s->swapped ? left_b : left_a, (size_t)AMX_SIDE);
        float *to =
            s->dw + (s->swapped ? b * s->ca + a : a * s->cb * s->taps + b * s->taps) * AMX_SIDE;
        for (size_t k = 0; k < rows; k++)
            add_run(to + k * (s->swapped ? s->ca : s->cb * s->taps),
                    sums + place_of(k) * (s->swapped ? 1 : AMX_SIDE), s->run,
                    run_length(s, s->swapped ? left_a : left_b));
    }
}
