/*
 * side.c - a second stream, for work that may run beside the first one's.
 *
 * What calls use of a handle (stream, scratch, tickets, the workspace behind matrix products) is
 * swapped for a set of its own, so that no call knows about it.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/gemm.h"

static void swap(struct cuda *cu)
{
    struct cuda_lane other = cu->parked;
    cu->parked =
        (struct cuda_lane){ cu->stream, cu->scratch, cu->scratch_bytes, cu->tickets, cu->gemm };
    cu->stream = other.stream;
    cu->scratch = other.scratch;
    cu->scratch_bytes = other.scratch_bytes;
    cu->tickets = other.tickets;
    cu->gemm = other.gemm;
}

static cudaError_t open_side(struct cuda *cu)
{
    cudaError_t err = cudaSuccess;
    if (!cu->parked.stream)
        err = cudaStreamCreateWithFlags(&cu->parked.stream, cudaStreamNonBlocking);
    if (!cu->forked && err == cudaSuccess)
        err = cudaEventCreateWithFlags(&cu->forked, cudaEventDisableTiming);
    if (!cu->joined && err == cudaSuccess)
        err = cudaEventCreateWithFlags(&cu->joined, cudaEventDisableTiming);
    return err;
}

int cuda_fork(struct kern *kn)
{
    struct cuda *cu = cuda_of(kn);
    cudaError_t err = open_side(cu);
    if (err == cudaSuccess)
        err = cudaEventRecord(cu->forked, cu->stream);
    if (err == cudaSuccess)
        err = cudaStreamWaitEvent(cu->parked.stream, cu->forked, 0);
    if (err == cudaSuccess)
        swap(cu);
    return cuda_error(err);
}

int cuda_back(struct kern *kn)
{
    struct cuda *cu = cuda_of(kn);
    cudaError_t err = cudaEventRecord(cu->joined, cu->stream);
    swap(cu);
    return cuda_error(err);
}

int cuda_join(struct kern *kn)
{
    struct cuda *cu = cuda_of(kn);
    return cuda_error(cudaStreamWaitEvent(cu->stream, cu->joined, 0));
}

void cuda_side_close(struct cuda *cu)
{
    if (!cu->parked.stream)
        return;
    cudaStreamSynchronize(cu->parked.stream);
    swap(cu);
    cuda_gemm_close(cu);
    swap(cu);
    cudaFree(cu->parked.scratch);
    cudaStreamDestroy(cu->parked.stream);
    if (cu->forked)
        cudaEventDestroy(cu->forked);
    if (cu->joined)
        cudaEventDestroy(cu->joined);
}
