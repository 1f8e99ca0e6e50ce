/*
 * plugin.c - the one symbol that the plugin exports, and the handle's side of a device.
 */
#include "kernels/plugin.h"
#include "kernels/cuda/convolve.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/library.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct kern_ops table = {
    .conv_packed = cuda_conv_packed,
    .conv_pack = cuda_conv_pack,
    .conv_forward = cuda_conv_forward,
    .conv_backward_data = cuda_conv_backward_data,
    .conv_backward_weights = cuda_conv_backward_weights,
    .bn_stats = cuda_bn_stats,
    .bn_finalise = cuda_bn_finalise,
    .bn_forward = cuda_bn_forward,
    .bn_backward = cuda_bn_backward,
    .maxpool_forward = cuda_maxpool_forward,
    .maxpool_backward = cuda_maxpool_backward,
    .avgpool_forward = cuda_avgpool_forward,
    .avgpool_backward = cuda_avgpool_backward,
    .avgpool2_forward = cuda_avgpool2_forward,
    .avgpool2_backward = cuda_avgpool2_backward,
    .sk_squeeze_forward = cuda_sk_squeeze_forward,
    .sk_squeeze_backward = cuda_sk_squeeze_backward,
    .sk_select_forward = cuda_sk_select_forward,
    .sk_select_backward = cuda_sk_select_backward,
    .gemm = cuda_gemm,
    .bias_forward = cuda_bias_forward,
    .bias_backward = cuda_bias_backward,
    .l2norm_forward = cuda_l2norm_forward,
    .l2norm_backward = cuda_l2norm_backward,
    .copy_rows = cuda_copy_rows,
    .contrast_forward = cuda_contrast_forward,
    .contrast_backward = cuda_contrast_backward,
    .contrast_grad = cuda_contrast_grad,
    .kl = cuda_kl,
    .weights = cuda_weights,
    .vote = cuda_vote,
    .positives = cuda_positives,
    .knn = cuda_knn,
    .update = cuda_update,
    .norm = cuda_norm,
    .augment = cuda_augment,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .available = cuda_available,
    .overhead = cuda_overhead,
    .put = cuda_put,
    .get = cuda_get,
    .zero = cuda_zero,
    .sync = cuda_sync,
    .record = cuda_record,
    .record_end = cuda_record_end,
    .replay = cuda_replay,
    .recording_free = cuda_recording_free,
    .fork = cuda_fork,
    .back = cuda_back,
    .join = cuda_join,
};

static int no(int rc, char *why, size_t room, const char *fmt, ...) PRINTF(4, 5);
static int no(int rc, char *why, size_t room, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, room, fmt, ap);
    va_end(ap);
    return rc;
}

/* -- is there anything? -------------------------------------------------------------------- */

/* "12.4" of 12040 */
struct version {
    int major, minor;
};

static struct version version_of(int number)
{
    return (struct version){ number / 1000, number % 1000 / 10 };
}

/* The runtime says the same of no driver and of an old one. */
static int no_driver(char *why, size_t room)
{
    int number = 0;
    cudaDriverGetVersion(&number);
    if (number == 0)
        return no(-ENODEV, why, room, "no NVIDIA driver was found");
    struct version has = version_of(number), wants = version_of(CUDART_VERSION);
    return no(-ENOTSUP, why, room, "the NVIDIA driver is for CUDA %d.%d, the plugin needs %d.%d",
              has.major, has.minor, wants.major, wants.minor);
}

static int no_device(char *why, size_t room)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    return visible ? no(-ENODEV, why, room, "no CUDA device is visible: CUDA_VISIBLE_DEVICES=%.80s",
                        visible)
                   : no(-ENODEV, why, room, "this machine has no CUDA device");
}

static int count(char *why, size_t room)
{
    int n = 0;
    cudaError_t err = cudaGetDeviceCount(&n);
    if (err == cudaErrorInsufficientDriver || err == cudaErrorStubLibrary)
        return no_driver(why, room);
    if (err == cudaErrorNoDevice || (err == cudaSuccess && n == 0))
        return no_device(why, room);
    if (err != cudaSuccess)
        return no(-EIO, why, room, "CUDA: %s", cudaGetErrorString(err));
    return n;
}

/* -- the handle's side --------------------------------------------------------------------- */

static void close_device(struct kern *kn)
{
    struct cuda *cu = cuda_of(kn);
    cudaStreamSynchronize(cu->stream);
    cuda_side_close(cu);
    cuda_conv_close(cu);
    cuda_gemm_close(cu);
    cudaFree(cu->scratch);
    cudaFree(MIN(cu->tickets, cu->parked.tickets)); /* one piece for both streams */
    for (int i = 0; i < cu->nretired; i++)
        cudaFree(cu->retired[i]);
    cudaFreeHost(cu->staging);
    cudaFree(cu->list);
    free(cu->list_host);
    for (size_t i = 0; i < ARRAY_LEN(cu->pictures); i++) {
        cudaFreeHost(cu->pictures[i].host);
        if (cu->pictures[i].copied)
            cudaEventDestroy(cu->pictures[i].copied);
    }
    for (int i = 0; i < 2; i++)
        if (cu->copied[i])
            cudaEventDestroy(cu->copied[i]);
    if (cu->stream)
        cudaStreamDestroy(cu->stream);
    free(cu);
    kn->device_state = NULL;
}

/* Fills cu for a device that exists, and lets it do nothing once. */
static int start(struct kern *kn, struct cuda *cu, char *why, size_t room)
{
    struct cudaDeviceProp prop;
    cudaError_t err = cudaSetDevice(cu->index);
    if (err == cudaSuccess)
        err = cudaGetDeviceProperties(&prop, cu->index);
    if (err == cudaSuccess)
        err = cudaStreamCreateWithFlags(&cu->stream, cudaStreamNonBlocking);
    for (int i = 0; i < 2 && err == cudaSuccess; i++)
        err = cudaEventCreateWithFlags(&cu->copied[i], cudaEventDisableTiming);
    if (err == cudaSuccess)
        err = cudaMalloc((void **)&cu->tickets, 2 * CUDA_TICKETS * sizeof *cu->tickets);
    if (err == cudaSuccess) {
        cu->parked.tickets = cu->tickets + CUDA_TICKETS;
        err = cudaMemsetAsync(cu->tickets, 0, 2 * CUDA_TICKETS * sizeof *cu->tickets, cu->stream);
    }
    if (err != cudaSuccess)
        return no(cuda_error(err), why, room, "CUDA device %d: %s", cu->index,
                  cudaGetErrorString(err));
    cu->multiprocessors = prop.multiProcessorCount;
    kn->fast_bf16 = prop.major >= 8;
    snprintf(kn->description, sizeof kn->description, "cuda:%d %.40s", cu->index, prop.name);
    if (cuda_nothing(kn) < 0 || cuda_sync(kn) < 0)
        return no(-EIO, why, room, "no kernel runs on %s (compute capability %d.%d): %s",
                  kn->description, prop.major, prop.minor, cuda_trouble());
    int rc = gemm_library_find(why, room);
    return rc < 0 ? rc : engine_library_find(why, room);
}

static int open_device(struct kern *kn, int index, char *why, size_t room)
{
    int n = count(why, room);
    if (n < 0)
        return n;
    if (index < 0 || index >= n)
        return no(-ENODEV, why, room, "there is no CUDA device %d: the last is %d", index, n - 1);
    struct cuda *cu = calloc(1, sizeof *cu);
    if (!cu)
        return no(-ENOMEM, why, room, "no memory for a handle");
    cu->index = index;
    kn->device_state = cu;
    kn->ops = table;
    int rc = start(kn, cu, why, room);
    if (rc < 0)
        close_device(kn);
    return rc;
}

/* The driver's words, or which of its libraries is missing. */
static const char *trouble(void)
{
    const char *words = cuda_trouble();
    return words ? words : *cuda_missing() ? cuda_missing() : NULL;
}

/* -- what there is ------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t left;
};

static void line(struct text *t, const char *fmt, ...) PRINTF(2, 3);
static void line(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->at, t->left, fmt, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : MIN((size_t)n, t->left - (t->left > 0));
    t->at += used;
    t->left -= used;
}

static void report_device(struct text *t, int i)
{
    const double gib = 1 << 30;
    struct cudaDeviceProp prop;
    size_t unused = 0, all = 0;
    cuda_make_current(i);
    cudaError_t err = cudaGetDeviceProperties(&prop, i);
    if (err == cudaSuccess)
        err = cudaMemGetInfo(&unused, &all);
    if (err == cudaSuccess)
        line(
            t,
            "device %d: %s, compute capability %d.%d, %d multiprocessors, %.1f GiB of memory, %.1f "
            "unused\n",
            i, prop.name, prop.major, prop.minor, prop.multiProcessorCount, (double)all / gib,
            (double)unused / gib);
    else
        line(t, "device %d: %s\n", i, cudaGetErrorString(err));
}

static void report(char *text, size_t room)
{
    struct text t = { text, room };
    int number = 0;
    char why[512];
    cudaDriverGetVersion(&number);
    struct version driver = version_of(number), built = version_of(CUDART_VERSION);
    if (number)
        line(&t, "driver: CUDA %d.%d\n", driver.major, driver.minor);
    else
        line(&t, "driver: none\n");
    line(&t, "runtime: CUDA %d.%d\n", built.major, built.minor);
    gemm_library_report(why, sizeof why);
    line(&t, "cuBLASLt: %s\n", why);
    engine_library_report(why, sizeof why);
    line(&t, "cuDNN: %s\n", why);
    int n = count(why, sizeof why);
    if (n < 0)
        line(&t, "devices: none, %s\n", why);
    for (int i = 0; i < n; i++)
        report_device(&t, i);
}

static const struct kern_plugin plugin = { .abi = KERN_ABI,
                                           .table_size = sizeof(struct kern_ops),
                                           .state_size = sizeof(struct kern),
                                           .count = count,
                                           .open = open_device,
                                           .close = close_device,
                                           .trouble = trouble,
                                           .report = report,
                                           .measure = cuda_measure };

__attribute__((visibility("default"))) const struct kern_plugin *semppl_cuda_plugin(void);
const struct kern_plugin *semppl_cuda_plugin(void)
{
    return &plugin;
}
