/*
 * test_state.c - a run's state: its first weights, and the way through a checkpoint and back.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/state.h"
#include "tests/t.h"
#include <string.h>

static struct settings small(void)
{
    struct settings s;
    settings_preset(&s, 1);
    s.width = 0.125;
    s.hidden = 24;
    s.dim = 10;
    s.batch = 2;
    s.queue = 6;
    s.small_crops = 1;
    return s;
}

/* A state in which no two numbers are alike, as after some training. */
static void scramble(struct state *s)
{
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, 0, 0);
    for (int part = 0; part < 3; part++) {
        const struct net *net = part == 0 ? &s->large : part == 1 ? &s->projector : &s->predictor;
        size_t at = state_param_offset(s, net->part), run = state_running_offset(s, net->part);
        for (int p = 0; p < net->nparams; p++)
            for (size_t i = 0; i < net->param[p].count; i++) {
                size_t k = at + net->param[p].offset + i;
                s->momentum[k] = rng_normal(&r);
                if (s->second)
                    s->second[k] = fabsf(rng_normal(&r));
                if (k < s->ntarget)
                    s->xi[k] = rng_normal(&r);
            }
        for (int t = 0; t < net->nstats; t++)
            for (size_t i = 0; i < 2 * net->stat[t].c; i++) {
                s->running[run + net->stat[t].offset + i] = rng_normal(&r);
                if (part < 2)
                    s->running_target[run + net->stat[t].offset + i] = rng_normal(&r);
            }
    }
    for (size_t i = 0; i < 2 * s->capacity * 10; i++)
        s->queue[i] = rng_normal(&r);
    for (size_t i = 0; i < s->capacity; i++)
        s->queue_id[i] = UINT64_MAX - i;
    s->queue_label[0] = 1;
    s->queue_label[1] = 0;
    s->queue_head = s->queue_fill = 2;
    s->step = 7;
    s->total_steps = 100;
    s->data_rows = 5000000000;
    s->updates = 14;
    s->updates_target = 15;
    classes_add(&s->classes, "cat");
    classes_add(&s->classes, "dog");
    history_add(&s->history, "{\"program\": \"test\"}");
}

/* In every row of the table. */
static bool same_settings(const struct settings *a, const struct settings *b)
{
    char one[64], other[64];
    for (const struct setting *row = settings_table; row->name; row++) {
        settings_print(a, row, one, sizeof one);
        settings_print(b, row, other, sizeof other);
        if (strcmp(one, other) != 0)
            return false;
    }
    return true;
}

static bool same_state(const struct state *a, const struct state *b)
{
#define SAME(field, n) (memcmp(a->field, b->field, (n) * sizeof *a->field) == 0)
    return same_settings(&a->set, &b->set) && a->nparam == b->nparam && a->ntarget == b->ntarget &&
           a->nrunning == b->nrunning && a->capacity == b->capacity && SAME(theta, a->nparam) &&
           SAME(momentum, a->nparam) && !a->second == !b->second &&
           (!a->second || SAME(second, a->nparam)) && SAME(xi, a->ntarget) &&
           SAME(running, a->nrunning) && SAME(running_target, a->nrunning_target) &&
           SAME(queue, 2 * a->capacity * 10) && SAME(queue_label, a->capacity) &&
           SAME(queue_id, a->capacity) && a->queue_head == b->queue_head &&
           a->queue_fill == b->queue_fill && a->step == b->step &&
           a->total_steps == b->total_steps && a->data_rows == b->data_rows &&
           a->updates == b->updates && a->updates_target == b->updates_target &&
           a->classes.n == b->classes.n && a->history.n == b->history.n;
}

static const float *weights(const struct state *s, const char *name, size_t *count)
{
    for (int p = 0; p < s->large.nparams; p++)
        if (strcmp(s->large.param[p].name, name) == 0) {
            *count = s->large.param[p].count;
            return s->theta + s->large.param[p].offset;
        }
    exit(1);
}

static void beginnings(void)
{
    struct settings set;
    settings_preset(&set, 1);
    set.width = 0.5;
    set.seed = 3;
    struct state s, again, other;
    if (state_new(&s, &set) < 0 || state_new(&again, &set) < 0)
        exit(1);
    set.seed = 4;
    if (state_new(&other, &set) < 0)
        exit(1);
    size_t n;
    const float *w = weights(&s, "layer4.1.conv1.weight", &n);
    double sum = 0, squares = 0, largest = 0, sigma = 1 / sqrt(256 * 9);
    for (size_t i = 0; i < n; i++) {
        sum += w[i];
        squares += (double)w[i] * w[i];
        largest = fmax(largest, fabsf(w[i]));
    }
    near(sum / (double)n, 0, 5 * sigma / sqrt((double)n), "weights: mean");
    /* a normal cut at two deviations has 0.8796 of the deviation */
    near(sqrt(squares / (double)n) / sigma, 0.8796, 0.003, "weights: deviation");
    ok(largest <= 2 * sigma * 1.000001 && largest > 1.99 * sigma, "weights: cut at two deviations");
    w = weights(&s, "layer4.1.bn2.weight", &n);
    ok(w[0] == 1 && w[n - 1] == 1, "scales of basic blocks start at 1");
    w = weights(&s, "layer4.1.bn2.bias", &n);
    ok(w[0] == 0 && w[n - 1] == 0, "offsets start at 0");
    ok(memcmp(s.theta, again.theta, s.nparam * sizeof *s.theta) == 0, "a seed, a network");
    ok(memcmp(s.theta, other.theta, s.nparam * sizeof *s.theta) != 0, "another, another");
    ok(memcmp(s.theta, s.xi, s.ntarget * sizeof *s.xi) == 0, "the target starts as the online");
    ok(s.set.queue == 20 * 256 && s.capacity == 5120, "the queue holds 20 batches");
    ok(s.small.nnodes == 0, "no network for crops that are not made");
    state_release(&s);
    state_release(&again);
    state_release(&other);
}

static void round_trip(void)
{
    struct settings set = small();
    struct state s, back;
    struct ckpt c = { 0 };
    if (state_new(&s, &set) < 0)
        exit(1);
    scramble(&s);
    ok(state_to_ckpt(&s, &c) == 0, "to a checkpoint");
    c.name = mem_strdup("c.h5");
    ok(state_from_ckpt(&back, &c) == 0 && same_state(&s, &back), "and back, all of it");
    size_t dim[4] = { 8, 3, 3, 3 }, c512 = 64;
    ok(ckpt_get(&c, "online/encoder/conv1.weight", H5_F32, 4, dim) != NULL,
       "names as torchvision's");
    ok(ckpt_get(&c, "target/encoder/layer4.1.bn2.running_var", H5_F32, 1, &c512) != NULL,
       "statistics of the target");
    ok(ckpt_get(&c, "momentum/predictor/3.weight", H5_F32, 2, (size_t[]){ 10, 24 }) != NULL,
       "momentum of the predictor");
    int64_t *tracked = ckpt_get(&c, "target/projector/1.num_batches_tracked", H5_I64, 0, dim);
    ok(tracked && *tracked == 15, "updates of the statistics");
    ok(!ckpt_find(&c, "second/predictor/3.weight"), "squared gradients are AdamW's alone");
    state_release(&back);
    state_release(&s);
    ckpt_release(&c);
}

/* A state of any numbers and its checkpoint. */
static void good(struct state *s, struct ckpt *c)
{
    struct settings set = small();
    set.optimizer = OPTIMIZER_ADAMW;
    if (state_new(s, &set) < 0)
        exit(1);
    scramble(s);
    if (state_to_ckpt(s, c) < 0)
        exit(1);
    c->name = mem_strdup("c.h5");
}

/* The checkpoint without what is not below the groups. */
static void only(struct ckpt *c, const char *const *group)
{
    size_t n = 0;
    for (size_t i = 0; i < c->ntensors; i++) {
        const char *const *g = group;
        while (*g && strncmp(c->tensor[i].name, *g, strlen(*g)) != 0)
            g++;
        if (*g) {
            struct ckpt_tensor kept = c->tensor[i];
            c->tensor[i] = c->tensor[n];
            c->tensor[n++] = kept;
        }
    }
    for (size_t i = n; i < c->ntensors; i++) {
        free(c->tensor[i].name);
        free(c->tensor[i].data);
    }
    c->ntensors = n;
}

static void one_network(bool target)
{
    struct state s, back;
    struct ckpt c = { 0 };
    good(&s, &c);
    only(&c, state_network_groups(target));
    ok(state_network_from_ckpt(&back, &c, target) == 0, "one network: %s", fail_text());
    ok(!back.momentum && !back.queue && !(target ? back.theta : back.xi) &&
           back.updates_target == s.updates_target,
       "and no more");
    const float *want = target ? s.xi : s.theta, *got = target ? back.xi : back.theta;
    const float *stat = target ? s.running_target : s.running;
    ok(memcmp(want, got, (target ? s.ntarget : s.nparam) * sizeof *want) == 0 &&
           memcmp(stat, target ? back.running_target : back.running,
                  (target ? s.nrunning_target : s.nrunning) * sizeof *stat) == 0,
       "with its statistics");
    state_release(&back);
    ((float *)c.tensor[c.ntensors - 1].data)[0] = NAN;
    ok(state_network_from_ckpt(&back, &c, target) == -EINVAL, "checked: %s", fail_text());
    state_release(&s);
    ckpt_release(&c);
}

static void squares(void)
{
    struct state s, back;
    struct ckpt c = { 0 };
    good(&s, &c);
    ok(state_from_ckpt(&back, &c) == 0 && same_state(&s, &back), "with AdamW there and back too");
    state_release(&back);
    state_release(&s);
    ckpt_release(&c);
}

/* Numbers that reading refuses are not written over a good checkpoint. */
static void diverged(void)
{
    struct settings set = small();
    struct state s;
    if (state_new(&s, &set) < 0)
        exit(1);
    s.step = 7;
    float *const number[] = { &s.running[state_running_offset(&s, "predictor")], &s.xi[0] };
    const char *const name[] = { "step 7: online/predictor/1.running_mean",
                                 "step 7: target/encoder/conv1.weight" };
    for (size_t i = 0; i < ARRAY_LEN(number); i++) {
        struct ckpt c = { 0 };
        float was = *number[i];
        *number[i] = i ? NAN : INFINITY;
        ok(state_to_ckpt(&s, &c) == -ENUMERIC && strstr(fail_text(), name[i]) == fail_text(),
           "not written: %s", fail_text());
        *number[i] = was;
        ckpt_release(&c);
    }
    state_release(&s);
}

/* What each kind of damage makes of a good checkpoint; the sentence names file and thing. */
static void damage(const char *what, void (*harm)(struct ckpt *c), const char *sentence)
{
    struct state s, back;
    struct ckpt c = { 0 };
    good(&s, &c);
    harm(&c);
    ok(state_from_ckpt(&back, &c) == -EINVAL && strstr(fail_text(), "c.h5") == fail_text() &&
           strstr(fail_text(), sentence),
       "%s: %s", what, fail_text());
    state_release(&back);
    state_release(&s);
    ckpt_release(&c);
}

static void *data_of(struct ckpt *c, const char *name)
{
    return ckpt_find(c, name)->data;
}
static void harm_nan(struct ckpt *c)
{
    ((float *)data_of(c, "online/encoder/layer1.0.bn1.weight"))[3] = NAN;
}
static void harm_step(struct ckpt *c)
{
    *(int64_t *)data_of(c, "counters/step") = -1;
}
static void harm_updates(struct ckpt *c)
{
    *(int64_t *)data_of(c, "counters/updates") = INT64_MAX;
}
static void harm_head(struct ckpt *c)
{
    *(int64_t *)data_of(c, "queue/head") = 6;
}
static void harm_gap(struct ckpt *c)
{
    *(int64_t *)data_of(c, "queue/head") = 2;
    *(int64_t *)data_of(c, "queue/fill") = 3;
}
static void harm_fill(struct ckpt *c)
{
    *(int64_t *)data_of(c, "queue/fill") = 7;
}
static void harm_label(struct ckpt *c)
{
    *(int32_t *)data_of(c, "queue/labels") = 2;
}
static void harm_tracked(struct ckpt *c)
{
    *(int64_t *)data_of(c, "online/encoder/bn1.num_batches_tracked") = 13;
}
static void harm_second(struct ckpt *c)
{
    ((float *)data_of(c, "second/encoder/layer1.0.bn1.weight"))[3] = -1;
}
static void harm_width(struct ckpt *c)
{
    ckpt_put_double(c, "width", 4);
}
static void harm_depth(struct ckpt *c)
{
    ckpt_put_int(c, "dim", 9);
}
static void harm_extra(struct ckpt *c)
{
    ckpt_add(c, "online/encoder/layer9", H5_F32, 1, (size_t[]){ 1 });
}
static void harm_name(struct ckpt *c)
{
    ((char *)ckpt_find(c, "queue/ids")->name)[6] = 'k';
}

static void changes(void)
{
    struct settings set = small();
    struct state s;
    if (state_new(&s, &set) < 0)
        exit(1);
    s.total_steps = 10;
    const char *const sides[] = { "large_side=48", "tau=0.3" };
    ok(state_set(&s, sides, 2) == 0 && s.set.tau == 0.3 && s.large.tensor[0].h == 48 &&
           s.total_steps == 10,
       "the network follows the side of the crops");
    const char *const longer[] = { "epochs=9", "large_area_min=1" };
    ok(state_set(&s, longer, 2) == 0 && s.total_steps == 0, "a new length is worked out again");
    const char *const wrong[] = { "tau=0.5", "large_area_max=0.5" };
    ok(state_set(&s, wrong, 2) == -EUSAGE && s.set.tau == 0.3, "nothing changes if one is refused");
    state_release(&s);
}

int main(void)
{
    beginnings();
    round_trip();
    squares();
    one_network(false);
    one_network(true);
    diverged();
    damage("a number that is none", harm_nan, "online/encoder/layer1.0.bn1.weight");
    damage("a step below zero", harm_step, "counters/step");
    damage("a counter that the next step would overflow", harm_updates, "counters/updates is");
    damage("a head beyond the queue", harm_head, "queue/head");
    damage("a head that is not behind the fill", harm_gap, "queue/head 2 and queue/fill 3");
    damage("more fill than slots", harm_fill, "queue/fill");
    damage("a label without class", harm_label, "queue/labels");
    damage("counters that disagree", harm_tracked, "num_batches_tracked");
    damage("a square below zero", harm_second, "second/");
    damage("settings of a larger network", harm_width, "settings ask for");
    damage("another shape", harm_depth, "");
    damage("a tensor of no network", harm_extra, "online/encoder/layer9");
    damage("a tensor that is missing", harm_name, "queue/ids");
    changes();
    return done();
}
