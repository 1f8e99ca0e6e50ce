/*
 * objective.c - the loss of a batch over all pairs of views, and its gradient.
 */
#include "common/model/objective.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
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
    return (all_terms(&ob) * (2 * scores(&ob) + 6 * ob.n + 5) + 2 * scores(&ob)) * sizeof(float) +
           2 * ob.views * ob.targets * ob.n * ob.ne * sizeof(int32_t);
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

/* -- weights ---- */

enum { KL_WEIGHTS = 2 }; /* behind those of the terms */

/* Weight of one anchor's l, and of one anchor's KL, in the total; of semantic terms, of which
 * anchors have a share each. */
static double weight_of(const struct objective *ob, size_t term, size_t anchors)
{
    double pairs = (double)(ob->views * ob->targets);
    if (term == 0)
        return 1 / (pairs * (double)ob->n);
    return 1 / (pairs * (double)ob->positives * (double)anchors);
}

/* Invariance T takes the losses of these pairs, and holds those of the others fixed. The port that
 * it is from counts large and small views each from 0. */
static bool taken(const struct objective *ob, size_t i, size_t j)
{
    return (i < ob->targets ? i : i - ob->targets) >= j;
}

/* The gradient of one anchor's l weighs so many times its weight in the total. */
static double gradient_factor(const struct objective *ob, size_t i, size_t j, size_t term)
{
    double factor = ob->contrast * (term == 0 ? 1 : ob->alpha);
    return factor + (ob->mode == INV_T && taken(ob, i, j) ? ob->invariance : 0);
}

/* The weight of a gradient: one that is known, or one that waits for the number of anchors. */
static void weigh(const struct objective *ob, size_t at, size_t term, double factor, double *whole,
                  double *part)
{
    whole[at] = term == 0 ? ob->scale * factor * weight_of(ob, term, 0) : 0;
    part[at] = term == 0 ? 0 : ob->scale * factor;
}

/* What stays as it is: keys of draws, and how weights come about. */
static int put_constants(struct objective *ob)
{
    size_t terms = all_terms(ob), count = terms + KL_WEIGHTS, pairs = ob->views * ob->targets;
    double *whole = mem_alloc(count, sizeof *whole, "weights");
    double *part = mem_alloc(count, sizeof *part, "weights");
    uint32_t *key = mem_alloc(pairs, sizeof *key, "weights");
    int rc = whole && part && key ? 0 : -ENOMEM;
    for (size_t i = 0; i < ob->views && rc == 0; i++) {
        for (size_t j = 0; j < ob->targets; j++) {
            key[i * ob->targets + j] = (uint32_t)pos_pair(ob, i, j);
            for (size_t term = 0; term <= ob->positives; term++)
                weigh(ob, objective_term(ob, i, j, term), term, gradient_factor(ob, i, j, term),
                      whole, part);
        }
    }
    for (size_t term = 0; term < KL_WEIGHTS && rc == 0; term++)
        weigh(ob, terms + term, term, ob->invariance, whole, part);
    if (rc == 0)
        rc = kern_put(ob->kn, ob->key_dev, key, pairs * sizeof *key);
    if (rc == 0)
        rc = kern_put(ob->kn, ob->whole_dev, whole, count * sizeof *whole);
    if (rc == 0)
        rc = kern_put(ob->kn, ob->part_dev, part, count * sizeof *part);
    free(whole);
    free(part);
    free(key);
    return rc;
}

int objective_open(struct objective *ob, struct kern *kn, const struct settings *set, double scale)
{
    *ob = (struct objective){ .kn = kn, .scale = scale };
    shape(ob, set);
    size_t pairs = ob->views * ob->targets, terms = all_terms(ob);
    size_t negs = pairs * ob->n * ob->ne, poss = pairs * ob->positives * ob->n;
    ob->neg = mem_alloc(negs, sizeof *ob->neg, "negatives");
    ob->other = mem_alloc(ob->n, sizeof *ob->other, "negatives");
    ob->mark = mem_alloc(ob->n, sizeof *ob->mark, "negatives");
    ob->loss = mem_alloc(terms * ob->n, sizeof *ob->loss, "losses");
    ob->kl = mem_alloc(terms * ob->n, sizeof *ob->kl, "losses");
    ob->neg_dev = kern_alloc(kn, negs * sizeof *ob->neg_dev);
    ob->pos_dev = kern_alloc(kn, MAX(poss, 1) * sizeof *ob->pos_dev);
    ob->key_dev = kern_alloc(kn, pairs * sizeof *ob->key_dev);
    ob->weight_dev = kern_alloc(kn, (terms + KL_WEIGHTS) * sizeof *ob->weight_dev);
    ob->whole_dev = kern_alloc(kn, (terms + KL_WEIGHTS) * sizeof *ob->whole_dev);
    ob->part_dev = kern_alloc(kn, (terms + KL_WEIGHTS) * sizeof *ob->part_dev);
    ob->p_dev = kern_alloc(kn, terms * scores(ob) * sizeof *ob->p_dev);
    ob->g_dev = kern_alloc(kn, terms * scores(ob) * sizeof *ob->g_dev);
    ob->loss_dev = kern_alloc(kn, terms * ob->n * sizeof *ob->loss_dev);
    ob->kl_dev = kern_alloc(kn, terms * ob->n * sizeof *ob->kl_dev);
    ob->turned_p = kern_alloc(kn, scores(ob) * sizeof *ob->turned_p);
    ob->turned_g = kern_alloc(kn, scores(ob) * sizeof *ob->turned_g);
    int rc = -ENOMEM;
    if (ob->neg && ob->other && ob->mark && ob->loss && ob->kl && ob->neg_dev && ob->pos_dev &&
        ob->key_dev && ob->weight_dev && ob->whole_dev && ob->part_dev && ob->p_dev && ob->g_dev &&
        ob->loss_dev && ob->kl_dev && ob->turned_p && ob->turned_g)
        rc = put_constants(ob);
    if (rc == 0)
        return 0;
    objective_close(ob);
    return fail(rc, "no memory for the losses of %zu pairs of views", pairs);
}

void objective_close(struct objective *ob)
{
    void *dev[] = { ob->neg_dev,   ob->pos_dev,  ob->key_dev,  ob->weight_dev,
                    ob->whole_dev, ob->part_dev, ob->p_dev,    ob->g_dev,
                    ob->loss_dev,  ob->kl_dev,   ob->turned_p, ob->turned_g };
    for (size_t i = 0; ob->kn && i < ARRAY_LEN(dev); i++)
        kern_free(ob->kn, dev[i]);
    free(ob->neg);
    free(ob->other);
    free(ob->mark);
    free(ob->loss);
    free(ob->kl);
    *ob = (struct objective){ 0 };
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
static void draw_init(const struct objective *ob, struct rng *r, int64_t k, size_t b, size_t pair)
{
    rng_init(r, ob->seed, RNG_NEGATIVE, (uint64_t)k, b | (uint64_t)(pair >> 8) << 32,
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

int objective_negatives(struct objective *ob, int64_t k, const int32_t *label)
{
    size_t n = ob->n, pairs = ob->views * ob->targets;
    for (size_t b = 0; b < n; b++) {
        size_t m = list_others(ob, label, b);
        for (size_t i = 0; i < ob->views; i++) {
            for (size_t j = 0; j < ob->targets; j++) {
                struct rng r;
                draw_init(ob, &r, k, b, neg_pair(ob, i, j));
                draw_others(ob, ob->neg + ((i * ob->targets + j) * n + b) * ob->ne, m, &r);
            }
        }
    }
    int rc = kern_put(ob->kn, ob->neg_dev, ob->neg, pairs * n * ob->ne * sizeof *ob->neg);
    return rc < 0 ? fail(rc, "the device did not take the draws of a step") : 0;
}

/* -- losses ---- */

/* Slots of every anchor's class, and the weights that follow from how many anchors have one. */
static int draw_positives(struct objective *ob, const int64_t *step, const int32_t *label,
                          const struct queue *q)
{
    double pairs = (double)(ob->views * ob->targets);
    struct kern_positives draw = { .n = ob->n,
                                   .pairs = ob->views * ob->targets,
                                   .each = ob->positives,
                                   .seed = ob->seed,
                                   .step = step,
                                   .key = ob->key_dev,
                                   .label = label,
                                   .start = q->start_dev,
                                   .slot = q->slot_dev };
    /* The first positives tell of all: the queues hold the same pictures. */
    struct kern_weights weights = { .n = ob->positives > 0 ? ob->n : 0,
                                    .count = all_terms(ob) + KL_WEIGHTS,
                                    .pos = ob->pos_dev,
                                    .whole = ob->whole_dev,
                                    .part = ob->part_dev,
                                    .share = pairs * (double)MAX(ob->positives, (size_t)1) };
    int rc = kern_positives(ob->kn, &draw, ob->pos_dev);
    return rc < 0 ? rc : kern_weights(ob->kn, &weights, ob->weight_dev);
}

/* Positives of a term: NULL for the images' own targets. */
static const int32_t *positives(const struct objective *ob, size_t i, size_t j, size_t term)
{
    if (term == 0)
        return NULL;
    return ob->pos_dev + ((i * ob->targets + j) * ob->positives + term - 1) * ob->n;
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
            for (size_t term = 0; term <= ob->positives && rc == 0; term++) {
                size_t at = objective_term(ob, i, j, term);
                struct kern_contrast ct = contrast_of(ob, o, t, q, i, j, term);
                rc = kern_contrast_forward(ob->kn, &ct, ob->p_dev + at * scores(ob),
                                           ob->loss_dev + at * ob->n);
                if (rc == 0)
                    rc = kern_contrast_grad(ob->kn, ob->g_dev + at * scores(ob),
                                            ob->p_dev + at * scores(ob), ct.pos,
                                            ob->weight_dev + at, ob->n, ob->ne);
            }
        }
    }
    return rc;
}

static const float *kl_weight(const struct objective *ob, size_t term)
{
    return ob->weight_dev + all_terms(ob) + MIN(term, (size_t)1);
}

/* KL(sg p_ij || p_ji) of every term of two different large views; its gradient goes into p_ji's. */
static int swapped_all(struct objective *ob)
{
    int rc = 0;
    for (size_t i = 0; i < ob->targets; i++) {
        for (size_t j = 0; j < ob->targets; j++) {
            for (size_t term = 0; i != j && term <= ob->positives && rc == 0; term++) {
                size_t at = objective_term(ob, i, j, term), to = objective_term(ob, j, i, term);
                rc = kern_kl(ob->kn, ob->kl_dev + at * ob->n, ob->g_dev + to * scores(ob),
                             ob->p_dev + at * scores(ob), ob->p_dev + to * scores(ob),
                             positives(ob, i, j, term), kl_weight(ob, term), ob->n, ob->ne);
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
    float *kl = ob->kl_dev + at * ob->n;
    const float *weight = kl_weight(ob, term);
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
            for (size_t term = 0; term <= ob->positives && rc == 0; term++) {
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
static void add_up(const struct objective *ob, size_t anchors, struct objective_value *v)
{
    size_t terms = anchors > 0 ? 1 + ob->positives : 1;
    *v = (struct objective_value){ .sempos = terms > 1 ? 0 : NAN };
    for (size_t i = 0; i < ob->views; i++) {
        for (size_t j = 0; j < ob->targets; j++) {
            for (size_t term = 0; term < terms; term++) {
                const float *loss = ob->loss + objective_term(ob, i, j, term) * ob->n;
                const float *kl = ob->kl + objective_term(ob, i, j, term) * ob->n;
                double weight = weight_of(ob, term, anchors);
                double sum = sum_of(loss, ob->n), penalty = 0;
                if (ob->mode == INV_T)
                    penalty = taken(ob, i, j) ? sum : -sum;
                else if (ob->mode == INV_R || (ob->mode == INV_S && i < ob->targets && i != j))
                    penalty = sum_of(kl, ob->n);
                *(term == 0 ? &v->augm : &v->sempos) += sum * weight;
                v->inv += penalty * weight;
            }
        }
    }
    v->total = ob->contrast * (v->augm + (terms > 1 ? ob->alpha * v->sempos : 0)) +
               ob->invariance * v->inv;
}

int objective_run(struct objective *ob, const int64_t *step, const int32_t *label,
                  const float *const *o, const float *const *t, const struct queue *q,
                  float *const *do_)
{
    int rc = draw_positives(ob, step, label, q);
    if (rc == 0)
        rc = contrast_all(ob, o, t, q);
    if (rc == 0 && ob->mode == INV_S)
        rc = swapped_all(ob);
    if (rc == 0)
        rc = backward_all(ob, o, t, q, do_);
    return rc < 0 ? fail(rc, "the device failed at the losses of a step") : 0;
}

int objective_get(struct objective *ob, size_t anchors, struct objective_value *value)
{
    size_t bytes = all_terms(ob) * ob->n * sizeof(float);
    int rc = kern_get(ob->kn, ob->loss, ob->loss_dev, bytes);
    if (rc == 0 && (ob->mode == INV_S || ob->mode == INV_R))
        rc = kern_get(ob->kn, ob->kl, ob->kl_dev, bytes);
    if (rc < 0)
        return fail(rc, "the device did not give the losses of a step");
    add_up(ob, anchors, value);
    return 0;
}
