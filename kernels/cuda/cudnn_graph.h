/*
 * cudnn_graph.h - private to cudnn*.c: cuDNN's calls, and a convolution as a graph of its
 * operations.
 *
 * The graph ("backend") API of cuDNN 9: everything is a descriptor with attributes. A graph of one
 * convolution, maybe with pointwise operations behind it, is given to heuristics, which return
 * engines with their knobs set; one of them, finalised, is a plan that can be executed.
 */
#ifndef SEMPPL_CUDA_CUDNN_GRAPH_H
#define SEMPPL_CUDA_CUDNN_GRAPH_H

#include "kernels/cuda/convolve.h"
#include "kernels/cuda/library.h"
#include <cudnn.h>

#define CUDNN_CALLS(X)                                                                             \
    X(cudnnGetVersion)                                                                             \
    X(cudnnCreate)                                                                                 \
    X(cudnnDestroy)                                                                                \
    X(cudnnSetStream)                                                                              \
    X(cudnnBackendCreateDescriptor)                                                                \
    X(cudnnBackendDestroyDescriptor)                                                               \
    X(cudnnBackendFinalize)                                                                        \
    X(cudnnBackendSetAttribute)                                                                    \
    X(cudnnBackendGetAttribute)                                                                    \
    X(cudnnBackendExecute)

/* Filled by cudnn_open(). */
struct cudnn_calls {
    CUDNN_CALLS(LIBRARY_POINTER)
};
extern struct cudnn_calls cudnn;

int cudnn_open(void); /* as library_open() */

typedef cudnnBackendDescriptor_t descriptor;

/*
 * Descriptors of one graph, which are destroyed together, and the first failure: once there is one,
 * the calls below do nothing, so that it is looked at in the end.
 */
struct cudnn_graph {
    descriptor all[48];
    int n;
    cudnnStatus_t failed;
    descriptor whole; /* the operation graph, finalised */
};

/* The unique names of its tensors. */
enum { TENSOR_OUT = 1, TENSOR_A, TENSOR_B, TENSOR_SCALE, TENSOR_SHIFT, TENSOR_OLD, TENSOR_VIRTUAL };

descriptor cudnn_new(struct cudnn_graph *g, cudnnBackendDescriptorType_t type);
void cudnn_set(struct cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name,
               cudnnBackendAttributeType_t type, int64_t count, const void *values);
void cudnn_finalise(struct cudnn_graph *g, descriptor d);
void cudnn_release(struct cudnn_graph *g);

/*
 * The graph of what; handle may be NULL. CUDNN_STATUS_NOT_SUPPORTED if no engine can compute it:
 * windows that do not fit between cells of padding.
 */
cudnnStatus_t cudnn_graph_of(struct cudnn_graph *g, cudnnHandle_t handle,
                             const struct convolve *what);

/*
 * The library's side without a device, for plans that are made and not run: a description of one in
 * JSON, as cuDNN writes it (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION).
 */
int cudnn_describe(const char *json, void **library);

/* What engines_for() passed over so far. With list NULL it makes no plans and only counts. */
struct cudnn_refused {
    int offered;  /* by heuristics */
    int notes;    /* not deterministic, or of another precision than asked for */
    int large;    /* workspace */
    int finalise; /* not to be finalised */
    int unloaded; /* of these, compiled at run time, and only the driver to load them was missing */
};
const struct cudnn_refused *cudnn_refused(const void *library);

#endif
