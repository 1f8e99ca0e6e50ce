/*
 * knn_bf16.c - nearest neighbours by products of bfloat16 (knn_bf16.h).
 *
 * Vectors are first scaled by powers of 2, each query by its own, the bank by one, so that no
 * number is above 1 and huge or tiny ones make the same scores as others. With q = q' + dq and
 * r = r' + dr, where ' is rounded to bfloat16 (denormals to 0, as the units do), Cauchy and
 * Schwarz have
 *     |q r - q' r'| <= |q| |dr| + |dq| |r'|,
 * and sums of d products, padded to whole steps, differ from q' r' by at most (d + 2) 2^-24 |q'|
 * |r'| and 2^-126 for each number that underflows, doubled as in knn.c. So
 *     reach = |q|,  error = |dr| + |r'| max over queries (|dq| + (d + 2) 2^-23 |q'|) / |q|.
 * The maximum is close to each: roundings average out.
 *
 * Floor: 2 n m d flops of the unit. The bank is packed in pieces of PIECE_BYTES, and each is
 * read by blocks of queries. Of both, the second cache holds a part; of 32 queries against its
 * rows, the queries stay in the first cache and the rows pass by. A block of scores is looked
 * through while the tile unit, if there is one, makes the next.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/knn_bf16.h"
#include "kernels/cpu/transpose.h"

enum {
    QUERIES = 512,
    BLOCKS = QUERIES / KNN_SIDE,
    ROWS = 8 * KNN_SIDE, /* of the bank, that the second cache holds beside the queries */
    AHEAD = 4,           /* rows that are asked for while one is packed */
    PIECE_BYTES = 128 << 20,
    BANK_ROWS = 1024, /* that are looked through for the largest number in one task */
};

struct bf16 {
    struct knn s;
    size_t steps, blocks; /* of a sum; of queries */
    float *part_most;     /* largest number of BANK_ROWS rows */
    float *part_loss;     /* of a block of queries, the maximum above */
    double bank_scale, loss;
    const struct knn_unit *unit;
    void *plan;      /* the unit's */
    uint16_t *piece; /* the second operand: [rows / 32][steps][2][16 pairs][16 rows] */
    size_t piece_rows, begin, end, stretch; /* rows: of all pieces, of this one, of a stretch */
};

/* The largest finite magnitude. */
static float most(const float *x, size_t n)
{
    const __m512i top = _mm512_set1_epi32(0x7fffffff), inf = _mm512_set1_epi32(0x7f800000);
    __m512i best = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m512i v = _mm512_and_si512(_mm512_maskz_loadu_epi32(m, x + i), top);
        best = _mm512_mask_max_epi32(best, _mm512_cmplt_epi32_mask(v, inf), best, v);
    }
    int32_t bits = _mm512_reduce_max_epi32(best);
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

/* The power of 2 that brings numbers of magnitude up to largest below 1. */
static double scale_for(float largest)
{
    int e;
    (void)frexp(largest, &e);
    return ldexp(1, -e);
}

struct lengths {
    double whole, rounded, rest; /* of x, x', dx */
};

/* Rounds scale * x to bfloat16, 32 numbers at to + 0, KNN_STEP, 2 KNN_STEP ... */
static struct lengths pack_row(uint16_t *to, const float *x, size_t d, size_t steps, double scale)
{
    const __m512d by = _mm512_set1_pd(scale);
    __m512d whole = _mm512_setzero_pd(), rounded = whole, rest = whole;
    for (size_t c = 0; c < steps * KNN_DEPTH; c += 16) {
        __mmask16 m = (__mmask16)(c >= d ? 0 : d - c >= 16 ? 0xffff : (1u << (d - c)) - 1);
        __m512 v = _mm512_maskz_loadu_ps(m, x + c);
        __m512d half[2] = { _mm512_mul_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(v)), by),
                            _mm512_mul_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)), by) };
        __m512 f = _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(half[0])),
                                      _mm512_cvtpd_ps(half[1]), 1);
        __m256i b = (__m256i)_mm512_cvtneps_pbh(f);
        __m512 back = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
        __m512d near[2] = { _mm512_cvtps_pd(_mm512_castps512_ps256(back)),
                            _mm512_cvtps_pd(_mm512_extractf32x8_ps(back, 1)) };
        for (int h = 0; h < 2; h++) {
            __m512d off = _mm512_sub_pd(half[h], near[h]);
            whole = _mm512_fmadd_pd(half[h], half[h], whole);
            rounded = _mm512_fmadd_pd(near[h], near[h], rounded);
            rest = _mm512_fmadd_pd(off, off, rest);
        }
        _mm256_storeu_si256((void *)(to + c / KNN_DEPTH * KNN_STEP + c % KNN_DEPTH), b);
    }
    const double up = 1 + 0x1p-20;
    return (struct lengths){ up * sqrt(_mm512_reduce_add_pd(whole)),
                             up * sqrt(_mm512_reduce_add_pd(rounded)),
                             up * sqrt(_mm512_reduce_add_pd(rest)) };
}

static double sum_error(const struct bf16 *a)
{
    return (double)(a->steps * KNN_DEPTH + 2) * 0x1p-23;
}

/* -- operands ------------------------------------------------------------------------------ */

static int most_task(void *arg, size_t i, int worker UNUSED)
{
    const struct bf16 *a = arg;
    const struct kern_knn *q = a->s.q;
    size_t first = i * BANK_ROWS, rows = MIN(q->m - first, (size_t)BANK_ROWS);
    a->part_most[i] = most(q->bank + first * q->d, rows * q->d);
    return 0;
}

/* Lengths and scales of a block of queries. */
static int lengths_task(void *arg, size_t i, int worker)
{
    struct bf16 *a = arg;
    const struct kern_knn *q = a->s.q;
    double worst = 0;
    uint16_t *row = kern_scratch_of(a->s.kn, worker);
    for (size_t t = i * QUERIES; t < MIN(q->n, (i + 1) * QUERIES); t++) {
        const float *x = q->query + t * q->d;
        double scale = scale_for(most(x, q->d));
        struct lengths l = pack_row(row, x, q->d, a->steps, scale);
        double loss = (l.rest + sum_error(a) * l.rounded) / l.whole;
        if (loss > worst) /* not NaN: zeros lose nothing, and infinities have no bound anyway */
            worst = loss;
        a->s.scale[t] = scale * a->bank_scale;
        a->s.reach[t] = (float)l.whole;
    }
    a->part_loss[i] = (float)(worst * (1 + 0x1p-20));
    return 0;
}

/* Where row r of a block of 32 begins, as the first operand: [steps][2][16][32]. */
static uint16_t *row_of(uint16_t *block, size_t r)
{
    return block + r / KNN_HALF * KNN_PART + r % KNN_HALF * KNN_DEPTH;
}

/* 32 rows of the piece. Rows beyond the bank are left as they are: columns do not meet. */
static int piece_task(void *arg, size_t i, int worker UNUSED)
{
    struct bf16 *a = arg;
    const struct kern_knn *q = a->s.q;
    uint16_t *to = a->piece + i * a->steps * KNN_STEP;
    size_t first = a->begin + i * KNN_SIDE;
    for (size_t row = first; row < MIN(first + KNN_SIDE, a->end); row++) {
        const float *soon = q->bank + MIN(row + AHEAD, q->m - 1) * q->d;
        for (size_t c = 0; c < q->d; c += 16)
            _mm_prefetch(soon + c, _MM_HINT_T0);
        struct lengths l =
            pack_row(row_of(to, row - first), q->bank + row * q->d, q->d, a->steps, a->bank_scale);
        a->s.error[row] = (float)((l.rest + a->loss * l.rounded) * (1 + 0x1p-20));
    }
    for (size_t tile = 0; tile < 2 * a->steps; tile++, to += KNN_PART) {
        __m512i r[KNN_HALF];
        for (size_t j = 0; j < KNN_HALF; j++)
            r[j] = _mm512_loadu_si512(to + j * KNN_DEPTH);
        transpose(r);
        for (size_t j = 0; j < KNN_HALF; j++)
            _mm512_storeu_si512(to + j * KNN_DEPTH, r[j]);
    }
    return 0;
}

/* Queries as the first operand: [blocks][steps][2][16][32]. */
static void pack_queries(const struct bf16 *a, size_t first, size_t n, uint16_t *to)
{
    const struct kern_knn *q = a->s.q;
    for (size_t t = 0; t < n; t++)
        (void)pack_row(row_of(to + t / KNN_SIDE * a->steps * KNN_STEP, t % KNN_SIDE),
                       q->query + (first + t) * q->d, q->d, a->steps,
                       a->s.scale[first + t] / a->bank_scale);
}

/* -- the search ---------------------------------------------------------------------------- */

/* A block of scores. */
struct scores {
    const float *c;
    size_t query, queries, row; /* query: of the block of queries */
    __mmask32 rows;             /* that are there */
};

/* Upper bounds of a query and the rows of a block. */
struct high {
    __m512 left, right;
};

static inline struct high high(const struct scores *b, size_t i, float reach, const __m512 error[2])
{
    const float *c = b->c + i * KNN_SIDE;
    __m512 far = _mm512_set1_ps(reach);
    return (struct high){ _mm512_fmadd_ps(far, error[0], _mm512_load_ps(c)),
                          _mm512_fmadd_ps(far, error[1], _mm512_load_ps(c + KNN_HALF)) };
}

/* Puts the rows of a half, that are asked for, at the end of a list. */
static inline void list_half(struct knn_lists *l, size_t query, __mmask16 m, __m512 upper,
                             size_t row)
{
    const __m512i more = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t end = query * l->room + l->listed[query];
    _mm512_mask_compressstoreu_ps(l->upper + end, m, upper);
    _mm512_mask_compressstoreu_epi32(l->row + end, m,
                                     _mm512_add_epi32(_mm512_set1_epi32((int)row), more));
    knn_listed(l, query, (size_t)__builtin_popcount(m));
}

/* Lists who is not below the threshold. First all are compared, without a branch: few are listed,
 * but nobody could foretell which. */
static void look(struct knn_lists *l, const float *reach, const struct scores *b)
{
    const float *error = l->search->error + b->row;
    const __m512 errors[2] = { _mm512_maskz_loadu_ps((__mmask16)b->rows, error),
                               _mm512_maskz_loadu_ps((__mmask16)(b->rows >> 16),
                                                     error + KNN_HALF) };
    uint32_t there[KNN_SIDE] = { 0 };
    for (size_t i = 0; i < b->queries; i++) {
        struct high h = high(b, i, reach[b->query + i], errors);
        __m512 least = _mm512_set1_ps(l->least[b->query + i]);
        there[i] = b->rows & _mm512_kunpackw(_mm512_cmp_ps_mask(h.right, least, _CMP_NLT_UQ),
                                             _mm512_cmp_ps_mask(h.left, least, _CMP_NLT_UQ));
    }
    __m512i left = _mm512_loadu_si512(there), right = _mm512_loadu_si512(there + KNN_HALF);
    uint32_t some =
        _mm512_kunpackw(_mm512_test_epi32_mask(right, right), _mm512_test_epi32_mask(left, left));
    for (; some; some &= some - 1) {
        size_t i = (size_t)__builtin_ctz(some), query = b->query + i;
        struct high h = high(b, i, reach[query], errors);
        list_half(l, query, (__mmask16)there[i], h.left, b->row);
        list_half(l, query, (__mmask16)(there[i] >> 16), h.right, b->row + KNN_HALF);
    }
}

struct scratch {
    float c[2][KNN_SIDE * KNN_SIDE], reach[QUERIES];
};

static size_t queries_numbers(const struct bf16 *a)
{
    return BLOCKS * a->steps * KNN_STEP;
}

static int search(void *arg, size_t i, int worker)
{
    const struct bf16 *a = arg;
    size_t part = i / a->blocks, first = i % a->blocks * QUERIES;
    size_t nq = MIN((size_t)QUERIES, a->s.q->n - first);
    size_t begin = a->begin + part * a->stretch, end = MIN(a->end, begin + a->stretch);
    struct scratch *s = kern_scratch_of(a->s.kn, worker);
    uint16_t *queries = (uint16_t *)(s + 1);
    struct knn_lists l;
    knn_lists_begin(&l, &a->s, part, first, QUERIES, queries + queries_numbers(a));
    pack_queries(a, first, nq, queries);
    memcpy(s->reach, a->s.reach + first, nq * sizeof(*s->reach));
    struct scores last = { .c = s->c[1] }; /* nothing of it */
    size_t which = 0;
    a->unit->open();
    for (size_t rows = begin; rows < end; rows += ROWS) {
        size_t stop = MIN(rows + ROWS, end), next = MIN(stop + ROWS, end);
        struct ahead ahead = ahead_begin(a->piece + (stop - a->begin) * a->steps * KNN_DEPTH,
                                         (next - stop) * a->steps * KNN_DEPTH * sizeof *a->piece,
                                         (nq + KNN_SIDE - 1) / KNN_SIDE * (ROWS / KNN_SIDE));
        for (size_t t = 0; t < nq; t += KNN_SIDE)
            for (size_t r = rows; r < stop; r += KNN_SIDE, which ^= 1) {
                struct knn_block b = { .steps = a->steps,
                                       .queries = MIN(nq - t, (size_t)KNN_SIDE),
                                       .rows = MIN(stop - r, (size_t)KNN_SIDE),
                                       .plan = a->plan,
                                       .query = queries + t * a->steps * KNN_DEPTH,
                                       .bank = a->piece + (r - a->begin) * a->steps * KNN_DEPTH,
                                       .c = s->c[which] };
                a->unit->begin(&b);
                ahead_look(&ahead);
                look(&l, s->reach, &last);
                a->unit->end(&b);
                last = (struct scores){ b.c, t, b.queries, r,
                                        (__mmask32)(((uint64_t)1 << b.rows) - 1) };
            }
    }
    a->unit->close();
    look(&l, s->reach, &last);
    knn_lists_end(&l, nq);
    return 0;
}

static float largest(const float *x, size_t n)
{
    float best = 0;
    for (size_t i = 0; i < n; i++)
        best = fmaxf(best, x[i]);
    return best;
}

/* Everything that is known before a row is packed. */
static int prepare(struct bf16 *a)
{
    size_t parts = (a->s.q->m + BANK_ROWS - 1) / BANK_ROWS;
    a->unit->plan(a->plan, a->steps);
    int rc = pool_run(a->s.kn->pool, parts, most_task, a);
    if (rc)
        return rc;
    a->bank_scale = scale_for(largest(a->part_most, parts));
    rc = pool_run(a->s.kn->pool, a->blocks, lengths_task, a);
    a->loss = largest(a->part_loss, a->blocks);
    return rc;
}

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

int knn_bf16(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    struct bf16 a = { .s = { .kn = kn, .q = q },
                      .unit = kn->isa & ISA_AMX ? &knn_tiles : &knn_pairs };
    a.steps = round_up(q->d, KNN_DEPTH) / KNN_DEPTH;
    a.blocks = (q->n + QUERIES - 1) / QUERIES;
    a.s.least_error = (float)(a.steps * KNN_DEPTH) * 0x1p-124f;
    size_t fit = PIECE_BYTES / (a.steps * KNN_DEPTH * sizeof(uint16_t)) / KNN_SIDE * KNN_SIDE;
    a.piece_rows = MIN(MAX(fit, (size_t)KNN_SIDE), round_up(q->m, KNN_SIDE));
    size_t most = MAX(a.piece_rows / KNN_SIDE, (size_t)1);
    a.s.stretches = MIN(most, (KNN_MIN_TASKS + a.blocks - 1) / a.blocks);
    a.stretch = (most + a.s.stretches - 1) / a.s.stretches * KNN_SIDE;
    size_t numbers = a.piece_rows * a.steps * KNN_DEPTH, steps = round_up(a.steps, 8);
    size_t parts = (q->m + BANK_ROWS - 1) / BANK_ROWS + a.blocks;
    uint8_t *memory =
        kern_shared(kn, knn_bytes(&a.s) + numbers * sizeof(*a.piece) + steps * a.unit->plan_bytes +
                            parts * sizeof(*a.part_most));
    size_t operands = queries_numbers(&a) * sizeof(uint16_t);
    if (!memory ||
        kern_scratch(kn, sizeof(struct scratch) + operands + knn_lists_bytes(&a.s, QUERIES)) < 0)
        return -ENOMEM;
    knn_memory(&a.s, memory);
    a.piece = (uint16_t *)(memory + knn_bytes(&a.s));
    a.plan = a.piece + numbers;
    a.part_loss = (float *)((uint8_t *)a.plan + steps * a.unit->plan_bytes);
    a.part_most = a.part_loss + a.blocks;
    int rc = prepare(&a);
    for (; rc == 0 && a.begin < q->m; a.begin = a.end) {
        a.end = MIN(q->m, a.begin + a.piece_rows);
        rc = pool_run(kn->pool, (a.end - a.begin + KNN_SIDE - 1) / KNN_SIDE, piece_task, &a);
        if (rc == 0)
            rc = pool_run(kn->pool, a.blocks * a.s.stretches, search, &a);
    }
    return rc ? rc : knn_answer(&a.s, idx, sim);
}
