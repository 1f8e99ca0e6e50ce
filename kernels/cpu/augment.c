/*
 * augment.c - views in parallel: one task a view, one piece of scratch a worker.
 */
#include "kernels/cpu/augment.h"

struct job {
    struct kern *kn;
    cpu_view_fn *view;
    enum kern_type type;
    void *out;
    const struct kern_view *views;
    size_t side;
    const float *mean, *dev;
};

static int task(void *arg, size_t i, int worker)
{
    const struct job *j = arg;
    j->view(j->type, cpu_at(j->type, j->out, i * j->side * j->side * 3), &j->views[i], j->side,
            j->mean, j->dev, kern_scratch_of(j->kn, worker));
    return 0;
}

static int run(struct kern *kn, cpu_view_fn *view, enum kern_type type, void *out,
               const struct kern_view *views, size_t n, size_t side, const float *mean,
               const float *dev)
{
    struct job j = { kn, view, type, out, views, side, mean, dev };
    size_t width = 0;
    for (size_t i = 0; i < n; i++)
        width = MAX(width, views[i].width);
    int rc = kern_scratch(kn, cpu_view_scratch(side, width));
    return rc < 0 ? rc : pool_run(kn->pool, n, task, &j);
}

#define VARIANT(isa)                                                                               \
    static int cpu_augment_##isa(struct kern *kn, enum kern_type type, void *out,                  \
                                 const struct kern_view *views, size_t n, size_t side,             \
                                 const float *mean, const float *dev)                              \
    {                                                                                              \
        return run(kn, cpu_view_##isa, type, out, views, n, side, mean, dev);                      \
    }
VARIANT(generic)
VARIANT(avx2)
VARIANT(avx512)

void cpu_init_augment(struct kern_ops *o, unsigned isa)
{
    o->augment = isa & ISA_AVX512 ? cpu_augment_avx512
                 : isa & ISA_AVX2 ? cpu_augment_avx2
                                  : cpu_augment_generic;
}
