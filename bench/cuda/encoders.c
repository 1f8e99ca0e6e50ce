/*
 * encoders.c - whole networks on pictures that lie on the device: training as for classes (forward,
 * backward, LARS, one view a picture), and inference. The floor is the arithmetic of convolutions
 * at the rate of a large product; the gradient of a picture is not asked for.
 */
#include "bench/cuda/rig.h"
#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/model/encoder.h"
#include "common/model/precision.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct training {
    struct kern *kn;
    struct net net;
    struct net_weights w;
    struct net_pass *pass;
    struct net_infer *infer;
    struct kern_update update;
    struct kern_recording *recording;
    const float *stat_weight;
    const void *x;
    float *dout, *grad;
    size_t n;
};

/* Weights as at the start of a run. */
static float *draw_weights(struct rig *r, const struct net *net)
{
    float *host = calloc(net->floats, sizeof *host);
    float *dev = rig_zero(r, net->floats * sizeof *dev);
    if (!host)
        bench_die("no memory");
    for (int i = 0; i < net->nparams; i++) {
        const struct net_param *p = &net->param[i];
        struct rng g;
        for (size_t j = 0; j < p->count; j++) {
            if (j % 65536 == 0)
                rng_init(&g, 1, RNG_INIT, j / 65536, (uint64_t)i, 0);
            host[p->offset + j] =
                p->fan_in ? rng_normal2(&g) / sqrtf((float)p->fan_in) : p->constant;
        }
    }
    rig_must(r, kern_put(r->kn, dev, host, net->floats * sizeof *host), "weights");
    free(host);
    return dev;
}

static void training_open(struct rig *r, struct training *t, int preset, int side, size_t n,
                          enum kern_type type)
{
    struct settings set;
    *t = (struct training){ .kn = r->kn, .n = n };
    settings_preset(&set, preset);
    if (r->tiny) {
        set.encoder = 0;
        set.stem = STEM_SMALL;
    }
    if (encoder_build(&t->net, &set, (size_t)side) < 0)
        bench_die(fail_text());
    t->net.type = type;
    t->x = rig_random(r, type, n * (size_t)(side * side * 3));
    t->w.param = draw_weights(r, &t->net);
    t->w.running = rig_random(r, KERN_F32, t->net.stat_floats);
    rig_must(r, net_pack(r->kn, &t->net, &t->w), "weights");
}

static void training_close(struct rig *r, struct training *t)
{
    kern_recording_free(t->kn, t->recording);
    net_pass_close(t->pass);
    net_infer_close(t->infer);
    net_unpack(t->kn, &t->net, &t->w);
    net_release(&t->net);
    free((void *)(uintptr_t)t->update.seg);
    rig_clear(r);
}

static int train(void *arg)
{
    struct training *t = arg;
    const float *out;
    int rc = kern_zero(t->kn, t->grad, t->net.floats * sizeof *t->grad);
    if (rc == 0)
        rc = net_forward(t->pass, &t->w, t->x, t->stat_weight, &out);
    if (rc == 0)
        rc = net_backward(t->pass, &t->w, t->dout, t->grad, NULL);
    if (rc == 0)
        rc = kern_update(t->kn, &t->update);
    return rc == 0 ? net_pack(t->kn, &t->net, &t->w) : rc;
}

static int replay(void *arg)
{
    struct training *t = arg;
    return kern_replay(t->kn, t->recording);
}

static void optimiser_open(struct rig *r, struct training *t)
{
    size_t n = t->net.floats;
    struct kern_segment *seg = calloc((size_t)t->net.nparams, sizeof *seg);
    if (!seg)
        bench_die("no memory");
    for (int i = 0; i < t->net.nparams; i++)
        seg[i] = (struct kern_segment){ t->net.param[i].offset, t->net.param[i].count,
                                        t->net.param[i].excluded };
    t->grad = rig_zero(r, n * sizeof *t->grad);
    t->update = (struct kern_update){ .rule = KERN_LARS,
                                      .lr = 0.1f,
                                      .mu = 0.9f,
                                      .eta = 1e-3f,
                                      .wd = 1e-6f,
                                      .t = 1,
                                      .w = t->w.param,
                                      .v = rig_zero(r, n * sizeof(float)),
                                      .grad = t->grad,
                                      .grad_factor = 1,
                                      .seg = seg,
                                      .nseg = (size_t)t->net.nparams };
}

static void training_start(struct rig *r, struct training *t)
{
    static const float weight = 0.1f;
    float *on = rig_zero(r, sizeof weight);
    rig_must(r, kern_put(r->kn, on, &weight, sizeof weight), "a number");
    t->stat_weight = on;
    t->dout = rig_random(r, KERN_F32, t->n * net_outputs(&t->net));
    optimiser_open(r, t);
    rig_must(r, net_pass_open(&t->pass, r->kn, &t->net, t->n, 1, true), fail_text());
    rig_must(r, train(t), fail_text());
}

/* As one recording, if the device records: so does a step. */
static bool record(struct training *t)
{
    if (kern_record(t->kn) < 0)
        return false;
    int rc = train(t);
    int end = kern_record_end(t->kn, &t->recording);
    return rc == 0 && end >= 0;
}

static void print(const struct rig *r, const char *name, size_t n, double seconds, double work)
{
    double floor = work / r->product;
    printf("| %s | %zu | %.0f | %.2f | %.0f %% | %.0f |\n", name, n, (double)n / seconds,
           1e3 * seconds, 100 * floor / seconds, (double)n / floor);
}

/* Operations: forward, and back to weights and inputs, of which the picture is none. */
static double work_of(const struct training *t, bool back)
{
    double first = 2.0 * (double)net_macs(&t->net);
    const struct net_tensor *out = &t->net.tensor[t->net.node[0].out];
    double stem = 2.0 * (double)(out->h * out->w * t->net.param[t->net.node[0].weight].count);
    return (double)t->n * (back ? 3 * first - stem : first);
}

/* In TF32, if it is asked for. */
static enum kern_type type_of(struct rig *r, enum precision p)
{
    rig_must(r, kern_tf32(r->kn, p == PRECISION_TF32), "TF32");
    return p == PRECISION_BF16 ? KERN_BF16 : p == PRECISION_F16 ? KERN_F16 : KERN_F32;
}

static void train_row(struct rig *r, const char *name, int preset, int side, size_t n,
                      enum precision p)
{
    struct training t;
    training_open(r, &t, preset, side, n, type_of(r, p));
    training_start(r, &t);
    bool recorded = record(&t);
    print(r, name, n, rig_seconds(r, recorded ? replay : train, &t), work_of(&t, true));
    training_close(r, &t);
}

static int infer(void *arg)
{
    struct training *t = arg;
    const float *out;
    return net_infer_run(t->infer, t->x, t->n, &out);
}

static void infer_row(struct rig *r, const char *name, int preset, int side, size_t n,
                      enum precision p)
{
    struct training t;
    training_open(r, &t, preset, side, n, type_of(r, p));
    rig_must(r, net_infer_open(&t.infer, r->kn, &t.net, &t.w, n), fail_text());
    print(r, name, n, rig_seconds(r, infer, &t), work_of(&t, false));
    training_close(r, &t);
}

void encoders(struct rig *r)
{
    int large = r->tiny ? 16 : 224, small = r->tiny ? 16 : 32;
    size_t n = r->tiny ? 2 : 256, many = r->tiny ? 4 : 1024;
    printf("## Networks, pictures on the device\n\n"
           "| network | batch | pictures/s | ms | share | floor: products, pictures/s |\n"
           "|:--|--:|--:|--:|--:|--:|\n");
    train_row(r, "ResNet-50 at 224, training, bf16", 0, large, n, PRECISION_BF16);
    train_row(r, "ResNet-50 at 224, training, f16", 0, large, n, PRECISION_F16);
    train_row(r, "ResNet-50 at 224, training, tf32", 0, large, n / 2, PRECISION_TF32);
    train_row(r, "ResNet-50 at 224, training, f32", 0, large, n / 2, PRECISION_F32);
    train_row(r, "CIFAR ResNet-18, training, bf16", 1, small, many, PRECISION_BF16);
    train_row(r, "CIFAR ResNet-18, training, f16", 1, small, many, PRECISION_F16);
    train_row(r, "CIFAR ResNet-18, training, tf32", 1, small, many, PRECISION_TF32);
    train_row(r, "CIFAR ResNet-18, training, f32", 1, small, many, PRECISION_F32);
    infer_row(r, "ResNet-50 at 224, inference, bf16", 0, large, n, PRECISION_BF16);
    infer_row(r, "ResNet-50 at 224, inference, tf32", 0, large, n, PRECISION_TF32);
    infer_row(r, "CIFAR ResNet-18, inference, bf16", 1, small, many, PRECISION_BF16);
    type_of(r, PRECISION_F32); /* no other table is in TF32 */
    putchar('\n');
}

void once(struct rig *r)
{
    struct training t;
    training_open(r, &t, 0, r->tiny ? 16 : 224, r->tiny ? 2 : 256, KERN_BF16);
    training_start(r, &t);
    rig_must(r, kern_sync(r->kn), "training");
    training_close(r, &t);
}
