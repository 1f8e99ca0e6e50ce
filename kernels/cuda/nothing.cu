/*
 * nothing.cu - a kernel that does nothing: it starts if the plugin has code for the device.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/launch.cuh"

static __global__ void nothing() {}

extern "C" int cuda_nothing(struct kern *kn)
{
    return launch(cuda_of(kn)->stream, nothing, dim3(1), dim3(32), 0);
}
