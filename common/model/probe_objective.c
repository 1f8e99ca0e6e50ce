/*
 * probe_objective.c - the linear probe's objective, its gradient, its minimum, its scores.
 *
 * Rows are cut into blocks of fixed size whose sums are added in order.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/lbfgs.h"
#include "common/model/probe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, MOST_STEPS = 500 };
static const double tolerance = 2e-6;

struct probe_work {
    struct kern *kn;
    struct pool *pool;
    const struct probe_data *data;
    float *w, *grad, *score; /* device: [c][d], [c][d], [n][c] */
    float *host_w, *host_score, *bias;
    double *loss, *bias_grad; /* of each block of rows: [blocks], [blocks][c] */
};

int probe_work_open(struct probe_work **out, struct kern *kn, struct pool *pool,
                    const struct probe_data *data)
{
    struct probe_work *k = mem_alloc(1, sizeof *k, "the probe");
    size_t n = data->n, d = data->d, c = data->nclasses, blocks = (n + BLOCK - 1) / BLOCK;
    size_t scores, weights;
    *out = NULL;
    if (!k)
        return -ENOMEM;
    k->kn = kn;
    k->pool = pool;
    k->data = data;
    int rc = mem_product(&scores, n, c);
    if (rc >= 0)
        rc = mem_product(&weights, d, c);
    if (rc >= 0 && (!(k->w = kern_alloc(kn, weights * sizeof(float))) ||
                    !(k->grad = kern_alloc(kn, weights * sizeof(float))) ||
                    !(k->score = kern_alloc(kn, scores * sizeof(float))) ||
                    !(k->host_w = mem_alloc(weights, sizeof(float), "weights")) ||
                    !(k->host_score = mem_alloc(scores, sizeof(float), "scores")) ||
                    !(k->bias = mem_alloc(c, sizeof *k->bias, "biases")) ||
                    !(k->loss = mem_alloc(blocks, sizeof *k->loss, "losses")) ||
                    !(k->bias_grad = mem_alloc(blocks * c, sizeof *k->bias_grad, "gradients"))))
        rc = fail(-ENOMEM, "no memory for a probe of %zu rows, %zu columns, %zu classes", n, d, c);
    if (rc < 0) {
        probe_work_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

void probe_work_close(struct probe_work *k)
{
    if (!k)
        return;
    kern_free(k->kn, k->w);
    kern_free(k->kn, k->grad);
    kern_free(k->kn, k->score);
    free(k->host_w);
    free(k->host_score);
    free(k->bias);
    free(k->loss);
    free(k->bias_grad);
    free(k);
}

/* Scores of a block of rows become (softmax - one-hot) / n; its loss and bias gradient are kept. */
static int softmax_block(void *arg, size_t block, int worker UNUSED)
{
    struct probe_work *k = arg;
    size_t n = k->data->n, c = k->data->nclasses, end = MIN(n, (block + 1) * BLOCK);
    double loss = 0, *bias_grad = k->bias_grad + block * c;
    memset(bias_grad, 0, c * sizeof *bias_grad);
    for (size_t i = block * BLOCK; i < end; i++) {
        float *s = k->host_score + i * c;
        double most = -INFINITY, sum = 0;
        for (size_t j = 0; j < c; j++)
            most = fmax(most, (double)s[j] + k->bias[j]);
        for (size_t j = 0; j < c; j++)
            sum += exp((double)s[j] + k->bias[j] - most);
        loss += most + log(sum) - s[k->data->label[i]] - k->bias[k->data->label[i]];
        for (size_t j = 0; j < c; j++) {
            double p = exp((double)s[j] + k->bias[j] - most) / sum;
            double g = (p - (j == (size_t)k->data->label[i])) / (double)n;
            bias_grad[j] += g;
            s[j] = (float)g;
        }
    }
    k->loss[block] = loss / (double)n;
    return 0;
}

/* Scores without bias, in host_score. */
static int products(struct probe_work *k, const double *w)
{
    size_t n = k->data->n, d = k->data->d, c = k->data->nclasses;
    for (size_t j = 0; j < c; j++) {
        for (size_t i = 0; i < d; i++)
            k->host_w[j * d + i] = (float)w[j * (d + 1) + i];
        k->bias[j] = (float)w[j * (d + 1) + d];
    }
    int rc = kern_put(k->kn, k->w, k->host_w, c * d * sizeof(float));
    if (rc >= 0)
        rc = kern_gemm(k->kn, false, true, n, c, d, 1, k->data->x, k->w, 0, k->score);
    if (rc >= 0)
        rc = kern_get(k->kn, k->host_score, k->score, n * c * sizeof(float));
    return rc < 0 ? fail(rc, "the probe's product failed: %s", strerror(-rc)) : 0;
}

int probe_objective(struct probe_work *k, const double *w, double strength, double *f, double *grad)
{
    size_t n = k->data->n, d = k->data->d, c = k->data->nclasses;
    size_t blocks = (n + BLOCK - 1) / BLOCK;
    int rc = products(k, w);
    if (rc < 0 || (rc = pool_run(k->pool, blocks, softmax_block, k)) < 0)
        return rc;
    if ((rc = kern_put(k->kn, k->score, k->host_score, n * c * sizeof(float))) < 0 ||
        (rc = kern_gemm(k->kn, true, false, c, d, n, 1, k->score, k->data->x, 0, k->grad)) < 0 ||
        (rc = kern_get(k->kn, k->host_w, k->grad, c * d * sizeof(float))) < 0)
        return fail(rc, "the probe's gradient failed: %s", strerror(-rc));
    *f = 0;
    memset(grad, 0, c * (d + 1) * sizeof *grad);
    for (size_t b = 0; b < blocks; b++) {
        *f += k->loss[b];
        for (size_t j = 0; j < c; j++)
            grad[j * (d + 1) + d] += k->bias_grad[b * c + j];
    }
    for (size_t j = 0; j < c; j++)
        for (size_t i = 0; i < d; i++) {
            double v = w[j * (d + 1) + i];
            *f += strength / 2 * v * v;
            grad[j * (d + 1) + i] = k->host_w[j * d + i] + strength * v;
        }
    return 0;
}

int probe_logits(struct probe_work *k, const double *w, const float **score)
{
    size_t c = k->data->nclasses;
    int rc = products(k, w);
    for (size_t i = 0; i < k->data->n * c && rc >= 0; i++)
        k->host_score[i] += k->bias[i % c];
    *score = k->host_score;
    return rc;
}

struct bound {
    struct probe_work *k;
    double strength;
};

static int objective_of(void *arg, const double *x, double *f, double *grad)
{
    struct bound *b = arg;
    return probe_objective(b->k, x, b->strength, f, grad);
}

int probe_minimise(struct probe_work *k, double *w, double strength, double *f, size_t *iterations)
{
    struct bound b = { k, strength };
    struct lbfgs l = { .n = k->data->nclasses * (k->data->d + 1),
                       .most = MOST_STEPS,
                       .tolerance = tolerance };
    int rc = lbfgs_run(&l, w, objective_of, &b);
    if (f)
        *f = l.f;
    if (iterations)
        *iterations = l.iterations;
    return rc;
}
