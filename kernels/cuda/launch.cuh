/*
 * launch.cuh - for .cu files: starting a kernel, and shared memory whose size is known at the
 * launch.
 *
 * The same files compile with nvcc and, for tests, with the host's compiler, whose <cuda_runtime.h>
 * is then that of tests/cuda/shim: blocks one after another, their threads as fibers. What both
 * write alike is written as in CUDA; this header has the rest. So kernels use no inline assembly,
 * clusters, asynchronous copies or matrix units without a portable body beside.
 */
#ifndef SEMPPL_LAUNCH_CUH
#define SEMPPL_LAUNCH_CUH

#include <cuda_runtime.h>
#include <errno.h>

#ifdef __CUDACC__

extern "C" int cuda_error(cudaError_t err); /* cuda.h */

/* 0, or -EIO if the launch was refused. Its arguments become those of the kernel's signature. */
template <typename... Parameters, typename... Arguments>
int launch(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
           Arguments... arguments)
{
    kernel<<<grid, block, shared, stream>>>(static_cast<Parameters>(arguments)...);
    return cuda_error(cudaGetLastError());
}

/* In a kernel: name points to the block's shared memory of the launch, aligned for any type. */
#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];                          \
    type *const name = reinterpret_cast<type *>(dynamic_shared_bytes)

#endif

#endif
