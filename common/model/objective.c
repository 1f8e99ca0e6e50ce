/*
 * objective.c - the loss of a batch over all pairs of views, and its gradient.
 */
#include "common/model/objective.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <math.h>
#include <stdlib.h>

/* Numbers of the arrays of a term's softmax; of its anchors. */
static size_t scores(const struct objective *ob)
{
    return ob->n * (1 + ob->ne);
}

static size_t all_terms(const struct objective *ob)
{
    return ob->views * ob->targets * (1 + ob->positives);
}

static void shape(struct objective *ob, const struct settings *set)
{
    ob->views = (size_t)set->large_crops + (size_t)set->small_crops;
    ob->targets = (size_t)set->large_crops;
    ob->n = (size_t)set->batch;
    ob->d = (size_t)set->dim;
    ob->ne = MIN((size_t)set->negatives, ob->n - 1);
    ob->positives = set->alpha > 0 ? (size_t)set->positives : 0;
    ob->tau = set->tau;
    ob->alpha = set->alpha;
    ob->contrast = set->contrast_weight;
    ob->invariance = set->invariance == INV_NONE ? 0 : set->invariance_weight;
    ob->mode = ob->invariance > 0 ? set->invariance : INV_NONE;
    ob->target_anchored = set->loss_orientation == ORIENT_TARGET;
    ob->exclude_class = set->exclude_class;
    ob->seed = set->seed;
}

size_t objective_bytes(const struct settings *set)
{
    struct objective ob = { 0 };
    shape(&ob, set);
    return (all_terms(&ob) * (2 * scores(&ob) + 6 * ob.n) + 2 * scores(&ob)) * sizeof(float) +
           2 * ob.views * ob.targets * ob.n * ob.ne * sizeof(int32_t);
}

int objective_open(struct objective *ob, struct kern *kn, const struct settings *set)
{
    *ob = (struct objective){ .kn = kn };
    shape(ob, set);
    size_t pairs = ob->views * ob->targets, terms = all_terms(ob);
    size_t negs = pairs * ob->n * ob->ne, poss = pairs * ob->positives * ob->n;
    ob->neg = mem_alloc(negs, sizeof *ob->neg, "negatives");
    ob->pos = mem_alloc(poss, sizeof *ob->pos, "semantic positives");
    ob->other = mem_alloc(ob->n, sizeof *ob->other, "negatives");
    ob->mark = mem_alloc(ob->n, sizeof *ob->mark, "negatives");
    ob->loss = mem_alloc(terms * ob->n, sizeof *ob->loss, "losses");
    ob->kl = mem_alloc(terms * ob->n, sizeof *ob->kl, "losses");
    ob->neg_dev = kern_alloc(kn, negs * sizeof *ob->neg_dev);
    ob->pos_dev = kern_alloc(kn, MAX(poss, 1) * sizeof *ob->pos_dev);
    ob->p_dev = kern_alloc(kn, terms * scores(ob) * sizeof *ob->p_dev);
    ob->g_dev = kern_alloc(kn, terms * scores(ob) * sizeof *ob->g_dev);
    ob->loss_dev = kern_alloc(kn, terms * ob->n * sizeof *ob->loss_dev);
    ob->kl_dev = kern_alloc(kn, terms * ob->n * sizeof *ob->kl_dev);
    ob->turned_p = kern_alloc(kn, scores(ob) * sizeof *ob->turned_p);
    ob->turned_g = kern_alloc(kn, scores(ob) * sizeof *ob->turned_g);
    if (!ob->neg || !ob->pos || !ob->other || !ob->mark || !ob->loss || !ob->kl || !ob->neg_dev ||
        !ob->pos_dev || !ob->p_dev || !ob->g_dev || !ob->loss_dev || !ob->kl_dev || !ob->turned_p ||
        !ob->turned_g) {
        objective_close(ob);
        return fail(-ENOMEM, "no memory for the losses of %zu pairs of views", pairs);
    }
    return 0;
}

void objective_close(struct objective *ob)
{
    void *dev[] = { ob->neg_dev,  ob->pos_dev, ob->p_dev,    ob->g_dev,
                    ob->loss_dev, ob->kl_dev,  ob->turned_p, ob->turned_g };
    for (size_t i = 0; ob->kn && i < ARRAY_LEN(dev); i++)
        kern_free(ob->kn, dev[i]);
    free(ob->neg);
    free(ob->pos);
    free(ob->other);
    free(ob->mark);
    free(ob->loss);
    free(ob->kl);
    *ob = (struct objective){ 0 };
}

/* Pairs (i, j) and (j, i) of large views go by one number. */
static size_t unordered(const struct objective *ob, size_t i, size_t j)
{
    return i < j ? i * ob->targets + j : j * ob->targets + i;
}

static size_t neg_pair(const struct objective *ob, size_t i, size_t j)
{
    return i < ob->targets ? unordered(ob, i, j) : i * ob->targets + j;
}

static size_t pos_pair(const struct objective *ob, size_t i, size_t j)
{
    return ob->mode == INV_S ? neg_pair(ob, i, j) : i * ob->targets + j;
}

/* The images that may be negatives of b, in their order: others, of other classes if asked. */
static size_t list_others(struct objective *ob, const int32_t *label, size_t b)
{
    bool any = !ob->exclude_class || label[b] < 0;
    size_t m = 0;
    for (size_t c = 0; c < ob->n; c++) {
        ob->other[m] = (int32_t)c;
        m += c != b && (any || label[c] != label[b]);
    }
    return m;
}

/* A pair's number has eight bits in rng_init(); what is above them goes beside the anchor. */
static void draw_init(const struct objective *ob, struct rng *r, enum rng_purpose purpose,
                      int64_t k, size_t b, size_t pair)
{
    rng_init(r, ob->seed, purpose, (uint64_t)k, b | (uint64_t)(pair >> 8) << 32,
             (unsigned)pair & 255);
}

/*
 * ne of the m others, or all if they are fewer, uniform without replacement (Floyd's algorithm:
 * Bentley and Floyd, "A sample of brilliance", 1987).
 */
static void draw_others(struct objective *ob, int32_t *out, size_t m, struct rng *r)
{
    size_t few = MIN(ob->ne, m);
    ob->stamp++;
    for (size_t i = m - few; i < m; i++) {
        size_t pick = rng_below(r, (uint32_t)i + 1);
        if (ob->mark[pick] == ob->stamp)
            pick = i;
        ob->mark[pick] = ob->stamp;
        *out++ = ob->other[pick];
    }
    for (size_t i = few; i < ob->ne; i++)
        *out++ = -1;
}

/* The draws of anchor b, who has m others, for a pair of views. */
static void draw_pair(struct objective *ob, int64_t k, const int32_t *label, const struct queue *q,
                      size_t b, size_t m, size_t i, size_t j)
{
    struct rng r;
    size_t n = ob->n, pair = i * ob->targets + j;
    int32_t *pos = ob->pos + pair * ob->positives * n;
    draw_init(ob, &r, RNG_NEGATIVE, k, b, neg_pair(ob, i, j));
    draw_others(ob, ob->neg + (pair * n + b) * ob->ne, m, &r);
    draw_init(ob, &r, RNG_POSITIVE, k, b, pos_pair(ob, i, j));
    for (size_t p = 0; p < ob->positives; p++)
        pos[p * n + b] = queue_draw(q, label[b], &r);
}

int objective_draw(struct objective *ob, int64_t k, const int32_t *label, const struct queue *q)
{
    size_t n = ob->n, pairs = ob->views * ob->targets;
    for (size_t b = 0; b < n; b++) {
        size_t m = list_others(ob, label, b);
        for (size_t i = 0; i < ob->views; i++)
            for (size_t j = 0; j < ob->targets; j++)
                draw_pair(ob, k, label, q, b, m, i, j);
    }
    ob->anchors = 0; /* the same for all pairs: the queues hold the same pictures */
    for (size_t b = 0; b < n && ob->positives > 0; b++)
        ob->anchors += ob->pos[b] >= 0;
    ob->terms = ob->anchors > 0 ? 1 + ob->positives : 1;
    int rc = kern_put(ob->kn, ob->neg_dev, ob->neg, pairs * n * ob->ne * sizeof *ob->neg);
    if (rc == 0 && ob->positives > 0)
        rc = kern_put(ob->kn, ob->pos_dev, ob->pos, pairs * ob->positives * n * sizeof *ob->pos);
    return rc < 0 ? fail(rc, "the device did not take the draws of a step") : 0;
}

/* Positives of a term: NULL for the images' own targets. */
static const int32_t *positives(const struct objective *ob, size_t i, size_t j, size_t term)
{
    if (term == 0)
        return NULL;
    return ob->pos_dev + ((i * ob->targets + j) * ob->positives + term - 1) * ob->n;
}

/* Weight of one anchor's l, and of one anchor's KL, in the total. */
static double weight_of(const struct objective *ob, size_t term)
{
    double pairs = (double)(ob->views * ob->targets);
    if (term == 0)
        return 1 / (pairs * (double)ob->n);
    return 1 / (pairs * (double)ob->positives * (double)ob->anchors);
}

/* Invariance T takes the losses of these pairs, and holds those of the others fixed. The port that
 * it is from counts large and small views each from 0. */
static bool taken(const struct objective *ob, size_t i, size_t j)
{
    return (i < ob->targets ? i : i - ob->targets) >= j;
}

/* Weight of the gradient of one anchor's l. */
static double gradient_weight(const struct objective *ob, size_t i, size_t j, size_t term)
{
    double weight = ob->contrast * (term == 0 ? 1 : ob->alpha) * weight_of(ob, term);
    if (ob->mode == INV_T && taken(ob, i, j))
        weight += ob->invariance * weight_of(ob, term);
    return weight;
}

static struct kern_contrast contrast_of(const struct objective *ob, const float *const *o,
                                        const float *const *t, const struct queue *q, size_t i,
                                        size_t j, size_t term)
{
    return (struct kern_contrast){ .n = ob->n,
                                   .d = ob->d,
                                   .ne = ob->ne,
                                   .tau = (float)ob->tau,
                                   .o = o[i],
                                   .t = t[j],
                                   .bank = term == 0 ? t[j] : queue_vectors(q, j),
                                   .pos = positives(ob, i, j, term),
                                   .neg = ob->neg_dev + (i * ob->targets + j) * ob->n * ob->ne,
                                   .target_anchored = ob->target_anchored };
}

/* Softmax and loss of every term, and the gradient of its loss. */
static int contrast_all(struct objective *ob, const float *const *o, const float *const *t,
                        const struct queue *q)
{
    int rc = 0;
    for (size_t i = 0; i < ob->views; i++) {
        for (size_t j = 0; j < ob->targets; j++) {
            for (size_t term = 0; term < ob->terms && rc == 0; term++) {
                size_t at = objective_term(ob, i, j, term);
                struct kern_contrast ct = contrast_of(ob, o, t, q, i, j, term);
                rc = kern_contrast_forward(ob->kn, &ct, ob->p_dev + at * scores(ob),
                                           ob->loss_dev + at * ob->n);
                if (rc == 0)
                    rc = kern_contrast_grad(ob->kn, ob->g_dev + at * scores(ob),
                                            ob->p_dev + at * scores(ob), ct.pos,
                                            (float)gradient_weight(ob, i, j, term), ob->n, ob->ne);
            }
        }
    }
    return rc;
}

/* KL(sg p_ij || p_ji) of every term of two different large views; its gradient goes into p_ji's. */
static int swapped_all(struct objective *ob)
{
    int rc = 0;
    for (size_t i = 0; i < ob->targets; i++) {
        for (size_t j = 0; j < ob->targets; j++) {
            for (size_t term = 0; i != j && term < ob->terms && rc == 0; term++) {
                size_t at = objective_term(ob, i, j, term), to = objective_term(ob, j, i, term);
                rc = kern_kl(ob->kn, ob->kl_dev + at * ob->n, ob->g_dev + to * scores(ob),
                             ob->p_dev + at * scores(ob), ob->p_dev + to * scores(ob),
                             positives(ob, i, j, term),
                             (float)(ob->invariance * weight_of(ob, term)), ob->n, ob->ne);
            }
        }
    }
    return rc;
}

/* KL(sg p_row || p_col) of a term, the anchor being online in the one and target in the other; its
 * gradient goes into p_col's. */
static int turned_term(struct objective *ob, const struct kern_contrast *ct, size_t at, size_t term,
                       float *do_)
{
    struct kern_contrast turned = *ct;
    float *p = ob->p_dev + at * scores(ob), *g = ob->g_dev + at * scores(ob);
    float *kl = ob->kl_dev + at * ob->n, weight = (float)(ob->invariance * weight_of(ob, term));
    turned.target_anchored = !ct->target_anchored;
    int rc = kern_contrast_forward(ob->kn, &turned, ob->turned_p, kl); /* its loss is not wanted */
    if (rc == 0 && ob->target_anchored)
        return kern_kl(ob->kn, kl, g, ob->turned_p, p, ct->pos, weight, ob->n, ob->ne);
    if (rc == 0)
        rc = kern_zero(ob->kn, ob->turned_g, scores(ob) * sizeof(float));
    if (rc == 0)
        rc = kern_kl(ob->kn, kl, ob->turned_g, p, ob->turned_p, ct->pos, weight, ob->n, ob->ne);
    return rc < 0 ? rc : kern_contrast_backward(ob->kn, &turned, do_, ob->turned_g);
}

static int backward_all(struct objective *ob, const float *const *o, const float *const *t,
                        const struct queue *q, float *const *do_)
{
    int rc = 0;
    for (size_t i = 0; i < ob->views && rc == 0; i++) {
        rc = kern_zero(ob->kn, do_[i], ob->n * ob->d * sizeof(float));
        for (size_t j = 0; j < ob->targets; j++) {
            for (size_t term = 0; term < ob->terms && rc == 0; term++) {
                size_t at = objective_term(ob, i, j, term);
                struct kern_contrast ct = contrast_of(ob, o, t, q, i, j, term);
                if (ob->mode == INV_R)
                    rc = turned_term(ob, &ct, at, term, do_[i]);
                if (rc == 0)
                    rc = kern_contrast_backward(ob->kn, &ct, do_[i], ob->g_dev + at * scores(ob));
            }
        }
    }
    return rc;
}

static double sum_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t b = 0; b < n; b++)
        sum += x[b];
    return sum;
}

/* Means over anchors and pairs, always in the same order; anchors without a positive have 0. */
static void add_up(const struct objective *ob, struct objective_value *v)
{
    *v = (struct objective_value){ .sempos = ob->terms > 1 ? 0 : NAN };
    for (size_t i = 0; i < ob->views; i++) {
        for (size_t j = 0; j < ob->targets; j++) {
            for (size_t term = 0; term < ob->terms; term++) {
                const float *loss = ob->loss + objective_term(ob, i, j, term) * ob->n;
                const float *kl = ob->kl + objective_term(ob, i, j, term) * ob->n;
                double sum = sum_of(loss, ob->n), penalty = 0;
                if (ob->mode == INV_T)
                    penalty = taken(ob, i, j) ? sum : -sum;
                else if (ob->mode == INV_R || (ob->mode == INV_S && i < ob->targets && i != j))
                    penalty = sum_of(kl, ob->n);
                *(term == 0 ? &v->augm : &v->sempos) += sum * weight_of(ob, term);
                v->inv += penalty * weight_of(ob, term);
            }
        }
    }
    v->total = ob->contrast * (v->augm + (ob->terms > 1 ? ob->alpha * v->sempos : 0)) +
               ob->invariance * v->inv;
}

int objective_run(struct objective *ob, const float *const *o, const float *const *t,
                  const struct queue *q, float *const *do_, struct objective_value *value)
{
    size_t bytes = all_terms(ob) * ob->n * sizeof(float);
    int rc = contrast_all(ob, o, t, q);
    if (rc == 0 && ob->mode == INV_S)
        rc = swapped_all(ob);
    if (rc == 0)
        rc = backward_all(ob, o, t, q, do_);
    if (rc == 0)
        rc = kern_get(ob->kn, ob->loss, ob->loss_dev, bytes);
    if (rc == 0 && (ob->mode == INV_S || ob->mode == INV_R))
        rc = kern_get(ob->kn, ob->kl, ob->kl_dev, bytes);
    if (rc < 0)
        return fail(rc, "the device failed at the losses of a step");
    add_up(ob, value);
    return 0;
}
