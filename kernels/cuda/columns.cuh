/*
 * columns.cuh - for .cu files: how a grid walks over [groups][rows][c], and sums of columns.
 *
 * A block takes a tile of columns: lanes threads beside one another with V columns each, and down
 * such rows of threads below one another. A thread keeps its columns, so that what belongs to them
 * (factors, sums) stays in its registers, and has U rows in flight. Where the tiles are as wide as
 * the rows, what a block reads at once is one piece of memory.
 *
 * Sums of columns are added up in this order: a thread's rows; the threads of a block below one
 * another, some at a time (in one long run numbers of a coarse grid, as those of two bytes are,
 * would all be rounded to the same side); then, by the block of a tile that is done last, the
 * blocks, each from where it left its sums. Which rows are whose depends on shapes only. A ticket
 * for each tile counts its blocks, and goes back to 0 with the last.
 */
#ifndef SEMPPL_COLUMNS_CUH
#define SEMPPL_COLUMNS_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/storage.cuh"

struct columns {
    size_t groups;    /* blockIdx.x = (group * parts + part) * tiles + tile */
    size_t rows, c;   /* of a group */
    size_t whole;     /* chunks of U * down rows of a group, without the rest */
    unsigned tiles;   /* beside one another */
    unsigned parts;   /* blocks of a tile and group: part i takes chunks i, i + parts, ... */
    unsigned rest;    /* the part that takes the rest */
    unsigned lanes;   /* threads beside one another */
    unsigned down, u; /* rows of threads; rows of each in flight */
};

/* -- on the host ---- */

static inline size_t over(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

/* So many blocks; none, which a launch refuses, if that is more than it can number. */
static inline dim3 grid_of(size_t blocks)
{
    return dim3(blocks <= INT32_MAX ? (unsigned)blocks : 0);
}

/* One block a tile and group; threads of v columns, at most widest beside one another. */
static inline struct columns columns_of(size_t groups, size_t rows, size_t c, unsigned v,
                                        unsigned widest, unsigned threads, unsigned u)
{
    struct columns k = {};
    size_t across = over(c, v);
    k.rows = rows;
    k.c = c;
    k.groups = groups;
    k.tiles = (unsigned)over(across, widest);
    k.lanes = (unsigned)over(across, k.tiles);
    k.down = (unsigned)MIN((size_t)(threads / k.lanes), rows);
    k.u = u;
    k.whole = rows / ((size_t)k.down * u);
    k.parts = 1;
    return k;
}

static inline size_t columns_chunks(const struct columns *k)
{
    return over(k->rows, (size_t)k->down * k->u);
}

static inline void columns_parts(struct columns *k, size_t parts)
{
    k->parts = (unsigned)parts;
    k->rest = (unsigned)(k->whole % parts);
}

/* Splits the rows of groups among blocks, about so many in all, evenly. */
static inline void columns_split(struct columns *k, size_t blocks)
{
    size_t chunks = columns_chunks(k), want = MAX(blocks / (k->tiles * k->groups), 1);
    columns_parts(k, over(chunks, over(chunks, MIN(want, chunks))));
}

/* Likewise for sums: a thread adds up no more than a few hundred numbers, tickets permitting. */
static inline void columns_split_sums(struct columns *k, size_t blocks)
{
    enum { RUN = 512 };
    size_t tiles = k->tiles * k->groups;
    if (tiles <= CUDA_TICKETS)
        columns_split(k, MAX(blocks, tiles * over(columns_chunks(k), RUN / k->u)));
}

static inline dim3 columns_grid(const struct columns *k)
{
    return grid_of(k->groups * k->parts * k->tiles);
}

static inline dim3 columns_block(const struct columns *k)
{
    return dim3((unsigned)over(k->lanes * k->down, 32) * 32);
}

/* Floats of scratch for count sums of each column. */
static inline size_t columns_scratch(const struct columns *k, size_t count)
{
    return k->parts == 1 ? 0 : k->groups * k->parts * count * k->c;
}

/* -- on the device ---- */

/* Where a thread is. One that has no columns (in is false) still meets the others at barriers. */
struct place {
    unsigned group, part, tile;
    unsigned lane, row;
    size_t column; /* the first of V */
    bool in;
};

template <int V> __device__ inline place place_of(const columns &k)
{
    place at;
    unsigned block = blockIdx.x;
    at.tile = block % k.tiles;
    block /= k.tiles;
    at.part = block % k.parts;
    at.group = block / k.parts;
    at.lane = threadIdx.x % k.lanes;
    at.row = threadIdx.x / k.lanes;
    at.column = ((size_t)at.tile * k.lanes + at.lane) * V;
    at.in = at.row < k.down && at.column < k.c;
    return at;
}

/*
 * Calls body(row, n) for all rows of the thread, n of U at once: row, row + down, ... of its group.
 * Most calls have n = U, as a constant.
 */
template <int U, typename Body>
__device__ inline void walk(const columns &k, const place &at, Body body)
{
    size_t step = (size_t)k.down * U;
    for (size_t i = at.part; i < k.whole; i += k.parts)
        body(i * step + at.row, U);
    size_t rest = k.whole * step + at.row;
    if (at.part == k.rest && rest < k.rows)
        body(rest, (int)(((unsigned)(k.rows - rest) + k.down - 1) / k.down));
}

/*
 * Adds up each thread's sum, K for each of its V columns, over all blocks; calls finish(column,
 * total) once for each column of each group, total double [K]. All threads of all blocks call it.
 * MOST: threads of a block and columns of a tile, at most. scratch: columns_scratch(k, K) floats.
 */
template <int V, int K, int MOST, typename Finish>
__device__ inline void add_up(const columns &k, const place &at, const float (&sum)[K][V],
                              float *scratch, unsigned *tickets, Finish finish)
{
    enum { TOGETHER = 16 };
    union shared { /* a thread's sums, or those of one slice of the blocks */
        float thread[K * MOST * V];
        double slice[K * MOST];
    };
    __shared__ shared s;
    __shared__ bool last;
    unsigned width = k.lanes * V, slices = max(blockDim.x / width, 1u);
    size_t first = (size_t)at.tile * width;
    if (at.row < k.down)
        for (int q = 0; q < K; q++)
            for (int j = 0; j < V; j++)
                s.thread[(q * k.down + at.row) * width + at.lane * V + j] = sum[q][j];
    __syncthreads();
    for (unsigned col = threadIdx.x; col < width && first + col < k.c; col += blockDim.x) {
        float total[K] = {};
        for (unsigned r = 0; r < k.down;) {
            float run[K] = {};
            for (unsigned stop = min(r + TOGETHER, k.down); r < stop; r++)
                for (int q = 0; q < K; q++)
                    run[q] += s.thread[(q * k.down + r) * width + col];
            for (int q = 0; q < K; q++)
                total[q] += run[q];
        }
        if (k.parts == 1) {
            double all[K];
            for (int q = 0; q < K; q++)
                all[q] = (double)total[q];
            finish(first + col, all);
        } else {
            float *to = scratch + ((size_t)at.group * k.parts + at.part) * K * k.c + first + col;
            for (int q = 0; q < K; q++)
                to[q * k.c] = total[q];
        }
    }
    if (k.parts == 1)
        return;
    __threadfence(); /* the sums are there before the ticket says so */
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomicInc(tickets + at.group * k.tiles + at.tile, k.parts - 1) == k.parts - 1;
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    const float *from = scratch + (size_t)at.group * k.parts * K * k.c + first;
    for (unsigned i = threadIdx.x; i < slices * width; i += blockDim.x) {
        unsigned col = i % width, slice = i / width;
        double total[K] = {};
        if (first + col < k.c)
#pragma unroll 8
            for (unsigned p = slice; p < k.parts; p += slices)
                for (int q = 0; q < K; q++)
                    total[q] += (double)__ldcg(from + (p * K + q) * k.c + col);
        for (int q = 0; q < K; q++)
            s.slice[(q * slices + slice) * width + col] = total[q];
    }
    __syncthreads();
    for (unsigned col = threadIdx.x; col < width && first + col < k.c; col += blockDim.x) {
        double total[K] = {};
        for (unsigned i = 0; i < slices; i++)
            for (int q = 0; q < K; q++)
                total[q] += s.slice[(q * slices + i) * width + col];
        finish(first + col, total);
    }
}

#endif
