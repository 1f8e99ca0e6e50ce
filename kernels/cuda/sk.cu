/*
 * sk.cu - a selective-kernel unit's own two steps (Li et al., arXiv 1903.06586).
 *
 * Floors, in passes over a tensor of v's size (2 bytes an element of bfloat16, 4 of float32); what
 * belongs to pictures, not cells, is small:
 *
 * squeeze forward   u                 2
 * squeeze backward  du twice          4
 * select forward    u, v              3
 * select backward   dv, u, du         5
 *
 * A thread keeps a picture's channels (columns.cuh) and computes their shares once. Sums over the
 * cells of a picture are a block's; of several blocks' where pictures are few.
 */
#include "kernels/cuda/columns.cuh"

enum {
    SK_THREADS = 256,
    SK_LANES = 32,
    SK_ROWS = 2,     /* in flight, of two branches */
    SK_BLOCKS = 264, /* that share cells of few pictures; order of sums: not the device's number */
    SK_FULL = 8,     /* blocks for each multiprocessor, where nothing is summed */
};

/* u0 and u1 of V channels from one cell. */
template <typename T, int V> struct sk_pair {
    raw<T, V> u0, u1;
};

template <typename T, int V> __device__ inline sk_pair<T, V> sk_load(const T *u, size_t m)
{
    return { load_raw<T, V>(u), load_raw<T, V>(u + m) };
}

/* The branches' shares of V channels: each from the scores, so that neither loses digits. */
template <int V> struct sk_shares {
    float a[V], b[V];
};

template <int V> __device__ inline sk_shares<V> sk_shares_of(const float *z, size_t m)
{
    sk_shares<V> s;
    for (int j = 0; j < V; j++) {
        float d = z[m + j] - z[j];
        s.a[j] = 1 / (1 + expf(d));
        s.b[j] = 1 / (1 + expf(-d));
    }
    return s;
}

template <typename T, int V>
__global__ void __launch_bounds__(SK_THREADS, 4)
    sk_squeeze(float *s, const T *u, columns k, float *scratch, unsigned *tickets)
{
    place at = place_of<V>(k);
    float sum[1][V] = {};
    size_t m = k.c, step = k.down * 2 * m; /* from one row of the thread to the next, in u */
    const T *from = u + at.group * k.rows * 2 * m + at.column;
    if (at.in)
        walk<SK_ROWS>(k, at, [&](size_t row, int n) {
            sk_pair<T, V> in[SK_ROWS];
#pragma unroll
            for (int i = 0; i < SK_ROWS; i++)
                if (i < n)
                    in[i] = sk_load<T, V>(from + row * 2 * m + i * step, m);
#pragma unroll
            for (int i = 0; i < SK_ROWS; i++)
                if (i < n) {
                    numbers<V> u0 = widen<T, V>(in[i].u0), u1 = widen<T, V>(in[i].u1);
                    for (int j = 0; j < V; j++)
                        sum[0][j] += u0.v[j] + u1.v[j];
                }
        });
    add_up<V, 1, SK_THREADS>(k, at, sum, scratch, tickets, [&](size_t j, const double *total) {
        s[at.group * m + j] = (float)(total[0] / (double)k.rows);
    });
}

template <typename T, int V>
__global__ void __launch_bounds__(SK_THREADS) sk_squeeze_backward(T *du, const float *ds, columns k)
{
    place at = place_of<V>(k);
    size_t m = k.c, step = k.down * 2 * m; /* from one row of the thread to the next, in u */
    if (!at.in)
        return;
    T *to = du + at.group * k.rows * 2 * m + at.column;
    numbers<V> part;
    for (int j = 0; j < V; j++)
        part.v[j] = ds[at.group * m + at.column + j] / (float)k.rows;
    walk<SK_ROWS>(k, at, [&](size_t row, int n) {
        sk_pair<T, V> in[SK_ROWS];
#pragma unroll
        for (int i = 0; i < SK_ROWS; i++)
            if (i < n)
                in[i] = sk_load<T, V>(to + row * 2 * m + i * step, m);
#pragma unroll
        for (int i = 0; i < SK_ROWS; i++)
            if (i < n) {
                numbers<V> u0 = widen<T, V>(in[i].u0), u1 = widen<T, V>(in[i].u1);
                for (int j = 0; j < V; j++) {
                    u0.v[j] += part.v[j];
                    u1.v[j] += part.v[j];
                }
                store<T, V>(to + row * 2 * m + i * step, u0);
                store<T, V>(to + row * 2 * m + i * step + m, u1);
            }
    });
}

template <typename T, int V>
__global__ void __launch_bounds__(SK_THREADS) sk_select(T *v, const T *u, const float *z, columns k)
{
    place at = place_of<V>(k);
    size_t m = k.c, step = k.down * 2 * m; /* from one row of the thread to the next, in u */
    if (!at.in)
        return;
    sk_shares<V> share = sk_shares_of<V>(z + at.group * 2 * m + at.column, m);
    T *to = v + at.group * k.rows * m + at.column;
    const T *from = u + at.group * k.rows * 2 * m + at.column;
    walk<SK_ROWS>(k, at, [&](size_t row, int n) {
        sk_pair<T, V> in[SK_ROWS];
#pragma unroll
        for (int i = 0; i < SK_ROWS; i++)
            if (i < n)
                in[i] = sk_load<T, V>(from + row * 2 * m + i * step, m);
#pragma unroll
        for (int i = 0; i < SK_ROWS; i++)
            if (i < n) {
                numbers<V> u0 = widen<T, V>(in[i].u0), u1 = widen<T, V>(in[i].u1);
                for (int j = 0; j < V; j++)
                    u0.v[j] = share.a[j] * u0.v[j] + share.b[j] * u1.v[j];
                store<T, V>(to + row * m + i * (step / 2), u0);
            }
    });
}

template <typename T, int V>
__global__ void __launch_bounds__(SK_THREADS, 2)
    sk_select_backward(T *du, float *dz, const T *dv, const T *u, const float *z, columns k,
                       float *scratch, unsigned *tickets)
{
    place at = place_of<V>(k);
    size_t m = k.c, scores = at.group * 2 * m, step = k.down * 2 * m;
    size_t start = at.group * k.rows * m;
    float sum[1][V] = {};
    if (at.in) {
        sk_shares<V> share = sk_shares_of<V>(z + scores + at.column, m);
        walk<SK_ROWS>(k, at, [&](size_t row, int n) {
            sk_pair<T, V> in[SK_ROWS];
            raw<T, V> grad[SK_ROWS];
#pragma unroll
            for (int i = 0; i < SK_ROWS; i++)
                if (i < n) {
                    grad[i] = load_raw<T, V>(dv + start + row * m + i * (step / 2) + at.column);
                    in[i] = sk_load<T, V>(u + 2 * (start + row * m) + i * step + at.column, m);
                }
#pragma unroll
            for (int i = 0; i < SK_ROWS; i++)
                if (i < n) {
                    numbers<V> g = widen<T, V>(grad[i]), d1;
                    numbers<V> u0 = widen<T, V>(in[i].u0), u1 = widen<T, V>(in[i].u1);
                    for (int j = 0; j < V; j++) {
                        sum[0][j] = fmaf(g.v[j], u0.v[j] - u1.v[j], sum[0][j]);
                        d1.v[j] = share.b[j] * g.v[j];
                        g.v[j] *= share.a[j];
                    }
                    T *to = du + 2 * (start + row * m) + i * step + at.column;
                    store<T, V>(to, g);
                    store<T, V>(to + m, d1);
                }
        });
    }
    add_up<V, 1, SK_THREADS>(k, at, sum, scratch, tickets, [&](size_t j, const double *total) {
        sk_shares<1> share = sk_shares_of<1>(z + scores + j, m);
        float d = (float)((double)share.a[0] * (double)share.b[0] * total[0]);
        dz[scores + j] = d;
        dz[scores + m + j] = -d;
    });
}

/* -- the slots ---- */

static struct columns sk_columns(const struct kern_sk *sk, unsigned v)
{
    return columns_of(sk->n, sk->cells, sk->m, v, SK_LANES, SK_THREADS, SK_ROWS);
}

/* For sums: the blocks, and scratch for them (NULL if there is none). */
static float *sk_sums(struct kern *kn, const struct kern_sk *sk, unsigned v, struct columns *k)
{
    *k = sk_columns(sk, v);
    columns_split_sums(k, SK_BLOCKS);
    return (float *)cuda_scratch(kn, MAX(columns_scratch(k, 1), 1) * sizeof(float));
}

/* For the rest. */
static struct columns sk_walk(const struct cuda *cu, const struct kern_sk *sk, unsigned v)
{
    struct columns k = sk_columns(sk, v);
    columns_split(&k, (size_t)cu->multiprocessors * SK_FULL);
    return k;
}

int cuda_sk_squeeze_forward(struct kern *kn, const struct kern_sk *sk, float *s, const void *u)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct cuda *cu = cuda_of(kn);
        struct columns k;
        float *scratch = sk_sums(kn, sk, A::V, &k);
        return !scratch ? -ENOMEM
                        : launch(cu->stream, sk_squeeze<T, A::V>, columns_grid(&k),
                                 columns_block(&k), 0, s, (const T *)u, k, scratch, cu->tickets);
    };
    return with_access(sk->type, sk->m, start, u);
}

int cuda_sk_squeeze_backward(struct kern *kn, const struct kern_sk *sk, void *du, const float *ds)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct cuda *cu = cuda_of(kn);
        struct columns k = sk_walk(cu, sk, A::V);
        return launch(cu->stream, sk_squeeze_backward<T, A::V>, columns_grid(&k), columns_block(&k),
                      0, (T *)du, ds, k);
    };
    return with_access(sk->type, sk->m, start, du);
}

int cuda_sk_select_forward(struct kern *kn, const struct kern_sk *sk, void *v, const void *u,
                           const float *z)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct cuda *cu = cuda_of(kn);
        struct columns k = sk_walk(cu, sk, A::V);
        return launch(cu->stream, sk_select<T, A::V>, columns_grid(&k), columns_block(&k), 0,
                      (T *)v, (const T *)u, z, k);
    };
    return with_access(sk->type, sk->m, start, v, u);
}

int cuda_sk_select_backward(struct kern *kn, const struct kern_sk *sk, void *du, float *dz,
                            const void *dv, const void *u, const float *z)
{
    auto start = [&](auto a) {
        using A = decltype(a);
        using T = typename A::T;
        struct cuda *cu = cuda_of(kn);
        struct columns k;
        float *scratch = sk_sums(kn, sk, A::V, &k);
        return !scratch ? -ENOMEM
                        : launch(cu->stream, sk_select_backward<T, A::V>, columns_grid(&k),
                                 columns_block(&k), 0, (T *)du, dz, (const T *)dv, (const T *)u, z,
                                 k, scratch, cu->tickets);
    };
    return with_access(sk->type, sk->m, start, du, dv, u);
}
