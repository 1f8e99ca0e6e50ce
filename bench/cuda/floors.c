/*
 * floors.c - how fast a step can be at most, and which kind of its kernels loses the time: pictures
 * through the networks and back, optimiser and packed weights, without the losses.
 *
 * Floors are those of meter.h; milliseconds, those of each call repeated on the same arrays, which
 * a cache holds if they are small. A recording has as many nodes as are counted, unless an engine
 * is several kernels or leaves a sum of gradients to one of its own.
 */
#include "bench/cuda/meter.h"
#include "bench/cuda/rig.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/model/encoder.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PARTS = 3, VIEWS = 6, TIMES = 10 };

/* A row: views of each side; without heads one part, whose output has a gradient. */
struct run {
    const char *name;
    int preset, side, small_side;
    size_t n, large, all;
    int parts, targets; /* parts with a target; 0: none */
};

struct step {
    const struct run *run;
    struct kern *kn;
    struct net large[PARTS], small, twin[PARTS];
    const struct net *net[VIEWS][PARTS];
    struct net_pass *pass[VIEWS][PARTS], *target_pass[PARTS];
    struct net_weights w[PARTS], target[PARTS];
    void *x[2];
    float *dout, *d[PARTS], *grad, *stat_weight, *o, *length;
    size_t floats, dim, most; /* pictures at once */
    struct kern_segment *seg;
    struct kern_update update;
};

/* -- a step ---- */

/* Views that pass through the networks at once, from v on, as in a step. */
static size_t along(const struct run *run, size_t v)
{
    return v < run->large ? run->large : run->all - run->large;
}

static int views_forward(struct step *s, struct net_pass **pass, const struct net_weights *w,
                         int parts, size_t v)
{
    const void *x = s->x[v >= s->run->large];
    const float *out = NULL;
    int rc = 0;
    for (int part = 0; part < parts && rc == 0; part++, x = out)
        rc = net_forward(pass[part], &w[part], x, v < s->run->large ? s->stat_weight : NULL, &out);
    if (rc == 0 && s->run->parts > 1)
        rc = kern_l2norm_forward(s->kn, s->o, s->length, out, s->run->n * along(s->run, v), s->dim);
    return rc;
}

static int views_backward(struct step *s, size_t v)
{
    float *dout = s->dout;
    int rc = 0;
    if (s->run->parts > 1)
        rc = kern_l2norm_backward(s->kn, dout, dout, s->o, s->length, s->run->n * along(s->run, v),
                                  s->dim);
    for (int part = s->run->parts - 1; part >= 0 && rc == 0; part--) {
        float *grad = s->grad + (s->w[part].param - s->w[0].param);
        rc = net_backward(s->pass[v][part], &s->w[part], dout, grad, s->d[part]);
        dout = s->d[part];
    }
    return rc;
}

static int step(void *arg)
{
    struct step *s = arg;
    int rc = kern_zero(s->kn, s->grad, s->floats * sizeof *s->grad);
    if (s->run->targets > 0 && rc == 0)
        rc = views_forward(s, s->target_pass, s->target, s->run->targets, 0);
    for (size_t v = 0; v < s->run->all && rc == 0; v += along(s->run, v))
        rc = views_forward(s, s->pass[v], s->w, s->run->parts, v);
    for (size_t v = 0; v < s->run->all && rc == 0; v += along(s->run, v))
        rc = views_backward(s, v);
    if (rc == 0)
        rc = kern_update(s->kn, &s->update);
    for (int part = 0; part < s->run->parts && rc == 0; part++)
        rc = net_pack(s->kn, &s->large[part], &s->w[part]);
    for (int part = 0; part < s->run->targets && rc == 0; part++)
        rc = net_pack(s->kn, &s->large[part], &s->target[part]);
    return rc;
}

/* -- what it needs ---- */

static void build(struct rig *r, struct step *s)
{
    const struct run *run = s->run;
    struct settings set;
    settings_preset(&set, run->preset);
    if (r->tiny) {
        set.encoder = 0;
        set.hidden = set.dim = 8;
    }
    size_t hidden = (size_t)set.hidden, dim = (size_t)set.dim;
    if (encoder_build(&s->large[0], &set, (size_t)run->side) < 0 ||
        encoder_build(&s->small, &set, (size_t)run->small_side) < 0 ||
        head_build(&s->large[1], "projector", encoder_features(&set), hidden, dim) < 0 ||
        head_build(&s->large[2], "predictor", dim, hidden, dim) < 0)
        bench_die(fail_text());
    s->large[0].type = s->small.type = KERN_BF16;
    s->dim = net_outputs(&s->large[run->parts - 1]);
}

/* Random weights on the device, and from them everything that goes by parameters. */
static void open_weights(struct rig *r, struct step *s)
{
    size_t nseg = 0, own = 0;
    for (int part = 0; part < s->run->parts; part++) {
        s->floats += s->large[part].floats;
        own += part < s->run->targets ? s->large[part].floats : 0;
        nseg += (size_t)s->large[part].nparams;
    }
    s->grad = rig_zero(r, s->floats * sizeof *s->grad);
    s->seg = mem_alloc(nseg, sizeof *s->seg, "segments");
    if (!s->seg)
        bench_die(fail_text());
    s->update = (struct kern_update){ .rule = KERN_LARS,
                                      .mu = 0.9f,
                                      .eta = 1e-3f,
                                      .gamma = 0.99f,
                                      .t = 1,
                                      .w = rig_random(r, KERN_F32, s->floats),
                                      .v = rig_zero(r, s->floats * sizeof(float)),
                                      .xi = own > 0 ? rig_random(r, KERN_F32, own) : NULL,
                                      .ntarget = own,
                                      .grad = s->grad,
                                      .grad_factor = 1,
                                      .seg = s->seg,
                                      .nseg = nseg };
    struct kern_segment *seg = s->seg;
    size_t at = 0;
    for (int part = 0; part < s->run->parts; at += s->large[part++].floats) {
        const struct net *net = &s->large[part];
        size_t stats = MAX(net->stat_floats, (size_t)1);
        s->w[part] = (struct net_weights){ .param = s->update.w + at,
                                           .running = rig_random(r, KERN_F32, stats) };
        if (part < s->run->targets)
            s->target[part] = (struct net_weights){ .param = s->update.xi + at,
                                                    .running = rig_random(r, KERN_F32, stats) };
        for (int i = 0; i < net->nparams; i++)
            *seg++ = (struct kern_segment){ at + net->param[i].offset, net->param[i].count,
                                            net->param[i].excluded };
    }
}

static void open_passes(struct rig *r, struct step *s)
{
    const struct run *run = s->run;
    for (int part = 0; part < run->parts; part++) {
        for (size_t v = 0; v < run->all; v += along(run, v)) {
            const struct net *net = part == 0 && v >= run->large ? &s->small : &s->large[part];
            size_t views = along(run, v), n = run->n * views;
            rig_must(r, net_pass_open(&s->pass[v][part], r->kn, net, n, views, true), fail_text());
        }
        if (part < run->targets)
            rig_must(r,
                     net_pass_open(&s->target_pass[part], r->kn, &s->large[part],
                                   run->n * run->large, run->large, false),
                     fail_text());
        if (part > 0)
            s->d[part] = rig_zero(r, s->most * s->large[part].tensor[0].c * sizeof(float));
    }
}

static void step_open(struct rig *r, struct step *s, const struct run *run)
{
    *s = (struct step){ .run = run,
                        .kn = r->kn,
                        .most = run->n * MAX(run->large, run->all - run->large) };
    build(r, s);
    open_weights(r, s);
    open_passes(r, s);
    for (int i = 0; i < 2; i++) {
        size_t side = (size_t)(i == 0 ? run->side : run->small_side);
        s->x[i] = rig_random(r, KERN_BF16, s->most * side * side * 3);
    }
    s->dout = rig_random(r, KERN_F32, s->most * s->dim);
    s->o = rig_random(r, KERN_F32, s->most * s->dim);
    s->length = rig_random(r, KERN_F32, s->most);
    s->stat_weight = rig_random(r, KERN_F32, run->large);
    for (int part = 0; part < run->parts; part++)
        rig_must(r, net_pack(r->kn, &s->large[part], &s->w[part]), fail_text());
    for (int part = 0; part < run->targets; part++)
        rig_must(r, net_pack(r->kn, &s->large[part], &s->target[part]), fail_text());
}

static void step_close(struct rig *r, struct step *s)
{
    for (int part = 0; part < s->run->parts; part++) {
        for (size_t v = 0; v < s->run->all; v++)
            net_pass_close(s->pass[v][part]);
        net_pass_close(s->target_pass[part]);
        net_unpack(r->kn, &s->large[part], &s->w[part]);
        net_unpack(r->kn, &s->large[part], &s->target[part]);
    }
    for (int part = 0; part < PARTS; part++)
        net_release(&s->large[part]);
    net_release(&s->small);
    free(s->seg);
    rig_clear(r);
}

/* -- the table ---- */

static void print_times(double floor, double seconds)
{
    printf(" %.2f |", 1e3 * floor);
    if (seconds > 0)
        printf(" %.2f | %.0f %% |\n", 1e3 * seconds, 100 * floor / seconds);
    else
        printf(" | |\n");
}

/* nodes: those of the recording of all, seconds: of its replay; 0 without a device. */
static void print(const struct run *run, const struct meter *m, int nodes, double seconds)
{
    struct meter_sum all = { 0 };
    printf("### %s, %zu pictures\n\n"
           "| kind of call | calls | nodes | recorded | GB | TF | floor, ms | ms | share |\n"
           "|:--|--:|--:|--:|--:|--:|--:|--:|--:|\n",
           run->name, run->n);
    for (int kind = 0; kind < METER_KINDS; kind++) {
        const struct meter_sum *s = &m->sum[kind];
        if (s->calls == 0)
            continue;
        printf("| %s | %.0f | %.0f | %.0f | %.2f | %.3f |", meter_names[kind], s->calls, s->nodes,
               s->recorded, 1e-9 * s->bytes, 1e-12 * s->work);
        print_times(s->floor, s->seconds);
        all.calls += s->calls;
        all.nodes += s->nodes;
        all.bytes += s->bytes;
        all.work += s->work;
        all.floor += s->floor;
    }
    printf("| **all, as one recording** | %.0f | %.0f | %d | %.2f | %.3f |", all.calls, all.nodes,
           nodes, 1e-9 * all.bytes, 1e-12 * all.work);
    print_times(all.floor, seconds);
    printf("\nFloor: %.0f pictures/s.\n\n", (double)run->n / all.floor);
}

static int replay(void *arg)
{
    struct step *s = ((void **)arg)[0];
    return kern_replay(s->kn, ((void **)arg)[1]);
}

static void floors_row(struct rig *r, const struct run *run, double node)
{
    struct step s;
    struct kern_recording *recording = NULL;
    bool there = kern_apart(r->kn);
    struct meter m = { .copy = r->copy,
                       .product = r->product,
                       .node = node,
                       .times = !there    ? 0
                                : r->tiny ? 1
                                          : TIMES };
    double seconds = 0;
    int nodes = 0;
    step_open(r, &s, run);
    if (there) {
        rig_must(r, step(&s), fail_text());
        rig_must(r, kern_record(r->kn), "a recording");
        rig_must(r, step(&s), fail_text());
        rig_must(r, nodes = kern_record_end(r->kn, &recording), "a recording");
        seconds = rig_seconds(r, replay, (void *[]){ &s, recording });
        kern_recording_free(r->kn, recording);
    }
    meter_on(r->kn, &m);
    rig_must(r, step(&s), fail_text());
    meter_off(r->kn, &m);
    print(run, &m, nodes, seconds);
    step_close(r, &s);
}

struct nothing {
    struct kern *kn;
    float *to;
    struct kern_recording *recording;
};

static int nothings(void *arg)
{
    struct nothing *n = arg;
    return kern_replay(n->kn, n->recording);
}

/* Seconds of a kernel that copies one number, one of a thousand of a recording. */
static double node_seconds(struct rig *r)
{
    struct nothing n = { r->kn, rig_zero(r, 2 * sizeof(float)), NULL };
    int count = r->tiny ? 10 : 1000, rc = kern_record(r->kn);
    for (int i = 0; i < count && rc == 0; i++)
        rc = kern_copy_rows(r->kn, n.to, NULL, n.to + 1, NULL, 1, 1);
    rig_must(r, rc, "a recording");
    rig_must(r, kern_record_end(r->kn, &n.recording), "a recording");
    double seconds = rig_seconds(r, nothings, &n) / count;
    kern_recording_free(r->kn, n.recording);
    rig_clear(r);
    return seconds;
}

static void print_floors(struct rig *r, double node)
{
    static const struct run runs[] = {
        { "ResNet-50 at 224, training", 0, 224, 224, 256, 1, 1, 1, 0 },
        { "CIFAR ResNet-18, training", 1, 32, 32, 1024, 1, 1, 1, 0 },
        { "SemPPL, ResNet-50, 4 crops of 224, 2 of 96", 0, 224, 96, 128, 4, 6, 3, 2 },
        { "SemPPL, CIFAR ResNet-18, 2 crops", 1, 32, 32, 512, 2, 2, 3, 2 },
    };
    printf("## Floors of a step, bf16: %.0f GB/s, %.0f TF/s, %.2f us a node\n\n", 1e-9 * r->copy,
           1e-12 * r->product, 1e6 * node);
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        struct run run = runs[i];
        if (r->tiny) {
            run.side = run.small_side = 16;
            run.n = 4;
        }
        floors_row(r, &run, node);
    }
}

void floors(struct rig *r)
{
    print_floors(r, node_seconds(r));
}

/* -- without a device ---- */

/* Addresses, but no memory behind them. */
static void *no_memory(struct kern *kn UNUSED, size_t nbytes)
{
    void *p = mmap(NULL, MAX(nbytes, (size_t)1), PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void not_freed(struct kern *kn UNUSED, void *dev UNUSED) {}

static int not_put(struct kern *kn UNUSED, void *dev UNUSED, const void *host UNUSED,
                   size_t nbytes UNUSED)
{
    return 0;
}

static int not_packed(struct kern *kn UNUSED, const struct kern_conv_weights *list UNUSED,
                      size_t n UNUSED)
{
    return 0;
}

void floors_nominal(struct rig *r)
{
    r->kn->ops.alloc = no_memory;
    r->kn->ops.free = not_freed;
    r->kn->ops.put = not_put;
    r->kn->ops.conv_pack = not_packed;
    r->copy = 4.3e12;
    r->product = 780e12;
    print_floors(r, 1.5e-6);
}
