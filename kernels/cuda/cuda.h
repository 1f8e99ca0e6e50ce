/*
 * cuda.h - private to the CUDA plugin: the device behind a handle, and the slots of its table.
 *
 * The plugin (libsemppl-cuda.so) fills every slot of ops.h. Host code is C and calls the CUDA
 * runtime, which is linked into the plugin; cuDNN and cuBLASLt are opened when they are first
 * needed (library.h). Files:
 *
 * plugin.c, memory.c          the exported symbol, handles, memory and copies
 * overhead.c                  how much memory calls take for themselves, from above
 * record.c, side.c, measure.c recordings of calls; calls that run beside others; the device's peaks
 * conv*.c, gemm*.c            plans of cuDNN and cuBLASLt; tests have plain kernels in their place
 * *.cu                        kernels, each family with the host side of its slots below it
 *
 * A slot queues its work on the handle's stream and returns 0 or a negative errno (kern.h); it
 * waits for nothing but where kern.h says so. Sums have an order that depends on shapes only.
 */
#ifndef SEMPPL_CUDA_H
#define SEMPPL_CUDA_H

#ifdef __cplusplus
extern "C" {
#endif

#include "kernels/ops.h"
#include <cuda_runtime_api.h>

enum { CUDA_TICKETS = 4096 };

/* Page-locked memory for the pictures of a call, and the event that its copy is done. */
struct picture_buffer {
    void *host;
    size_t bytes;
    cudaEvent_t copied;
};

/* What side.c swaps. */
struct cuda_lane {
    cudaStream_t stream;
    void *scratch;
    size_t scratch_bytes;
    unsigned *tickets;
    struct gemm_plans *gemm;
};

struct cuda {
    int index; /* of the device */
    cudaStream_t stream;
    int multiprocessors;
    void *scratch; /* cuda_scratch() */
    size_t scratch_bytes;
    unsigned *tickets; /* [CUDA_TICKETS] on the device, all 0 between kernels (columns.cuh) */
    void *retired[32]; /* earlier scratch, which recordings know */
    int nretired;
    bool recorded;
    char *staging;          /* page-locked memory behind cuda_upload(), in two halves */
    int half;               /* the one at work */
    size_t staged;          /* its bytes that copies may still read */
    cudaEvent_t copied[2];  /* the copies out of a half are done */
    void *list, *list_host; /* cuda_list(): on the device, and what was copied there */
    size_t list_bytes;
    struct picture_buffer pictures[2]; /* augment.cu, in turns */
    int pictures_turn;
    struct cuda_lane parked; /* the other one; its stream is NULL until it is first needed */
    cudaEvent_t forked, joined;
    struct conv_plans *conv;
    struct gemm_plans *gemm;
};

/* Calls of the runtime by this thread are for that device from now on. */
void cuda_make_current(int index);

/*
 * The device behind a handle. Which one calls of the runtime are for is a matter of the thread, and
 * a handle may come from another thread than the one that opened it: so every slot, and whatever
 * else calls the runtime, begins with this.
 */
static inline struct cuda *cuda_of(struct kern *kn)
{
    struct cuda *cu = (struct cuda *)kn->device_state;
    cuda_make_current(cu->index);
    return cu;
}

/* 0 or the nearest errno: -ENOMEM, else -EIO, whose words are kept for kern_trouble(). */
int cuda_error(cudaError_t err);
const char *cuda_trouble(void); /* the first of them, or NULL */

/* -- memory.c ---- */

/*
 * Device memory until the next call on this handle, contents undefined, aligned to 256 bytes; one
 * piece a call. NULL: none left. It grows at most a few times in a run, never once shapes repeat.
 */
void *cuda_scratch(struct kern *kn, size_t bytes);

/*
 * Copies host memory, which the caller may change at once, to the device in the order of the
 * stream. Small ones wait for nothing; of megabytes, each 8 for those 16 before.
 */
int cuda_upload(struct kern *kn, void *dev, const void *host, size_t bytes);

/* The list of an update's segments, in host memory, as it stands on the device; uploaded again only
 * when its bytes changed. */
const void *cuda_list(struct kern *kn, const void *host, size_t bytes);

void *cuda_alloc(struct kern *, size_t);
void cuda_free(struct kern *, void *);
uint64_t cuda_available(struct kern *);
uint64_t cuda_overhead(struct kern *, const struct kern_conv *); /* overhead.c */
int cuda_put(struct kern *, void *, const void *, size_t);
int cuda_get(struct kern *, void *, const void *, size_t);
int cuda_zero(struct kern *, void *, size_t);
int cuda_sync(struct kern *);

/* record.c */
int cuda_record(struct kern *);
int cuda_record_end(struct kern *, struct kern_recording **);
int cuda_replay(struct kern *, struct kern_recording *);
void cuda_recording_free(struct kern *, struct kern_recording *);

/* side.c */
int cuda_fork(struct kern *);
int cuda_back(struct kern *);
int cuda_join(struct kern *);
void cuda_side_close(struct cuda *cu);

/* -- nothing.cu: a kernel that does nothing, to see whether there is code for a device ---- */

int cuda_nothing(struct kern *);

/* -- measure.c: kern_measure() ---- */

int cuda_measure(struct kern *kn, double *copy, double *product);

/* -- the slots: arguments and meaning are those of kern.h ---- */

/* conv.c */
size_t cuda_conv_packed(struct kern *, const struct kern_conv *);
int cuda_conv_forward(struct kern *, const struct kern_conv *, void *, const void *, const void *,
                      const struct kern_epilogue *);
int cuda_conv_backward_data(struct kern *, const struct kern_conv *, void *, const void *,
                            const void *, bool);
int cuda_conv_backward_weights(struct kern *, const struct kern_conv *, float *, const void *,
                               const void *);
/* conv_pack.cu */
int cuda_conv_pack(struct kern *, const struct kern_conv_weights *, size_t);
/* norm.cu */
int cuda_bn_stats(struct kern *, enum kern_type, const struct kern_bn *, const void *, size_t,
                  size_t);
int cuda_bn_finalise(struct kern *, const struct kern_bn *, size_t);
int cuda_bn_forward(struct kern *, const struct kern_bn_forward *);
int cuda_bn_backward(struct kern *, const struct kern_bn_backward *);
/* maxpool.cu */
int cuda_maxpool_forward(struct kern *, const struct kern_maxpool *, void *, const void *);
int cuda_maxpool_backward(struct kern *, const struct kern_maxpool *, void *, const void *,
                          const void *, const void *);
/* avgpool.cu */
int cuda_avgpool_forward(struct kern *, enum kern_type, float *, const void *, size_t, size_t,
                         size_t);
int cuda_avgpool_backward(struct kern *, enum kern_type, void *, const float *, size_t, size_t,
                          size_t);
int cuda_avgpool2_forward(struct kern *, const struct kern_avgpool2 *, void *, const void *);
int cuda_avgpool2_backward(struct kern *, const struct kern_avgpool2 *, void *, const void *);
/* sk.cu */
int cuda_sk_squeeze_forward(struct kern *, const struct kern_sk *, float *, const void *);
int cuda_sk_squeeze_backward(struct kern *, const struct kern_sk *, void *, const float *);
int cuda_sk_select_forward(struct kern *, const struct kern_sk *, void *, const void *,
                           const float *);
int cuda_sk_select_backward(struct kern *, const struct kern_sk *, void *, float *, const void *,
                            const void *, const float *);
/* gemm.c */
int cuda_gemm(struct kern *, bool, bool, size_t, size_t, size_t, float, const float *,
              const float *, float, float *);
/* dense.cu */
int cuda_bias_forward(struct kern *, float *, const float *, size_t, size_t);
int cuda_bias_backward(struct kern *, float *, const float *, size_t, size_t);
int cuda_l2norm_forward(struct kern *, float *, float *, const float *, size_t, size_t);
int cuda_l2norm_backward(struct kern *, float *, const float *, const float *, const float *,
                         size_t, size_t);
int cuda_copy_rows(struct kern *, float *, const int32_t *, const float *, const int32_t *, size_t,
                   size_t);
/* contrast.cu */
int cuda_contrast_forward(struct kern *, const struct kern_contrast *, float *, float *);
int cuda_contrast_backward(struct kern *, const struct kern_contrast *, float *, const float *);
int cuda_contrast_grad(struct kern *, float *, const float *, const int32_t *, const float *,
                       size_t, size_t);
int cuda_kl(struct kern *, float *, float *, const float *, const float *, const int32_t *,
            const float *, size_t, size_t);
/* vote.cu */
int cuda_weights(struct kern *, const struct kern_weights *, float *);
int cuda_vote(struct kern *, const struct kern_vote *, int32_t *, float *, int32_t *, float *,
              int32_t *);
int cuda_positives(struct kern *, const struct kern_positives *, int32_t *);
/* knn.cu */
int cuda_knn(struct kern *, const struct kern_knn *, int32_t *, float *);
/* optim.cu */
int cuda_update(struct kern *, const struct kern_update *);
int cuda_norm(struct kern *, double *, const float *, size_t);
/* augment.cu */
size_t cuda_augment_scratch(void); /* bytes, about the most */
int cuda_augment(struct kern *, const struct kern_views *);

#ifdef __cplusplus
}
#endif

#endif
