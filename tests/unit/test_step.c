/*
 * test_step.c - the whole step on a tiny network with every term of the loss is a function of the
 * state alone. Its gradient is compared with finite differences in tests/double/.
 */
#include "tests/unit/step_data.h"

/* Asking for a gradient changes nothing. */
static void again(void)
{
    struct state s;
    struct step st;
    struct step_metrics m = { 0 }, second = { 0 };
    ok(state_new(&s, &set) == 0, "a state: %s", fail_text());
    ok(step_open(&st, &s, kn, pool, &data) == 0, "a step: %s", fail_text());
    ok(step_run(&st, &m) == 0 && step_run(&st, &m) == 0, "two steps: %s", fail_text());
    ok(m.step == 2 && s.step == 2 && s.data_rows == ROWS && s.total_steps == 20, "they count");
    ok(step_save(&st) == 0, "saved");

    size_t fill = st.queue.fill;
    float *grad = malloc(s.nparam * sizeof *grad), *twice = malloc(s.nparam * sizeof *twice);
    ok(step_gradient(&st, &m) == 0, "a gradient: %s", fail_text());
    ok(isfinite(m.loss_sempos) && m.loss_inv > 0 && m.loss_augm > 0, "all terms of the loss");
    kern_get(kn, grad, st.optim.grad, s.nparam * sizeof *grad);
    ok(step_gradient(&st, &second) == 0 && second.loss == m.loss && second.spread == m.spread,
       "the same loss when asked again");
    kern_get(kn, twice, st.optim.grad, s.nparam * sizeof *grad);
    ok(memcmp(grad, twice, s.nparam * sizeof *grad) == 0, "the same gradient");
    float *queue = malloc(2 * 16 * 6 * sizeof *queue);
    memcpy(queue, s.queue, 2 * 16 * 6 * sizeof *queue);
    ok(step_save(&st) == 0 && st.queue.fill == fill && s.step == 2 &&
           memcmp(queue, s.queue, 2 * 16 * 6 * sizeof *queue) == 0,
       "a gradient without an update leaves no trace");

    free(queue);
    free(grad);
    free(twice);
    step_close(&st);
    state_release(&s);
}

static bool equal(const struct state *a, const struct state *b)
{
    return a->step == b->step && a->updates == b->updates && a->queue_head == b->queue_head &&
           memcmp(a->theta, b->theta, a->nparam * sizeof(float)) == 0 &&
           memcmp(a->momentum, b->momentum, a->nparam * sizeof(float)) == 0 &&
           memcmp(a->xi, b->xi, a->ntarget * sizeof(float)) == 0 &&
           memcmp(a->running, b->running, a->nrunning * sizeof(float)) == 0 &&
           memcmp(a->running_target, b->running_target, a->nrunning_target * sizeof(float)) == 0 &&
           memcmp(a->queue, b->queue, 2 * 16 * 6 * sizeof(float)) == 0 &&
           memcmp(a->queue_id, b->queue_id, 16 * sizeof(uint64_t)) == 0;
}

static void pieces(void)
{
    struct state a, b;
    struct step st;
    struct step_metrics m;
    state_new(&a, &set);
    state_new(&b, &set);
    float *xi = malloc(a.ntarget * sizeof *xi);
    step_open(&st, &a, kn, pool, &data);
    step_run(&st, &m);
    ok(m.lr == 0 && m.queue_fill == 3.0 / 16, "the first step: rate 0, three labelled pictures");
    ok(m.ema == set.base_ema, "and the first coefficient");
    ok(m.pseudo_accuracy >= 0 && m.vote_share > 0 && m.vote_share <= 1 && m.spread > 0 &&
           m.spread < 1.5 && m.images_per_s > 0,
       "what a step says");
    step_save(&st);
    ok(a.updates == 2 &&
           memcmp(a.running, a.running_target, a.nrunning_target * sizeof(float)) == 0,
       "both networks saw the same large crops, and small ones leave no trace");
    ok(memcmp(a.theta, a.xi, a.ntarget * sizeof(float)) == 0, "rate 0 changes no parameter");
    step_run(&st, &m);
    step_save(&st);
    memcpy(xi, a.xi, a.ntarget * sizeof *xi);
    step_gradient(&st, &m);
    step_update(&st, &m);
    step_save(&st);
    step_close(&st);
    double worst = 0, moved = 0;
    for (size_t i = 0; i < a.ntarget; i++) {
        worst = fmax(worst, fabs(a.xi[i] - (m.ema * xi[i] + (1 - m.ema) * a.theta[i])));
        moved = fmax(moved, fabs(a.xi[i] - xi[i]));
    }
    ok(worst < 1e-6 && moved > 1e-6, "the target follows the updated network");
    free(xi);
    for (int i = 0; i < 3; i++) {
        step_open(&st, &b, kn, pool, &data);
        step_run(&st, &m);
        step_save(&st);
        step_close(&st);
    }
    ok(a.step == 3 && equal(&a, &b), "three steps in a row are three times one step");
    state_release(&a);
    state_release(&b);
}

/* A state after some steps with this micro-batch, one call or many. */
static void train(struct state *s, int micro, int steps, int at_once)
{
    struct settings part = set;
    struct step_metrics m;
    part.micro_batch = micro;
    state_new(s, &part);
    for (int i = 0; i < steps; i += at_once) {
        struct step st;
        step_open(&st, s, kn, pool, &data);
        for (int k = 0; k < at_once; k++)
            step_run(&st, &m);
        step_save(&st);
        step_close(&st);
    }
}

static void micro_batches(void)
{
    struct state whole, same, part, pieces;
    train(&whole, 0, 2, 2);
    train(&same, set.batch, 2, 2);
    train(&part, 3, 2, 2);
    train(&pieces, 3, 2, 1);
    ok(equal(&whole, &same), "a micro-batch of all is the same step");
    ok(equal(&part, &pieces), "steps in micro-batches may be cut too");
    ok(memcmp(part.theta, whole.theta, part.nparam * sizeof(float)) != 0,
       "which is another step: batch norm sees fewer pictures");
    ok(part.updates == 2 * whole.updates && part.updates_target == 2 * whole.updates_target,
       "each updates the running statistics once");
    ok(step_memory(&part, kn).arrays < step_memory(&same, kn).arrays &&
           step_memory(&same, kn).arrays < step_memory(&whole, kn).arrays,
       "and takes less memory");
    struct state *all[] = { &whole, &same, &part, &pieces };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        state_release(all[i]);
}

/* The running mean and variance of the online network after steps more, by this decay. */
static void statistics(struct state *s, double decay, int steps)
{
    struct step st;
    struct step_metrics m;
    s->set.bn_decay = decay;
    step_open(&st, s, kn, pool, &data);
    for (int i = 0; i < steps; i++)
        step_run(&st, &m);
    step_save(&st);
    step_close(&st);
}

/*
 * The running statistics are the average of those of all large views so far, each weighing less by
 * the decay than the one after it, without a trace of where they began. decay 0 leaves those of the
 * last view, and from decay 1/2 those of the first one follow. Rate 0: the same weights all along.
 */
static void averages(void)
{
    enum { LAST, HALF, ONE, BOTH, AGAIN, RUNS };
    static const double decay[] = { 0, 0.5, 0.9, 0.9, 0.9 };
    struct settings still = set;
    struct state s[RUNS];
    still.base_lr = 0;
    double worst = 0, worst_both = 0, largest = 0;
    for (int r = 0; r < RUNS; r++) {
        state_new(&s[r], &still);
        for (size_t i = 0; i < s[r].nrunning; i++)
            s[r].running[i] += (float)r;
        s[r].step = r == AGAIN;
        statistics(&s[r], decay[r], r == BOTH ? 2 : 1);
    }
    const struct net *net = &s[0].large;
    for (int i = 0; i < net->nstats; i++)
        for (size_t c = net->stat[i].offset; c < net->stat[i].offset + 2 * net->stat[i].c; c++) {
            double last = s[LAST].running[c], first = 3 * s[HALF].running[c] - 2 * last;
            double one = s[ONE].running[c], again = s[AGAIN].running[c];
            worst = fmax(worst, fabs(one - (0.9 * first + last) / 1.9));
            worst_both = fmax(worst_both, fabs(s[BOTH].running[c] - (0.81 * one + again) / 1.81));
            largest = fmax(largest, fabs(first - last));
        }
    ok(worst < 1e-5 && largest > 1e-2, "statistics are averaged over views, without their start");
    ok(worst_both < 1e-5, "and over steps");
    ok(s[BOTH].updates == 4 && s[BOTH].updates_target == 4, "each network counts its large views");
    for (int r = 0; r < RUNS; r++)
        state_release(&s[r]);
}

/* Ratio 0: labels that are given are seen, and no vote overrules them. */
static void given(void)
{
    struct settings open = set;
    struct state s;
    struct step st;
    struct step_metrics m;
    size_t labelled = 0, kept = 0, voted = 0;
    open.labelled_ratio = 0;
    state_new(&s, &open);
    step_open(&st, &s, kn, pool, &data);
    for (int i = 0; i < 4; i++) {
        step_run(&st, &m);
        for (size_t b = 0; b < st.n; b++) {
            labelled += st.batch->sample[b].label >= 0;
            kept += st.batch->sample[b].label >= 0 && st.label[b] == st.batch->sample[b].label;
            voted += st.batch->sample[b].label < 0 && st.label[b] >= 0;
        }
    }
    ok(labelled > 0 && kept == labelled && voted > 0, "labels that are given stay");
    step_close(&st);
    state_release(&s);
}

static double norm_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* The loss of the first step with activations of a type. */
static double loss_in(enum kern_type type)
{
    struct state s;
    struct step st;
    struct step_metrics m;
    struct settings calm = set;
    calm.batch = 20; /* batch norm over fewer numbers makes much of a small change, */
    calm.alpha = 0;  /* and so does a vote that turns */
    state_new(&s, &calm);
    state_precision(&s, type);
    step_open(&st, &s, kn, pool, &data);
    step_gradient(&st, &m);
    step_close(&st);
    state_release(&s);
    return m.loss;
}

static void precision(void)
{
    double exact = loss_in(KERN_F32), rounded = loss_in(KERN_BF16);
    near(rounded, exact, 0.05 * exact, "the loss with activations of 8 bits");
    ok(rounded != exact, "which are another computation");
    double half = loss_in(KERN_F16);
    near(half, exact, 0.01 * exact, "of 11 bits");
    ok(half != exact && half != rounded, "a third one");
}

/* A loss scale is a power of two: in float32 it changes no bit, of gradients, norm or update. */
static void loss_scale(int invariance)
{
    struct settings other = set;
    struct state s[2];
    struct step_metrics m[2];
    float *grad[2];
    bool scaled = true;
    other.invariance = invariance;
    other.warmup = 0;
    for (int i = 0; i < 2; i++) {
        struct step st;
        state_new(&s[i], &other);
        s[i].loss_scale = i ? 1024 : 1;
        ok(step_open(&st, &s[i], kn, pool, &data) == 0, "a step: %s", fail_text());
        step_run(&st, &m[i]);
        grad[i] = malloc(s[i].nparam * sizeof *grad[i]);
        kern_get(kn, grad[i], st.optim.grad, s[i].nparam * sizeof *grad[i]);
        step_save(&st);
        step_close(&st);
    }
    for (size_t i = 0; i < s[0].nparam; i++)
        scaled = scaled && grad[1][i] == 1024 * grad[0][i];
    ok(scaled && norm_of(grad[0], s[0].nparam) > 0, "invariance %d: a scaled gradient", invariance);
    ok(m[0].loss == m[1].loss && m[0].grad_norm == m[1].grad_norm, "whose norm is not");
    ok(memcmp(s[0].theta, s[1].theta, s[0].nparam * sizeof(float)) == 0 &&
           memcmp(s[0].momentum, s[1].momentum, s[0].nparam * sizeof(float)) == 0,
       "the same update");
    for (int i = 0; i < 2; i++) {
        free(grad[i]);
        state_release(&s[i]);
    }
}

/* The first update fills the momentum: gradients of biases and batch norm as they are, those of
 * weights scaled to trust |w|. */
static void update(void)
{
    struct state s;
    struct step st;
    struct step_metrics m;
    state_new(&s, &set);
    step_open(&st, &s, kn, pool, &data);
    step_gradient(&st, &m);
    float *grad = malloc(s.nparam * sizeof *grad);
    kern_get(kn, grad, st.optim.grad, s.nparam * sizeof *grad);
    near(m.grad_norm, norm_of(grad, s.nparam), 1e-4 * m.grad_norm, "norm of the gradient");
    step_update(&st, &m);
    step_save(&st);
    step_close(&st);
    bool plain = true, scaled = true;
    for (int i = 0; i < s.large.nparams; i++) {
        const struct net_param *p = &s.large.param[i];
        if (p->excluded)
            plain &=
                memcmp(s.momentum + p->offset, grad + p->offset, p->count * sizeof(float)) == 0;
        else
            scaled &= fabs(norm_of(s.momentum + p->offset, p->count) /
                               (set.trust * norm_of(s.theta + p->offset, p->count)) -
                           1) < 1e-4;
    }
    ok(plain, "biases and batch norm take the gradient as it is");
    ok(scaled, "weights take it scaled");
    free(grad);
    state_release(&s);
}

/* What update t, divided by the rate, takes off a weight, by the rules as they are written. */
static double rule_of(int rule, int t, double grad, double decay, double *mean, double *square)
{
    if (rule == OPTIMIZER_SGD)
        return *mean = 0.9 * *mean + grad + decay;
    *mean = 0.9 * *mean + 0.1 * grad;
    *square = 0.999 * *square + 0.001 * grad * grad;
    double unbiased = sqrt(*square / (1 - pow(0.999, t)));
    return *mean / (1 - pow(0.9, t)) / (unbiased + 1e-8) + decay;
}

/* Momentum and AdamW follow their rules, with moments that last from run to run. */
static void optimizers(int rule)
{
    struct settings other = set;
    struct state s;
    other.optimizer = rule;
    other.warmup = 0; /* a rate from the first step on */
    other.weight_decay = 0.1;
    state_new(&s, &other);
    size_t bytes = s.nparam * sizeof(float);
    float *w = malloc(bytes), *grad = malloc(bytes);
    double worst = 0, largest = 0, mean[2] = { 0 }, square[2] = { 0 };
    for (int t = 1; t <= 2; t++) {
        struct step st;
        struct step_metrics m;
        memcpy(w, s.theta, bytes);
        step_open(&st, &s, kn, pool, &data);
        step_gradient(&st, &m);
        kern_get(kn, grad, st.optim.grad, bytes);
        step_update(&st, &m);
        step_save(&st);
        step_close(&st);
        for (int i = 0; i < 2; i++) { /* of a weight, and of a scale, which does not decay */
            size_t k = s.large.param[i].offset;
            double by = rule_of(rule, t, grad[k], i == 0 ? 0.1 * w[k] : 0, &mean[i], &square[i]);
            worst = fmax(worst, fabs(w[k] - m.lr * by - s.theta[k]));
            largest = fmax(largest, fabs(m.lr * by));
        }
    }
    ok(worst < 1e-4 * largest && largest > 1e-4, "%s",
       rule == OPTIMIZER_SGD ? "momentum" : "AdamW");
    ok(!s.second == (rule == OPTIMIZER_SGD), "squares are kept where they are used");
    free(w);
    free(grad);
    state_release(&s);
}

static void refusals(void)
{
    struct state s;
    struct step st;
    struct step_metrics m;
    const char *const huge[] = { "batch=1048576" };
    state_new(&s, &set);
    step_open(&st, &s, kn, pool, &data);
    step_run(&st, &m);
    step_save(&st);
    s.theta[state_param_offset(&s, "predictor")] = NAN;
    step_load(&st);
    ok(step_gradient(&st, &m) == -ENUMERIC && strstr(fail_text(), "step 2"),
       "a loss that is not finite stops the step: %s", fail_text());
    ok(step_save(&st) == 0 && s.step == 1 && s.queue_fill == 3, "the state is the last update's");
    step_close(&st);
    s.data_rows++;
    ok(step_open(&st, &s, kn, pool, &data) == -EINVAL, "other data: %s", fail_text());
    s.data_rows--;
    ok(state_set(&s, huge, 1) == 0 && step_open(&st, &s, kn, pool, &data) == -ENOMEM, "too big: %s",
       fail_text());
    state_release(&s);
}

int main(void)
{
    setenv("SEMPPL_ISA", "ref", 1);
    step_begin();
    again();
    pieces();
    micro_batches();
    averages();
    given();
    update();
    optimizers(OPTIMIZER_SGD);
    optimizers(OPTIMIZER_ADAMW);
    precision();
    for (int invariance = INV_NONE; invariance <= INV_T; invariance++)
        loss_scale(invariance);
    refusals();
    step_end();
    return done();
}
