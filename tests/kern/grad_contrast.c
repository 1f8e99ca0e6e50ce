/*
 * grad_contrast.c - gradients of the contrastive loss and of the invariance term by the online
 * predictions, through unit vectors, against central differences.
 */
#include "tests/kern/check.h"

enum { N = 7, D = 9, NE = 4, BANK = 5, NP = N * (NE + 1) };

struct net {
    struct kern *kn;
    struct kern_contrast ct;
    float *u, *o, *r, *p, *loss;
    float *held, *kl, *g; /* invariance: the other pair's probabilities */
    float weight;
};

static int forward(struct net *t)
{
    int rc = kern_l2norm_forward(t->kn, t->o, t->r, t->u, N, D);
    return rc ? rc : kern_contrast_forward(t->kn, &t->ct, t->p, t->loss);
}

static double sum(const float *x)
{
    double s = 0;
    for (int i = 0; i < N; i++)
        s += x[i];
    return s;
}

static double loss(void *arg)
{
    struct net *t = arg;
    return forward(t) ? NAN : t->weight * sum(t->loss);
}

static double divergence(void *arg)
{
    struct net *t = arg;
    int rc = forward(t);
    rc |= kern_kl(t->kn, t->kl, t->g, t->held, t->p, t->ct.pos, &t->weight, N, NE);
    return rc ? NAN : t->weight * sum(t->kl);
}

static void check(struct net *t, double (*f)(void *), const char *what)
{
    float *du = check_zeros(N * D), *g = check_zeros(NP);
    int rc = forward(t);
    if (f == loss)
        rc |= kern_contrast_grad(t->kn, g, t->p, t->ct.pos, &t->weight, N, NE);
    else
        rc |= kern_kl(t->kn, t->kl, g, t->held, t->p, t->ct.pos, &t->weight, N, NE);
    rc |= kern_contrast_backward(t->kn, &t->ct, du, g);
    rc |= kern_l2norm_backward(t->kn, du, du, t->o, t->r, N, D);
    ok(rc == 0, "%s", what);
    check_gradient(f, t, t->u, N * D, du, 0.01, 1e-3, "its gradient");
}

int main(void)
{
    check_init();
    for (int i = 0; check_isa(i); i++)
        for (int kind = 0; kind < 4; kind++) {
            bool semantic = kind & 1, anchored = kind & 2;
            struct net t = { .kn = check_open(check_isa(i), 2), .weight = 0.3f };
            float *target = check_normal(N * D), *bank = check_normal(BANK * D), *r = check_buf(N);
            t.u = check_normal(N * D);
            t.o = check_buf(N * D);
            t.r = check_buf(N);
            t.p = check_buf(NP);
            t.loss = check_buf(N);
            t.held = check_buf(NP);
            t.kl = check_buf(N);
            t.g = check_zeros(NP);
            kern_l2norm_forward(t.kn, target, r, target, N, D);
            kern_l2norm_forward(t.kn, bank, r, bank, BANK, D);
            t.ct = (struct kern_contrast){ .n = N,
                                           .d = D,
                                           .ne = NE,
                                           .tau = 0.5f,
                                           .o = t.o,
                                           .t = target,
                                           .bank = semantic ? bank : target,
                                           .pos = semantic ? check_ints(N, -1, BANK) : NULL,
                                           .neg = check_ints(N * NE, -1, N),
                                           .target_anchored = anchored };
            struct net other = t; /* other predictions, the same candidates */
            other.u = check_normal(N * D);
            other.p = t.held;
            forward(&other);
            printf("# anchored at the %s\n", anchored ? "target" : "prediction");
            check(&t, loss, semantic ? "loss, semantic positives" : "loss");
            check(&t, divergence, "divergence");
            check_close(t.kn);
            check_release(", %s", check_isa(i));
        }
    return done();
}
