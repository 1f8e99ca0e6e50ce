/*
 * onednn.c - the convolutions of bench/layers.c by oneDNN: GF/s, in rows of the same form.
 *
 * Each pass runs on channels-last tensors and on those of a layout that oneDNN chooses; the faster
 * counts. Weights are in the layout of its choice, and nothing is reordered while time is taken.
 */
#include "bench/bench.h"
#include "bench/networks.h"
#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>
#include <stdlib.h>

enum { SRC, WEIGHTS, DST, TENSORS };

static const int args[PASSES][TENSORS] = {
    { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST },
    { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST },
    { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST },
};

struct job {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t conv;
    dnnl_exec_arg_t arg[TENSORS];
};

static void need(dnnl_status_t status)
{
    if (status != dnnl_success)
        bench_die(dnnl_status2str(status));
}

static void job_run(void *arg)
{
    struct job *j = arg;
    need(dnnl_primitive_execute(j->conv, j->stream, TENSORS, j->arg));
    need(dnnl_stream_wait(j->stream));
}

static dnnl_memory_desc_t tensor(const dnnl_dims_t dims, dnnl_data_type_t type,
                                 dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    need(dnnl_memory_desc_create_with_tag(&md, 4, dims, type, tag));
    return md;
}

/* The convolution, or NULL if oneDNN does not have it. */
static dnnl_primitive_desc_t describe(dnnl_engine_t engine, const struct layer *l, enum pass pass,
                                      dnnl_memory_desc_t md[TENSORS], dnnl_memory_desc_t gradient)
{
    dnnl_dim_t above = (dnnl_dim_t)l->pad, stride = (dnnl_dim_t)l->stride;
    dnnl_dim_t side = (dnnl_dim_t)l->side, kernel = (dnnl_dim_t)l->kernel;
    dnnl_dim_t below = MAX(((dnnl_dim_t)layer_out(l) - 1) * stride + kernel - side - above, 0);
    dnnl_dims_t strides = { stride, stride }, dilates = { 0 };
    dnnl_dims_t before = { above, above }, after = { below, below };
    dnnl_primitive_desc_t forward = NULL, pd = NULL;
    if (dnnl_convolution_forward_primitive_desc_create(
            &forward, engine, dnnl_forward_training, dnnl_convolution_direct, md[SRC], md[WEIGHTS],
            NULL, md[DST], strides, dilates, before, after, NULL) != dnnl_success)
        return NULL;
    if (pass == FORWARD)
        return forward;
    if (pass == BACKWARD_DATA)
        dnnl_convolution_backward_data_primitive_desc_create(&pd, engine, dnnl_convolution_direct,
                                                             md[SRC], md[WEIGHTS], md[DST], strides,
                                                             dilates, before, after, forward, NULL);
    else
        dnnl_convolution_backward_weights_primitive_desc_create(
            &pd, engine, dnnl_convolution_direct, md[SRC], gradient, NULL, md[DST], strides,
            dilates, before, after, forward, NULL);
    dnnl_primitive_desc_destroy(forward);
    return pd;
}

/* Seconds of a pass, or INFINITY. */
static double seconds(struct job *j, const struct layer *l, size_t n, enum kern_type type,
                      enum pass pass, dnnl_format_tag_t tag)
{
    dnnl_dim_t side = (dnnl_dim_t)l->side, out = (dnnl_dim_t)layer_out(l), k = (dnnl_dim_t)l->k;
    dnnl_dim_t c = (dnnl_dim_t)l->c, kernel = (dnnl_dim_t)l->kernel;
    dnnl_dims_t src = { (dnnl_dim_t)n, c, side, side }, weights = { k, c, kernel, kernel };
    dnnl_dims_t dst = { (dnnl_dim_t)n, k, out, out };
    dnnl_data_type_t stored = type == KERN_F32 ? dnnl_f32 : dnnl_bf16;
    dnnl_memory_desc_t md[TENSORS] = {
        [SRC] = tensor(src, stored, tag),
        [WEIGHTS] = tensor(weights, stored, dnnl_format_tag_any),
        [DST] = tensor(dst, stored, tag),
    };
    dnnl_memory_desc_t gradient = tensor(weights, dnnl_f32, dnnl_format_tag_any);
    dnnl_primitive_desc_t pd = describe(j->engine, l, pass, md, gradient);
    dnnl_memory_desc_destroy(gradient);
    for (int t = 0; t < TENSORS; t++)
        dnnl_memory_desc_destroy(md[t]);
    if (!pd)
        return INFINITY;

    need(dnnl_primitive_create(&j->conv, pd));
    void *data[TENSORS];
    for (int t = 0; t < TENSORS; t++) {
        const_dnnl_memory_desc_t chosen =
            dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, args[pass][t]);
        size_t size = dnnl_memory_desc_get_size(chosen);
        data[t] = bench_random(type, size / kern_sizeof(type) + 1);
        j->arg[t].arg = args[pass][t];
        need(dnnl_memory_create(&j->arg[t].memory, chosen, j->engine, data[t]));
    }
    double t = bench_seconds(job_run, j);
    for (int i = 0; i < TENSORS; i++) {
        dnnl_memory_destroy(j->arg[i].memory);
        free(data[i]);
    }
    dnnl_primitive_destroy(j->conv);
    dnnl_primitive_desc_destroy(pd);
    return t;
}

static void network(struct job *j, const struct network *net)
{
    double work[2][PASSES] = { 0 }, time[2][PASSES] = { 0 };
    printf("## Convolutions of %s\n\n", net->name);
    for (const struct layer *l = net->layer; l < net->layer + net->nlayers; l++) {
        layer_print(l);
        for (enum kern_type type = KERN_F32; type <= KERN_BF16; type++)
            for (enum pass p = FORWARD; p < PASSES; p++) {
                if (!layer_has(l, p)) {
                    printf(" |");
                    continue;
                }
                double t = fmin(seconds(j, l, net->n, type, p, dnnl_nhwc),
                                seconds(j, l, net->n, type, p, dnnl_format_tag_any));
                work[type][p] += l->count * layer_work(l, net->n);
                time[type][p] += l->count * t;
                printf(" %.0f |", 1e-9 * layer_work(l, net->n) / t);
                fflush(stdout);
            }
        printf("\n");
    }
    printf("| **all** | |");
    for (enum kern_type type = KERN_F32; type <= KERN_BF16; type++)
        for (enum pass p = FORWARD; p < PASSES; p++)
            printf(" %.0f |", 1e-9 * work[type][p] / time[type][p]);
    printf("\n\n");
}

int main(void)
{
    const dnnl_version_t *v = dnnl_version();
    struct job j;
    need(dnnl_engine_create(&j.engine, dnnl_cpu, 0));
    need(dnnl_stream_create(&j.stream, j.engine, dnnl_stream_default_flags));
    printf("# oneDNN %d.%d.%d\n\n", v->major, v->minor, v->patch);
    for (size_t i = 0; i < ARRAY_LEN(networks); i++)
        network(&j, &networks[i]);
    dnnl_stream_destroy(j.stream);
    dnnl_engine_destroy(j.engine);
    return 0;
}
