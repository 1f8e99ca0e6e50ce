/*
 * contrast.cu - the contrastive loss with sampled negatives, and the invariance term.
 *
 * No n x n matrix is made. A pair of views gathers n (1 + ne) rows of d floats each way, from
 * matrices that stay in the second-level cache: 46 MB at 4096 x 11 x 256, some 10 us. Forward, a
 * block has one anchor and LANES threads a score. Backward, a block owns a row of the gradient and
 * walks the scores that reach it in the order of image, then score; anchored at the target, these
 * are found by sorting the scores by row, stably and without atomic places.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/storage.cuh"
#include <float.h>

enum { LANES = 8, MOST_THREADS = 256 };

__device__ static bool has_positive(const int32_t *pos, size_t b)
{
    return !pos || pos[b] >= 0;
}

/* The image of score i of image b: itself, or a negative; -1 for none. */
__device__ static int64_t image(const kern_contrast &ct, size_t b, size_t i)
{
    return i == 0 ? (int64_t)b : ct.neg[b * ct.ne + i - 1];
}

__device__ static const float *positive(const kern_contrast &ct, size_t b)
{
    return ct.bank + (ct.pos ? (size_t)ct.pos[b] : b) * ct.d;
}

/* As many threads as there are scores, in whole warps. */
static unsigned threads_for(size_t n)
{
    return (unsigned)min((n + 31) / 32 * 32, (size_t)MOST_THREADS);
}

/* -- forward ---- */

/* Of a score, LANES threads take turns at four floats; the sum is the same for both V. */
template <int V>
__device__ static double dot(const float *x, const float *y, size_t d, unsigned lane)
{
    float sum = 0;
    for (size_t j = lane * 4; j < d; j += LANES * 4) {
        numbers<4> a = {}, b = {};
        if (V == 4) {
            a = load_floats<4>(x + j);
            b = load_floats<4>(y + j);
        } else {
            for (size_t k = 0; k < 4 && j + k < d; k++) {
                a.v[k] = x[j + k];
                b.v[k] = y[j + k];
            }
        }
        for (int k = 0; k < 4; k++)
            sum = fmaf(a.v[k], b.v[k], sum);
    }
    return warp_sum<LANES>((double)sum);
}

/* Scores of image b over tau, into s [1 + ne]. */
template <int V> __device__ static void scores(const kern_contrast &ct, double *s, size_t b)
{
    unsigned lane = threadIdx.x % LANES, group = threadIdx.x / LANES, groups = blockDim.x / LANES;
    const float *pos = positive(ct, b);
    for (size_t first = 0; first <= ct.ne; first += groups) {
        size_t i = first + group;
        int64_t im = i <= ct.ne ? image(ct, b, i) : -1;
        const float *x = ct.o + (im < 0 || !ct.target_anchored ? b : (size_t)im) * ct.d;
        const float *y = im < 0 || i == 0 || ct.target_anchored ? pos : ct.t + (size_t)im * ct.d;
        double sum = dot<V>(x, y, im < 0 ? 0 : ct.d, lane);
        if (lane == 0 && i <= ct.ne)
            s[i] = im < 0 ? -INFINITY : sum / ct.tau;
    }
}

/* p [1 + ne] = softmax of s, which is overwritten; returns -log of the first. */
__device__ static double softmax(float *p, double *s, size_t n)
{
    double most = -INFINITY, first = s[0], sum = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        most = fmax(most, s[i]);
    most = block_most(most);
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += s[i] = exp(s[i] - most); /* NaN gets into the sum */
    sum = block_sum(sum);
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        p[i] = (float)(s[i] / sum);
    return most + log(sum) - first;
}

/* Blocks take turns at the images; each has a row of scores [blocks][1 + ne]. */
template <int V>
static __global__ void __launch_bounds__(MOST_THREADS)
    forward(kern_contrast ct, float *p, float *loss, double *rows)
{
    size_t np = ct.ne + 1;
    double *s = rows + blockIdx.x * np;
    for (size_t b = blockIdx.x; b < ct.n; b += gridDim.x) {
        double l = 0;
        if (has_positive(ct.pos, b)) {
            scores<V>(ct, s, b);
            __syncthreads();
            l = softmax(p + b * np, s, np);
            __syncthreads(); /* all have read the first score, and their own */
        } else {
            for (size_t i = threadIdx.x; i < np; i += blockDim.x)
                p[b * np + i] = 0;
        }
        if (threadIdx.x == 0)
            loss[b] = (float)l;
    }
}

/* -- backward ---- */

/* What a score adds to a row: g times a vector, NULL for nothing. */
struct term {
    const float *v;
    float g;
};

/* Scores as they are numbered in p and g: those of image 0, of image 1, ... */
__device__ static term term_of(const kern_contrast &ct, const float *g, size_t b, size_t i)
{
    int64_t im = has_positive(ct.pos, b) ? image(ct, b, i) : -1;
    if (im < 0)
        return { NULL, 0 };
    return { i == 0 || ct.target_anchored ? positive(ct, b) : ct.t + (size_t)im * ct.d,
             g[b * (ct.ne + 1) + i] };
}

/*
 * do_[row] += the terms of the block's row, in their order, over tau. They are those of the image
 * of that number, or where by_row is given by_row[start[row]] to by_row[start[row + 1] - 1]. A
 * block has blockDim.x * V floats of the row, the blockIdx.y-th of such.
 */
template <int V>
static __global__ void __launch_bounds__(MOST_THREADS)
    backward(kern_contrast ct, float *do_, const float *g, const unsigned *by_row,
             const unsigned *start)
{
    __shared__ term terms[MOST_THREADS];
    size_t row = blockIdx.x, j = ((size_t)blockIdx.y * blockDim.x + threadIdx.x) * V;
    size_t np = ct.ne + 1, from = by_row ? start[row] : row * np;
    size_t to = by_row ? start[row + 1] : from + np;
    numbers<V> sum = {};
    for (size_t first = from; first < to; first += blockDim.x) {
        size_t mine = first + threadIdx.x, n = min(to - first, (size_t)blockDim.x);
        __syncthreads();
        if (mine < to) {
            size_t k = by_row ? by_row[mine] : mine, b = by_row ? k / np : row;
            terms[threadIdx.x] = term_of(ct, g, b, k - b * np);
        }
        __syncthreads();
        if (j < ct.d)
#pragma unroll 4
            for (size_t i = 0; i < n; i++) {
                term t = terms[i];
                numbers<V> q = {};
                if (t.v)
                    q = load_floats<V>(t.v + j);
                for (int k = 0; k < V; k++)
                    sum.v[k] = fmaf(t.g, q.v[k], sum.v[k]);
            }
    }
    if (j >= ct.d)
        return;
    numbers<V> q = load_floats<V>(do_ + row * ct.d + j);
    for (int k = 0; k < V; k++)
        q.v[k] += sum.v[k] / ct.tau;
    store(do_ + row * ct.d + j, q);
}

/*
 * Scores by row, for those anchored at the target. They are cut into at most CHUNKS chunks, a block
 * each, which counts its scores of each row; a row's places begin with those of the rows before and
 * of the chunks before, and within a chunk a block fills them batch by batch.
 */
enum { CHUNKS = 128, BATCH = 256 };

struct by_row {
    unsigned n;      /* scores */
    unsigned chunk;  /* scores of one */
    unsigned *list;  /* [n] numbers of scores, those of a row in their order; absent ones are not */
    unsigned *start; /* [ct.n + 1] in list */
    unsigned *count; /* [chunks][ct.n], then places from a row's start on */
};

/* The row that a score adds to, -1 for none. */
__device__ static int64_t row_of(const kern_contrast &ct, unsigned k)
{
    size_t b = k / (ct.ne + 1);
    return has_positive(ct.pos, b) ? image(ct, b, k - b * (ct.ne + 1)) : -1;
}

static __global__ void count_rows(kern_contrast ct, by_row rows)
{
    unsigned end = min(rows.n - blockIdx.x * rows.chunk, rows.chunk);
    for (unsigned i = threadIdx.x; i < end; i += blockDim.x) {
        int64_t row = row_of(ct, blockIdx.x * rows.chunk + i);
        if (row >= 0)
            atomicAdd(&rows.count[blockIdx.x * ct.n + (size_t)row], 1u);
    }
}

/* A thread a row: places in it for each chunk, and how many there are. */
static __global__ void place_chunks(by_row rows, size_t n, unsigned chunks)
{
    size_t row = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    unsigned all = 0;
    if (row >= n)
        return;
#pragma unroll 8
    for (unsigned c = 0; c < chunks; c++) {
        unsigned here = rows.count[c * n + row];
        rows.count[c * n + row] = all;
        all += here;
    }
    rows.start[row] = all;
}

/* One block: start[i] = start[0] + ... + start[i - 1], i = 0 .. n. A thread has rows in a row. */
static __global__ void place_rows(unsigned *start, size_t n)
{
    __shared__ unsigned upto[1024];
    size_t each = (n + blockDim.x - 1) / blockDim.x;
    size_t from = min(n, threadIdx.x * each), to = min(n, from + each);
    unsigned all = 0;
    for (size_t i = from; i < to; i++)
        all += start[i];
    upto[threadIdx.x] = all;
    for (unsigned away = 1; away < blockDim.x; away *= 2) {
        __syncthreads();
        unsigned more = threadIdx.x >= away ? upto[threadIdx.x - away] : 0;
        __syncthreads();
        upto[threadIdx.x] += more;
    }
    unsigned at = upto[threadIdx.x] - all;
    for (size_t i = from; i < to; i++) {
        unsigned here = start[i];
        start[i] = at;
        at += here;
    }
    if (to == n && from < n)
        start[n] = at;
}

static __global__ void __launch_bounds__(BATCH) fill_rows(kern_contrast ct, by_row rows)
{
    __shared__ int64_t row[BATCH];
    unsigned begin = blockIdx.x * rows.chunk, end = min(rows.n - begin, rows.chunk);
    unsigned *next = rows.count + blockIdx.x * ct.n;
    for (unsigned first = 0; first < end; first += BATCH) {
        unsigned k = begin + first + threadIdx.x, before = 0, all = 0, at = 0;
        int64_t mine = first + threadIdx.x < end ? row_of(ct, k) : -1;
        __syncthreads(); /* the batch before is done */
        row[threadIdx.x] = mine;
        __syncthreads();
        for (unsigned i = 0; i < BATCH && mine >= 0; i++) {
            before += row[i] == mine && i < threadIdx.x;
            all += row[i] == mine;
        }
        if (mine >= 0) {
            at = next[mine];
            rows.list[rows.start[mine] + at + before] = k;
        }
        __syncthreads(); /* all have read next */
        if (mine >= 0 && before == 0)
            next[mine] = at + all;
    }
}

static int sort_by_row(struct kern *kn, const kern_contrast &ct, by_row *rows)
{
    cudaStream_t stream = cuda_of(kn)->stream;
    size_t n = ct.n * (ct.ne + 1);
    if (n > UINT32_MAX)
        return -ENOMEM;
    rows->n = (unsigned)n;
    rows->chunk = (unsigned)((n + CHUNKS * BATCH - 1) / (CHUNKS * BATCH) * BATCH);
    unsigned chunks = (rows->n + rows->chunk - 1) / rows->chunk;
    size_t counts = chunks * ct.n;
    rows->count = (unsigned *)cuda_scratch(kn, (counts + ct.n + 1 + n) * sizeof(unsigned));
    if (!rows->count)
        return -ENOMEM;
    rows->start = rows->count + counts;
    rows->list = rows->start + ct.n + 1;
    int rc = cuda_zero(kn, rows->count, counts * sizeof(unsigned));
    if (rc == 0)
        rc = launch(stream, count_rows, dim3(chunks), dim3(BATCH), 0, ct, *rows);
    if (rc == 0)
        rc = launch(stream, place_chunks, dim3((unsigned)((ct.n + 127) / 128)), dim3(128), 0, *rows,
                    ct.n, chunks);
    if (rc == 0)
        rc = launch(stream, place_rows, dim3(1), dim3(1024), 0, rows->start, ct.n);
    if (rc == 0)
        rc = launch(stream, fill_rows, dim3(chunks), dim3(BATCH), 0, ct, *rows);
    return rc;
}

/* -- of probabilities: a block an image ---- */

static __global__ void grad(float *g, const float *p, const int32_t *pos, const float *weight,
                            size_t np)
{
    size_t b = blockIdx.x;
    bool any = has_positive(pos, b);
    for (size_t i = threadIdx.x; i < np; i += blockDim.x)
        g[b * np + i] = any ? *weight * (p[b * np + i] - (i == 0)) : 0;
}

static __global__ void divergence(float *kl, float *g, const float *p, const float *q,
                                  const int32_t *pos, const float *weight, size_t np)
{
    size_t b = blockIdx.x;
    bool any = has_positive(pos, b);
    double sum = 0;
    for (size_t i = threadIdx.x; i < np && any; i += blockDim.x) {
        float x = p[b * np + i], y = q[b * np + i];
        if (x != 0) /* y is a softmax: 0 only by underflow */
            sum += x * log((double)x / (y == 0 ? FLT_MIN : y));
        g[b * np + i] += *weight * (y - x);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        kl[b] = (float)sum;
}

/* -- the slots ---- */

extern "C" int cuda_contrast_forward(struct kern *kn, const struct kern_contrast *ct, float *p,
                                     float *loss)
{
    struct cuda *cu = cuda_of(kn);
    size_t blocks = min(ct->n, (size_t)cu->multiprocessors * 16);
    double *rows = (double *)cuda_scratch(kn, blocks * (ct->ne + 1) * sizeof *rows);
    if (!rows)
        return -ENOMEM;
    return launch(
        cu->stream, fits_packs<float>(ct->d, ct->o, ct->t, ct->bank) ? forward<4> : forward<1>,
        dim3((unsigned)blocks), dim3(threads_for((ct->ne + 1) * LANES)), 0, *ct, p, loss, rows);
}

extern "C" int cuda_contrast_backward(struct kern *kn, const struct kern_contrast *ct, float *do_,
                                      const float *g)
{
    by_row rows = {};
    int rc = ct->target_anchored ? sort_by_row(kn, *ct, &rows) : 0;
    bool packs = fits_packs<float>(ct->d, do_, ct->t, ct->bank);
    size_t columns = packs ? ct->d / 4 : ct->d;
    unsigned threads = threads_for(columns);
    dim3 grid((unsigned)ct->n, (unsigned)((columns + threads - 1) / threads));
    return rc < 0 ? rc
                  : launch(cuda_of(kn)->stream, packs ? backward<4> : backward<1>, grid,
                           dim3(threads), 0, *ct, do_, g, rows.list, rows.start);
}

extern "C" int cuda_contrast_grad(struct kern *kn, float *g, const float *p, const int32_t *pos,
                                  const float *weight, size_t n, size_t ne)
{
    return launch(cuda_of(kn)->stream, grad, dim3((unsigned)n), dim3(threads_for(ne + 1)), 0, g, p,
                  pos, weight, ne + 1);
}

extern "C" int cuda_kl(struct kern *kn, float *kl, float *g, const float *p, const float *q,
                       const int32_t *pos, const float *weight, size_t n, size_t ne)
{
    return launch(cuda_of(kn)->stream, divergence, dim3((unsigned)n), dim3(threads_for(ne + 1)), 0,
                  kl, g, p, q, pos, weight, ne + 1);
}
