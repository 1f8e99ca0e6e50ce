/*
 * maxpool.cu - max-pooling.
 *
 * Floors, in bytes of an element of x (2 of bfloat16, 4 of float32), of 3 x 3 windows with stride 2
 * (whose y has a quarter of the elements):
 *
 *                                         passes of x     bfloat16    float32
 * maximum        x, y                     5/4             2.5         5
 *   backward     x, dy, dx                9/4             4.5         9
 *
 * Windows overlap, and what two of them read comes from the caches. So a thread of the forward pass
 * takes two windows below one another, which share a row; and a block of the backward pass looks
 * for the maxima of a tile of windows once, keeps which cells they were in shared memory, and then
 * gathers what comes to each cell, in the order of the windows. y would save a few instructions
 * there, and cost a quarter of a pass: it is not read.
 *
 * Other windows than 3 x 3 with stride 2 are right, and slow backward.
 */
#include "kernels/cuda/maxpool_bits.cuh"
#include "kernels/cuda/pool.cuh"

/* The numbers of struct kern_maxpool, as kernels count. */
struct pool_shape {
    unsigned h, w, lanes; /* lanes: threads for the channels of a cell */
    unsigned side, stride, oh, ow;
    int top, left; /* padding */
    size_t c;
};

static struct pool_shape pool_shape_of(const struct kern_maxpool *mp, unsigned v)
{
    return { (unsigned)mp->h,          (unsigned)mp->w,
             (unsigned)over(mp->c, v), (unsigned)mp->side,
             (unsigned)mp->stride,     (unsigned)mp->oh,
             (unsigned)mp->ow,         (int)mp->pad_top,
             (int)mp->pad_left,        mp->c };
}

/*
 * The ROWS rows of three cells from row top and column left on, NOTHING for those outside; and of
 * each window among them, which begin two rows apart, the first cell inside.
 */
template <typename T, int V, int ROWS>
__device__ inline void load_cells(bits<T, V> *in, bits<T, V> *first, const T *x,
                                  const pool_shape &s, int top, int left)
{
    enum { WINDOWS = (ROWS - 1) / 2 };
    if (top >= 0 && left >= 0 && top + ROWS <= (int)s.h && left + 3 <= (int)s.w) {
        const T *from = x + ((size_t)top * s.w + left) * s.c;
        size_t row = s.w * s.c;
#pragma unroll
        for (int i = 0; i < ROWS * 3; i++)
            in[i] = load_bits<T, V>(from + i / 3 * row + i % 3 * s.c);
        for (int i = 0; i < WINDOWS; i++)
            first[i] = in[i * 6];
        return;
    }
    for (int i = 0; i < WINDOWS; i++) { /* no row at all: a window that is not wanted */
        size_t row = (size_t)min(max(top + i * 2, 0), (int)s.h - 1);
        first[i] = load_bits<T, V>(x + (row * s.w + max(left, 0)) * s.c);
    }
#pragma unroll
    for (int i = 0; i < ROWS * 3; i++) {
        int row = top + i / 3, col = left + i % 3;
        in[i] = filled<T, V>(NOTHING);
        if (row >= 0 && row < (int)s.h && col >= 0 && col < (int)s.w)
            in[i] = load_bits<T, V>(x + ((size_t)row * s.w + col) * s.c);
    }
}

/* Two windows below one another, 3 x 3 with stride 2. A block has two rows of y. */
template <typename T, int V>
__global__ void __launch_bounds__(POOL_THREADS) max_32(T *y, const T *x, pool_shape s)
{
    unsigned pairs = (s.oh + 1) / 2, image = blockIdx.x / pairs, p = blockIdx.x % pairs * 2;
    bool two = p + 1 < s.oh;
    int top = (int)p * 2 - s.top;
    const T *from = x + (size_t)image * s.h * s.w * s.c;
    T *to = y + ((size_t)image * s.oh + p) * s.ow * s.c;
    for (unsigned item = threadIdx.x; item < s.ow * s.lanes; item += blockDim.x) {
        unsigned q = item / s.lanes, lane = item % s.lanes;
        int left = (int)q * 2 - s.left;
        bits<T, V> in[15], most[2];
        load_cells<T, V, 5>(in, most, from + lane * V, s, top, left);
#pragma unroll
        for (int i = 0; i < 15; i++) {
            if (i < 9)
                take<T, V>(most[0], in[i]);
            if (i >= 6)
                take<T, V>(most[1], in[i]);
        }
        store_maxima<T, V>(to + (size_t)q * s.c + lane * V, most[0]);
        if (two)
            store_maxima<T, V>(to + ((size_t)s.ow + q) * s.c + lane * V, most[1]);
    }
}

/* Cells from..to - 1 of an axis that the window at place covers. */
struct pool_span {
    int from, to;
};

__device__ static inline pool_span window_span(const pool_shape &s, unsigned place, int pad,
                                               unsigned size)
{
    int first = (int)(place * s.stride) - pad;
    return { max(first, 0), min(first + (int)s.side, (int)size) };
}

/* Windows from..to - 1 of an axis that cover a cell. */
__device__ static inline pool_span cell_span(const pool_shape &s, unsigned cell, int pad,
                                             unsigned windows)
{
    int at = (int)cell + pad, side = (int)s.side, stride = (int)s.stride;
    return { at < side ? 0 : (at - side) / stride + 1, min(at / stride + 1, (int)windows) };
}

/* Any windows. A block has a row of y. */
template <typename T, int V>
__global__ void __launch_bounds__(POOL_THREADS) max_any(T *y, const T *x, pool_shape s)
{
    unsigned image = blockIdx.x / s.oh, p = blockIdx.x % s.oh;
    const T *from = x + (size_t)image * s.h * s.w * s.c;
    T *to = y + (size_t)blockIdx.x * s.ow * s.c;
    pool_span rows = window_span(s, p, s.top, s.h);
    for (unsigned item = threadIdx.x; item < s.ow * s.lanes; item += blockDim.x) {
        unsigned q = item / s.lanes, lane = item % s.lanes;
        pool_span cols = window_span(s, q, s.left, s.w);
        auto cell = [&](int row, int col) {
            return load_bits<T, V>(from + ((size_t)row * s.w + col) * s.c + lane * V);
        };
        bits<T, V> most = cell(rows.from, cols.from);
        for (int r = rows.from; r < rows.to; r++)
            for (int t = cols.from; t < cols.to; t++)
                take<T, V>(most, cell(r, t));
        store_maxima<T, V>(to + (size_t)q * s.c + lane * V, most);
    }
}

/*
 * A tile of the backward pass: of places down x across, each a window and the two by two cells
 * where it begins, which belong to no other place; and of lanes * V channels. Cells may also be
 * covered by the windows above and on the left of their own: one row and column of windows more.
 */
enum { TILE_DOWN = 8, TILE_ACROSS = 16, TILE_LANES = 8 };

struct pool_tiles {
    unsigned down, across, lanes;     /* of a tile */
    unsigned rows, columns, channels; /* tiles of an image */
    unsigned places_down, places_across;
};

static struct pool_tiles pool_tiles_of(const struct pool_shape *s)
{
    struct pool_tiles t = {};
    t.places_down = (unsigned)over(s->h + (unsigned)s->top, 2);
    t.places_across = (unsigned)over(s->w + (unsigned)s->left, 2);
    t.rows = (unsigned)over(t.places_down, TILE_DOWN);
    t.columns = (unsigned)over(t.places_across, TILE_ACROSS);
    t.channels = (unsigned)over(s->lanes, TILE_LANES);
    t.down = (unsigned)over(t.places_down, t.rows);
    t.across = (unsigned)over(t.places_across, t.columns);
    t.lanes = (unsigned)over(s->lanes, t.channels);
    return t;
}

/* What stands for cell i of a window: a number, so that word::equal() finds it. 0: no window. */
template <typename T> __device__ inline unsigned name_of(int i)
{
    return word<T>::number(__float_as_uint((float)(i + 1)));
}

/* The names of the first maxima of window p, q. */
template <typename T, int V>
__device__ inline bits<T, V> first_maxima(const T *x, const pool_shape &s, int p, int q)
{
    int top = p * 2 - s.top, left = q * 2 - s.left;
    bits<T, V> in[9], most;
    load_cells<T, V, 3>(in, &most, x, s, top, left);
    bits<T, V> which = filled<T, V>(name_of<T>(max(-top, 0) * 3 + max(-left, 0)));
#pragma unroll
    for (int i = 0; i < 9; i++)
        take<T, V>(most, which, in[i], name_of<T>(i));
    return which;
}

/* What a window with gradient g gives to its cell i is added. */
template <typename T, int V>
__device__ inline void receive(bits<T, V> &sum, const bits<T, V> &which, const bits<T, V> &g, int i)
{
    for (int j = 0; j < g.N; j++) {
        unsigned mine = g.w[j] & word<T>::equal(which.w[j], name_of<T>(i));
        sum.w[j] = word<T>::sum(sum.w[j], mine);
    }
}

template <typename T, int V>
__global__ void __launch_bounds__(POOL_THREADS)
    max_32_backward(T *dx, const T *dy, const T *x, pool_shape s, pool_tiles k)
{
    __shared__ bits<T, V> found[(TILE_DOWN + 1) * (TILE_ACROSS + 1) * TILE_LANES];
    unsigned tile = blockIdx.x;
    unsigned lane0 = tile % k.channels * k.lanes, lanes = min(k.lanes, s.lanes - lane0);
    tile /= k.channels;
    unsigned q0 = tile % k.columns * k.across, across = min(k.across, k.places_across - q0);
    tile /= k.columns;
    unsigned p0 = tile % k.rows * k.down, down = min(k.down, k.places_down - p0);
    size_t image = tile / k.rows;
    x += image * s.h * s.w * s.c;
    dx += image * s.h * s.w * s.c;
    dy += image * s.oh * s.ow * s.c;
    auto there = [&](int p, int q) { return p >= 0 && p < (int)s.oh && q >= 0 && q < (int)s.ow; };
    for (unsigned i = threadIdx.x; i < (down + 1) * (across + 1) * lanes; i += blockDim.x) {
        unsigned lane = i % lanes, place = i / lanes;
        int p = (int)(p0 + place / (across + 1)) - 1, q = (int)(q0 + place % (across + 1)) - 1;
        bits<T, V> which = {};
        if (there(p, q))
            which = first_maxima<T, V>(x + (lane0 + lane) * V, s, p, q);
        found[i] = which;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < down * across * lanes; i += blockDim.x) {
        unsigned lane = i % lanes, place = i / lanes, below = place / across,
                 beside = place % across;
        int p = (int)(p0 + below), q = (int)(q0 + beside);
        const bits<T, V> *at = found + (below * (across + 1) + beside) * lanes + lane;
        size_t channel = (lane0 + lane) * V;
        bits<T, V> g[2][2], which[2][2]; /* of the windows from p - 1, q - 1 to p, q */
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
            for (int t = 0; t < 2; t++) {
                int a = p - 1 + r, b = q - 1 + t;
                g[r][t] = {};
                if (there(a, b))
                    g[r][t] = load_bits<T, V>(dy + ((size_t)a * s.ow + b) * s.c + channel);
                which[r][t] = at[(r * (across + 1) + t) * lanes];
            }
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
            for (int t = 0; t < 2; t++) {
                int row = p * 2 + r - s.top, col = q * 2 + t - s.left;
                bits<T, V> sum = {};
                if (r == 0 && t == 0)
                    receive<T, V>(sum, which[0][0], g[0][0], 8);
                if (r == 0)
                    receive<T, V>(sum, which[0][1], g[0][1], 6 + t);
                if (t == 0)
                    receive<T, V>(sum, which[1][0], g[1][0], r * 3 + 2);
                receive<T, V>(sum, which[1][1], g[1][1], r * 3 + t);
                if (row >= 0 && row < (int)s.h && col >= 0 && col < (int)s.w)
                    store_bits<T, V>(dx + ((size_t)row * s.w + col) * s.c + channel, sum);
            }
    }
}

/* Any windows: each cell looks through all that cover it. A block has a row of x. */
template <typename T, int V>
__global__ void __launch_bounds__(POOL_THREADS)
    max_any_backward(T *dx, const T *dy, const T *x, pool_shape s)
{
    unsigned image = blockIdx.x / s.h, row = blockIdx.x % s.h;
    x += (size_t)image * s.h * s.w * s.c;
    dx += (size_t)blockIdx.x * s.w * s.c;
    dy += (size_t)image * s.oh * s.ow * s.c;
    pool_span down = cell_span(s, row, s.top, s.oh);
    for (unsigned item = threadIdx.x; item < s.w * s.lanes; item += blockDim.x) {
        unsigned col = item / s.lanes, lane = item % s.lanes;
        pool_span across = cell_span(s, col, s.left, s.ow);
        auto cell = [&](int r, int t) {
            return load_bits<T, V>(x + ((size_t)r * s.w + t) * s.c + lane * V);
        };
        bits<T, V> sum = {};
        for (int p = down.from; p < down.to; p++)
            for (int q = across.from; q < across.to; q++) {
                pool_span rows = window_span(s, p, s.top, s.h);
                pool_span cols = window_span(s, q, s.left, s.w);
                bool first = rows.from == (int)row && cols.from == (int)col;
                bits<T, V> most = cell(rows.from, cols.from), here = filled<T, V>(first ? ~0u : 0);
#pragma unroll 1
                for (int r = rows.from; r < rows.to; r++)
#pragma unroll 1
                    for (int t = cols.from; t < cols.to; t++)
                        take<T, V>(most, here, cell(r, t),
                                   r == (int)row && t == (int)col ? ~0u : 0);
                bits<T, V> g = load_bits<T, V>(dy + ((size_t)p * s.ow + q) * s.c + lane * V);
                for (int j = 0; j < g.N; j++)
                    sum.w[j] = word<T>::sum(sum.w[j], g.w[j] & here.w[j]);
            }
        store_bits<T, V>(dx + (size_t)col * s.c + lane * V, sum);
    }
}

static bool is_32(const struct kern_maxpool *mp)
{
    return mp->side == 3 && mp->stride == 2;
}

int cuda_maxpool_forward(struct kern *kn, const struct kern_maxpool *mp, void *y, const void *x)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct pool_shape s = pool_shape_of(mp, A::V);
        size_t rows = is_32(mp) ? over(mp->oh, 2) : mp->oh;
        return launch(cuda_of(kn)->stream, is_32(mp) ? max_32<T, A::V> : max_any<T, A::V>,
                      grid_of(mp->n * rows), pool_block((size_t)s.ow * s.lanes), 0, (T *)y,
                      (const T *)x, s);
    };
    return with_access(mp->type, mp->c, start, y, x);
}

int cuda_maxpool_backward(struct kern *kn, const struct kern_maxpool *mp, void *dx, const void *dy,
                          const void *x, const void *y UNUSED)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct pool_shape s = pool_shape_of(mp, A::V);
        struct pool_tiles k = pool_tiles_of(&s);
        if (is_32(mp))
            return launch(cuda_of(kn)->stream, max_32_backward<T, A::V>,
                          grid_of(mp->n * k.rows * k.columns * k.channels), POOL_THREADS, 0,
                          (T *)dx, (const T *)dy, (const T *)x, s, k);
        return launch(cuda_of(kn)->stream, max_any_backward<T, A::V>, grid_of(mp->n * mp->h),
                      pool_block((size_t)s.w * s.lanes), 0, (T *)dx, (const T *)dy, (const T *)x,
                      s);
    };
    return with_access(mp->type, mp->c, start, dx, dy, x);
}
