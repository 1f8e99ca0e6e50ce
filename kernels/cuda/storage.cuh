/*
 * storage.cuh - for .cu files: activations as they lie in memory, float32 or bfloat16, and as
 * kernels compute with them, float32. Bit patterns are those of ops.h.
 *
 * A kernel is a template over the storage, float or bf16. 16 bytes are one load: 4 floats, 8 bf16.
 */
#ifndef SEMPPL_STORAGE_CUH
#define SEMPPL_STORAGE_CUH

#include "kernels/cuda/launch.cuh"
#include <stdint.h>
#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

struct bf16 {
    uint16_t bits;
};

__device__ inline float widen(float x)
{
    return x;
}

__device__ inline float widen(bf16 x)
{
    return __uint_as_float((unsigned)x.bits << 16);
}

/* Rounds to nearest even; NaN stays NaN. */
__device__ inline void narrow(float *to, float x)
{
    *to = x;
}

__device__ inline void narrow(bf16 *to, float x)
{
#ifdef __CUDACC__
    to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x)); /* one instruction */
#else
    unsigned u = __float_as_uint(x);
    to->bits = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u
                                                          : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
#endif
}

/* As many numbers as 16 bytes hold, loaded and stored at once from a multiple of 16 bytes. */
template <typename T> struct pack {
    enum { N = 16 / sizeof(T) };
    float v[N];
};

template <typename T> __device__ inline pack<T> load_pack(const T *from)
{
    union {
        uint4 all;
        T each[pack<T>::N];
    } u;
    pack<T> p;
    u.all = *reinterpret_cast<const uint4 *>(from);
    for (int i = 0; i < pack<T>::N; i++)
        p.v[i] = widen(u.each[i]);
    return p;
}

template <typename T> __device__ inline void store_pack(T *to, const pack<T> &p)
{
    union {
        uint4 all;
        T each[pack<T>::N];
    } u;
    for (int i = 0; i < pack<T>::N; i++)
        narrow(&u.each[i], p.v[i]);
    *reinterpret_cast<uint4 *>(to) = u.all;
}

#endif
