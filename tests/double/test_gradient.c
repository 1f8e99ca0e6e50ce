/*
 * test_gradient.c - the gradient of a whole step, from the loss through predictor, projector and
 * encoder to every parameter, against finite differences in double precision.
 */
#include "kernels/ops.h"
#include "tests/unit/plain.h"
#include "tests/unit/step_data.h"

/* The fast kernels are not part of this build. */
void ops_init_cpu(struct kern_ops *o, unsigned isa UNUSED)
{
    *o = ops_ref;
}

/* The loss of the last gradient asked for, in plain loops. held: predictions where sg stands. */
static double loss_of(const struct step *st, float *const *held)
{
    struct plain plain = { &st->objective, &st->queue, (const float *const *)st->t, st->o, held };
    return plain_total(&plain);
}

/* The loss at theta + length * direction of one tensor. */
static double loss_at(struct step *st, float *const *held, float *w, const float *was,
                      const float *direction, size_t n, double length)
{
    struct step_metrics m;
    for (size_t i = 0; i < n; i++)
        w[i] = was[i] + length * direction[i];
    return step_load(st) < 0 || step_gradient(st, &m) < 0 ? NAN : loss_of(st, held);
}

/*
 * How far differences along a direction that mixes a tensor's gradient and noise are from it, in
 * parts of its length; or of least, since a bias before a batch norm has no gradient.
 */
static double error_of(struct step *st, float *const *held, const float *grad, size_t at, size_t n,
                       double least)
{
    float *w = st->state->theta + at, *was = malloc(n * sizeof *was), *d = malloc(n * sizeof *d);
    double g2 = 0, r2 = 0, want = 0;
    memcpy(was, w, n * sizeof *was);
    for (size_t i = 0; i < n; i++) {
        struct rng r;
        rng_init(&r, t_seed(), RNG_TEST, i, at, 0);
        d[i] = rng_normal(&r);
        g2 += grad[at + i] * grad[at + i];
        r2 += d[i] * d[i];
    }
    for (size_t i = 0; i < n; i++) {
        d[i] = grad[at + i] / fmax(sqrt(g2), least) + 0.5 * d[i] / sqrt(r2);
        want += d[i] * grad[at + i];
    }
    const double eps = 1e-8; /* ReLUs and maxima bend the loss: further out, some always turn */
    double got =
        (loss_at(st, held, w, was, d, n, eps) - loss_at(st, held, w, was, d, n, -eps)) / (2 * eps);
    memcpy(w, was, n * sizeof *was);
    free(was);
    free(d);
    return fabs(got - want) / fmax(sqrt(g2), least);
}

/* The largest error of a part's parameters, of which one in so many is looked at. */
static void check_part(struct step *st, float *const *held, const float *grad, double norm,
                       const struct net *net, int one_in, const char *name)
{
    double worst = 0;
    const char *where = "";
    for (int i = 0; i < net->nparams; i += one_in) {
        size_t at = state_param_offset(st->state, net->part) + net->param[i].offset;
        double error = error_of(st, held, grad, at, net->param[i].count, 1e-3 * norm);
        if (!(error <= worst)) {
            worst = error;
            where = net->param[i].name;
        }
    }
    ok(worst < 1e-4, "%s, %s: %s off by %.1e", name, net->part, where, worst);
}

static void check(int one_in, const char *name)
{
    struct state s;
    struct step st;
    struct step_metrics m = { 0 };
    float *held[CROPS] = { NULL };
    ok(state_new(&s, &set) == 0 && step_open(&st, &s, kn, pool, &data) == 0, "%s: opened: %s", name,
       fail_text());
    ok(step_run(&st, &m) == 0 && step_run(&st, &m) == 0 && step_save(&st) == 0,
       "%s: two steps before", name);
    float *grad = malloc(s.nparam * sizeof *grad);
    ok(step_gradient(&st, &m) == 0, "%s: a gradient: %s", name, fail_text());
    ok(m.loss_augm > 0 && m.loss_sempos > 0 && m.loss_inv != 0,
       "%s: all terms of the loss: %g %g %g", name, m.loss_augm, m.loss_sempos, m.loss_inv);
    for (size_t v = 0; v < st.nviews; v++)
        held[v] =
            memcpy(malloc(st.n * st.dim * sizeof(float)), st.o[v], st.n * st.dim * sizeof(float));
    near(loss_of(&st, held), m.loss, 1e-12, "%s: the loss in plain loops", name);
    kern_get(kn, grad, st.optim.grad, s.nparam * sizeof *grad);
    const struct net *net[] = { &s.large, &s.projector, &s.predictor };
    for (size_t part = 0; part < ARRAY_LEN(net); part++)
        check_part(&st, held, grad, m.grad_norm, net[part], one_in, name);
    for (size_t v = 0; v < st.nviews; v++)
        free(held[v]);
    free(grad);
    step_close(&st);
    state_release(&s);
}

/* Every way to orient the loss and to penalise variance. */
static void forms(void)
{
    static const char *const name[][3] = {
        { "invariance S", "invariance R", "invariance T" },
        { "targets as anchors, S", "targets as anchors, R", "targets as anchors, T" },
    };
    for (int orientation = 0; orientation < 2; orientation++)
        for (int mode = INV_S; mode <= INV_T; mode++) {
            set.loss_orientation = orientation;
            set.invariance = mode;
            set.exclude_class = mode == INV_R;
            check(16, name[orientation][mode - INV_S]);
        }
}

int main(void)
{
    step_begin();
    set.contrast_weight = 0.7;
    set.alpha = 0.6;
    set.zero_init_last_bn = 0;
    forms();
    set.loss_orientation = ORIENT_ONLINE;
    set.invariance = INV_S;
    set.exclude_class = false;
    check(1, "ResNet-18, small stem");
    set.micro_batch = 3;
    check(4, "in micro-batches");
    set.micro_batch = 0;
    set.encoder = ENC_RESNET50;
    set.stem = STEM_IMAGENET;
    set.padding = PAD_SAME;
    set.large_side = 12;
    set.small_side = 9;
    check(4, "ResNet-50, 7x7 stem, same padding");
    set.sk = 1;
    check(16, "ResNet-50 with selective kernels");
    step_end();
    return done();
}
