/*
 * cudnn_graph.c - descriptors, and a convolution as a graph of operations.
 */
#include "kernels/cuda/cudnn_graph.h"

struct cudnn_calls cudnn;

#define SYMBOL(name) { #name, &cudnn.name },
static const struct library_symbol symbols[] = { CUDNN_CALLS(SYMBOL){ NULL, NULL } };
static const char *const files[] = { "libcudnn.so.9", NULL };
static struct library library = { .what = "cuDNN", .files = files, .symbols = symbols };

int cudnn_open(void)
{
    return library_open(&library);
}

/* -- descriptors ---- */

static void note(struct cudnn_graph *g, cudnnStatus_t st)
{
    if (g->failed == CUDNN_STATUS_SUCCESS)
        g->failed = st;
}

descriptor cudnn_new(struct cudnn_graph *g, cudnnBackendDescriptorType_t type)
{
    descriptor d = NULL;
    if (g->failed == CUDNN_STATUS_SUCCESS)
        note(g, g->n < (int)ARRAY_LEN(g->all) ? cudnn.cudnnBackendCreateDescriptor(type, &d)
                                              : CUDNN_STATUS_ALLOC_FAILED);
    if (d)
        g->all[g->n++] = d;
    return d;
}

void cudnn_set(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name,
               cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (g->failed == CUDNN_STATUS_SUCCESS)
        note(g, cudnn.cudnnBackendSetAttribute(d, name, type, count, values));
}

void cudnn_finalise(struct cudnn_graph *g, descriptor d)
{
    if (g->failed == CUDNN_STATUS_SUCCESS)
        note(g, cudnn.cudnnBackendFinalize(d));
}

void cudnn_release(struct cudnn_graph *g)
{
    while (g->n > 0)
        cudnn.cudnnBackendDestroyDescriptor(g->all[--g->n]);
}

static void set_descriptor(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name,
                           descriptor value)
{
    cudnn_set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void set_integer(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name,
                        int64_t value)
{
    cudnn_set(g, d, name, CUDNN_TYPE_INT64, 1, &value);
}

static void set_type(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name,
                     cudnnDataType_t value)
{
    cudnn_set(g, d, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

static void set_pair(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name,
                     int64_t rows, int64_t columns)
{
    cudnn_set(g, d, name, CUDNN_TYPE_INT64, 2, (int64_t[]){ rows, columns });
}

/* -- tensors: channels lie last in memory, and stand second among the dimensions ---- */

struct dims {
    size_t n, c, h, w;
};

static descriptor tensor(struct cudnn_graph *g, int64_t id, cudnnDataType_t type, struct dims s)
{
    descriptor d = cudnn_new(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t n = (int64_t)s.n, c = (int64_t)s.c, h = (int64_t)s.h, w = (int64_t)s.w;
    bool between = id >= TENSOR_VIRTUAL; /* two operations: never in memory */
    set_integer(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    set_type(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    cudnn_set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, (int64_t[]){ n, c, h, w });
    cudnn_set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4,
              (int64_t[]){ h * w * c, 1, w * c, c });
    set_integer(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16);
    cudnn_set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &between);
    cudnn_finalise(g, d);
    return d;
}

/* -- operations ---- */

/*
 * Cells of padding behind one axis. cuDNN computes all windows that fit, so as many that n do: as
 * in front, where that is right, for which there are the most engines. -1: none are right.
 */
static int64_t pad_behind(size_t size, size_t window, size_t stride, size_t pad, size_t n)
{
    size_t reach = (n - 1) * stride + window;             /* of n windows, in padded cells */
    size_t front = size + pad, most = reach + stride - 1; /* one cell less than n + 1 windows */
    if (front + pad >= reach && front + pad <= most)
        return (int64_t)pad;
    if (front > most)
        return -1;
    return front < reach ? (int64_t)(reach - front) : 0;
}

static descriptor convolution(struct cudnn_graph *g, const struct kern_conv *cv)
{
    int64_t below = pad_behind(cv->h, cv->kh, cv->stride, cv->pad_top, cv->oh);
    int64_t right = pad_behind(cv->w, cv->kw, cv->stride, cv->pad_left, cv->ow);
    if (below < 0 || right < 0)
        note(g, CUDNN_STATUS_NOT_SUPPORTED);
    descriptor d = cudnn_new(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t stride = (int64_t)cv->stride;
    set_type(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    cudnn_set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_integer(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    set_pair(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, 1, 1);
    set_pair(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride, stride);
    set_pair(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, (int64_t)cv->pad_top,
             (int64_t)cv->pad_left);
    set_pair(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, below, right);
    cudnn_finalise(g, d);
    return d;
}

/* What the three passes of a convolution call their parts. */
static const struct pass {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
} passes[] = {
    [CONVOLVE_FORWARD] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
    [CONVOLVE_DATA] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
    [CONVOLVE_WEIGHTS] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
};

static descriptor operation(struct cudnn_graph *g, const struct convolve *what, descriptor x,
                            descriptor w, descriptor y)
{
    const struct pass *p = &passes[what->pass];
    const float one = 1, zero = 0;
    descriptor conv = convolution(g, &what->cv), d = cudnn_new(g, p->operation);
    set_descriptor(g, d, p->convolution, conv);
    set_descriptor(g, d, p->x, x);
    set_descriptor(g, d, p->w, w);
    set_descriptor(g, d, p->y, y);
    cudnn_set(g, d, p->alpha, CUDNN_TYPE_FLOAT, 1, &one);
    cudnn_set(g, d, p->beta, CUDNN_TYPE_FLOAT, 1, &zero);
    cudnn_finalise(g, d);
    return d;
}

/* to = mode(x, with), or of x alone if with is NULL. */
static descriptor pointwise(struct cudnn_graph *g, cudnnPointwiseMode_t mode, descriptor x,
                            descriptor with, descriptor to)
{
    descriptor how = cudnn_new(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    cudnn_set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_type(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    cudnn_finalise(g, how);
    descriptor d = cudnn_new(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (with)
        set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, with);
    set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    cudnn_finalise(g, d);
    return d;
}

/* -- the graph ---- */

/* Up to four pointwise operations behind the convolution, whose result goes from hand to hand. */
struct steps {
    cudnnPointwiseMode_t mode[4];
    descriptor with[4];
    int n;
};

static void step(struct steps *s, cudnnPointwiseMode_t mode, descriptor with)
{
    s->mode[s->n] = mode;
    s->with[s->n++] = with;
}

static struct steps steps_of(struct cudnn_graph *g, const struct convolve *what,
                             cudnnDataType_t type, struct dims out)
{
    struct dims channels = { 1, out.c, 1, 1 };
    struct steps s = { .n = 0 };
    if (what->affine) {
        step(&s, CUDNN_POINTWISE_MUL, tensor(g, TENSOR_SCALE, CUDNN_DATA_FLOAT, channels));
        step(&s, CUDNN_POINTWISE_ADD, tensor(g, TENSOR_SHIFT, CUDNN_DATA_FLOAT, channels));
    }
    if (what->residual || what->add)
        step(&s, CUDNN_POINTWISE_ADD, tensor(g, TENSOR_OLD, type, out));
    if (what->relu)
        step(&s, CUDNN_POINTWISE_RELU_FWD, NULL);
    return s;
}

cudnnStatus_t cudnn_graph_of(struct cudnn_graph *g, cudnnHandle_t handle,
                             const struct convolve *what)
{
    const struct kern_conv *cv = &what->cv;
    static const cudnnDataType_t types[] = { [KERN_F32] = CUDNN_DATA_FLOAT,
                                             [KERN_BF16] = CUDNN_DATA_BFLOAT16,
                                             [KERN_F16] = CUDNN_DATA_HALF };
    cudnnDataType_t type = types[cv->type];
    struct dims x = { cv->n, cv->c, cv->h, cv->w }, w = { cv->k, cv->c, cv->kh, cv->kw };
    struct dims y = { cv->n, cv->k, cv->oh, cv->ow };
    struct dims out = what->pass == CONVOLVE_FORWARD ? y : what->pass == CONVOLVE_DATA ? x : w;
    *g = (struct cudnn_graph){ .failed = CUDNN_STATUS_SUCCESS };
    struct steps s = steps_of(g, what, type, out);
    descriptor operations[5], at;
    int64_t id = TENSOR_VIRTUAL;
    at = s.n ? tensor(g, id++, CUDNN_DATA_FLOAT, out) : tensor(g, TENSOR_OUT, type, out);
    switch (what->pass) {
    case CONVOLVE_FORWARD:
        operations[0] =
            operation(g, what, tensor(g, TENSOR_A, type, x), tensor(g, TENSOR_B, type, w), at);
        break;
    case CONVOLVE_DATA:
        operations[0] =
            operation(g, what, at, tensor(g, TENSOR_B, type, w), tensor(g, TENSOR_A, type, y));
        break;
    default:
        operations[0] =
            operation(g, what, tensor(g, TENSOR_A, type, x), at, tensor(g, TENSOR_B, type, y));
    }
    for (int i = 0; i < s.n; i++) {
        descriptor to =
            i + 1 < s.n ? tensor(g, id++, CUDNN_DATA_FLOAT, out) : tensor(g, TENSOR_OUT, type, out);
        operations[i + 1] = pointwise(g, s.mode[i], at, s.with[i], to);
        at = to;
    }
    g->whole = cudnn_new(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (handle)
        cudnn_set(g, g->whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    cudnn_set(g, g->whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, s.n + 1,
              operations);
    cudnn_finalise(g, g->whole);
    return g->failed;
}
