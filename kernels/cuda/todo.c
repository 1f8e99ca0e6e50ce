/*
 * todo.c - slots that have no kernel yet. Goes away with the last of them.
 */
#include "kernels/cuda/cuda.h"

__attribute__((weak)) int cuda_maxpool_forward(struct kern *a0 UNUSED,
                                               const struct kern_maxpool *a1 UNUSED,
                                               void *a2 UNUSED, const void *a3 UNUSED)
{
    return -ENOTSUP;
}
__attribute__((weak)) int cuda_maxpool_backward(struct kern *a0 UNUSED,
                                                const struct kern_maxpool *a1 UNUSED,
                                                void *a2 UNUSED, const void *a3 UNUSED,
                                                const void *a4 UNUSED, const void *a5 UNUSED)
{
    return -ENOTSUP;
}
__attribute__((weak)) int cuda_avgpool_forward(struct kern *a0 UNUSED, enum kern_type a1 UNUSED,
                                               float *a2 UNUSED, const void *a3 UNUSED,
                                               size_t a4 UNUSED, size_t a5 UNUSED, size_t a6 UNUSED)
{
    return -ENOTSUP;
}
__attribute__((weak)) int cuda_avgpool_backward(struct kern *a0 UNUSED, enum kern_type a1 UNUSED,
                                                void *a2 UNUSED, const float *a3 UNUSED,
                                                size_t a4 UNUSED, size_t a5 UNUSED,
                                                size_t a6 UNUSED)
{
    return -ENOTSUP;
}
__attribute__((weak)) int cuda_avgpool2_forward(struct kern *a0 UNUSED,
                                                const struct kern_avgpool2 *a1 UNUSED,
                                                void *a2 UNUSED, const void *a3 UNUSED)
{
    return -ENOTSUP;
}
__attribute__((weak)) int cuda_avgpool2_backward(struct kern *a0 UNUSED,
                                                 const struct kern_avgpool2 *a1 UNUSED,
                                                 void *a2 UNUSED, const void *a3 UNUSED)
{
    return -ENOTSUP;
}
