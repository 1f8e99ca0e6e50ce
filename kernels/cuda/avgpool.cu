/*
 * avgpool.cu - means over 2 x 2 windows and over the plane.
 *
 * Floors, in bytes of an element of x (2 of bfloat16, 4 of float32):
 *
 *                                         passes of x     bfloat16    float32
 * mean of 2 x 2  x, y; stride 1           2               4           8
 *                      stride 2           5/4             2.5         5
 *   backward     the same
 * mean of all    x; backward dx           1               2           4
 */
#include "kernels/cuda/pool.cuh"

/* -- mean of 2 x 2 windows ---- */

/* The numbers of struct kern_avgpool2, and of its y. */
struct mean2_shape {
    unsigned h, w, lanes, stride, oh, ow;
    size_t c;
};

static struct mean2_shape mean2_shape_of(const struct kern_avgpool2 *ap, unsigned v)
{
    return { (unsigned)ap->h,
             (unsigned)ap->w,
             (unsigned)over(ap->c, v),
             (unsigned)ap->stride,
             (unsigned)over(ap->h, ap->stride),
             (unsigned)over(ap->w, ap->stride),
             ap->c };
}

/* Of each cell in the mean of the window from cell r, t on. A power of 2, so no digit is lost. */
__device__ static inline float mean2_part(const mean2_shape &s, unsigned r, unsigned t)
{
    float down = s.stride == 1 && r + 1 == s.h ? 1 : 0.5f;
    return s.stride == 1 && t + 1 == s.w ? down : down * 0.5f;
}

/* A block has a row of y. */
template <typename T, int V>
__global__ void __launch_bounds__(POOL_THREADS) mean2(T *y, const T *x, mean2_shape s)
{
    unsigned image = blockIdx.x / s.oh, row = blockIdx.x % s.oh * s.stride;
    x += ((size_t)image * s.h + row) * s.w * s.c;
    y += (size_t)blockIdx.x * s.ow * s.c;
    for (unsigned item = threadIdx.x; item < s.ow * s.lanes; item += blockDim.x) {
        unsigned q = item / s.lanes, lane = item % s.lanes, col = q * s.stride;
        raw<T, V> in[4];
        bool inside[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            inside[i] = row + i / 2 < s.h && col + i % 2 < s.w;
            if (inside[i])
                in[i] = load_raw<T, V>(x + ((size_t)(i / 2) * s.w + col + i % 2) * s.c + lane * V);
        }
        numbers<V> sum = {};
        float part = mean2_part(s, row, col);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (inside[i]) {
                numbers<V> v = widen<T, V>(in[i]);
                for (int j = 0; j < V; j++)
                    sum.v[j] = fmaf(v.v[j], part, sum.v[j]);
            }
        store<T, V>(y + (size_t)q * s.c + lane * V, sum);
    }
}

/* A block has a row of x. */
template <typename T, int V>
__global__ void __launch_bounds__(POOL_THREADS) mean2_backward(T *dx, const T *dy, mean2_shape s)
{
    unsigned image = blockIdx.x / s.h, row = blockIdx.x % s.h;
    dy += (size_t)image * s.oh * s.ow * s.c;
    dx += (size_t)blockIdx.x * s.w * s.c;
    for (unsigned item = threadIdx.x; item < s.w * s.lanes; item += blockDim.x) {
        unsigned col = item / s.lanes, lane = item % s.lanes;
        raw<T, V> in[4];
        float part[4];
#pragma unroll
        for (int i = 0; i < 4;
             i++) { /* windows from the cell above on the left to the cell itself */
            int r = (int)row - 1 + i / 2, t = (int)col - 1 + i % 2, stride = (int)s.stride;
            bool window = r >= 0 && t >= 0 && r % stride == 0 && t % stride == 0;
            part[i] = window ? mean2_part(s, r, t) : 0;
            if (window)
                in[i] = load_raw<T, V>(dy + ((size_t)(r / stride) * s.ow + t / stride) * s.c +
                                       lane * V);
        }
        numbers<V> sum = {};
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (part[i] > 0) {
                numbers<V> v = widen<T, V>(in[i]);
                for (int j = 0; j < V; j++)
                    sum.v[j] = fmaf(v.v[j], part[i], sum.v[j]);
            }
        store<T, V>(dx + (size_t)col * s.c + lane * V, sum);
    }
}

int cuda_avgpool2_forward(struct kern *kn, const struct kern_avgpool2 *ap, void *y, const void *x)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct mean2_shape s = mean2_shape_of(ap, A::V);
        return launch(cuda_of(kn)->stream, mean2<T, A::V>, grid_of(ap->n * s.oh),
                      pool_block((size_t)s.ow * s.lanes), 0, (T *)y, (const T *)x, s);
    };
    return with_access(ap->type, ap->c, start, y, x);
}

int cuda_avgpool2_backward(struct kern *kn, const struct kern_avgpool2 *ap, void *dx,
                           const void *dy)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct mean2_shape s = mean2_shape_of(ap, A::V);
        return launch(cuda_of(kn)->stream, mean2_backward<T, A::V>, grid_of(ap->n * s.h),
                      pool_block((size_t)s.w * s.lanes), 0, (T *)dx, (const T *)dy, s);
    };
    return with_access(ap->type, ap->c, start, dx, dy);
}

/* -- mean of the plane: sums of columns, an image a group ---- */

enum {
    MEAN_THREADS = 512,
    MEAN_LANES = 32,
    MEAN_ROWS = 4,     /* in flight */
    MEAN_BLOCKS = 264, /* that share the cells of few images */
};

template <typename T, int V>
__global__ void __launch_bounds__(MEAN_THREADS, 2)
    mean_all(float *y, const T *x, columns k, float *scratch, unsigned *tickets)
{
    place at = place_of<V>(k);
    float sum[1][V] = {};
    const T *from = x + at.group * k.rows * k.c + at.column;
    size_t step = k.down * k.c;
    if (at.in)
        walk<MEAN_ROWS>(k, at, [&](size_t row, int n) {
            raw<T, V> in[MEAN_ROWS];
#pragma unroll
            for (int u = 0; u < MEAN_ROWS; u++)
                if (u < n)
                    in[u] = load_raw<T, V>(from + row * k.c + u * step);
#pragma unroll
            for (int u = 0; u < MEAN_ROWS; u++)
                if (u < n) {
                    numbers<V> v = widen<T, V>(in[u]);
                    for (int j = 0; j < V; j++)
                        sum[0][j] += v.v[j];
                }
        });
    add_up<V, 1, MEAN_THREADS>(k, at, sum, scratch, tickets, [&](size_t j, const double *total) {
        y[at.group * k.c + j] = (float)(total[0] / (double)k.rows);
    });
}

template <typename T, int V>
__global__ void __launch_bounds__(MEAN_THREADS) mean_all_backward(T *dx, const float *dy, columns k)
{
    place at = place_of<V>(k);
    if (!at.in)
        return;
    numbers<V> part;
    for (int j = 0; j < V; j++)
        part.v[j] = dy[at.group * k.c + at.column + j] / (float)k.rows;
    T *to = dx + at.group * k.rows * k.c + at.column;
    size_t step = k.down * k.c;
    walk<MEAN_ROWS>(k, at, [&](size_t row, int n) {
#pragma unroll
        for (int u = 0; u < MEAN_ROWS; u++)
            if (u < n)
                store<T, V>(to + row * k.c + u * step, part);
    });
}

int cuda_avgpool_forward(struct kern *kn, enum kern_type type, float *y, const void *x, size_t n,
                         size_t cells, size_t c)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct cuda *cu = cuda_of(kn);
        struct columns k = columns_of(n, cells, c, A::V, MEAN_LANES, MEAN_THREADS, MEAN_ROWS);
        columns_split_sums(&k, MEAN_BLOCKS);
        float *scratch = (float *)cuda_scratch(kn, MAX(columns_scratch(&k, 1), 1) * sizeof(float));
        return !scratch ? -ENOMEM
                        : launch(cu->stream, mean_all<T, A::V>, columns_grid(&k), columns_block(&k),
                                 0, y, (const T *)x, k, scratch, cu->tickets);
    };
    return with_access(type, c, start, x);
}

int cuda_avgpool_backward(struct kern *kn, enum kern_type type, void *dx, const float *dy, size_t n,
                          size_t cells, size_t c)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct columns k = columns_of(n, cells, c, A::V, MEAN_LANES, MEAN_THREADS, MEAN_ROWS);
        columns_split(&k, MEAN_BLOCKS);
        return launch(cuda_of(kn)->stream, mean_all_backward<T, A::V>, columns_grid(&k),
                      columns_block(&k), 0, (T *)dx, dy, k);
    };
    return with_access(type, c, start, dx);
}
