/*
 * pool.cu - max-pooling, and means over the plane and over 2 x 2 windows.
 *
 * Floors, in bytes of an element of x (2 of bfloat16, 4 of float32), the maximum of 3 x 3 windows
 * with stride 2 (whose y has a quarter of the elements):
 *
 *                                         passes of x     bfloat16    float32
 * maximum        x, y                     5/4             2.5         5
 *   backward     x, dy, dx                9/4             4.5         9
 * mean of 2 x 2  x, y; stride 1           2               4           8
 *                      stride 2           5/4             2.5         5
 *   backward     the same
 * mean of all    x; backward dx           1               2           4
 *
 * Windows overlap, and what two of them read comes from the caches. So a thread of the forward pass
 * takes two windows below one another, which share a row; and a block of the backward pass looks
 * for the maxima of a tile of windows once, keeps which cells they were in shared memory, and then
 * gathers what comes to each cell, in the order of the windows. y would save a few instructions
 * there, and cost a quarter of a pass: it is not read.
 *
 * Other windows than 3 x 3 with stride 2 are right, and slow backward.
 */
#include "kernels/cuda/columns.cuh"

enum { POOL_THREADS = 256 };

/* Threads for so many numbers of a row: whole warps, no more idle than need be. */
static dim3 pool_block(size_t items)
{
    size_t rounds = over(items, POOL_THREADS);
    return dim3((unsigned)over(over(items, rounds), 32) * 32);
}

/* -- maximum ---- */

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
 * V numbers as their bits in whole words, two of 2 bytes in one: maxima are chosen and gradients
 * passed on or added without leaving that, with a third of the instructions. In masks all bits of a
 * number are 1 or 0.
 */
template <typename T, int V> struct bits {
    enum { N = V == 1 ? 1 : 4 };
    unsigned w[N];
};

template <typename T, int V> __device__ inline bits<T, V> load_bits(const T *from)
{
    if constexpr (V > 1) {
        uint4 u = *reinterpret_cast<const uint4 *>(from);
        return { { u.x, u.y, u.z, u.w } };
    } else if constexpr (sizeof(T) == 2) {
        return { { from->bits } };
    } else {
        return { { __float_as_uint(*from) } };
    }
}

template <typename T, int V> __device__ inline void store_bits(T *to, const bits<T, V> &b)
{
    if constexpr (V > 1)
        store_16(to, make_uint4(b.w[0], b.w[1], b.w[2], b.w[3]));
    else if constexpr (sizeof(T) == 2)
        to->bits = (uint16_t)b.w[0];
    else
        *to = __uint_as_float(b.w[0]);
}

#define NOTHING (~0u) /* as bits: NaN, which is larger than nothing */

template <typename T, int V> __device__ inline bits<T, V> filled(unsigned word)
{
    bits<T, V> b;
    for (int i = 0; i < b.N; i++)
        b.w[i] = word;
    return b;
}

#ifdef __CUDACC__
__device__ inline __nv_bfloat162 pair_of(bf16, unsigned x)
{
    return *reinterpret_cast<__nv_bfloat162 *>(&x);
}

__device__ inline __half2 pair_of(f16, unsigned x)
{
    return *reinterpret_cast<__half2 *>(&x);
}
#else
template <typename T, typename F> inline unsigned pair_by_pair(unsigned x, unsigned y, F f)
{
    unsigned low = f(widen(T{ (uint16_t)x }), widen(T{ (uint16_t)y }));
    unsigned high = f(widen(T{ (uint16_t)(x >> 16) }), widen(T{ (uint16_t)(y >> 16) }));
    return low | high << 16;
}
#endif

/* One number of two bytes: the first bit of a mantissa, and a float that T holds, no denormal. */
template <typename T> struct as;
template <> struct as<bf16> {
    enum { quiet = 0x0040 };
    static __device__ constexpr unsigned number(unsigned float_bits) { return float_bits >> 16; }
};
template <> struct as<f16> {
    enum { quiet = 0x0200 };
    static __device__ constexpr unsigned number(unsigned float_bits)
    {
        return (float_bits - (112u << 23)) >> 13;
    }
};

/* The numbers of two words, pair by pair: */
template <typename T> struct word {
#ifdef __CUDACC__ /* two numbers an instruction */
    static __device__ unsigned greater(unsigned x, unsigned y)
    {
        return __hgt2_mask(pair_of(T{}, x), pair_of(T{}, y));
    }
    static __device__ unsigned equal(unsigned x, unsigned y)
    {
        return __heq2_mask(pair_of(T{}, x), pair_of(T{}, y));
    }
    static __device__ unsigned sum(unsigned x, unsigned y)
    {
        auto both = __hadd2_rn(pair_of(T{}, x), pair_of(T{}, y));
        return *reinterpret_cast<unsigned *>(&both);
    }
#else
    static unsigned greater(unsigned x, unsigned y)
    {
        return pair_by_pair<T>(x, y, [](float a, float b) { return a > b ? 0xffffu : 0u; });
    }
    static unsigned equal(unsigned x, unsigned y)
    {
        return pair_by_pair<T>(x, y, [](float a, float b) { return a == b ? 0xffffu : 0u; });
    }
    static unsigned sum(unsigned x, unsigned y)
    {
        return pair_by_pair<T>(x, y, [](float a, float b) {
            T rounded;
            narrow(&rounded, a + b);
            return (unsigned)rounded.bits;
        });
    }
#endif
    /* NaN with the bit that the definition sets in all it stores */
    static __device__ unsigned quiet(unsigned x)
    {
        return x | (~equal(x, x) & 0x10001u * as<T>::quiet);
    }
    static __device__ constexpr unsigned number(unsigned float_bits)
    {
        return 0x10001u * as<T>::number(float_bits);
    }
};

template <> struct word<float> {
    static __device__ unsigned greater(unsigned x, unsigned y)
    {
        return __uint_as_float(x) > __uint_as_float(y) ? ~0u : 0;
    }
    static __device__ unsigned equal(unsigned x, unsigned y)
    {
        return __uint_as_float(x) == __uint_as_float(y) ? ~0u : 0;
    }
    static __device__ unsigned sum(unsigned x, unsigned y)
    {
        return __float_as_uint(__uint_as_float(x) + __uint_as_float(y));
    }
    static __device__ unsigned quiet(unsigned x) { return x; }
    static __device__ constexpr unsigned number(unsigned float_bits) { return float_bits; }
};

__device__ static inline unsigned choose(unsigned mask, unsigned x, unsigned y)
{
    return (x & mask) | (y & ~mask);
}

/* What was found, or a further cell where that is larger. */
template <typename T, int V> __device__ inline void take(bits<T, V> &most, const bits<T, V> &x)
{
    for (int i = 0; i < x.N; i++)
        most.w[i] = choose(word<T>::greater(x.w[i], most.w[i]), x.w[i], most.w[i]);
}

/* Likewise; which is then what stands for the cell. */
template <typename T, int V>
__device__ inline void take(bits<T, V> &most, bits<T, V> &which, const bits<T, V> &x, unsigned cell)
{
    for (int i = 0; i < x.N; i++) {
        unsigned more = word<T>::greater(x.w[i], most.w[i]);
        most.w[i] = choose(more, x.w[i], most.w[i]);
        which.w[i] = choose(more, cell, which.w[i]);
    }
}

template <typename T, int V> __device__ inline void store_maxima(T *to, bits<T, V> most)
{
    for (int i = 0; i < most.N; i++)
        most.w[i] = word<T>::quiet(most.w[i]);
    store_bits<T, V>(to, most);
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
