/*
 * test_net.c - the gradients of networks with all kinds of layers against central finite
 * differences in double precision, where a step is so short that no ReLU or maximum changes sides
 * within it.
 */
#include "kernels/ops.h"
#include "tests/unit/net_data.h"

/* The fast kernels are not part of this build. */
void ops_init_cpu(struct kern_ops *o, unsigned isa UNUSED)
{
    *o = ops_ref;
}

static double loss(struct rig *g)
{
    struct net_pass *p;
    const float *out;
    double sum = 0;
    if (net_pack(g->kn, &g->net, &g->w) < 0 || net_pass_open(&p, g->kn, &g->net, N, 1, false) < 0 ||
        net_forward(p, &g->w, g->x, NULL, &out) < 0)
        exit(1);
    for (size_t i = 0; i < g->nout; i++)
        sum += (double)out[i] * g->dout[i];
    net_pass_close(p);
    return sum;
}

/* The derivative along a random direction of unit length through count numbers at, which the loss
 * depends on. */
static void slope(struct rig *g, float *at, const float *grad, size_t count, const char *what)
{
    enum { MAX_COUNT = 4096 };
    static float dir[MAX_COUNT], was[MAX_COUNT];
    const double step = 1e-7;
    double got = 0, norm = 0, length = 0, side[2];
    if (count > MAX_COUNT)
        exit(1);
    fill(dir, count, 2000 + count);
    memcpy(was, at, count * sizeof *at);
    for (size_t i = 0; i < count; i++)
        length += (double)dir[i] * dir[i];
    for (size_t i = 0; i < count; i++) {
        dir[i] /= (float)sqrt(length);
        got += (double)grad[i] * dir[i];
        norm += (double)grad[i] * grad[i];
    }
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < count; i++)
            at[i] = was[i] + (k ? step : -step) * dir[i];
        side[k] = loss(g);
    }
    memcpy(at, was, count * sizeof *at);
    double want = (side[1] - side[0]) / (2 * step);
    near(got, want, 1e-5 * sqrt(norm / (double)count) + 1e-6, "%s: gradient of %s", g->net.part,
         what);
}

static void gradients(struct rig *g)
{
    const float *out;
    struct net_pass *p = there_and_back(g, NULL, &out);
    for (int i = 0; i < g->net.nparams; i++) {
        const struct net_param *q = &g->net.param[i];
        slope(g, g->w.param + q->offset, g->grad + q->offset, q->count, q->name);
    }
    slope(g, g->x, g->dx, g->nx, "the input");
    net_pass_close(p);
}

int main(void)
{
    void (*const build[])(struct net * net, bool same) = { build_trunk, build_sk };
    struct rig g = { 0 };
    for (int k = 0; k < 2; k++)
        for (int same = 0; same < 2; same++) {
            rig_open(&g, true, 1);
            build[k](&g.net, same);
            rig_fill(&g);
            gradients(&g);
            rig_close(&g);
        }
    rig_open(&g, true, 1);
    if (head_build(&g.net, "head", 11, 17, 6) < 0)
        return 1;
    rig_fill(&g);
    gradients(&g);
    rig_close(&g);
    return done();
}
