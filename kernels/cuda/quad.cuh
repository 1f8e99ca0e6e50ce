/*
 * quad.cuh - for .cu files: up to four floats at once.
 *
 * load_quad<4> and store_quad<4> are one access of 16 bytes, from a multiple of 16; <1> is for rows
 * and pointers that do not fit that, and uses the first float only.
 */
#ifndef SEMPPL_QUAD_CUH
#define SEMPPL_QUAD_CUH

#include "kernels/cuda/storage.cuh"

typedef pack<float> quad;

template <int V> __device__ inline quad load_quad(const float *from)
{
    if constexpr (V == 4)
        return load_pack(from);
    else
        return { { *from } };
}

template <int V> __device__ inline void store_quad(float *to, const quad &q)
{
    if constexpr (V == 4)
        store_pack(to, q);
    else
        *to = q.v[0];
}

/* Do rows of d floats, from these pointers on, fall into quads? */
template <typename... Pointers> inline bool quads_fit(size_t d, Pointers... pointers)
{
    return d % 4 == 0 && (((uintptr_t)pointers | ...) % 16) == 0;
}

#endif
