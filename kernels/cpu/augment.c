/*
 * augment.c - views in parallel: one task a view, one piece of scratch a worker.
 */
#include "kernels/cpu/augment.h"

struct job {
    struct kern *kn;
    cpu_view_fn *view;
    const struct kern_views *of;
};

static int task(void *arg, size_t i, int worker)
{
    const struct job *job = arg;
    const struct kern_views *v = job->of;
    size_t picture = i / v->each, j = i % v->each, side = v->side[j];
    job->view(v->type, cpu_at(v->type, v->out[j], picture * side * side * 3), &v->picture[picture],
              &v->view[i], side, v->mean, v->dev, kern_scratch_of(job->kn, worker));
    return 0;
}

static int augment(struct kern *kn, const struct kern_views *v)
{
    struct job job = { kn, ISA_BEST(kn, cpu_view), v };
    size_t side = 0, width = 0;
    for (size_t j = 0; j < v->each; j++)
        side = MAX(side, v->side[j]);
    for (size_t i = 0; i < v->n * v->each; i++)
        width = MAX(width, v->view[i].width);
    int rc = kern_scratch(kn, cpu_view_scratch(side, width));
    return rc < 0 ? rc : pool_run(kn->pool, v->n * v->each, task, &job);
}

void cpu_init_augment(struct kern_ops *o, unsigned isa UNUSED)
{
    o->augment = augment;
}
