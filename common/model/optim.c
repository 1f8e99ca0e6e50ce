/*
 * optim.c - the update of a step: the online network, then the target's moving average.
 */
#include "common/model/optim.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <stdlib.h>

static void add_segments(struct optim *op, const struct net *net, size_t offset)
{
    for (int i = 0; i < net->nparams; i++)
        op->seg[op->nseg++] = (struct kern_segment){ .offset = offset + net->param[i].offset,
                                                     .count = net->param[i].count,
                                                     .excluded = net->param[i].excluded };
}

int optim_open(struct optim *op, struct kern *kn, const struct state *s)
{
    const struct net *part[] = { &s->large, &s->projector, &s->predictor };
    *op = (struct optim){
        .kn = kn, .nparam = s->nparam, .ntarget = s->ntarget, .set = &s->set, .scale = s->loss_scale
    };
    bool adamw = s->set.optimizer == OPTIMIZER_ADAMW;
    size_t nseg = 0;
    for (size_t i = 0; i < ARRAY_LEN(part); i++)
        nseg += (size_t)part[i]->nparams;
    op->seg = mem_alloc(nseg, sizeof *op->seg, "list of parameters");
    op->theta = kern_alloc(kn, s->nparam * sizeof(float));
    op->momentum = kern_alloc(kn, s->nparam * sizeof(float));
    op->grad = kern_alloc(kn, s->nparam * sizeof(float));
    op->second = adamw ? kern_alloc(kn, s->nparam * sizeof(float)) : NULL;
    op->xi = kern_alloc(kn, s->ntarget * sizeof(float));
    if (!op->seg || !op->theta || !op->momentum || !op->grad || (adamw && !op->second) || !op->xi) {
        optim_close(op);
        return fail(-ENOMEM, "no memory for %zu parameters, gradients and momenta", s->nparam);
    }
    for (size_t i = 0; i < ARRAY_LEN(part); i++)
        add_segments(op, part[i], state_param_offset(s, part[i]->part));
    return 0;
}

void optim_close(struct optim *op)
{
    if (op->kn) {
        kern_free(op->kn, op->theta);
        kern_free(op->kn, op->momentum);
        kern_free(op->kn, op->grad);
        kern_free(op->kn, op->second);
        kern_free(op->kn, op->xi);
    }
    free(op->seg);
    *op = (struct optim){ 0 };
}

int optim_load(struct optim *op, const struct state *s)
{
    int rc = kern_put(op->kn, op->theta, s->theta, op->nparam * sizeof(float));
    if (rc == 0)
        rc = kern_put(op->kn, op->momentum, s->momentum, op->nparam * sizeof(float));
    if (rc == 0 && op->second)
        rc = kern_put(op->kn, op->second, s->second, op->nparam * sizeof(float));
    if (rc == 0)
        rc = kern_put(op->kn, op->xi, s->xi, op->ntarget * sizeof(float));
    return rc < 0 ? fail(rc, "the device did not take the parameters") : 0;
}

int optim_save(const struct optim *op, struct state *s)
{
    int rc = kern_get(op->kn, s->theta, op->theta, op->nparam * sizeof(float));
    if (rc == 0)
        rc = kern_get(op->kn, s->momentum, op->momentum, op->nparam * sizeof(float));
    if (rc == 0 && op->second)
        rc = kern_get(op->kn, s->second, op->second, op->nparam * sizeof(float));
    if (rc == 0)
        rc = kern_get(op->kn, s->xi, op->xi, op->ntarget * sizeof(float));
    return rc < 0 ? fail(rc, "the device did not give the parameters") : 0;
}

int optim_update(struct optim *op, int64_t t, double lr, double gamma)
{
    static const enum kern_rule rule[] = {
        [OPTIMIZER_LARS] = KERN_LARS, [OPTIMIZER_SGD] = KERN_SGD, [OPTIMIZER_ADAMW] = KERN_ADAMW
    };
    struct kern_update u = { .rule = rule[op->set->optimizer],
                             .lr = (float)lr,
                             .mu = (float)op->set->momentum,
                             .eta = (float)op->set->trust,
                             .wd = (float)op->set->weight_decay,
                             .gamma = (float)gamma,
                             .beta2 = op->set->beta2,
                             .t = t,
                             .w = op->theta,
                             .v = op->momentum,
                             .s = op->second,
                             .xi = op->xi,
                             .grad = op->grad,
                             .grad_factor = (float)(1 / op->scale),
                             .ntarget = op->ntarget,
                             .seg = op->seg,
                             .nseg = op->nseg };
    int rc = kern_update(op->kn, &u);
    return rc < 0 ? fail(rc, "the device failed at the update of the parameters") : 0;
}
