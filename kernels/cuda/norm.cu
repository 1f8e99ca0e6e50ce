/*
 * norm.cu - batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) at the speed of memory.
 *
 * Floors, in bytes of an element, 2 of bfloat16 or 4 of float32 for each pass over a tensor:
 *
 *                                          passes    bfloat16    float32
 * statistics     x                         1         2           4
 * forward        x, y                      2         4           8
 *   residual     x, residual, y            3         6           12
 * backward       dy, x; dy, x, dx          5         10          20
 *   residual, written
 *                dy, x; dy, x, dx, dresidual
 *                                          6         12          24
 *   residual, added to
 *                dy, x; dy, x, dx, dresidual twice
 *                                          7         14          28
 *
 * The bits that tell backward where a residual's ReLU let numbers through add an eighth of a byte
 * to each pass that writes or reads them.
 *
 * What a pass reads last is first to be read by the next: forward and the second pass of backward
 * run from the end to the start, so that they find the last tens of megabytes in the cache, and
 * leave the start there for whoever reads their result.
 *
 * Groups lie behind one another and share a launch. What they have in common they change in their
 * order, in a kernel of its own that follows the sums if there are several.
 *
 * Sums: one wave of large blocks (264 or 132, two or one for each multiprocessor of an H100),
 * walking side by side through memory, few enough that the last block adds up what they found in a
 * microsecond. A second kernel for that would take two or three. The rest: a chunk a block.
 */
#include "kernels/cuda/columns.cuh"

enum {
    SUM_THREADS = 512,
    SUM_LANES = 32, /* 512 bytes side by side */
    SUM_ROWS = 4,   /* in flight */
    STATS_BLOCKS = 264,
    GRAD_BLOCKS = 132, /* twice the tensors, twice the registers */
    APPLY_THREADS = 256,
    APPLY_ROWS = 4,
};

/* What forward and backward must agree about to the last bit. */
__device__ static inline float affine(float x, float scale, float shift)
{
    return fmaf(x, scale, shift);
}

/* -- statistics ---- */

/* From mean and variance of channel j of a group, which lie there, what forward and backward want.
 */
__device__ static inline void finalise(const kern_bn &bn, size_t group, size_t c, size_t j)
{
    size_t i = group * c + j;
    double r = 1 / sqrt((double)bn.var[i] + (double)KERN_BN_EPS), g = (double)bn.gamma[j] * r;
    bn.scale[i] = (float)g;
    bn.shift[i] = (float)((double)bn.beta[j] - (double)bn.mean[i] * g);
    if (bn.rstd)
        bn.rstd[i] = (float)r;
}

/* The running numbers of channel j follow those of all groups. */
__device__ static inline void run(const kern_bn &bn, size_t groups, size_t c, size_t j)
{
    for (size_t g = 0; g < groups && bn.running_mean; g++) {
        bn.running_mean[j] += bn.weight[g] * (bn.mean[g * c + j] - bn.running_mean[j]);
        bn.running_var[j] += bn.weight[g] * (bn.var[g * c + j] - bn.running_var[j]);
    }
}

/*
 * Differences to the first row, which is as good as any number near the mean: a mean far from 0
 * costs no digits of the variance.
 */
template <typename T, int V>
__global__ void __launch_bounds__(SUM_THREADS, 2)
    norm_stats(kern_bn bn, const T *x, columns k, float *scratch, unsigned *tickets)
{
    place at = place_of<V>(k);
    float sum[2][V] = {};
    if (at.in) {
        numbers<V> first = widen<T, V>(load_raw<T, V>(x + at.group * k.rows * k.c + at.column));
        size_t step = k.down * k.c;
        walk<SUM_ROWS>(k, at, [&](size_t row, int n) {
            raw<T, V> in[SUM_ROWS];
            const T *from = x + (at.group * k.rows + row) * k.c + at.column;
#pragma unroll
            for (int u = 0; u < SUM_ROWS; u++)
                if (u < n)
                    in[u] = load_raw<T, V>(from + u * step);
#pragma unroll
            for (int u = 0; u < SUM_ROWS; u++)
                if (u < n) {
                    numbers<V> v = widen<T, V>(in[u]);
                    for (int j = 0; j < V; j++) {
                        float d = v.v[j] - first.v[j];
                        sum[0][j] += d;
                        sum[1][j] = fmaf(d, d, sum[1][j]);
                    }
                }
        });
    }
    add_up<V, 2, SUM_THREADS>(k, at, sum, scratch, tickets, [&](size_t j, const double *total) {
        double d = total[0] / (double)k.rows, v = total[1] / (double)k.rows - d * d;
        bn.mean[at.group * k.c + j] = (float)((double)widen(x[at.group * k.rows * k.c + j]) + d);
        bn.var[at.group * k.c + j] = v < 0 ? 0 : (float)v; /* NaN stays */
        if (k.groups == 1 && bn.scale) {
            finalise(bn, 0, k.c, j);
            run(bn, 1, k.c, j);
        }
    });
}

int cuda_bn_stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn, const void *x,
                  size_t rows, size_t c)
{
    size_t groups = kern_bn_groups(bn->groups);
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct cuda *cu = cuda_of(kn);
        struct columns k = columns_of(groups, rows, c, A::V, SUM_LANES, SUM_THREADS, SUM_ROWS);
        columns_split_sums(&k, STATS_BLOCKS);
        float *scratch = (float *)cuda_scratch(kn, MAX(columns_scratch(&k, 2), 1) * sizeof(float));
        return !scratch ? -ENOMEM
                        : launch(cu->stream, norm_stats<T, A::V>, columns_grid(&k),
                                 columns_block(&k), 0, *bn, (const T *)x, k, scratch, cu->tickets);
    };
    int rc = with_access(type, c, start, x);
    return rc == 0 && groups > 1 && bn->scale ? cuda_bn_finalise(kn, bn, c) : rc;
}

/* For running statistics, which no sums come before, and for several groups. */
__global__ static void norm_finalise(kern_bn bn, size_t groups, size_t c)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < groups * c)
        finalise(bn, i / c, c, i % c);
    if (i < c)
        run(bn, groups, c, i);
}

int cuda_bn_finalise(struct kern *kn, const struct kern_bn *bn, size_t c)
{
    enum { THREADS = 64 }; /* a thread's double division takes long: many blocks */
    size_t groups = kern_bn_groups(bn->groups);
    return launch(cuda_of(kn)->stream, norm_finalise, grid_of(over(groups * c, THREADS)), THREADS,
                  0, *bn, groups, c);
}

/* -- forward ---- */

/* Bits of V numbers from number at on. Eight are a byte of the thread's own; fewer are put into
 * words of 0 that threads share. */
template <int V> __device__ inline void put_bits(uint8_t *bits, size_t at, unsigned few)
{
    if constexpr (V == 8)
        bits[at / 8] = (uint8_t)few;
    else if (few)
        atomicOr(reinterpret_cast<unsigned *>(bits) + at / 32, few << at % 32);
}

template <int V> __device__ inline unsigned get_bits(const uint8_t *bits, size_t at)
{
    return V == 8 ? bits[at / 8] : bits[at / 8] >> at % 8;
}

/* From the end to the start. */
__device__ static inline place last_first(const columns &k, place at)
{
    at.group = (unsigned)k.groups - 1 - at.group;
    at.part = k.parts - 1 - at.part;
    return at;
}

template <typename T, int V, bool RESIDUAL>
__global__ void __launch_bounds__(APPLY_THREADS)
    norm_forward(struct kern_bn_forward f, float vanishing, columns k)
{
    const T *x = (const T *)f.x, *residual = (const T *)f.residual;
    place at = last_first(k, place_of<V>(k));
    if (!at.in)
        return;
    size_t channel = at.group * k.c + at.column, first = at.group * k.rows * k.c + at.column;
    numbers<V> a = load_floats<V>(f.scale + channel), b = load_floats<V>(f.shift + channel);
    walk<APPLY_ROWS>(k, at, [&](size_t row, int n) {
        raw<T, V> in[APPLY_ROWS], more[APPLY_ROWS];
        size_t start = first + row * k.c, step = k.down * k.c;
#pragma unroll
        for (int u = 0; u < APPLY_ROWS; u++)
            if (u < n) {
                in[u] = load_last<T, V>(x + start + u * step);
                if (RESIDUAL)
                    more[u] = load_last<T, V>(residual + start + u * step);
            }
#pragma unroll
        for (int u = 0; u < APPLY_ROWS; u++)
            if (u < n) {
                numbers<V> v = widen<T, V>(in[u]), r = {};
                unsigned above = 0;
                if (RESIDUAL)
                    r = widen<T, V>(more[u]);
                for (int j = 0; j < V; j++) {
                    v.v[j] = affine(v.v[j], a.v[j], b.v[j]);
                    if (RESIDUAL)
                        v.v[j] += r.v[j];
                    if (f.relu) /* NaN stays */
                        v.v[j] = v.v[j] < 0 ? 0 : v.v[j];
                    above |= (unsigned)(v.v[j] > vanishing) << j;
                }
                store<T, V>((T *)f.y + start + u * step, v);
                if (f.above)
                    put_bits<V>(f.above, start + u * step, above);
            }
    });
}

/* A chunk a block, full rows. */
static struct columns chunks_of(size_t groups, size_t rows, size_t c, unsigned v)
{
    struct columns k =
        columns_of(kern_bn_groups(groups), rows, c, v, APPLY_THREADS, APPLY_THREADS, APPLY_ROWS);
    columns_parts(&k, columns_chunks(&k));
    return k;
}

int cuda_bn_forward(struct kern *kn, const struct kern_bn_forward *f)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct columns k = chunks_of(f->groups, f->rows, f->c, A::V);
        int rc = 0;
        if (f->above && A::V < 8)
            rc = cuda_zero(kn, f->above, kern_above_bytes(k.groups * f->rows * f->c));
        return rc < 0
                   ? rc
                   : launch(cuda_of(kn)->stream,
                            f->residual ? norm_forward<T, A::V, true>
                                        : norm_forward<T, A::V, false>,
                            columns_grid(&k), columns_block(&k), 0, *f, kern_vanishing(f->type), k);
    };
    return with_access(f->type, f->c, start, f->y, f->x, f->residual, f->scale, f->shift);
}

/* -- backward ---- */

/* What tells whether the ReLU let a number through. */
enum norm_mask { MASK_NONE, MASK_ABOVE, MASK_X };

enum norm_residual { RESIDUAL_NONE, RESIDUAL_WRITE, RESIDUAL_ADD };

/* Numbers of a channel for the second pass: dx = A*g + B*x + C; then the forward pass's; then, of
 * several groups, each one's share of dbeta and dgamma. */
enum norm_factor {
    FACTOR_A,
    FACTOR_B,
    FACTOR_C,
    FACTOR_SCALE,
    FACTOR_SHIFT,
    FACTOR_DBETA,
    FACTOR_DGAMMA,
    NFACTORS
};

/* One kernel's share of struct kern_bn_backward, of type T. */
template <typename T> struct norm_grads {
    T *dx, *dresidual;
    const T *dy, *x;
    const uint8_t *above;
};

/* U rows of what both passes read. */
template <typename T, int V, int MASK, int U> struct norm_rows {
    static_assert(V <= 8 && U <= 4, "bits of a row are a byte of above");
    raw<T, V> dy[U], x[U];
    unsigned above = 0;
};

/* dy where the ReLU let it through, else 0. */
template <typename T, int V, int MASK, int U>
__device__ inline numbers<V> norm_masked(const norm_rows<T, V, MASK, U> &in, int u,
                                         const numbers<V> &x, const numbers<V> &scale,
                                         const numbers<V> &shift)
{
    numbers<V> g = widen<T, V>(in.dy[u]);
    if constexpr (MASK != MASK_NONE)
        for (int j = 0; j < V; j++) {
            bool through = MASK == MASK_ABOVE ? in.above >> (8 * u + j) & 1
                                              : affine(x.v[j], scale.v[j], shift.v[j]) > 0;
            g.v[j] = through ? g.v[j] : 0;
        }
    return g;
}

/* What is per channel and only read, added to, or written. */
struct norm_channels {
    float *dgamma, *dbeta;
    const float *mean, *rstd, *gamma, *scale, *shift;
    float *factors; /* [groups][NFACTORS][c] */
};

/* The factors of the second pass from sum g and sum g*(x - mean). */
__device__ static inline void norm_factors(const norm_channels &ch, const columns &k, size_t group,
                                           size_t j, const double *total, bool by_x)
{
    size_t i = group * k.c + j;
    float *factor = ch.factors + group * NFACTORS * k.c + j;
    double r = (double)ch.rstd[i], product = total[1] * r, a = (double)ch.gamma[j] * r;
    double rows = (double)k.rows, b = -a * r * (product / rows);
    factor[FACTOR_A * k.c] = (float)a;
    factor[FACTOR_B * k.c] = (float)b;
    factor[FACTOR_C * k.c] = (float)(-a * (total[0] / rows) - b * (double)ch.mean[i]);
    if (by_x) {
        factor[FACTOR_SCALE * k.c] = ch.scale[i];
        factor[FACTOR_SHIFT * k.c] = ch.shift[i];
    }
    if (k.groups > 1) {
        factor[FACTOR_DBETA * k.c] = (float)total[0];
        factor[FACTOR_DGAMMA * k.c] = (float)product;
    } else {
        ch.dbeta[j] += (float)total[0];
        ch.dgamma[j] += (float)product;
    }
}

/* The shares of several groups, in their order. */
__global__ static void norm_grad_shares(norm_channels ch, size_t groups, size_t c)
{
    size_t j = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (size_t g = 0; g < groups && j < c; g++) {
        const float *factor = ch.factors + g * NFACTORS * c + j;
        ch.dbeta[j] += factor[FACTOR_DBETA * c];
        ch.dgamma[j] += factor[FACTOR_DGAMMA * c];
    }
}

template <typename T, int V, int MASK>
__global__ void __launch_bounds__(SUM_THREADS, 1)
    norm_grad_sums(norm_grads<T> t, norm_channels ch, columns k, float *scratch, unsigned *tickets)
{
    place at = place_of<V>(k);
    float sum[2][V] = {};
    if (at.in) {
        size_t channel = at.group * k.c + at.column, first = at.group * k.rows * k.c + at.column;
        numbers<V> mean, scale = {}, shift = {};
        for (int j = 0; j < V; j++) {
            mean.v[j] = ch.mean[channel + j];
            if (MASK == MASK_X) {
                scale.v[j] = ch.scale[channel + j];
                shift.v[j] = ch.shift[channel + j];
            }
        }
        size_t step = k.down * k.c;
        walk<SUM_ROWS>(k, at, [&](size_t row, int n) {
            norm_rows<T, V, MASK, SUM_ROWS> in;
            size_t start = first + row * k.c;
#pragma unroll
            for (int u = 0; u < SUM_ROWS; u++)
                if (u < n) {
                    in.dy[u] = load_raw<T, V>(t.dy + start + u * step);
                    in.x[u] = load_raw<T, V>(t.x + start + u * step);
                    if (MASK == MASK_ABOVE)
                        in.above |= get_bits<V>(t.above, start + u * step) << 8 * u;
                }
#pragma unroll
            for (int u = 0; u < SUM_ROWS; u++)
                if (u < n) {
                    numbers<V> x = widen<T, V>(in.x[u]);
                    numbers<V> g = norm_masked<T, V, MASK, SUM_ROWS>(in, u, x, scale, shift);
                    for (int j = 0; j < V; j++) {
                        sum[0][j] += g.v[j];
                        sum[1][j] = fmaf(g.v[j], x.v[j] - mean.v[j], sum[1][j]);
                    }
                }
        });
    }
    add_up<V, 2, SUM_THREADS>(k, at, sum, scratch, tickets, [&](size_t j, const double *total) {
        norm_factors(ch, k, at.group, j, total, MASK == MASK_X);
    });
}

template <typename T, int V, int MASK, int RESIDUAL>
__global__ void __launch_bounds__(APPLY_THREADS)
    norm_grad_apply(norm_grads<T> t, const float *factors, columns k)
{
    place at = last_first(k, place_of<V>(k));
    if (!at.in)
        return;
    size_t first = at.group * k.rows * k.c + at.column;
    const float *f = factors + at.group * NFACTORS * k.c + at.column;
    numbers<V> a = load_floats<V>(f + FACTOR_A * k.c), b = load_floats<V>(f + FACTOR_B * k.c);
    numbers<V> c = load_floats<V>(f + FACTOR_C * k.c), scale = {}, shift = {};
    if (MASK == MASK_X) {
        scale = load_floats<V>(f + FACTOR_SCALE * k.c);
        shift = load_floats<V>(f + FACTOR_SHIFT * k.c);
    }
    walk<APPLY_ROWS>(k, at, [&](size_t row, int n) {
        norm_rows<T, V, MASK, APPLY_ROWS> in;
        raw<T, V> before[RESIDUAL == RESIDUAL_ADD ? APPLY_ROWS : 1];
        size_t start = first + row * k.c, step = k.down * k.c;
#pragma unroll
        for (int u = 0; u < APPLY_ROWS; u++)
            if (u < n) {
                in.dy[u] = load_last<T, V>(t.dy + start + u * step);
                in.x[u] = load_last<T, V>(t.x + start + u * step);
                if (MASK == MASK_ABOVE)
                    in.above |= get_bits<V>(t.above, start + u * step) << 8 * u;
                if (RESIDUAL == RESIDUAL_ADD)
                    before[u] = load_last<T, V>(t.dresidual + start + u * step);
            }
#pragma unroll
        for (int u = 0; u < APPLY_ROWS; u++)
            if (u < n) {
                numbers<V> x = widen<T, V>(in.x[u]);
                numbers<V> g = norm_masked<T, V, MASK, APPLY_ROWS>(in, u, x, scale, shift);
                if (RESIDUAL == RESIDUAL_WRITE)
                    store<T, V>(t.dresidual + start + u * step, g);
                for (int j = 0; j < V; j++)
                    x.v[j] = fmaf(a.v[j], g.v[j], fmaf(b.v[j], x.v[j], c.v[j]));
                store<T, V>(t.dx + start + u * step, x);
                if (RESIDUAL == RESIDUAL_ADD) {
                    numbers<V> old = widen<T, V>(before[u]);
                    for (int j = 0; j < V; j++)
                        g.v[j] += old.v[j];
                    store<T, V>(t.dresidual + start + u * step, g);
                }
            }
    });
}

/* The two passes, and between them what only several groups need. */
template <typename T, int V, int MASK, int RESIDUAL>
static int backward_passes(struct kern *kn, const struct kern_bn_backward *b)
{
    struct cuda *cu = cuda_of(kn);
    size_t groups = kern_bn_groups(b->groups), factors = groups * NFACTORS * b->c;
    struct columns k = columns_of(groups, b->rows, b->c, V, SUM_LANES, SUM_THREADS, SUM_ROWS);
    columns_split_sums(&k, GRAD_BLOCKS);
    float *scratch = (float *)cuda_scratch(kn, (factors + columns_scratch(&k, 2)) * sizeof(float));
    if (!scratch)
        return -ENOMEM;
    norm_channels ch = { b->dgamma, b->dbeta, b->mean,  b->rstd,
                         b->gamma,  b->scale, b->shift, scratch };
    norm_grads<T> t = { (T *)b->dx, (T *)b->dresidual, (const T *)b->dy, (const T *)b->x,
                        b->above };
    int rc = launch(cu->stream, norm_grad_sums<T, V, MASK>, columns_grid(&k), columns_block(&k), 0,
                    t, ch, k, scratch + factors, cu->tickets);
    if (rc == 0 && groups > 1)
        rc = launch(cu->stream, norm_grad_shares, grid_of(over(b->c, APPLY_THREADS)), APPLY_THREADS,
                    0, ch, groups, b->c);
    if (rc < 0)
        return rc;
    k = chunks_of(groups, b->rows, b->c, V);
    return launch(cu->stream, norm_grad_apply<T, V, MASK, RESIDUAL>, columns_grid(&k),
                  columns_block(&k), 0, t, scratch, k);
}

template <typename T, int V, int MASK>
static int backward_as(struct kern *kn, const struct kern_bn_backward *b)
{
    if (!b->dresidual)
        return backward_passes<T, V, MASK, RESIDUAL_NONE>(kn, b);
    return b->residual_add ? backward_passes<T, V, MASK, RESIDUAL_ADD>(kn, b)
                           : backward_passes<T, V, MASK, RESIDUAL_WRITE>(kn, b);
}

int cuda_bn_backward(struct kern *kn, const struct kern_bn_backward *b)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        if (!b->relu)
            return backward_as<typename A::T, A::V, MASK_NONE>(kn, b);
        return b->above ? backward_as<typename A::T, A::V, MASK_ABOVE>(kn, b)
                        : backward_as<typename A::T, A::V, MASK_X>(kn, b);
    };
    return with_access(b->type, b->c, start, b->dx, b->dresidual, b->dy, b->x);
}
