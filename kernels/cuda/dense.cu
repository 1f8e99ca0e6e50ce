/*
 * dense.cu - biases, unit vectors and row copies, float32.
 *
 * All are bound by memory, and small beside the network's work: the bias is one pass (read, write),
 * its gradient one read and a 1/PART of it again, unit vectors one read and one write, their
 * gradient two reads and one write. Four floats are one access of 16 bytes where rows allow it.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/quad.cuh"
#include "kernels/cuda/reduce.cuh"

enum { THREADS = 256, WARPS = THREADS / 32 };

/* -- bias ---- */

/* V floats at once, which lie in one row; a thread's column moves on with its place. */
template <int V>
static __global__ void bias_add(float *y, const float *bias, size_t total, size_t c)
{
    size_t step = (size_t)gridDim.x * blockDim.x * V;
    size_t at = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
    size_t column = at % c, columns = step % c;
    for (; at < total; at += step) {
        quad q = load_quad<V>(y + at), b = load_quad<V>(bias + column);
        for (int i = 0; i < V; i++)
            q.v[i] += b.v[i];
        store_quad<V>(y + at, q);
        column += columns;
        column -= column >= c ? c : 0;
    }
}

/*
 * Sums of columns over PART rows: a block has 32 * V columns, its warps take turns at the rows.
 * part [parts][c].
 */
enum { PART = 128 };

template <int V>
static __global__ void column_sums(float *part, const float *dy, size_t rows, size_t c)
{
    __shared__ float sum[WARPS][32 * V + 1];
    size_t column = ((size_t)blockIdx.y * 32 + threadIdx.x) * V;
    size_t end = min(rows, ((size_t)blockIdx.x + 1) * PART);
    float mine[V] = {};
    if (column < c)
        for (size_t i = (size_t)blockIdx.x * PART + threadIdx.y; i < end; i += WARPS) {
            quad q = load_quad<V>(dy + i * c + column);
            for (int k = 0; k < V; k++)
                mine[k] += q.v[k];
        }
    for (int k = 0; k < V; k++)
        sum[threadIdx.y][threadIdx.x * V + k] = mine[k];
    __syncthreads();
    size_t at = (size_t)blockIdx.y * 32 * V + threadIdx.y * 32 + threadIdx.x;
    if (threadIdx.y >= V || at >= c)
        return;
    float all = 0;
    for (int w = 0; w < WARPS; w++)
        all += sum[w][threadIdx.y * 32 + threadIdx.x];
    part[blockIdx.x * c + at] = all;
}

/* dbias += the parts of a column, a warp's share of them by each of a block's warps. */
static __global__ void add_parts(float *dbias, const float *part, size_t parts, size_t c)
{
    __shared__ double sum[WARPS][32];
    size_t column = (size_t)blockIdx.x * 32 + threadIdx.x;
    double all = 0;
    if (column < c)
        for (size_t i = threadIdx.y; i < parts; i += WARPS)
            all += part[i * c + column];
    sum[threadIdx.y][threadIdx.x] = all;
    __syncthreads();
    if (threadIdx.y > 0 || column >= c)
        return;
    for (int w = 1; w < WARPS; w++)
        all += sum[w][threadIdx.x];
    dbias[column] += (float)all;
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
        quad q = load_quad<V>(u + i * d + j);
        for (int k = 0; k < V; k++)
            squares += (double)q.v[k] * q.v[k];
    }
    squares = warp_sum(squares);
    /* max() would hide NaN */
    double scale = squares < KERN_NORM_EPS ? 1 / sqrt(KERN_NORM_EPS) : 1 / sqrt(squares);
    if (threadIdx.x == 0)
        r[i] = (float)scale;
    for (size_t j = threadIdx.x * V; j < d; j += 32 * V) {
        quad q = load_quad<V>(u + i * d + j);
        for (int k = 0; k < V; k++)
            q.v[k] = (float)(q.v[k] * scale);
        store_quad<V>(y + i * d + j, q);
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
        quad a = load_quad<V>(y + i * d + j), b = load_quad<V>(dy + i * d + j);
        for (int k = 0; k < V; k++)
            along += (double)a.v[k] * b.v[k];
    }
    float part = (float)warp_sum(along), scale = r[i];
    for (size_t j = threadIdx.x * V; j < d; j += 32 * V) {
        quad a = load_quad<V>(y + i * d + j), b = load_quad<V>(dy + i * d + j);
        for (int k = 0; k < V; k++)
            b.v[k] = scale * (b.v[k] - a.v[k] * part);
        store_quad<V>(du + i * d + j, b);
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
        store_quad<V>(to + j, load_quad<V>(from + j));
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
    bool quads = quads_fit(c, y, bias);
    size_t each = (size_t)THREADS * (quads ? 4 : 1);
    size_t blocks = min((rows * c + each - 1) / each, (size_t)cu->multiprocessors * 8);
    return launch(cu->stream, quads ? bias_add<4> : bias_add<1>, dim3((unsigned)blocks),
                  dim3(THREADS), 0, y, bias, rows * c, c);
}

extern "C" int cuda_bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows,
                                  size_t c)
{
    cudaStream_t stream = cuda_of(kn)->stream;
    bool quads = quads_fit(c, dy);
    size_t parts = (rows + PART - 1) / PART, width = quads ? 128 : 32;
    float *part = (float *)cuda_scratch(kn, parts * c * sizeof *part);
    if (!part)
        return -ENOMEM;
    dim3 grid((unsigned)parts, (unsigned)((c + width - 1) / width));
    int rc = launch(stream, quads ? column_sums<4> : column_sums<1>, grid, row_block, 0, part, dy,
                    rows, c);
    return rc < 0 ? rc
                  : launch(stream, add_parts, dim3((unsigned)((c + 31) / 32)), row_block, 0, dbias,
                           part, parts, c);
}

extern "C" int cuda_l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n,
                                   size_t d)
{
    return launch(cuda_of(kn)->stream, quads_fit(d, y, u) ? unit_rows<4> : unit_rows<1>,
                  rows_grid(n), row_block, 0, y, r, u, n, d);
}

extern "C" int cuda_l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                                    const float *r, size_t n, size_t d)
{
    return launch(cuda_of(kn)->stream,
                  quads_fit(d, du, dy, y) ? unit_rows_backward<4> : unit_rows_backward<1>,
                  rows_grid(n), row_block, 0, du, dy, y, r, n, d);
}

extern "C" int cuda_copy_rows(struct kern *kn, float *dst, const int32_t *dst_row, const float *src,
                              const int32_t *src_row, size_t n, size_t d)
{
    return launch(cuda_of(kn)->stream, quads_fit(d, dst, src) ? copy_rows<4> : copy_rows<1>,
                  rows_grid(n), row_block, 0, dst, dst_row, src, src_row, n, d);
}
