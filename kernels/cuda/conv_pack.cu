/*
 * conv_pack.cu - numbers change places around a convolution: weights from OIHW float32, their
 * gradients back, thin inputs into the form of conv_form.c and their gradients back.
 *
 * All are bound by memory. Inputs: read once, written once in 16-byte pieces; threads that are
 * neighbours in x of a block take neighbours of a row, so that the few channels of a thin input are
 * read from lines that the warp uses whole. Weights: one kernel for those of a whole network, for
 * each layer's would take as long to start as to run; a thread packs one channel with all its taps,
 * reading them in one run and writing, tap by tap, beside its neighbours. Gradients: a thread for
 * each number of dw, which are read and written in order; what comes from the engine lies a tap
 * apart and is in the cache for the neighbours. Weights are 0.1 to 0.2 GB a step, 0.05 ms.
 */
#include "kernels/cuda/convolve.h"
#include "kernels/cuda/storage.cuh"

enum { THREADS = 256, BLOCKS_EACH = 16 }; /* of a multiprocessor */

/* A thread for each of len numbers in rows: threads in x along a row, in y over rows. */
struct shape {
    dim3 grid, block;
};

static struct shape shape_of(struct kern *kn, size_t rows, size_t len)
{
    struct shape s;
    s.block.x = 32;
    while (s.block.x < len && s.block.x < THREADS)
        s.block.x *= 2;
    s.block.y = THREADS / s.block.x;
    size_t blocks = (rows + s.block.y - 1) / s.block.y;
    s.grid.x = (unsigned)MIN(blocks, (size_t)cuda_of(kn)->multiprocessors * BLOCKS_EACH);
    return s;
}

#define FOR_ROWS(row, rows)                                                                        \
    for (size_t row = (size_t)blockIdx.x * blockDim.y + threadIdx.y; (row) < (rows);               \
         (row) += (size_t)gridDim.x * blockDim.y)
#define FOR_LEN(i, len) for (unsigned i = threadIdx.x; (i) < (len); (i) += blockDim.x)

/* -- weights ---- */

/* Of one layer: channels, windows and blocks of struct conv_form, w [k][of_c][of_kh][of_kw]. */
struct packing {
    const float *w;
    void *packed;
    unsigned c, kh, kw, of_c, of_kh, of_kw, step;
    unsigned before; /* blocks of the layers before it */
    size_t channels; /* k * c */
};

enum { LAYERS = 60, CHANNELS = 4 * THREADS }; /* of a launch; of a block */

struct packings { /* a launch's arguments are at most 4096 bytes */
    packing layer[LAYERS];
    unsigned n;
};
static_assert(sizeof(packings) <= 4096, "");

/* Channel i of packed, all taps. */
template <typename T> __device__ static void pack_channel(const packing &p, size_t i)
{
    size_t k = i / p.c;
    unsigned in_row = (unsigned)(i - k * p.c), pixel = in_row / p.of_c;
    unsigned ch = in_row - pixel * p.of_c, a = pixel / p.step, b = pixel - a * p.step;
    const float *from = p.w + (k * p.of_c + ch) * p.of_kh * p.of_kw;
    T *to = (T *)p.packed + k * p.kh * p.kw * p.c + in_row;
    for (unsigned t = 0; t < p.kh; t++)
        for (unsigned u = 0; u < p.kw; u++, to += p.c) {
            unsigned r = p.step * t + a, s = p.step * u + b;
            bool inside = a < p.step && r < p.of_kh && s < p.of_kw;
            narrow(to, inside ? from[r * p.of_kw + s] : 0);
        }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS) pack_weights(const packings all)
{
    unsigned low = 0, high = all.n;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (all.layer[middle].before <= blockIdx.x)
            low = middle;
        else
            high = middle;
    }
    const packing &p = all.layer[low];
    size_t first = (size_t)(blockIdx.x - p.before) * CHANNELS;
    size_t end = min(first + CHANNELS, p.channels);
    for (size_t i = first + threadIdx.x; i < end; i += THREADS)
        pack_channel<T>(p, i);
}

template <typename T>
static __global__ void add_weights(conv_form f, float *__restrict__ dw, const T *__restrict__ from)
{
    unsigned kw = (unsigned)f.of.kw, taps = (unsigned)f.of.kh * kw, c = (unsigned)f.of.c;
    FOR_ROWS(k, f.cv.k)
    FOR_LEN(i, c * taps)
    {
        unsigned ch = i, r = 0, s = 0, a = 0, b = 0;
        if (taps > 1) { /* a division costs as much as the memory that it finds */
            ch = i / taps;
            r = (i - ch * taps) / kw;
            s = i - ch * taps - r * kw;
        }
        unsigned t = r, u = s;
        if (f.step > 1) {
            t = r / f.step;
            u = s / f.step;
            a = r - t * f.step;
            b = s - u * f.step;
        }
        size_t at = ((k * f.cv.kh + t) * f.cv.kw + u) * f.cv.c + (a * f.step + b) * c + ch;
        dw[k * c * taps + i] += widen(from[at]);
    }
}

static packing packing_of(const struct kern_conv_weights *weights, unsigned before)
{
    struct conv_form f = conv_form_of(&weights->cv);
    packing p = {};
    p.w = weights->w;
    p.packed = weights->packed;
    p.c = (unsigned)f.cv.c;
    p.kh = (unsigned)f.cv.kh;
    p.kw = (unsigned)f.cv.kw;
    p.of_c = (unsigned)f.of.c;
    p.of_kh = (unsigned)f.of.kh;
    p.of_kw = (unsigned)f.of.kw;
    p.step = f.step;
    p.before = before;
    p.channels = f.cv.k * f.cv.c;
    return p;
}

/* As many of n as a launch has room for and are of one type; their number, or a negative errno. */
static int pack_some(struct kern *kn, const struct kern_conv_weights *list, size_t n)
{
    packings all = {};
    size_t blocks = 0;
    enum kern_type type = list[0].cv.type;
    while (all.n < MIN(n, (size_t)LAYERS) && list[all.n].cv.type == type) {
        packing p = packing_of(&list[all.n], (unsigned)blocks);
        blocks += (p.channels + CHANNELS - 1) / CHANNELS;
        all.layer[all.n++] = p;
    }
    if (blocks > INT32_MAX)
        return -EINVAL;
    cudaStream_t stream = cuda_of(kn)->stream;
    int rc = with_type(type, [&](auto number) {
        using T = decltype(number);
        return launch(stream, pack_weights<T>, dim3((unsigned)blocks), dim3(THREADS), 0, all);
    });
    return rc < 0 ? rc : (int)all.n;
}

extern "C" int cuda_conv_pack(struct kern *kn, const struct kern_conv_weights *list, size_t n)
{
    int rc = 0;
    for (size_t done = 0; done < n && rc >= 0; done += (size_t)MAX(rc, 0))
        rc = pack_some(kn, list + done, n - done);
    return MIN(rc, 0);
}

extern "C" int conv_add_weights(struct kern *kn, const struct conv_form *f, float *dw,
                                const void *from)
{
    struct shape s = shape_of(kn, f->cv.k, f->of.c * f->of.kh * f->of.kw);
    cudaStream_t stream = cuda_of(kn)->stream;
    return with_type(f->cv.type, [&](auto number) {
        using T = decltype(number);
        return launch(stream, add_weights<T>, s.grid, s.block, 0, *f, dw, (const T *)from);
    });
}

/* -- inputs ---- */

/* The channels of a block's row are neighbours in x. */
template <typename T> static __global__ void pack_input(conv_form f, T *to, const T *__restrict__ x)
{
    enum { N = pack<T>::N };
    unsigned pieces = (unsigned)f.cv.c / N, h = (unsigned)f.cv.h, run = f.step * (unsigned)f.of.c;
    size_t width = f.of.w * f.of.c;
    FOR_ROWS(row, f.cv.n * h)
    {
        size_t n = row / h, top = f.step * (row - n * h) - f.of.pad_top; /* may wrap */
        FOR_LEN(i, (unsigned)f.cv.w * pieces)
        {
            unsigned v = i / pieces, first = (i - v * pieces) * N, a = first / run;
            unsigned in_run = first - a * run;
            size_t left = ((size_t)f.step * v - f.of.pad_left) * f.of.c;
            pack<T> p;
            for (int j = 0; j < N; j++) {
                size_t y = top + a, z = left + in_run; /* far too large if negative */
                bool there = a < f.step && y < f.of.h && z < width;
                p.v[j] = there ? widen(x[(n * f.of.h + y) * width + z]) : 0;
                if (++in_run == run) {
                    in_run = 0;
                    a++;
                }
            }
            store_pack(&to[(row * f.cv.w * pieces + i) * N], p);
        }
    }
}

template <typename T>
static __global__ void unpack_input(conv_form f, T *dx, const T *__restrict__ from, bool add)
{
    unsigned c = (unsigned)f.of.c, h = (unsigned)f.of.h, step = f.step;
    FOR_ROWS(row, f.of.n * h)
    {
        size_t n = row / h;
        unsigned y = (unsigned)(row - n * h) + (unsigned)f.of.pad_top;
        unsigned u = y / step, a = y - u * step;
        FOR_LEN(i, (unsigned)f.of.w * c)
        {
            unsigned z = i / c, ch = i - z * c;
            z += (unsigned)f.of.pad_left;
            unsigned v = z / step, b = z - v * step;
            float g = 0; /* no window reaches what is not there */
            if (u < f.cv.h && v < f.cv.w)
                g = widen(from[((n * f.cv.h + u) * f.cv.w + v) * f.cv.c + (a * step + b) * c + ch]);
            T *to = &dx[row * f.of.w * c + i];
            narrow(to, add ? widen(*to) + g : g);
        }
    }
}

extern "C" int conv_pack_input(struct kern *kn, const struct conv_form *f, void *to, const void *x)
{
    size_t pieces = f->cv.c * (f->cv.type == KERN_F32 ? 4 : 2) / 16;
    struct shape s = shape_of(kn, f->cv.n * f->cv.h, f->cv.w * pieces);
    cudaStream_t stream = cuda_of(kn)->stream;
    return with_type(f->cv.type, [&](auto number) {
        using T = decltype(number);
        return launch(stream, pack_input<T>, s.grid, s.block, 0, *f, (T *)to, (const T *)x);
    });
}

extern "C" int conv_unpack_input(struct kern *kn, const struct conv_form *f, void *dx,
                                 const void *from, bool add)
{
    struct shape s = shape_of(kn, f->of.n * f->of.h, f->of.w * f->of.c);
    cudaStream_t stream = cuda_of(kn)->stream;
    return with_type(f->cv.type, [&](auto number) {
        using T = decltype(number);
        return launch(stream, unpack_input<T>, s.grid, s.block, 0, *f, (T *)dx, (const T *)from,
                      add);
    });
}

/* -- sums and comparison ---- */

#define FOR_ALL(i, n)                                                                              \
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; (i) < (n);                      \
         (i) += (size_t)gridDim.x * blockDim.x)

static dim3 blocks_for(struct kern *kn, size_t n)
{
    return dim3((unsigned)MIN((n + THREADS - 1) / THREADS,
                              (size_t)cuda_of(kn)->multiprocessors * BLOCKS_EACH));
}

/* whole: all are multiples of 16 bytes. */
template <typename T>
static __global__ void sum(T *to, const T *a, const T *b, size_t n, bool whole)
{
    enum { N = pack<T>::N };
    size_t packs = whole ? n / N : 0;
    FOR_ALL(i, packs)
    {
        pack<T> p = load_pack(&a[i * N]), q = load_pack(&b[i * N]);
        for (int j = 0; j < N; j++)
            p.v[j] += q.v[j];
        store_pack(&to[i * N], p);
    }
    FOR_ALL(i, n - packs * N)
    {
        size_t at = packs * N + i;
        narrow(&to[at], widen(a[at]) + widen(b[at]));
    }
}

template <typename T>
static int sum_typed(struct kern *kn, void *to, const void *a, const void *b, size_t n)
{
    bool whole = ((uintptr_t)to | (uintptr_t)a | (uintptr_t)b) % 16 == 0;
    dim3 grid = blocks_for(kn, whole ? (n + pack<T>::N - 1) / pack<T>::N : n);
    return launch(cuda_of(kn)->stream, sum<T>, grid, dim3(THREADS), 0, (T *)to, (const T *)a,
                  (const T *)b, n, whole);
}

extern "C" int conv_sum(struct kern *kn, enum kern_type type, void *to, const void *a,
                        const void *b, size_t n)
{
    return with_type(type,
                     [&](auto number) { return sum_typed<decltype(number)>(kn, to, a, b, n); });
}

static __global__ void compare(int *differs, const uint16_t *a, const uint16_t *b, size_t n)
{
    FOR_ALL(i, n)
    if (a[i] != b[i])
        atomicMax(differs, 1);
}

extern "C" int conv_compare(struct kern *kn, int *differs, const void *a, const void *b,
                            size_t bytes)
{
    size_t n = bytes / sizeof(uint16_t);
    return launch(cuda_of(kn)->stream, compare, blocks_for(kn, n), dim3(THREADS), 0, differs,
                  (const uint16_t *)a, (const uint16_t *)b, n);
}
