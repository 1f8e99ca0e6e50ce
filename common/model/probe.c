/*
 * probe.c - the linear probe: standardised data, the choice of its strength, the fit, scores.
 */
#include "common/model/probe.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, SCORED = 1024, STRENGTHS = 13, PATIENCE = 3 };
static const double weakest = 1e-6, strongest = 1;

/* -- standardisation ------------------------------------------------------------------------- */

/*
 * Mean of every column over the rows listed, and 1 / (deviation * sqrt(d)): rows get a length of
 * about 1, so that strengths mean the same for any number of columns.
 */
static void moments(struct probe *p, const float *x, const uint32_t *row, size_t n)
{
    size_t d = p->d;
    memset(p->mean, 0, d * sizeof *p->mean);
    memset(p->scale, 0, d * sizeof *p->scale);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            p->mean[j] += x[row[i] * d + j];
    for (size_t j = 0; j < d; j++)
        p->mean[j] /= (double)n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            double v = x[row[i] * d + j] - p->mean[j];
            p->scale[j] += v * v;
        }
    for (size_t j = 0; j < d; j++) {
        double dev = sqrt(p->scale[j] / (double)n);
        /* what is left of a constant after rounding is no deviation */
        p->scale[j] = dev > 1e-7 * fabs(p->mean[j]) && dev > 0 ? 1 / (dev * sqrt((double)d)) : 0;
    }
}

static void standardise(const struct probe *p, float *out, const float *x)
{
    for (size_t j = 0; j < p->d; j++)
        out[j] = (float)((x[j] - p->mean[j]) * p->scale[j]);
}

/* Rows of x, standardised, in the device memory of data; row NULL: its first n. */
static int fill_data(const struct probe *p, struct kern *kn, struct probe_data *data,
                     const float *x, const uint32_t *row, size_t n)
{
    size_t d = p->d;
    float *host = mem_alloc(MIN(n, (size_t)BLOCK) * d, sizeof *host, "rows of the probe");
    int rc = host ? 0 : -ENOMEM;
    for (size_t at = 0; at < n && rc >= 0; at += BLOCK) {
        size_t some = MIN((size_t)BLOCK, n - at);
        for (size_t i = 0; i < some; i++)
            standardise(p, host + i * d, x + (row ? row[at + i] : at + i) * d);
        if ((rc = kern_put(kn, data->x + at * d, host, some * d * sizeof(float))) < 0)
            fail(rc, "cannot copy rows to the device");
    }
    data->n = n;
    free(host);
    return rc;
}

static int put_data(const struct probe *p, struct kern *kn, struct probe_data *data, const float *x,
                    const uint32_t *row, size_t n)
{
    data->d = p->d;
    data->nclasses = p->nclasses;
    data->x = kern_alloc(kn, n * p->d * sizeof(float));
    if (!data->x)
        return fail(-ENOMEM, "no memory for %zu rows of %zu columns", n, p->d);
    return fill_data(p, kn, data, x, row, n);
}

/* -- the held-out part ----------------------------------------------------------------------- */

struct ticket {
    int32_t label;
    uint32_t draw, at;
};

static int by_draw(const void *a, const void *b)
{
    const struct ticket *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (x->draw != y->draw)
        return x->draw < y->draw ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/*
 * order [n]: places of the rows to fit first, then of those held out, a fifth of each class with
 * at least two rows. Returns how many are held out.
 */
static int hold_out(uint32_t *order, const int32_t *label, const uint64_t *id, size_t n,
                    uint64_t seed, size_t *held)
{
    struct ticket *t = mem_alloc(n, sizeof *t, "the held-out part");
    size_t front = 0, back = n;
    if (!t)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct rng r;
        rng_init(&r, seed, RNG_PROBE, 0, id[i], 0);
        t[i] = (struct ticket){ label[i], rng_u32(&r), (uint32_t)i };
    }
    qsort(t, n, sizeof *t, by_draw);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first; end < n && t[end].label == t[first].label; end++)
            ;
        size_t size = end - first, out = (size_t)lrint(PROBE_HELD_OUT * (double)size);
        if (size >= 2)
            out = MAX(out, (size_t)1);
        for (size_t i = first; i < end; i++)
            order[i - first < out ? --back : front++] = t[i].at;
    }
    free(t);
    *held = n - back;
    return 0;
}

/* Share of right answers, and mean loss, of w on data. */
static int judge(struct probe_work *k, const struct probe_data *data, const double *w,
                 double *accuracy, double *loss)
{
    size_t n = data->n, c = data->nclasses, right = 0;
    const float *s;
    int rc = probe_logits(k, w, &s);
    *loss = 0;
    for (size_t i = 0; i < n && rc >= 0; i++, s += c) {
        double sum = 0;
        size_t best = 0;
        for (size_t j = 1; j < c; j++)
            if (s[j] > s[best])
                best = j;
        for (size_t j = 0; j < c; j++)
            sum += exp((double)s[j] - s[best]);
        right += best == (size_t)data->label[i];
        *loss += s[best] + log(sum) - s[data->label[i]];
    }
    *accuracy = (double)right / (double)n;
    *loss /= (double)n;
    return rc;
}

/*
 * From the strongest to the weakest, each fit starting from the last; the best accuracy on the
 * held-out rows wins, of equals the lower loss. It ends early where weaker ones only overfit.
 */
static int choose_strength(struct probe *p, struct probe_work *fit, struct probe_work *held,
                           const struct probe_data *held_data)
{
    int worse = 0;
    double best_loss = INFINITY, lowest = INFINITY,
           *w = mem_alloc(p->nclasses * (p->d + 1), sizeof *w, "weights");
    int rc = w ? 0 : -ENOMEM;
    p->held_accuracy = -1;
    for (int i = 0; i < STRENGTHS && rc >= 0 && worse < PATIENCE; i++) {
        double s = strongest * pow(weakest / strongest, (double)i / (STRENGTHS - 1));
        double accuracy, loss;
        if ((rc = probe_minimise(fit, w, s, NULL, NULL)) < 0 ||
            (rc = judge(held, held_data, w, &accuracy, &loss)) < 0)
            break;
        if (accuracy > p->held_accuracy || (accuracy == p->held_accuracy && loss < best_loss)) {
            p->held_accuracy = accuracy;
            p->strength = s;
            best_loss = loss;
            worse = 0;
        } else {
            worse += loss > lowest;
        }
        lowest = fmin(lowest, loss);
    }
    free(w);
    return rc;
}

/* Standardised by the rows that are fitted, as at the end. */
static int choose(struct probe *p, struct kern *kn, struct pool *pool, const float *x,
                  const uint32_t *row, const int32_t *label, const uint32_t *order, size_t n)
{
    struct probe_data fit = { 0 }, held = { 0 };
    struct probe_work *fit_work = NULL, *held_work = NULL;
    size_t kept = n - p->held;
    uint32_t *rows = mem_alloc(n, sizeof *rows, "rows of the probe");
    int32_t *labels = mem_alloc(n, sizeof *labels, "labels of the probe");
    int rc = rows && labels ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && rc >= 0; i++) {
        rows[i] = row[order[i]];
        labels[i] = label[order[i]];
    }
    if (rc < 0)
        goto out;
    fit.label = labels;
    held.label = labels + kept;
    moments(p, x, rows, kept);
    if ((rc = put_data(p, kn, &fit, x, rows, kept)) < 0 ||
        (rc = put_data(p, kn, &held, x, rows + kept, p->held)) < 0 ||
        (rc = probe_work_open(&fit_work, kn, pool, &fit)) < 0 ||
        (rc = probe_work_open(&held_work, kn, pool, &held)) < 0)
        goto out;
    rc = choose_strength(p, fit_work, held_work, &held);
out:
    probe_work_close(fit_work);
    probe_work_close(held_work);
    kern_free(kn, fit.x);
    kern_free(kn, held.x);
    free(rows);
    free(labels);
    return rc;
}

/* -- the whole ------------------------------------------------------------------------------- */

static int check_labels(const int32_t *label, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (label[i] != label[0])
            return 0;
    return fail(-EINVAL, "a linear probe needs labelled rows of at least two classes");
}

int probe_fit(struct probe *p, struct kern *kn, struct pool *pool, const float *x,
              const uint32_t *row, const int32_t *label, const uint64_t *id, size_t n, size_t d,
              size_t nclasses, uint64_t seed)
{
    struct probe_data all = { .label = label };
    struct probe_work *work = NULL;
    uint32_t *order = mem_alloc(n, sizeof *order, "the held-out part");
    *p = (struct probe){
        .d = d, .nclasses = nclasses, .strength = PROBE_DEFAULT_STRENGTH, .held_accuracy = NAN
    };
    int rc = order ? check_labels(label, n) : -ENOMEM;
    if (rc >= 0 && (!(p->mean = mem_alloc(d, sizeof *p->mean, "means")) ||
                    !(p->scale = mem_alloc(d, sizeof *p->scale, "deviations")) ||
                    !(p->w = mem_alloc(nclasses * (d + 1), sizeof *p->w, "weights"))))
        rc = -ENOMEM;
    if (rc >= 0)
        rc = hold_out(order, label, id, n, seed, &p->held);
    if (rc >= 0 && p->held > 0)
        rc = choose(p, kn, pool, x, row, label, order, n);
    if (rc < 0)
        goto out;
    moments(p, x, row, n);
    if ((rc = put_data(p, kn, &all, x, row, n)) >= 0 &&
        (rc = probe_work_open(&work, kn, pool, &all)) >= 0)
        rc = probe_minimise(work, p->w, p->strength, &p->objective, &p->iterations);
out:
    probe_work_close(work);
    kern_free(kn, all.x);
    free(order);
    if (rc < 0)
        probe_release(p);
    return rc;
}

void probe_release(struct probe *p)
{
    free(p->mean);
    free(p->scale);
    free(p->w);
    *p = (struct probe){ 0 };
}

int probe_score(const struct probe *p, struct kern *kn, const float *x, size_t n, float *score)
{
    struct probe_data data = { 0 };
    struct probe_work *k = NULL;
    size_t c = p->nclasses;
    int rc = n ? put_data(p, kn, &data, x, NULL, MIN(n, (size_t)SCORED)) : 0;
    if (rc >= 0 && n)
        rc = probe_work_open(&k, kn, NULL, &data);
    for (size_t at = 0; at < n && rc >= 0; at += SCORED) {
        const float *s;
        size_t some = MIN((size_t)SCORED, n - at);
        if ((rc = fill_data(p, kn, &data, x + at * p->d, NULL, some)) >= 0 &&
            (rc = probe_logits(k, p->w, &s)) >= 0)
            memcpy(score + at * c, s, some * c * sizeof *s);
    }
    probe_work_close(k);
    kern_free(kn, data.x);
    return rc;
}
