/*
 * dense_isa.c - matrix products by OpenBLAS on fixed tiles; biases and unit vectors in own loops.
 *
 * OpenBLAS runs single-threaded inside our tasks, and the tiles depend on shapes only: the result
 * is the same for any number of threads.
 */
#include <cblas.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/vec.h"

enum { TILE_M = 128, TILE_N = 256, ROWS = 64 };

struct gemm {
    bool ta, tb;
    size_t m, n, k, across;
    float alpha, beta;
    const float *a, *b;
    float *c;
};

static int gemm_task(void *arg, size_t i, int worker UNUSED)
{
    const struct gemm *g = arg;
    size_t m0 = i / g->across * TILE_M, n0 = i % g->across * TILE_N;
    const float *a = g->a + (g->ta ? m0 : m0 * g->k), *b = g->b + (g->tb ? n0 * g->k : n0);
    cblas_sgemm(CblasRowMajor, g->ta ? CblasTrans : CblasNoTrans, g->tb ? CblasTrans : CblasNoTrans,
                (int)MIN((size_t)TILE_M, g->m - m0), (int)MIN((size_t)TILE_N, g->n - n0), (int)g->k,
                g->alpha, a, (int)(g->ta ? g->m : g->k), b, (int)(g->tb ? g->k : g->n), g->beta,
                g->c + m0 * g->n + n0, (int)g->n);
    return 0;
}

static int gemm(struct kern *kn, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                const float *a, const float *b, float beta, float *c)
{
    struct gemm g = { ta, tb, m, n, k, (n + TILE_N - 1) / TILE_N, alpha, beta, a, b, c };
    return pool_run(kn->pool, (m + TILE_M - 1) / TILE_M * g.across, gemm_task, &g);
}

static int bias_forward(struct kern *kn UNUSED, float *y, const float *bias, size_t rows, size_t c)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < c; j++)
            y[i * c + j] += bias[j];
    return 0;
}

static int bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows, size_t c)
{
    float *sum = kern_shared(kn, c * sizeof(*sum));
    if (!sum)
        return -ENOMEM;
    memset(sum, 0, c * sizeof(*sum));
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < c; j++)
            sum[j] += dy[i * c + j];
    for (size_t j = 0; j < c; j++)
        dbias[j] += sum[j];
    return 0;
}

struct rows {
    float *out, *r;
    const float *u, *dy, *y, *scale;
    size_t n, d;
};

static int norm_task(void *arg, size_t i, int worker UNUSED)
{
    const struct rows *w = arg;
    for (size_t row = i * ROWS; row < MIN(w->n, (i + 1) * ROWS); row++) {
        const float *u = w->u + row * w->d;
        float ss = vec_dot(u, u, w->d),
              r = (float)(1 / sqrt(ss < KERN_NORM_EPS ? KERN_NORM_EPS : (double)ss));
        w->r[row] = r;
        for (size_t j = 0; j < w->d; j++)
            w->out[row * w->d + j] = u[j] * r;
    }
    return 0;
}

static int norm_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct rows *w = arg;
    for (size_t row = i * ROWS; row < MIN(w->n, (i + 1) * ROWS); row++) {
        const float *dy = w->dy + row * w->d, *y = w->y + row * w->d;
        float along = vec_dot(y, dy, w->d), r = w->scale[row];
        for (size_t j = 0; j < w->d; j++)
            w->out[row * w->d + j] = r * (dy[j] - y[j] * along);
    }
    return 0;
}

static int l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n, size_t d)
{
    struct rows w = { .out = y, .r = r, .u = u, .n = n, .d = d };
    return pool_run(kn->pool, (n + ROWS - 1) / ROWS, norm_task, &w);
}

static int l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                           const float *r, size_t n, size_t d)
{
    struct rows w = { .out = du, .dy = dy, .y = y, .scale = r, .n = n, .d = d };
    return pool_run(kn->pool, (n + ROWS - 1) / ROWS, norm_back_task, &w);
}

void ISA(cpu_set_dense)(struct kern_ops *o);
void ISA(cpu_set_dense)(struct kern_ops *o)
{
    openblas_set_num_threads(1); /* the pool is the only source of threads */
    o->gemm = gemm;
    o->bias_forward = bias_forward;
    o->bias_backward = bias_backward;
    o->l2norm_forward = l2norm_forward;
    o->l2norm_backward = l2norm_backward;
}
