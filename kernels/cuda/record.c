/*
 * record.c - recordings: the stream is captured into a CUDA graph, which is launched as one.
 *
 * Capture is for this thread alone: another one, which prepares the next batch with a handle of its
 * own, may allocate meanwhile. Scratch of a call lies in the graph as an address, so that scratch
 * which has become too small is kept as long as the handle (memory.c).
 */
#include "kernels/cuda/cuda.h"
#include <stdlib.h>

struct kern_recording {
    cudaGraphExec_t exec;
};

int cuda_record(struct kern *kn)
{
    return cuda_error(
        cudaStreamBeginCapture(cuda_of(kn)->stream, cudaStreamCaptureModeThreadLocal));
}

int cuda_record_end(struct kern *kn, struct kern_recording **out)
{
    struct cuda *cu = cuda_of(kn);
    struct kern_recording *r = calloc(1, sizeof *r);
    cudaGraph_t graph = NULL;
    cudaError_t err = cudaStreamEndCapture(cu->stream, &graph);
    size_t nodes = 0;
    if (err == cudaSuccess)
        err = cudaGraphGetNodes(graph, NULL, &nodes);
    if (err == cudaSuccess && r)
        err = cudaGraphInstantiate(&r->exec, graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    if (err != cudaSuccess || !r) {
        free(r);
        return r ? cuda_error(err) : -ENOMEM;
    }
    cu->recorded = true;
    *out = r;
    return (int)nodes;
}

int cuda_replay(struct kern *kn, struct kern_recording *r)
{
    return cuda_error(cudaGraphLaunch(r->exec, cuda_of(kn)->stream));
}

void cuda_recording_free(struct kern *kn, struct kern_recording *r)
{
    cudaStreamSynchronize(cuda_of(kn)->stream);
    cudaGraphExecDestroy(r->exec);
    free(r);
}
