/*
 * memory.c - memory of the device, and copies.
 */
#include "kernels/cuda/cuda.h"
#include <stdlib.h>
#include <string.h>

static const char *first_trouble;

void cuda_make_current(int index)
{
    int current; /* looking is a few times cheaper than setting */
    if (cudaGetDevice(&current) != cudaSuccess || current != index)
        cudaSetDevice(index); /* a failure shows in the call that follows */
}

int cuda_error(cudaError_t err)
{
    if (err == cudaSuccess)
        return 0;
    cudaGetLastError(); /* or the next launch would be blamed */
    if (err == cudaErrorMemoryAllocation)
        return -ENOMEM;
    if (err >= cudaErrorStreamCaptureUnsupported && err <= cudaErrorStreamCaptureImplicit)
        return -EIO; /* what cannot be recorded is done call by call: no trouble */
    const char *none = NULL;
    __atomic_compare_exchange_n(&first_trouble, &none, cudaGetErrorString(err), false,
                                __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    return -EIO;
}

const char *cuda_trouble(void)
{
    return __atomic_load_n(&first_trouble, __ATOMIC_ACQUIRE);
}

void *cuda_alloc(struct kern *kn, size_t nbytes)
{
    void *p = NULL;
    nbytes = nbytes ? nbytes : 1;
    cuda_of(kn);
    if (cuda_error(cudaMalloc(&p, nbytes)) < 0)
        return NULL;
    if (cuda_zero(kn, p, nbytes) == 0)
        return p;
    cudaFree(p);
    return NULL;
}

void cuda_free(struct kern *kn, void *dev)
{
    cudaStreamSynchronize(cuda_of(kn)->stream); /* what was queued may still use it */
    cudaFree(dev);
}

uint64_t cuda_available(struct kern *kn)
{
    size_t left = 0, all;
    cuda_of(kn);
    return cuda_error(cudaMemGetInfo(&left, &all)) < 0 ? 0 : left;
}

int cuda_put(struct kern *kn, void *dev, const void *host, size_t nbytes)
{
    return cuda_upload(kn, dev, host, nbytes);
}

int cuda_get(struct kern *kn, void *host, const void *dev, size_t nbytes)
{
    cudaStream_t stream = cuda_of(kn)->stream;
    cudaError_t err = cudaMemcpyAsync(host, dev, nbytes, cudaMemcpyDeviceToHost, stream);
    return cuda_error(err == cudaSuccess ? cudaStreamSynchronize(stream) : err);
}

int cuda_zero(struct kern *kn, void *dev, size_t nbytes)
{
    return cuda_error(cudaMemsetAsync(dev, 0, nbytes, cuda_of(kn)->stream));
}

int cuda_sync(struct kern *kn)
{
    return cuda_error(cudaStreamSynchronize(cuda_of(kn)->stream));
}

void *cuda_scratch(struct kern *kn, size_t bytes)
{
    struct cuda *cu = cuda_of(kn);
    if (bytes <= cu->scratch_bytes)
        return cu->scratch;
    if (cuda_error(cudaStreamSynchronize(cu->stream)) < 0) /* so while calls are recorded */
        return NULL;
    if (cu->scratch && cu->recorded && cu->nretired < (int)ARRAY_LEN(cu->retired))
        cu->retired[cu->nretired++] = cu->scratch;
    else
        cudaFree(cu->scratch);
    cu->scratch = NULL;
    cu->scratch_bytes = 0;
    if (cuda_error(cudaMalloc(&cu->scratch, bytes)) < 0) {
        cu->scratch = NULL;
        return NULL;
    }
    cu->scratch_bytes = bytes;
    return cu->scratch;
}

enum { HALF = 8 << 20, ALIGN = 64 };

/* Room for n <= HALF bytes of staging; turns to the other half when this one is full. */
static cudaError_t stage(struct cuda *cu, size_t n, char **room)
{
    cudaError_t err = cudaSuccess;
    void *both = cu->staging;
    if (!both)
        err = cudaMallocHost(&both, 2 * (size_t)HALF);
    if (err == cudaSuccess && cu->staged + n > HALF) {
        err = cudaEventRecord(cu->copied[cu->half], cu->stream);
        cu->half = !cu->half;
        cu->staged = 0;
        if (err == cudaSuccess)
            err = cudaEventSynchronize(cu->copied[cu->half]);
    }
    if (err != cudaSuccess)
        return err;
    cu->staging = both;
    *room = cu->staging + cu->half * (size_t)HALF + cu->staged;
    cu->staged += (n + ALIGN - 1) / ALIGN * ALIGN;
    return err;
}

int cuda_upload(struct kern *kn, void *dev, const void *host, size_t bytes)
{
    struct cuda *cu = cuda_of(kn);
    cudaError_t err = cudaSuccess;
    for (size_t done = 0; done < bytes && err == cudaSuccess; done += HALF) {
        size_t n = MIN(bytes - done, (size_t)HALF);
        char *room = NULL;
        if ((err = stage(cu, n, &room)) != cudaSuccess)
            break;
        memcpy(room, (const char *)host + done, n);
        err = cudaMemcpyAsync((char *)dev + done, room, n, cudaMemcpyHostToDevice, cu->stream);
    }
    return cuda_error(err);
}

const void *cuda_list(struct kern *kn, const void *host, size_t bytes)
{
    struct cuda *cu = cuda_of(kn);
    if (cu->list && cu->list_bytes == bytes && memcmp(cu->list_host, host, bytes) == 0)
        return cu->list;
    void *copy = malloc(bytes), *dev = cuda_alloc(kn, bytes);
    if (!copy || !dev || cuda_upload(kn, dev, host, bytes) < 0) {
        free(copy);
        if (dev)
            cuda_free(kn, dev);
        return NULL;
    }
    memcpy(copy, host, bytes);
    if (cu->list)
        cuda_free(kn, cu->list);
    free(cu->list_host);
    cu->list = dev;
    cu->list_host = copy;
    cu->list_bytes = bytes;
    return dev;
}
