/*
 * conv_pack_amx.c - weights in the tile unit's order, for forward and backward-data: for each group
 * of 32 output channels, run of taps and step, two tiles of pairs of inputs by 16 outputs.
 */
#include "kernels/cpu/conv_amx_pass.h"
#include "kernels/cpu/transpose.h"

static void add_run(struct conv_runs *rs, size_t first, size_t count, ptrdiff_t delta)
{
    size_t steps = (count * rs->ic + AMX_DEPTH - 1) / AMX_DEPTH;
    rs->run[rs->n++] = (struct conv_run){ first, count, delta, rs->steps, steps };
    rs->steps += steps;
}

struct conv_runs conv_list_runs(const struct kern_conv *cv, bool backward)
{
    struct conv_runs rs = { 0 };
    rs.ic = backward ? cv->k : cv->c;
    rs.oc = backward ? cv->c : cv->k;
    for (size_t r = 0; r < cv->kh; r++) {
        if (!backward)
            add_run(&rs, r * cv->kw, cv->kw, 1);
        for (size_t rest = 0; backward && rest < MIN(cv->stride, cv->kw); rest++) {
            size_t count = (cv->kw - 1 - rest) / cv->stride + 1;
            add_run(&rs, r * cv->kw + rest + (count - 1) * cv->stride, count,
                    -(ptrdiff_t)cv->stride);
        }
    }
    return rs;
}

size_t conv_packed_numbers(const struct conv_runs *rs)
{
    return conv_round_up(rs->oc, AMX_TILE) * rs->steps * AMX_DEPTH;
}

size_t conv_amx_packed(const struct kern_conv *cv)
{
    struct conv_runs forward = conv_list_runs(cv, false), backward = conv_list_runs(cv, true);
    return (conv_packed_numbers(&forward) + conv_packed_numbers(&backward)) * sizeof(uint16_t);
}

struct pack {
    const struct kern_conv *cv;
    const float *w;
    struct conv_runs runs[2]; /* forward, backward */
    uint16_t *packed[2];
};

/* -- whole blocks of 32 x 32 channels: every weight is read and rounded once for both -------- */

/* Weights of one output and one tap: of 32 inputs. */
static inline __m512i load_inputs(const float *from, size_t taps)
{
    if (taps == 1)
        return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from));
    __m512i place =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32((int)taps));
    __m512 low = _mm512_i32gather_ps(place, from, sizeof *from);
    __m512 high = _mm512_i32gather_ps(place, from + 16 * taps, sizeof *from);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Two tiles of pairs of inputs by 16 outputs: row [32 outputs], of 32 inputs each. */
static void write_forward(uint16_t *to, const __m512i row[AMX_SIDE])
{
    for (size_t half = 0; half < 2; half++) {
        __m512i pair[AMX_TILE];
        for (size_t i = 0; i < AMX_TILE; i++)
            pair[i] = row[half * AMX_TILE + i];
        transpose(pair);
        for (size_t i = 0; i < AMX_TILE; i++, to += AMX_DEPTH)
            _mm512_storeu_si512(to, pair[i]);
    }
}

/* The same with inputs and outputs exchanged. */
static void write_backward(uint16_t *to, const __m512i row[AMX_SIDE])
{
    __m512i low = _mm512_setr_epi32(0x200000, 0x210001, 0x220002, 0x230003, 0x240004, 0x250005,
                                    0x260006, 0x270007, 0x280008, 0x290009, 0x2a000a, 0x2b000b,
                                    0x2c000c, 0x2d000d, 0x2e000e, 0x2f000f);
    __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(AMX_TILE));
    for (size_t i = 0; i < AMX_SIDE; i += 2, to += AMX_DEPTH) {
        _mm512_storeu_si512(to, _mm512_permutex2var_epi16(row[i], low, row[i + 1]));
        _mm512_storeu_si512(to + AMX_B, _mm512_permutex2var_epi16(row[i], high, row[i + 1]));
    }
}

/* The first step of each tap. */
static void list_taps(const struct conv_runs *rs, size_t step[CONV_MAX_TAPS])
{
    for (const struct conv_run *run = rs->run; run < rs->run + rs->n; run++)
        for (size_t i = 0; i < run->count; i++)
            step[(ptrdiff_t)run->first + (ptrdiff_t)i * run->delta] =
                run->at + i * (rs->ic / AMX_DEPTH);
}

/* 32 output channels of the forward pass. */
static int blocks_task(void *arg, size_t k, int worker UNUSED)
{
    const struct pack *a = arg;
    size_t c = a->cv->c, taps = a->cv->kh * a->cv->kw, step[2][CONV_MAX_TAPS];
    list_taps(&a->runs[0], step[0]);
    list_taps(&a->runs[1], step[1]);
    for (size_t b = 0; b < c / AMX_SIDE; b++)
        for (size_t tap = 0; tap < taps; tap++) {
            __m512i row[AMX_SIDE];
            const float *from = a->w + (k * c + b) * AMX_SIDE * taps + tap;
            for (size_t i = 0; i < AMX_SIDE; i++)
                row[i] = load_inputs(from + i * c * taps, taps);
            write_forward(a->packed[0] + (k * a->runs[0].steps + step[0][tap] + b) * 2 * AMX_B,
                          row);
            write_backward(a->packed[1] + (b * a->runs[1].steps + step[1][tap] + k) * 2 * AMX_B,
                           row);
        }
    return 0;
}

/* -- any number of channels ---------------------------------------------------------------- */

/* Number `at` of a run, for the outputs from o on: 16 numbers in the lower halves of 32 bits. */
static inline __m512i pack_row(const struct pack *a, bool backward, const struct conv_run *run,
                               size_t o, size_t at)
{
    const struct conv_runs *rs = &a->runs[backward];
    size_t taps = a->cv->kh * a->cv->kw, out_step = (backward ? 1 : a->cv->c) * taps;
    size_t in_step = (backward ? a->cv->c : 1) * taps, cell = at / rs->ic, channel = at % rs->ic;
    if (cell >= run->count)
        return _mm512_setzero_si512();
    const float *from = a->w + o * out_step + channel * in_step +
                        (size_t)((ptrdiff_t)run->first + (ptrdiff_t)cell * run->delta);
    __mmask16 outs = (__mmask16)((1u << MIN((size_t)AMX_TILE, rs->oc - o)) - 1);
    __m512i place =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32((int)out_step));
    __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), outs, place, from, sizeof *from);
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v));
}

/* Row pairs of one tile: outputs from o on, numbers of a run from `at` on. */
static void pack_tile(const struct pack *a, bool backward, const struct conv_run *run, uint16_t *to,
                      size_t o, size_t at)
{
    for (size_t i = 0; i < AMX_DEPTH; i += 2, to += AMX_DEPTH) {
        __m512i even = pack_row(a, backward, run, o, at + i);
        __m512i odd = pack_row(a, backward, run, o, at + i + 1);
        _mm512_storeu_si512(to, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
}

static int pack_task(void *arg, size_t i, int worker UNUSED)
{
    const struct pack *a = arg;
    bool backward = i >= conv_amx_groups(a->runs[0].oc);
    const struct conv_runs *rs = &a->runs[backward];
    size_t g = backward ? i - conv_amx_groups(a->runs[0].oc) : i, width = conv_amx_width(rs->oc, g);
    uint16_t *to = a->packed[backward] + g * AMX_SIDE * rs->steps * AMX_DEPTH;
    for (size_t r = 0; r < rs->n; r++)
        for (size_t s = 0; s < rs->run[r].steps; s++)
            for (size_t l = 0; l < width; l += AMX_TILE, to += AMX_B)
                pack_tile(a, backward, &rs->run[r], to, g * AMX_SIDE + l, s * AMX_DEPTH);
    return 0;
}

int conv_amx_pack(struct kern *kn, const struct kern_conv *cv, void *packed, const float *w)
{
    struct pack a = { cv, w, { conv_list_runs(cv, false), conv_list_runs(cv, true) }, { packed } };
    a.packed[1] = a.packed[0] + conv_packed_numbers(&a.runs[0]);
    if (cv->c % AMX_SIDE == 0 && cv->k % AMX_SIDE == 0)
        return pool_run(kn->pool, cv->k / AMX_SIDE, blocks_task, &a);
    return pool_run(kn->pool, conv_amx_groups(a.runs[0].oc) + conv_amx_groups(a.runs[1].oc),
                    pack_task, &a);
}
