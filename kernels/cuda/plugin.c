/*
 * plugin.c - the one symbol that the plugin exports, and the handle's side of a device.
 */
#include "kernels/plugin.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/gemm.h"
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
    .knn = cuda_knn,
    .update = cuda_update,
    .norm = cuda_norm,
    .augment = cuda_augment,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .put = cuda_put,
    .get = cuda_get,
    .zero = cuda_zero,
    .sync = cuda_sync,
};

static int no(int rc, char *why, size_t room, cudaError_t err)
{
    snprintf(why, room, "%s", cudaGetErrorString(err));
    return rc;
}

static int count(char *why, size_t room)
{
    int n = 0;
    cudaError_t err = cudaGetDeviceCount(&n);
    if (err != cudaSuccess)
        return no(-ENODEV, why, room, err);
    if (n == 0)
        snprintf(why, room, "no CUDA device was found");
    return n > 0 ? n : -ENODEV;
}

static void close_device(struct kern *kn)
{
    struct cuda *cu = cuda_of(kn);
    if (!cu)
        return;
    cudaStreamSynchronize(cu->stream);
    cuda_gemm_close(cu);
    cudaFree(cu->scratch);
    cudaFreeHost(cu->staging);
    for (size_t i = 0; i < ARRAY_LEN(cu->lists); i++) {
        cudaFree(cu->lists[i]);
        free(cu->list_host[i]);
    }
    cudaEventDestroy(cu->staged);
    cudaStreamDestroy(cu->stream);
    free(cu);
    kn->device_state = NULL;
}

static int open_device(struct kern *kn, int index, char *why, size_t room)
{
    struct cudaDeviceProp prop;
    int n = count(why, room);
    if (n < 0)
        return n;
    if (index < 0 || index >= n) {
        snprintf(why, room, "there is no CUDA device %d: this machine has %d", index, n);
        return -ENODEV;
    }
    cudaError_t err = cudaSetDevice(index);
    if (err == cudaSuccess)
        err = cudaGetDeviceProperties(&prop, index);
    if (err != cudaSuccess)
        return no(-ENODEV, why, room, err);
    struct cuda *cu = calloc(1, sizeof *cu);
    if (!cu)
        return no(-ENOMEM, why, room, cudaErrorMemoryAllocation);
    cu->index = index;
    cu->multiprocessors = prop.multiProcessorCount;
    cu->shared_most = prop.sharedMemPerBlockOptin;
    err = cudaStreamCreateWithFlags(&cu->stream, cudaStreamNonBlocking);
    if (err == cudaSuccess)
        err = cudaEventCreateWithFlags(&cu->staged, cudaEventDisableTiming);
    kn->device_state = cu;
    if (err != cudaSuccess) {
        close_device(kn);
        return no(-EIO, why, room, err);
    }
    kn->ops = table;
    kn->fast_bf16 = prop.major >= 8;
    snprintf(kn->description, sizeof kn->description, "cuda:%d %.40s", index, prop.name);
    return 0;
}

static const struct kern_plugin plugin = { .abi = KERN_ABI,
                                           .table_size = sizeof(struct kern_ops),
                                           .count = count,
                                           .open = open_device,
                                           .close = close_device };

__attribute__((visibility("default"))) const struct kern_plugin *semppl_cuda_plugin(void);
const struct kern_plugin *semppl_cuda_plugin(void)
{
    return &plugin;
}
