/*
 * tf32.cuh - TF32 as tensor cores take it from float32, for the libraries of the device of tests:
 * the fraction to 10 bits, the nearest, ties away from 0 (PTX: cvt.rna.tf32.f32).
 */
#ifndef TESTS_CUDA_TF32_CUH
#define TESTS_CUDA_TF32_CUH

#include "kernels/cuda/storage.cuh"

__device__ inline float tf32(float x)
{
    return x == x ? __uint_as_float((__float_as_uint(x) + 0x1000u) & ~0x1fffu) : x;
}

#endif
