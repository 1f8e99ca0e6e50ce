/* todo.cpp - what graphs.cpp will have. Goes away with it. */
#include "tests/cuda/shim/cuda_runtime_api.h"
#define WEAK __attribute__((weak))
WEAK cudaError_t cudaStreamBeginCapture(cudaStream_t, enum cudaStreamCaptureMode) { return cudaErrorStreamCaptureUnsupported; }
WEAK cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *) { return cudaErrorStreamCaptureUnsupported; }
WEAK cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
WEAK cudaError_t cudaGraphInstantiate(cudaGraphExec_t *, cudaGraph_t, unsigned long long) { return cudaErrorStreamCaptureUnsupported; }
WEAK cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { return cudaErrorStreamCaptureUnsupported; }
WEAK cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
WEAK cudaError_t cudaStreamIsCapturing(cudaStream_t, enum cudaStreamCaptureStatus *status) { *status = cudaStreamCaptureStatusNone; return cudaSuccess; }
