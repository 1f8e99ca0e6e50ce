/*
 * ops.h - private to kernels/: the handle, and the table with one function pointer a kernel.
 *
 * Signatures are those of kern.h; the wrappers in kern.c check arguments and pass nothing empty on,
 * so that a kernel may assume sizes of at least 1. A CPU handle starts from ops_ref and overwrites
 * what it has faster; a device fills every slot.
 */
#ifndef SEMPPL_OPS_H
#define SEMPPL_OPS_H

#include "kernels/isa.h"
#include "kernels/kern.h"
#include "kernels/number.h"

struct kern_ops {
    size_t (*conv_packed)(struct kern *, const struct kern_conv *);
    int (*conv_pack)(struct kern *, const struct kern_conv_weights *, size_t);
    int (*conv_forward)(struct kern *, const struct kern_conv *, void *, const void *, const void *,
                        const struct kern_epilogue *);
    int (*conv_backward_data)(struct kern *, const struct kern_conv *, void *, const void *,
                              const void *, bool);
    int (*conv_backward_weights)(struct kern *, const struct kern_conv *, float *, const void *,
                                 const void *);
    int (*bn_stats)(struct kern *, enum kern_type, const struct kern_bn *, const void *, size_t,
                    size_t);
    int (*bn_finalise)(struct kern *, const struct kern_bn *, size_t);
    int (*bn_forward)(struct kern *, const struct kern_bn_forward *);
    int (*bn_backward)(struct kern *, const struct kern_bn_backward *);
    int (*maxpool_forward)(struct kern *, const struct kern_maxpool *, void *, const void *);
    int (*maxpool_backward)(struct kern *, const struct kern_maxpool *, void *, const void *,
                            const void *, const void *);
    int (*avgpool_forward)(struct kern *, enum kern_type, float *, const void *, size_t, size_t,
                           size_t);
    int (*avgpool_backward)(struct kern *, enum kern_type, void *, const float *, size_t, size_t,
                            size_t);
    int (*avgpool2_forward)(struct kern *, const struct kern_avgpool2 *, void *, const void *);
    int (*avgpool2_backward)(struct kern *, const struct kern_avgpool2 *, void *, const void *);
    int (*sk_squeeze_forward)(struct kern *, const struct kern_sk *, float *, const void *);
    int (*sk_squeeze_backward)(struct kern *, const struct kern_sk *, void *, const float *);
    int (*sk_select_forward)(struct kern *, const struct kern_sk *, void *, const void *,
                             const float *);
    int (*sk_select_backward)(struct kern *, const struct kern_sk *, void *, float *, const void *,
                              const void *, const float *);
    int (*gemm)(struct kern *, bool, bool, size_t, size_t, size_t, float, const float *,
                const float *, float, float *);
    int (*bias_forward)(struct kern *, float *, const float *, size_t, size_t);
    int (*bias_backward)(struct kern *, float *, const float *, size_t, size_t);
    int (*l2norm_forward)(struct kern *, float *, float *, const float *, size_t, size_t);
    int (*l2norm_backward)(struct kern *, float *, const float *, const float *, const float *,
                           size_t, size_t);
    int (*copy_rows)(struct kern *, float *, const int32_t *, const float *, const int32_t *,
                     size_t, size_t);
    int (*contrast_forward)(struct kern *, const struct kern_contrast *, float *, float *);
    int (*contrast_backward)(struct kern *, const struct kern_contrast *, float *, const float *);
    int (*contrast_grad)(struct kern *, float *, const float *, const int32_t *, const float *,
                         size_t, size_t);
    int (*kl)(struct kern *, float *, float *, const float *, const float *, const int32_t *,
              const float *, size_t, size_t);
    int (*weights)(struct kern *, const struct kern_weights *, float *);
    int (*vote)(struct kern *, const struct kern_vote *, int32_t *, float *, int32_t *, float *,
                int32_t *);
    int (*positives)(struct kern *, const struct kern_positives *, int32_t *);
    int (*knn)(struct kern *, const struct kern_knn *, int32_t *, float *);
    int (*update)(struct kern *, const struct kern_update *);
    int (*norm)(struct kern *, double *, const float *, size_t);
    int (*augment)(struct kern *, const struct kern_views *);
    /* memory of the device */
    void *(*alloc)(struct kern *, size_t);
    void (*free)(struct kern *, void *);
    uint64_t (*available)(struct kern *);
    uint64_t (*overhead)(struct kern *, const struct kern_conv *);
    int (*put)(struct kern *, void *, const void *, size_t);
    int (*get)(struct kern *, void *, const void *, size_t);
    int (*zero)(struct kern *, void *, size_t);
    int (*sync)(struct kern *);
    int (*record)(struct kern *);
    int (*record_end)(struct kern *, struct kern_recording **);
    int (*replay)(struct kern *, struct kern_recording *);
    void (*recording_free)(struct kern *, struct kern_recording *);
    int (*fork)(struct kern *);
    int (*back)(struct kern *);
    int (*join)(struct kern *);
};

struct kern {
    struct kern_ops ops;
    struct pool *pool;
    unsigned isa;       /* CPU: ISA_* bits in use */
    void *device_state; /* CUDA: the plugin's; NULL on the CPU */
    int device_index;
    bool fast_bf16, tf32; /* kern_tf32() */
    char description[64];
    uint8_t *scratch; /* one piece for each worker, scratch_each bytes apart */
    size_t scratch_each;
    uint8_t *shared; /* one piece for the call */
    size_t shared_size;
    /* pool.h's, for a plugin, which links nothing of the program */
    int (*pool_run)(struct pool *, size_t, int (*)(void *, size_t, int), void *);
};

extern const struct kern_ops ops_ref;                  /* ref/ops_ref.c: every slot */
void ops_init_cpu(struct kern_ops *ops, unsigned isa); /* cpu/ops_cpu.c */

/*
 * Scratch that lasts until the next call of the same function, contents undefined, 64-byte aligned.
 * Before pool_run: kern_scratch(kn, bytes a worker) -> 0 or -ENOMEM; in a task: kern_scratch_of(kn,
 * worker).
 */
int kern_scratch(struct kern *kn, size_t bytes);
void *kern_scratch_of(struct kern *kn, int worker);
void *kern_shared(struct kern *kn, size_t bytes); /* NULL: no memory */

#endif
