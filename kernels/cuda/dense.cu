/*
 * dense.cu - biases, unit vectors and row copies, float32.
 *
 * All are bound by memory, and small beside the network's work: the bias is one pass (read, write),
 * its gradient one read, unit vectors one read and one write, their gradient two reads and one
 * write, and what a row's second pass reads is in the cache. Four floats are one access of 16 bytes
 * where rows allow it.
 */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/reduce.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, SUM_THREADS = 512, SUM_ROWS = 4, SUM_BLOCKS = 264 };

/* -- bias ---- */

/* V floats at once, which lie in one row; a thread's column moves on with its place. */
template <int V>
static __global__ void bias_add(float *y, const float *bias, size_t total, size_t c)
{
    size_t step = (size_t)gridDim.x * blockDim.x * V;
    size_t at = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
    size_t column = at % c, columns = step % c;
    for (; at < total; at += step) {
        numbers<V> q = load_floats<V>(y + at), b = load_floats<V>(bias + column);
        for (int i = 0; i < V; i++)
            q.v[i] += b.v[i];
        store(y + at, q);
        column += columns;
        column -= column >= c ? c : 0;
    }
}

template <int V>
static __global__ void __launch_bounds__(SUM_THREADS, 2)
    bias_sums(float *dbias, const float *dy, columns k, float *scratch, unsigned *tickets)
{
    place at = place_of<V>(k);
    float sum[1][V] = {};
    if (at.in)
        walk<SUM_ROWS>(k, at, [&](size_t row, int n) {
            numbers<V> in[SUM_ROWS];
            const float *from = dy + row * k.c + at.column;
#pragma unroll
            for (int u = 0; u < SUM_ROWS; u++)
                if (u < n)
                    in[u] = load_floats<V>(from + u * k.down * k.c);
#pragma unroll
            for (int u = 0; u < SUM_ROWS; u++)
                for (int j = 0; j < V && u < n; j++)
                    sum[0][j] += in[u].v[j];
        });
    add_up<V, 1, SUM_THREADS>(k, at, sum, scratch, tickets,
                              [&](size_t j, const double *total) { dbias[j] += (float)total[0]; });
}

/* -- unit vectors: a warp a row ---- */

__device__ static size_t warp_row()
{
    return (size_t)blockIdx.x * WARPS + threadIdx.y;
}

template <int V>
static __global__ void unit_rows(float *y, float *r, const float *u, size_t n, size_t d)
{
    size_t i = warp_row();
    if (i >= n)
        return;
    double squares = 0;
    for (size_t j = threadIdx.x * V; j < d; j += 32 * V) {
        numbers<V> q = load_floats<V>(u + i * d + j);
        for (int k = 0; k < V; k++)
            squares += (double)q.v[k] * q.v[k];
    }
    squares = warp_sum(squares);
    /* max() would hide NaN */
    double scale = squares < KERN_NORM_EPS ? 1 / sqrt(KERN_NORM_EPS) : 1 / sqrt(squares);
    if (threadIdx.x == 0)
        r[i] = (float)scale;
    for (size_t j = threadIdx.x * V; j < d; j += 32 * V) {
        numbers<V> q = load_floats<V>(u + i * d + j);
        for (int k = 0; k < V; k++)
            q.v[k] = (float)(q.v[k] * scale);
        store(y + i * d + j, q);
    }
}

/* du may be dy: a thread reads what it writes before it does. */
template <int V>
static __global__ void unit_rows_backward(float *du, const float *dy, const float *y,
                                          const float *r, size_t n, size_t d)
{
    size_t i = warp_row();
    if (i >= n)
        return;
    double along = 0;
    for (size_t j = threadIdx.x * V; j < d; j += 32 * V) {
        numbers<V> a = load_floats<V>(y + i * d + j), b = load_floats<V>(dy + i * d + j);
        for (int k = 0; k < V; k++)
            along += (double)a.v[k] * b.v[k];
    }
    float part = (float)warp_sum(along), scale = r[i];
    for (size_t j = threadIdx.x * V; j < d; j += 32 * V) {
        numbers<V> a = load_floats<V>(y + i * d + j), b = load_floats<V>(dy + i * d + j);
        for (int k = 0; k < V; k++)
            b.v[k] = scale * (b.v[k] - a.v[k] * part);
        store(du + i * d + j, b);
    }
}

/* -- row copies: a warp a row ---- */

template <int V>
static __global__ void copy_rows(float *dst, const int32_t *dst_row, const float *src,
                                 const int32_t *src_row, size_t n, size_t d)
{
    size_t i = warp_row();
    if (i >= n)
        return;
    int64_t to_row = dst_row ? dst_row[i] : (int64_t)i;
    int64_t from_row = src_row ? src_row[i] : (int64_t)i;
    if (to_row < 0 || from_row < 0)
        return;
    float *to = dst + (size_t)to_row * d;
    const float *from = src + (size_t)from_row * d;
    for (size_t j = threadIdx.x * V; j < d; j += 32 * V)
        store(to + j, load_floats<V>(from + j));
}

/* -- the slots ---- */

static const dim3 row_block(32, WARPS);

static dim3 rows_grid(size_t n)
{
    return dim3((unsigned)((n + WARPS - 1) / WARPS));
}

extern "C" int cuda_bias_forward(struct kern *kn, float *y, const float *bias, size_t rows,
                                 size_t c)
{
    struct cuda *cu = cuda_of(kn);
    bool packs = fits_packs<float>(c, y, bias);
    size_t each = (size_t)THREADS * (packs ? 4 : 1);
    size_t blocks = min((rows * c + each - 1) / each, (size_t)cu->multiprocessors * 8);
    return launch(cu->stream, packs ? bias_add<4> : bias_add<1>, dim3((unsigned)blocks),
                  dim3(THREADS), 0, y, bias, rows * c, c);
}

template <int V>
static int bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows, size_t c)
{
    struct cuda *cu = cuda_of(kn);
    columns k = columns_of(1, rows, c, V, 32, SUM_THREADS, SUM_ROWS);
    columns_split_sums(&k, SUM_BLOCKS);
    float *scratch = (float *)cuda_scratch(kn, columns_scratch(&k, 1) * sizeof(float));
    if (!scratch && k.parts > 1)
        return -ENOMEM;
    return launch(cu->stream, bias_sums<V>, columns_grid(&k), columns_block(&k), 0, dbias, dy, k,
                  scratch, cu->tickets);
}

extern "C" int cuda_bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows,
                                  size_t c)
{
    return fits_packs<float>(c, dy) ? bias_backward<4>(kn, dbias, dy, rows, c)
                                    : bias_backward<1>(kn, dbias, dy, rows, c);
}

extern "C" int cuda_l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n,
                                   size_t d)
{
    return launch(cuda_of(kn)->stream, fits_packs<float>(d, y, u) ? unit_rows<4> : unit_rows<1>,
                  rows_grid(n), row_block, 0, y, r, u, n, d);
}

extern "C" int cuda_l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                                    const float *r, size_t n, size_t d)
{
    return launch(cuda_of(kn)->stream,
                  fits_packs<float>(d, du, dy, y) ? unit_rows_backward<4> : unit_rows_backward<1>,
                  rows_grid(n), row_block, 0, du, dy, y, r, n, d);
}

extern "C" int cuda_copy_rows(struct kern *kn, float *dst, const int32_t *dst_row, const float *src,
                              const int32_t *src_row, size_t n, size_t d)
{
    return launch(cuda_of(kn)->stream, fits_packs<float>(d, dst, src) ? copy_rows<4> : copy_rows<1>,
                  rows_grid(n), row_block, 0, dst, dst_row, src, src_row, n, d);
}
