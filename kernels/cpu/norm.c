/*
 * norm.c - batch normalisation in parallel, at the speed of memory.
 *
 * Few channels make short rows. So rows of the tensor are taken side by side, fold of them, as one
 * row of width = fold * c numbers, a multiple of the vectors; what is left of the tensor, less than
 * a row, is a task of its own. Sums are float32 over PIECE rows, of differences to the first of
 * them, then double over pieces, tasks and the folded columns, in that order: borders depend on
 * shapes only, and a mean far from 0 costs no digits of the variance.
 *
 * Floors, in passes over a tensor: statistics 1 read; forward 1 read, 1 write (and the residual);
 * backward 2 reads for the sums, then 2 reads and 1 write, with a residual 2; what its ReLU let
 * through is told by bits that forward has left, which are next to nothing. The second pass of
 * backward starts at the end, where the caches still hold what the first one read last. bfloat16
 * halves the bytes; sums and factors are the same.
 */
#include <errno.h>

#include "kernels/cpu/norm.h"

enum {
    PIECE = 64,             /* rows summed in float32 */
    TASK_NUMBERS = 1 << 16, /* of a task, if a piece is not larger */
    PART_NUMBERS = 1 << 13, /* of a part at least: some microseconds */
    MIN_WIDTH = 256,        /* numbers of a row, reached by folding */
    MAX_WIDTH = 4096,       /* beyond, c stays as it is */
    ALIGN = 16,             /* numbers of the widest vectors */
    BLOCK = 64,             /* channels of a task when sums are put together */
    COEF = 6,               /* numbers of a channel in struct cpu_norm_coef */
};

struct plan {
    size_t c, fold, width, rows, rest; /* rest: numbers behind the last whole row */
    size_t columns;                    /* width, rounded up to CPU_NORM_COLUMNS */
    size_t task_rows, whole, ntasks;   /* whole: tasks before that of the rest */
};

/* above: as far as its bits want rows that begin with a byte, however wide. */
static struct plan plan_of(size_t rows, size_t c, const uint8_t *above)
{
    struct plan p = { .c = c, .fold = 1 };
    while ((c * p.fold % ALIGN || c * p.fold < MIN_WIDTH) && 2 * c * p.fold <= MAX_WIDTH)
        p.fold *= 2;
    while (above && c * p.fold % 8)
        p.fold *= 2;
    p.width = c * p.fold;
    p.columns = (p.width + CPU_NORM_COLUMNS - 1) / CPU_NORM_COLUMNS * CPU_NORM_COLUMNS;
    p.rows = rows / p.fold;
    p.rest = rows % p.fold * c;
    p.task_rows = PIECE * MAX((size_t)1, TASK_NUMBERS / (PIECE * p.width));
    p.whole = (p.rows + p.task_rows - 1) / p.task_rows;
    p.ntasks = p.whole + (p.rest > 0);
    return p;
}

/* The share of a task: rows of w numbers from offset on. */
struct share {
    size_t offset, rows, w;
};

static struct share share_of(const struct plan *p, size_t i)
{
    if (i == p->whole)
        return (struct share){ p->rows * p->width, 1, p->rest };
    size_t first = i * p->task_rows;
    return (struct share){ first * p->width, MIN(p->task_rows, p->rows - first), p->width };
}

/* Part of so many of the tasks' rows: for passes that sum nothing. */
static struct share part_of(const struct plan *p, size_t i, size_t part, size_t parts)
{
    struct share s = share_of(p, i);
    size_t from = s.rows * part / parts, to = s.rows * (part + 1) / parts;
    return (struct share){ s.offset + from * s.w, to - from, s.w };
}

/* The bits of number i on, which begin with a byte. */
static uint8_t *bits_at(const uint8_t *above, size_t i)
{
    return above ? (uint8_t *)(uintptr_t)above + i / 8 : NULL;
}

struct job {
    struct kern *kn;
    const struct cpu_norm *inner;
    enum kern_type type;
    struct plan plan;
    size_t parts,
        ranges;   /* of a task: rows, where nothing is summed; columns, where gradients are */
    double *sums; /* [ntasks][2][width] */
    float *coef;  /* [COEF][columns]: one number a channel, repeated fold times */
    size_t rows;
    /* statistics */
    float *mean, *var;
    const void *x;
    const struct kern_bn_forward *forward;
    const struct kern_bn_backward *back;
};

/* Room for the sums, the columns' numbers and what a worker sums in. */
static int prepare(struct job *j, bool sums)
{
    const struct plan *p = &j->plan;
    size_t total = sums ? p->ntasks * 2 * p->width : 0;
    j->sums = kern_shared(j->kn, total * sizeof(double) + COEF * p->columns * sizeof(float));
    if (!j->sums || (sums && kern_scratch(j->kn, 2 * p->width * sizeof(float)) < 0))
        return -ENOMEM;
    j->coef = (float *)(j->sums + total);
    size_t rows = MIN(p->task_rows, MAX(p->rows, (size_t)1));
    size_t most = rows * p->width / PART_NUMBERS;
    j->parts = cpu_parts(j->kn, p->ntasks, rows, most, 0);
    j->ranges = cpu_parts(j->kn, p->ntasks, p->columns / CPU_NORM_COLUMNS, most, 0);
    return 0;
}

/* Writes a channel's number into row r of coef. */
static void spread(const struct job *j, size_t r, size_t channel, float value)
{
    for (size_t f = 0; f < j->plan.fold; f++)
        j->coef[r * j->plan.columns + f * j->plan.c + channel] = value;
}

/* Both sums of the channels from first on, over all tasks. */
static void total(const struct job *j, size_t first, size_t n, double a[BLOCK], double b[BLOCK])
{
    const struct plan *p = &j->plan;
    for (size_t k = 0; k < n; k++)
        a[k] = b[k] = 0;
    for (size_t t = 0; t < p->ntasks; t++)
        for (size_t f = 0; f < p->fold; f++) {
            const double *s = j->sums + t * 2 * p->width + f * p->c + first;
            for (size_t k = 0; k < n; k++) {
                a[k] += s[k];
                b[k] += s[p->width + k];
            }
        }
}

/* -- statistics ---------------------------------------------------------------------------- */

static int sum_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    struct share s = share_of(&j->plan, i);
    float *acc = kern_scratch_of(j->kn, worker);
    double *sum = j->sums + i * 2 * j->plan.width, *square = sum + j->plan.width;
    for (size_t k = 0; k < 2 * j->plan.width; k++)
        sum[k] = 0;
    for (size_t r = 0; r < s.rows; r += PIECE) {
        const void *x = cpu_at(j->type, j->x, s.offset + r * s.w);
        size_t n = MIN((size_t)PIECE, s.rows - r);
        j->inner->sums(j->type, acc, x, n, s.w);
        for (size_t k = 0; k < s.w; k++) { /* from differences to the row x back to x itself */
            double shift = kern_load(j->type, x, k), d = acc[k], dd = acc[s.w + k];
            sum[k] += d + (double)n * shift;
            square[k] += dd + shift * (2 * d + (double)n * shift);
        }
    }
    return 0;
}

static int stats_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    size_t first = i * BLOCK, n = MIN((size_t)BLOCK, j->plan.c - first);
    double sum[BLOCK], square[BLOCK];
    total(j, first, n, sum, square);
    for (size_t k = 0; k < n; k++) {
        double mean = sum[k] / (double)j->rows, var = square[k] / (double)j->rows - mean * mean;
        j->mean[first + k] = (float)mean;
        j->var[first + k] = var < 0 ? 0 : (float)var; /* NaN stays */
    }
    return 0;
}

/* Of group g. */
static int stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn, size_t g,
                 const void *x, size_t rows, size_t c)
{
    struct job j = { .kn = kn,
                     .inner = ISA_BEST(kn, cpu_norm),
                     .type = type,
                     .plan = plan_of(rows, c, NULL),
                     .rows = rows,
                     .mean = bn->mean + g * c,
                     .var = bn->var + g * c,
                     .x = cpu_at(type, x, g * rows * c) };
    int rc = prepare(&j, true);
    if (rc == 0)
        rc = pool_run(kn->pool, j.plan.ntasks, sum_task, &j);
    return rc == 0 ? pool_run(kn->pool, (c + BLOCK - 1) / BLOCK, stats_task, &j) : rc;
}

static int cpu_bn_stats(struct kern *kn, enum kern_type type, const struct kern_bn *bn,
                        const void *x, size_t rows, size_t c)
{
    int rc = 0;
    for (size_t g = 0; g < kern_bn_groups(bn->groups) && rc == 0; g++)
        rc = stats(kn, type, bn, g, x, rows, c);
    return rc == 0 && bn->scale ? ref_bn_finalise(kn, bn, c) : rc;
}

/* -- forward ------------------------------------------------------------------------------- */

static int apply_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    struct share s = part_of(&j->plan, i / j->parts, i % j->parts, j->parts);
    const struct kern_bn_forward *f = j->forward;
    j->inner->apply(f->type, cpu_at(f->type, f->y, s.offset), bits_at(f->above, s.offset),
                    cpu_at(f->type, f->x, s.offset), cpu_at(f->type, f->residual, s.offset),
                    j->coef, j->coef + j->plan.columns, s.rows, s.w, f->relu);
    return 0;
}

/* Of one group. */
static int forward(struct kern *kn, const struct kern_bn_forward *f)
{
    struct job j = { .kn = kn,
                     .inner = ISA_BEST(kn, cpu_norm),
                     .plan = plan_of(f->rows, f->c, f->above),
                     .forward = f };
    int rc = prepare(&j, false);
    if (rc < 0)
        return rc;
    for (size_t k = 0; k < f->c; k++) {
        spread(&j, 0, k, f->scale[k]);
        spread(&j, 1, k, f->shift[k]);
    }
    j.inner->arrange(f->type, j.coef, 2 * j.plan.columns);
    return pool_run(kn->pool, j.plan.ntasks * j.parts, apply_task, &j);
}

/* Do the bits of every group begin with a word? */
static bool apart(const uint8_t *above, size_t groups, size_t rows, size_t c)
{
    return !above || groups <= 1 || rows * c % 32 == 0;
}

static int cpu_bn_forward(struct kern *kn, const struct kern_bn_forward *f)
{
    int rc = 0;
    if (!apart(f->above, f->groups, f->rows, f->c))
        return ref_bn_forward(kn, f);
    for (size_t g = 0; g < kern_bn_groups(f->groups) && rc == 0; g++) {
        struct kern_bn_forward one = *f;
        size_t at = g * f->rows * f->c;
        one.y = cpu_at(f->type, f->y, at);
        one.x = cpu_at(f->type, f->x, at);
        one.residual = cpu_at(f->type, f->residual, at);
        one.scale += g * f->c;
        one.shift += g * f->c;
        one.above = bits_at(f->above, at);
        rc = forward(kn, &one);
    }
    return rc;
}

/* -- backward ------------------------------------------------------------------------------ */

static enum cpu_norm_relu relu_of(const struct kern_bn_backward *b)
{
    return !b->relu ? CPU_NORM_NO_RELU : b->above ? CPU_NORM_RELU_ABOVE : CPU_NORM_RELU_X;
}

/* The rows of coef, in this order, from a column on. */
static struct cpu_norm_coef coef_of(const struct job *j, size_t column)
{
    size_t w = j->plan.columns;
    float *k = j->coef + column;
    return (struct cpu_norm_coef){ k, k + w, k + 2 * w, k + 3 * w, k + 4 * w, k + 5 * w };
}

/* A range of a task's columns. */
static int grad_sum_task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    const struct kern_bn_backward *b = j->back;
    size_t task = i / j->ranges, range = i % j->ranges, width = j->plan.width;
    size_t pieces = j->plan.columns / CPU_NORM_COLUMNS;
    size_t from = pieces * range / j->ranges * CPU_NORM_COLUMNS;
    size_t to = MIN(pieces * (range + 1) / j->ranges * CPU_NORM_COLUMNS, width);
    struct share s = share_of(&j->plan, task);
    float *acc = kern_scratch_of(j->kn, worker);
    struct cpu_norm_coef coef = coef_of(j, from);
    double *sum = j->sums + task * 2 * width, *product = sum + width;
    for (size_t k = from; k < to; k++)
        sum[k] = product[k] = 0;
    to = MIN(to, s.w); /* the rest is shorter than a row */
    for (size_t r = 0; r < s.rows && from < to; r += PIECE) {
        size_t at = s.offset + r * s.w + from, w = to - from;
        j->inner->grad_sums(b->type, acc, cpu_at(b->type, b->dy, at), cpu_at(b->type, b->x, at),
                            bits_at(b->above, at), &coef, relu_of(b),
                            MIN((size_t)PIECE, s.rows - r), w, s.w);
        for (size_t k = 0; k < w; k++) {
            sum[from + k] += acc[k];
            product[from + k] += acc[w + k];
        }
    }
    return 0;
}

/* dx = gamma rstd (g - mean(g) - xh mean(g xh)) as a g - b (x - mean) - c, a channel's factors. */
static int grad_factors_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_bn_backward *b = j->back;
    size_t first = i * BLOCK, n = MIN((size_t)BLOCK, b->c - first);
    double sum[BLOCK], product[BLOCK];
    total(j, first, n, sum, product);
    for (size_t k = 0; k < n; k++) {
        size_t ch = first + k;
        double rstd = b->rstd[ch], xh = product[k] * rstd, a = b->gamma[ch] * rstd;
        b->dbeta[ch] += (float)sum[k];
        b->dgamma[ch] += (float)xh;
        spread(j, 0, ch, (float)a);
        spread(j, 1, ch, (float)(a * rstd * xh / (double)b->rows));
        spread(j, 2, ch, (float)(a * sum[k] / (double)b->rows));
    }
    return 0;
}

static int grad_apply_task(void *arg, size_t i, int worker UNUSED)
{
    const struct job *j = arg;
    const struct kern_bn_backward *b = j->back;
    size_t back = j->plan.ntasks * j->parts - 1 - i;
    struct share s = part_of(&j->plan, back / j->parts, back % j->parts, j->parts);
    struct cpu_norm_coef coef = coef_of(j, 0);
    j->inner->grad_apply(b->type, cpu_at(b->type, b->dx, s.offset),
                         cpu_at(b->type, b->dresidual, s.offset), cpu_at(b->type, b->dy, s.offset),
                         cpu_at(b->type, b->x, s.offset), bits_at(b->above, s.offset), &coef,
                         relu_of(b), s.rows, s.w, b->residual_add);
    return 0;
}

/* Of one group. */
static int backward(struct kern *kn, const struct kern_bn_backward *b)
{
    struct job j = { .kn = kn,
                     .inner = ISA_BEST(kn, cpu_norm),
                     .plan = plan_of(b->rows, b->c, b->above),
                     .back = b };
    int rc = prepare(&j, true);
    if (rc < 0)
        return rc;
    for (size_t k = 0; k < b->c; k++) {
        spread(&j, 3, k, b->mean[k]);
        if (relu_of(b) == CPU_NORM_RELU_X) {
            spread(&j, 4, k, b->scale[k]);
            spread(&j, 5, k, b->shift[k]);
        }
    }
    size_t half = COEF / 2 * j.plan.columns; /* a, b and c come between the passes */
    j.inner->arrange(b->type, j.coef + half, half);
    if ((rc = pool_run(kn->pool, j.plan.ntasks * j.ranges, grad_sum_task, &j)) < 0 ||
        (rc = pool_run(kn->pool, (b->c + BLOCK - 1) / BLOCK, grad_factors_task, &j)) < 0)
        return rc;
    j.inner->arrange(b->type, j.coef, half);
    return pool_run(kn->pool, j.plan.ntasks * j.parts, grad_apply_task, &j);
}

static int cpu_bn_backward(struct kern *kn, const struct kern_bn_backward *b)
{
    int rc = 0;
    if (!apart(b->above, b->groups, b->rows, b->c))
        return ref_bn_backward(kn, b);
    for (size_t g = 0; g < kern_bn_groups(b->groups) && rc == 0; g++) {
        struct kern_bn_backward one = *b;
        size_t at = g * b->rows * b->c;
        one.dx = cpu_at(b->type, b->dx, at);
        one.dresidual = cpu_at(b->type, b->dresidual, at);
        one.dy = cpu_at(b->type, b->dy, at);
        one.x = cpu_at(b->type, b->x, at);
        one.above = bits_at(b->above, at);
        one.mean += g * b->c;
        one.rstd += g * b->c;
        if (b->scale && b->shift) {
            one.scale += g * b->c;
            one.shift += g * b->c;
        }
        rc = backward(kn, &one);
    }
    return rc;
}

/* bn_finalise works on c numbers: the definition is fast enough. */
void cpu_init_norm(struct kern_ops *o, unsigned isa UNUSED)
{
    o->bn_stats = cpu_bn_stats;
    o->bn_forward = cpu_bn_forward;
    o->bn_backward = cpu_bn_backward;
}
