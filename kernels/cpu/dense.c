/*
 * dense.c - matrix products, biases and unit vectors in parallel.
 *
 * A product is cut into tiles of c; each is one single-threaded call of OpenBLAS on a task of the
 * pool. Where c is too small to make work for many threads and k is long (gradients of a linear
 * classifier), k is cut as well, into parts that are added in order. The cuts depend on m, n and k
 * only, so results do not depend on the number of threads.
 *
 * copy_rows moves a few megabytes a step and stays as defined: its rows may repeat.
 */
#include <cblas.h>
#include <errno.h>

#include "kernels/cpu/dense.h"

/* -- matrix products ----------------------------------------------------------------------- */

/* OpenBLAS packs both sides of a tile anew: 512 x 512 costs a tenth of its speed, 128 x 128 a
 * third. */
enum {
    TILE_MAX = 512,
    TILE_MIN = 128,
    TILES = 8,       /* wanted for the threads */
    PART_MIN = 1024, /* of k */
};

struct product {
    bool ta, tb;
    size_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    size_t tile_m, tile_n, across, tiles; /* tiles side by side, and in all */
    size_t parts, part;                   /* of k, and the length of one */
    float *sums;                          /* [parts][m][n] if parts > 1 */
};

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static void cut(struct product *p)
{
    p->tile_m = p->tile_n = TILE_MAX;
    for (;;) {
        p->across = ceil_div(p->n, p->tile_n);
        p->tiles = ceil_div(p->m, p->tile_m) * p->across;
        /* halve what is really longer */
        size_t rows = MIN(p->m, p->tile_m), cols = MIN(p->n, p->tile_n);
        if (p->tiles >= TILES || MAX(rows, cols) <= TILE_MIN)
            break;
        if (cols >= rows)
            p->tile_n /= 2;
        else
            p->tile_m /= 2;
    }
    p->parts = p->tiles < TILES ? MAX((size_t)1, MIN(TILES / p->tiles, p->k / PART_MIN)) : 1;
    p->part = ceil_div(p->k, p->parts);
    p->parts = ceil_div(p->k, p->part);
}

static int product_task(void *arg, size_t i, int worker UNUSED)
{
    const struct product *p = arg;
    size_t tile = i % p->tiles, part = i / p->tiles;
    size_t row = tile / p->across * p->tile_m, col = tile % p->across * p->tile_n;
    size_t rows = MIN(p->tile_m, p->m - row), cols = MIN(p->tile_n, p->n - col);
    size_t first = part * p->part, depth = MIN(p->part, p->k - first);
    const float *a = p->ta ? p->a + first * p->m + row : p->a + row * p->k + first;
    const float *b = p->tb ? p->b + col * p->k + first : p->b + first * p->n + col;
    float *c = p->parts > 1 ? p->sums + part * p->m * p->n : p->c;
    cblas_sgemm(CblasRowMajor, p->ta ? CblasTrans : CblasNoTrans, p->tb ? CblasTrans : CblasNoTrans,
                (int)rows, (int)cols, (int)depth, p->alpha, a, (int)(p->ta ? p->m : p->k), b,
                (int)(p->tb ? p->k : p->n), p->parts > 1 ? 0 : p->beta, c + row * p->n + col,
                (int)p->n);
    return 0;
}

static void add_parts(const struct product *p)
{
    for (size_t i = 0; i < p->m * p->n; i++) {
        float sum = p->beta != 0 ? p->beta * p->c[i] : 0;
        for (size_t part = 0; part < p->parts; part++)
            sum += p->sums[part * p->m * p->n + i];
        p->c[i] = sum;
    }
}

static int cpu_gemm(struct kern *kn, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                    const float *a, const float *b, float beta, float *c)
{
    struct product p = { .ta = ta,
                         .tb = tb,
                         .m = m,
                         .n = n,
                         .k = k,
                         .alpha = alpha,
                         .beta = beta,
                         .a = a,
                         .b = b,
                         .c = c };
    cut(&p);
    if (p.parts > 1 && !(p.sums = kern_shared(kn, p.parts * m * n * sizeof(float))))
        return -ENOMEM;
    int rc = pool_run(kn->pool, p.tiles * p.parts, product_task, &p);
    if (rc == 0 && p.parts > 1)
        add_parts(&p);
    return rc;
}

/* -- rows ---------------------------------------------------------------------------------- */

enum {
    PIECE = 64,            /* rows summed in float32 */
    TASK_FLOATS = 1 << 14, /* of a task, about */
};

struct job {
    struct kern *kn;
    const struct cpu_dense *inner;
    float *to, *r;
    const float *from, *y;
    double *sums; /* [tasks][c] */
    size_t rows, c, task_rows;
};

static struct job job_of(struct kern *kn, size_t rows, size_t c)
{
    struct job j = { .kn = kn, .inner = ISA_BEST(kn, cpu_dense), .rows = rows, .c = c };
    j.task_rows = MAX((size_t)1, TASK_FLOATS / c);
    return j;
}

static int run(struct job *j, int (*task)(void *arg, size_t i, int worker))
{
    return pool_run(j->kn->pool, ceil_div(j->rows, j->task_rows), task, j);
}

static size_t share(const struct job *j, size_t i)
{
    return MIN(j->task_rows, j->rows - i * j->task_rows);
}

static int bias_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    j->inner->add_row(j->to + i * j->task_rows * j->c, j->from, share(j, i), j->c);
    return 0;
}

static int cpu_bias_forward(struct kern *kn, float *y, const float *bias, size_t rows, size_t c)
{
    struct job j = job_of(kn, rows, c);
    j.to = y;
    j.from = bias;
    return run(&j, bias_task);
}

static int sum_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    float *acc = kern_scratch_of(j->kn, worker);
    double *sum = j->sums + i * j->c;
    size_t rows = share(j, i);
    for (size_t k = 0; k < j->c; k++)
        sum[k] = 0;
    for (size_t r = 0; r < rows; r += PIECE) {
        j->inner->column_sums(acc, j->from + (i * j->task_rows + r) * j->c,
                              MIN((size_t)PIECE, rows - r), j->c);
        for (size_t k = 0; k < j->c; k++)
            sum[k] += acc[k];
    }
    return 0;
}

static int cpu_bias_backward(struct kern *kn, float *dbias, const float *dy, size_t rows, size_t c)
{
    struct job j = job_of(kn, rows, c);
    j.from = dy;
    j.task_rows = ceil_div(j.task_rows, PIECE) * PIECE;
    size_t tasks = ceil_div(rows, j.task_rows);
    int rc = kern_scratch(kn, c * sizeof(float));
    if (rc < 0 || !(j.sums = kern_shared(kn, tasks * c * sizeof(double))))
        return -ENOMEM;
    if ((rc = run(&j, sum_task)) < 0)
        return rc;
    for (size_t k = 0; k < c; k++) {
        double sum = 0;
        for (size_t t = 0; t < tasks; t++)
            sum += j.sums[t * c + k];
        dbias[k] += (float)sum;
    }
    return 0;
}

static int unit_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    size_t first = i * j->task_rows;
    j->inner->unit_rows(j->to + first * j->c, j->r + first, j->from + first * j->c, share(j, i),
                        j->c);
    return 0;
}

static int cpu_l2norm_forward(struct kern *kn, float *y, float *r, const float *u, size_t n,
                              size_t d)
{
    struct job j = job_of(kn, n, d);
    j.to = y;
    j.r = r;
    j.from = u;
    return run(&j, unit_task);
}

struct back {
    struct job job;
    const float *r;
};

static int unit_back_task(void *arg, size_t i, int worker UNUSED)
{
    const struct back *b = arg;
    const struct job *j = &b->job;
    size_t first = i * j->task_rows, at = first * j->c;
    j->inner->unit_rows_back(j->to + at, j->from + at, j->y + at, b->r + first, share(j, i), j->c);
    return 0;
}

static int cpu_l2norm_backward(struct kern *kn, float *du, const float *dy, const float *y,
                               const float *r, size_t n, size_t d)
{
    struct back b = { .job = job_of(kn, n, d), .r = r };
    b.job.to = du;
    b.job.from = dy;
    b.job.y = y;
    return run(&b.job, unit_back_task);
}

void cpu_init_dense(struct kern_ops *o, unsigned isa UNUSED)
{
    openblas_set_num_threads(1); /* the pool is the only source of threads */
    o->gemm = cpu_gemm;
    o->bias_forward = cpu_bias_forward;
    o->bias_backward = cpu_bias_backward;
    o->l2norm_forward = cpu_l2norm_forward;
    o->l2norm_backward = cpu_l2norm_backward;
}
