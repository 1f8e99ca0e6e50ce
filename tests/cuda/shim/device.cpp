/*
 * device.cpp - errors, devices, and what may be launched on it.
 *
 * A device resembles an H200, with few multiprocessors so that kernels that start as many blocks
 * as those hold stay quick.
 */
#include "shim.h"
#include <map>
#include <memory>
#include <stdlib.h>

enum { MULTIPROCESSORS = 3, THREADS_EACH = 2048, BLOCKS_EACH = 32, SHARED_EACH = 228 << 10 };

/* -- Errors ---- */

static thread_local cudaError_t last;

cudaError_t shim_result(cudaError_t err)
{
    if (err != cudaSuccess)
        last = err;
    return err;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t err = last;
    last = cudaSuccess;
    return err;
}

static const struct {
    const char *name, *text;
    cudaError_t err;
} errors[] = {
#define SHIM_ERROR(name, number, text) { #name, text, name },
    SHIM_ERRORS(SHIM_ERROR)
};

const char *cudaGetErrorName(cudaError_t err)
{
    for (const auto &e : errors)
        if (e.err == err)
            return e.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t err)
{
    for (const auto &e : errors)
        if (e.err == err)
            return e.text;
    return "unrecognized error code";
}

/* -- The device ---- */

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    return cudaRuntimeGetVersion(version);
}

/* Of the thread's calls. */
static thread_local int current;

cudaError_t cudaGetDeviceCount(int *n)
{
    static const char *value = getenv("SEMPPL_SHIM_DEVICES");
    *n = value ? atoi(value) : 1;
    return *n > 0 ? cudaSuccess : shim_result(cudaErrorNoDevice);
}

static bool is_device(int index)
{
    int n;
    return cudaGetDeviceCount(&n) == cudaSuccess && index >= 0 && index < n;
}

cudaError_t cudaGetDevice(int *index)
{
    *index = current;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index)
{
    if (!is_device(index))
        return shim_result(cudaErrorInvalidDevice);
    current = index;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int index)
{
    size_t unused;
    if (!is_device(index))
        return shim_result(cudaErrorInvalidDevice);
    *p = cudaDeviceProp{};
    strcpy(p->name, "fibers");
    cudaMemGetInfo(&unused, &p->totalGlobalMem);
    p->sharedMemPerBlock = SHIM_SHARED_USUAL;
    p->sharedMemPerBlockOptin = SHIM_SHARED_MOST;
    p->sharedMemPerMultiprocessor = SHARED_EACH;
    p->regsPerBlock = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = SHIM_THREADS_MOST;
    p->maxThreadsPerMultiProcessor = THREADS_EACH;
    p->major = 9;
    p->multiProcessorCount = MULTIPROCESSORS;
    p->l2CacheSize = 1 << 20;
    p->concurrentKernels = 1;
    p->asyncEngineCount = 2;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int index)
{
    struct cudaDeviceProp p;
    cudaError_t err = cudaGetDeviceProperties(&p, index);
    if (which == cudaDevAttrMultiProcessorCount)
        *value = p.multiProcessorCount;
    else if (which == cudaDevAttrComputeCapabilityMajor)
        *value = p.major;
    else if (which == cudaDevAttrComputeCapabilityMinor)
        *value = p.minor;
    else if (which == cudaDevAttrMaxSharedMemoryPerBlockOptin)
        *value = (int)p.sharedMemPerBlockOptin;
    else
        err = shim_result(cudaErrorInvalidValue);
    return err;
}

/* -- Kernels ---- */

struct kernel {
    std::string name;
    size_t declared; /* bytes of shared memory */
    size_t most;     /* bytes that a launch may ask for; 0: what is left of the usual */
};

static kernel &kernel_of(const void *function)
{
    static std::map<std::pair<const void *, int>, kernel> all; /* each device has its own */
    auto at = all.find({ function, current });
    if (at == all.end()) {
        kernel k = {};
        k.name = shim_kernel(function, &k.declared);
        at = all.insert({ { function, current }, k }).first;
    }
    return at->second;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute which, int value)
{
    LOCKED;
    kernel &k = kernel_of(function);
    if (which == cudaFuncAttributePreferredSharedMemoryCarveout)
        return cudaSuccess;
    if (value < 0 || k.declared + (size_t)value > SHIM_SHARED_MOST)
        return shim_result(cudaErrorInvalidValue);
    k.most = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                          int threads, size_t shared)
{
    LOCKED;
    size_t each = kernel_of(function).declared + shared + 1024; /* 1 KB is the system's */
    *blocks = min(min((int)BLOCKS_EACH, THREADS_EACH / threads), (int)(SHARED_EACH / each));
    return cudaSuccess;
}

cudaError_t shim_launch(const shim_launcher &by, const void *function, dim3 grid, dim3 block,
                        size_t shared, const std::function<void()> &thread, const void *values,
                        size_t bytes)
{
    LOCKED;
    kernel &k = kernel_of(function);
    if (by.stream && shim_device_of(by.stream) != current)
        return shim_result(cudaErrorInvalidResourceHandle);
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
        grid.z > 65535 || block.x == 0 || block.y == 0 || block.z == 0 || block.z > 64 ||
        (uint64_t)block.x * block.y * block.z > SHIM_THREADS_MOST)
        return shim_result(cudaErrorInvalidConfiguration);
    if (k.declared + shared > SHIM_SHARED_USUAL && shared > k.most)
        return shim_result(cudaErrorInvalidValue);
    std::shared_ptr<shim_grid> g(new shim_grid);
    g->kernel = k.name + ", launched by " + by.at.function + " at " + by.at.file + ":" +
                std::to_string(by.at.line);
    g->grid = grid;
    g->block = block;
    g->shared = shared;
    g->thread = thread;
    return shim_result(
        shim_queue(by.stream, g->kernel, shim_pointed(values, bytes), [g] { shim_run(*g); }));
}
