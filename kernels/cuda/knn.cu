/*
 * knn.cu - exact nearest neighbours: estimates by a product in float16, of what they leave over
 * sums in double.
 *
 * Estimates. The bank is first brought near zero: t = row - mu, mu the mean of some rows. That adds
 * the same number to all similarities of a query and leaves their order, but where all rows are
 * alike (an encoder that has just been initialised) it is their differences that are rounded. Then
 * a query q and every t are scaled by a power of two of their own to a length in [64, 128), and
 * rounded to float16, ' below: no number overflows, what underflows is nothing, and products of two
 * rows stay below 2^14. By Cauchy and Schwarz
 *     |q t - q' t'| <= |q| |dt| + |dq| |t'|,   |dq| <= 2^-11 |q| + sqrt(d) 2^-25,
 * |dt| is measured, the product adds (d + 16) 2^-22 |q'| |t'| (matrix units align the products of a
 * step with their sum and cut: Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA
 * tensor cores", PeerJ CS 7:e330; twice what they saw) and 2^-11 of the result for its own
 * rounding, and sums in double differ by (d + 2) 2^-53 |q| |row| from what they sum. So with the
 * row's scale undone
 *     |score * scale[row] - (q row - q mu)| <= reach[query] * error[row],   reach = |q|,
 * in units of the query's own; error has room for the float32 arithmetic of the comparisons too.
 * For rows of like length this is about 2.7 * 2^-11 |q| |t|.
 *
 * Search. Scores come in tiles of queries x rows. list_tile() lists who may be among the k best:
 * whose upper bound is not below the k-th best lower bound so far, which weed() finds each time
 * when twice as many rows have been seen, so that about k come between. Rows stand in an order in
 * which any beginning is spread over the whole bank (golden section): a bank sorted by class is met
 * as if it were shuffled. The candidates that are left get sums in double in the order of d, and
 * are sorted: the last bit is that of the definition. A NaN is nobody's neighbour.
 *
 * A list that overflows (thousands of rows within the bounds) makes its query crowded, and so do
 * zeros, infinities and NaN, which have no bound: crowded queries meet every row in double,
 * CROWD at a time. The host decides nothing: those kernels find an empty list and end.
 *
 * Bounds decide how many are summed. Of 82,000 rows of d 512, for the 20 best, as counted on the
 * CPU with these bounds: random directions 25, clusters of 82 27 to 82, rows of a common part ten
 * times as long as what they differ in 114; with those of bfloat16 and no mean 34, 39 to 82, and
 * all.
 *
 * Floor on an H200, 16,384 queries, 81,920 rows, d 512, k 20: 1.74 ms for the product at 790
 * TFLOP/s; scores are written while it runs (2.7 GB) and read once, 0.63 ms at 4.3 TB/s; the bank
 * is read and written in half, 0.06 ms; some 25 rows a query are gathered for the sums, 0.8 GB, 0.2
 * ms. 2.6 ms in all, and some 40 launches; less needs a product whose own loop looks through what
 * it makes. All in double, which is what crowded queries cost: 6.9e11 fused multiply-adds, 41 ms at
 * 34 TFLOP/s.
 */
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/knn.h"
#include "kernels/cuda/knn_list.cuh"
#include "kernels/cuda/knn_round.cuh"
#include "kernels/cuda/knn_sum.cuh"

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t clamp(size_t n, size_t least, size_t most)
{
    return MAX(least, MIN(n, most));
}

extern "C" __attribute__((weak)) struct knn_memory cuda_knn_memory(void)
{
    return { .scores = (size_t)256 << 20, .lists = (size_t)128 << 20, .piece = (size_t)256 << 20 };
}

/* How a search is cut to its memory. */
struct plan {
    cudaStream_t stream;
    size_t queries, rows; /* at a time; of a piece */
    size_t sorted;
    unsigned crowd_blocks, list_threads, answer_threads;
    size_t region; /* bytes of scores, or of all that comes after them */
    bool aligned_queries, aligned_bank;
};

/* Of the numbers coprime to m, one near its golden section: multiples of it are spread evenly. */
static uint64_t golden(uint64_t m)
{
    for (uint64_t step = (uint64_t)((double)m * 0.6180339887498949);; step++) {
        uint64_t a = m, b = MAX(step, (uint64_t)1);
        while (b) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            return MAX(step, (uint64_t)1);
    }
}

static void make_plan(struct plan *p, search *s, const struct kern_knn *q, struct kern *kn)
{
    const struct knn_memory memory = cuda_knn_memory();
    const size_t hit = sizeof(*s->key) + sizeof(*s->at);
    size_t sms = (size_t)cuda_of(kn)->multiprocessors, columns = round_up(s->m, COLUMNS);
    p->stream = cuda_of(kn)->stream;
    p->aligned_queries = s->d % 4 == 0 && (uintptr_t)q->query % 16 == 0;
    p->aligned_bank = s->d % 4 == 0 && (uintptr_t)q->bank % 16 == 0;
    p->sorted = SORT_LEAST;
    while (p->sorted < s->k)
        p->sorted *= 2;
    s->room = MIN(MAX(round_up(LIST_K * s->k, 2 * COLUMNS), (size_t)LIST), columns);
    s->room = MAX(s->room, p->sorted);
    p->queries = clamp(memory.lists / (s->room * (sizeof(*s->low) + sizeof(*s->at))), 1, q->n);
    p->rows = clamp(memory.piece / (s->d16 * sizeof(f16)) / COLUMNS * COLUMNS, COLUMNS, columns);
    s->tile =
        clamp(memory.scores / (p->queries * sizeof(f16)) / COLUMNS * COLUMNS, COLUMNS, p->rows);
    /* crowded queries: half of the memory for what their stretches find, a quarter for slots */
    size_t each = p->queries * s->k * hit;
    s->stretches = (int)clamp(memory.scores / 2 / MAX(each, (size_t)1), 1,
                              clamp(s->m / STRETCH, 1, STRETCHES));
    s->parts = (int)MAX((size_t)s->stretches * s->k, p->sorted);
    s->slot = (int)round_up(s->k + CROWD_ROOM, COLUMNS);
    size_t slots = CROWD * s->slot * hit;
    p->crowd_blocks = (unsigned)clamp(memory.scores / 4 / slots, 1, 2 * sms);
    p->region = MAX(p->queries * s->tile * sizeof(f16), p->queries * s->room * sizeof(*s->key));
    p->region = MAX(p->region, round_up(p->queries * s->parts * hit, 8) + p->crowd_blocks * slots);
    p->list_threads = s->room > LIST ? 8 * WARP : WARP;
    p->answer_threads = (unsigned)clamp(p->sorted / 2, WARP, 16 * WARP);
}

/* The next piece of scratch, 256 bytes apart from others. */
static void *carve(char **from, size_t bytes)
{
    char *p = *from;
    *from += round_up(bytes, 256);
    return p;
}

/* Places of all arrays from memory on; returns the end. */
static char *place(search *s, const struct plan *p, char *memory)
{
    size_t n = p->queries, columns = round_up(s->m, COLUMNS);
    char *region = (char *)carve(&memory, p->region);
    s->score = (f16 *)region;
    s->key = (unsigned long long *)region;
    s->part_key = (unsigned long long *)region;
    s->part_row = (int *)(s->part_key + n * s->parts);
    s->slot_key =
        (unsigned long long *)(region + round_up(n * s->parts *
                                                     (sizeof(*s->part_key) + sizeof(*s->part_row)),
                                                 8));
    s->slot_row = (int *)(s->slot_key + (size_t)p->crowd_blocks * CROWD * s->slot);
    s->piece = (f16 *)carve(&memory, p->rows * s->d16 * sizeof(*s->piece));
    s->query16 = (f16 *)carve(&memory, n * s->d16 * sizeof(*s->query16));
    s->scale = (float *)carve(&memory, columns * sizeof(*s->scale));
    s->error = (float *)carve(&memory, columns * sizeof(*s->error));
    s->low = (float *)carve(&memory, n * s->room * sizeof(*s->low));
    s->at = (int *)carve(&memory, n * s->room * sizeof(*s->at));
    s->reach = (float *)carve(&memory, n * sizeof(*s->reach));
    s->least = (float *)carve(&memory, n * sizeof(*s->least));
    s->listed = (int *)carve(&memory, n * sizeof(*s->listed));
    s->crowded = (int *)carve(&memory, n * sizeof(*s->crowded));
    s->mean = (float *)carve(&memory, s->d * sizeof(*s->mean));
    s->largest = (unsigned *)carve(&memory, sizeof(*s->largest));
    s->ncrowded = (int *)carve(&memory, sizeof(*s->ncrowded));
    return memory;
}

static unsigned blocks(size_t n, size_t each)
{
    return (unsigned)((n + each - 1) / each);
}

/* Estimates of a block of queries and all rows; candidates are left in the lists. */
static int estimate(struct kern *kn, const search *s, const struct plan *p, bool round)
{
    int rc = launch(p->stream, round_queries, dim3(blocks(s->n, ROUND_WARPS)),
                    dim3(ROUND_WARPS * WARP), 0, *s, p->aligned_queries);
    size_t next = s->room / 2 / COLUMNS * COLUMNS; /* when to weed */
    next = MAX(next, (size_t)COLUMNS);
    for (size_t begin = 0; rc == 0 && begin < s->m; begin += p->rows) {
        size_t end = MIN(begin + p->rows, s->m), columns = round_up(end - begin, COLUMNS);
        if (round || p->rows < s->m)
            rc = launch(p->stream, round_bank, dim3(blocks(columns, ROUND_WARPS)),
                        dim3(ROUND_WARPS * WARP), 0, *s, begin, end, p->aligned_bank);
        for (size_t tile = begin; rc == 0 && tile < end; tile += s->tile) {
            size_t tile_end = MIN(tile + s->tile, end);
            struct gemm g = { .types = GEMM_F16,
                              .ta = false,
                              .tb = true,
                              .m = s->n,
                              .n = round_up(tile_end - tile, COLUMNS),
                              .k = s->d16,
                              .lda = s->d16,
                              .ldb = s->d16,
                              .ldc = s->tile };
            rc = cuda_gemm_typed(kn, &g, 1, s->query16, s->piece + (tile - begin) * s->d16, 0,
                                 s->score);
            for (size_t at = tile; rc == 0 && at < tile_end;) {
                size_t stop = MIN(next, tile_end);
                dim3 grid(blocks(stop - at, COLUMNS), blocks(s->n, SELECT_WARPS * SELECT_EACH));
                rc = launch(p->stream, list_tile, grid, dim3(SELECT_WARPS * WARP), 0, *s, at - tile,
                            at, stop);
                if (rc == 0 && (stop == next || stop == s->m))
                    rc =
                        launch(p->stream, weed, dim3((unsigned)s->n), dim3(p->list_threads), 0, *s);
                next *= stop == next ? 2 : 1;
                at = stop;
            }
        }
    }
    return rc;
}

/* Exact neighbours from the lists, and of crowded queries from all rows. */
static int settle(const search *s, const struct plan *p, size_t k, int32_t *idx, float *sim)
{
    unsigned warps = (unsigned)clamp(s->k / WARP, 1, 8);
    bool in_shared = p->sorted <= SORT_SHARED;
    size_t shared = in_shared ? p->sorted * (sizeof(*s->key) + sizeof(int)) : 0;
    int rc = launch(p->stream, sum_listed, dim3((unsigned)s->n), dim3(warps * WARP),
                    warps * (WARP * sizeof(double) + TURN * sizeof(float)), *s);
    if (rc == 0)
        rc = launch(p->stream, answer, dim3((unsigned)s->n), dim3(p->answer_threads), shared, *s,
                    false, (int)p->sorted, in_shared, k, idx, sim);
    if (rc == 0)
        rc = launch(p->stream, search_crowded, dim3(p->crowd_blocks), dim3(CROWD_WARPS * WARP), 0,
                    *s);
    if (rc == 0)
        rc = launch(p->stream, answer, dim3(MIN((unsigned)s->n, p->crowd_blocks)),
                    dim3(p->answer_threads), shared, *s, true, (int)p->sorted, in_shared, k, idx,
                    sim);
    return rc;
}

extern "C" int cuda_knn(struct kern *kn, const struct kern_knn *q, int32_t *idx, float *sim)
{
    search s = {};
    struct plan p = {};
    s.m = q->m;
    s.d = q->d;
    s.k = MIN(q->k, q->m);
    s.d16 = round_up(q->d, 8);
    s.step = golden(MAX(q->m, (size_t)1));
    s.bank = q->bank;
    s.bank_id = q->bank_id;
    make_plan(&p, &s, q, kn);
    char *scratch = (char *)cuda_scratch(kn, (size_t)place(&s, &p, NULL));
    if (!scratch)
        return -ENOMEM;
    place(&s, &p, scratch);
    int rc = 0;
    if (q->m) {
        rc = cuda_zero(kn, s.largest, sizeof(*s.largest));
        if (rc == 0)
            rc = launch(p.stream, sample_mean, dim3(blocks(s.d, WARP)), dim3(WARP, MEAN_LANES), 0,
                        s);
    }
    for (size_t first = 0; rc == 0 && first < q->n; first += p.queries) {
        s.n = MIN(p.queries, q->n - first);
        s.query = q->query + first * q->d;
        s.query_id = q->query_id ? q->query_id + first : NULL;
        rc = cuda_zero(kn, s.ncrowded, sizeof(*s.ncrowded));
        if (rc == 0)
            rc = cuda_zero(kn, s.listed, s.n * sizeof(*s.listed));
        if (rc == 0 && q->m)
            rc = estimate(kn, &s, &p, first == 0);
        if (rc == 0)
            rc = settle(&s, &p, q->k, idx + first * q->k, sim + first * q->k);
    }
    return rc;
}
