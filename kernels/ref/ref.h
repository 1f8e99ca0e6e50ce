/*
 * ref.h - the definitions: one plain function for each slot of the table, with kern.h's meaning and
 * arguments.
 */
#ifndef SEMPPL_REF_H
#define SEMPPL_REF_H

#include "kernels/ops.h"

size_t ref_conv_packed(struct kern *, const struct kern_conv *);
int ref_conv_pack(struct kern *, const struct kern_conv_weights *, size_t);
int ref_conv_forward(struct kern *, const struct kern_conv *, void *, const void *, const void *,
                     const struct kern_epilogue *);
int ref_conv_backward_data(struct kern *, const struct kern_conv *, void *, const void *,
                           const void *, bool);
int ref_conv_backward_weights(struct kern *, const struct kern_conv *, float *, const void *,
                              const void *);
int ref_bn_stats(struct kern *, enum kern_type, const struct kern_bn *, const void *, size_t,
                 size_t);
int ref_bn_finalise(struct kern *, const struct kern_bn *, size_t);
int ref_bn_forward(struct kern *, const struct kern_bn_forward *);
int ref_bn_backward(struct kern *, const struct kern_bn_backward *);
int ref_maxpool_forward(struct kern *, const struct kern_maxpool *, void *, const void *);
int ref_maxpool_backward(struct kern *, const struct kern_maxpool *, void *, const void *,
                         const void *, const void *);
int ref_avgpool_forward(struct kern *, enum kern_type, float *, const void *, size_t, size_t,
                        size_t);
int ref_avgpool_backward(struct kern *, enum kern_type, void *, const float *, size_t, size_t,
                         size_t);
int ref_avgpool2_forward(struct kern *, const struct kern_avgpool2 *, void *, const void *);
int ref_avgpool2_backward(struct kern *, const struct kern_avgpool2 *, void *, const void *);
int ref_sk_squeeze_forward(struct kern *, const struct kern_sk *, float *, const void *);
int ref_sk_squeeze_backward(struct kern *, const struct kern_sk *, void *, const float *);
int ref_sk_select_forward(struct kern *, const struct kern_sk *, void *, const void *,
                          const float *);
int ref_sk_select_backward(struct kern *, const struct kern_sk *, void *, float *, const void *,
                           const void *, const float *);
int ref_gemm(struct kern *, bool, bool, size_t, size_t, size_t, float, const float *, const float *,
             float, float *);
int ref_bias_forward(struct kern *, float *, const float *, size_t, size_t);
int ref_bias_backward(struct kern *, float *, const float *, size_t, size_t);
int ref_l2norm_forward(struct kern *, float *, float *, const float *, size_t, size_t);
int ref_l2norm_backward(struct kern *, float *, const float *, const float *, const float *, size_t,
                        size_t);
int ref_copy_rows(struct kern *, float *, const int32_t *, const float *, const int32_t *, size_t,
                  size_t);
int ref_contrast_forward(struct kern *, const struct kern_contrast *, float *, float *);
int ref_contrast_backward(struct kern *, const struct kern_contrast *, float *, const float *);
int ref_contrast_grad(struct kern *, float *, const float *, const int32_t *, const float *, size_t,
                      size_t);
int ref_kl(struct kern *, float *, float *, const float *, const float *, const int32_t *,
           const float *, size_t, size_t);
int ref_weights(struct kern *, const struct kern_weights *, float *);
int ref_vote(struct kern *, const struct kern_vote *, int32_t *, float *, int32_t *, float *,
             int32_t *);
int ref_positives(struct kern *, const struct kern_positives *, int32_t *);
int ref_knn(struct kern *, const struct kern_knn *, int32_t *, float *);
int ref_update(struct kern *, const struct kern_update *);
int ref_norm(struct kern *, double *, const float *, size_t);
int ref_augment(struct kern *, const struct kern_views *);
void *ref_alloc(struct kern *, size_t);
void ref_free(struct kern *, void *);
uint64_t ref_available(struct kern *);
uint64_t ref_overhead(struct kern *, const struct kern_conv *);
int ref_put(struct kern *, void *, const void *, size_t);
int ref_get(struct kern *, void *, const void *, size_t);
int ref_zero(struct kern *, void *, size_t);
int ref_sync(struct kern *);
int ref_record(struct kern *); /* -ENOTSUP: the other slots of recordings stay empty */

#endif
