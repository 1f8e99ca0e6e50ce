/*
 * storage.cuh - for .cu files: activations as they lie in memory, float32, bfloat16 or float16, and
 * as kernels compute with them, float32. Bit patterns are those of ops.h, but for NaN, which may be
 * any.
 *
 * A kernel is a template over the storage, float, bf16 or f16; with_type() and with_access() start
 * the right one. 16 bytes are one load: 4 floats, 8 of the others.
 */
#ifndef SEMPPL_STORAGE_CUH
#define SEMPPL_STORAGE_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/launch.cuh"
#include <stdint.h>
#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
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

struct f16 {
    uint16_t bits;
};

__device__ inline float widen(f16 x)
{
#ifdef __CUDACC__
    return __half2float(__ushort_as_half(x.bits));
#else
    unsigned sign = (x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
    if (rest < 0x400) /* a denormal: units of 2^-24 */
        return __uint_as_float(__float_as_uint((float)rest * 0x1p-24f) | sign);
    return __uint_as_float(((rest << 13) + (rest < 0x7c00 ? 112u << 23 : 224u << 23)) | sign);
#endif
}

/* Rounds to nearest even; beyond 65504 infinity; NaN stays NaN. */
__device__ inline void narrow(f16 *to, float x)
{
#ifdef __CUDACC__
    to->bits = __half_as_ushort(__float2half_rn(x));
#else
    unsigned u = __float_as_uint(x), sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;
    if (rest > 0x7f800000u)
        rest = 0x7e00;
    else if (rest >= 0x47800000u)
        rest = 0x7c00;
    else if (rest < 0x38800000u)
        rest = (unsigned)rintf(__uint_as_float(rest) * 0x1p24f);
    else
        rest = (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13;
    to->bits = (uint16_t)(sign | rest);
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

/* Two numbers in one word, the first in its low half. */
template <typename T> __device__ inline unsigned word_of(float first, float second)
{
    T low, high;
    narrow(&low, first);
    narrow(&high, second);
    return low.bits | (unsigned)high.bits << 16;
}

#ifdef __CUDACC__
template <> __device__ inline unsigned word_of<bf16>(float first, float second)
{
    __nv_bfloat162 both = __floats2bfloat162_rn(first, second); /* one instruction */
    return *reinterpret_cast<unsigned *>(&both);
}

template <> __device__ inline unsigned word_of<f16>(float first, float second)
{
    __half2 both = __floats2half2_rn(first, second);
    return __half_as_ushort(both.x) | (unsigned)__half_as_ushort(both.y) << 16;
}
#endif

/* 16 bytes in one store: nvcc takes an assignment apart, and does not always put it together. */
__device__ inline void store_16(void *to, uint4 words)
{
#ifdef __CUDACC__
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
                 "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
#else
    *static_cast<uint4 *>(to) = words;
#endif
}

template <typename T> __device__ inline void store_words(T *to, const float *v)
{
    uint4 words;
    if constexpr (sizeof(T) == 4)
        words = make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]),
                           __float_as_uint(v[3]));
    else
        words = make_uint4(word_of<T>(v[0], v[1]), word_of<T>(v[2], v[3]), word_of<T>(v[4], v[5]),
                           word_of<T>(v[6], v[7]));
    store_16(to, words);
}

template <typename T> __device__ inline void store_pack(T *to, const pack<T> &p)
{
    store_words(to, p.v);
}

/* -- V numbers at once: pack<T>::N of them, or 1 where shapes or addresses do not fit packs ---- */

/* As they lie in memory: one load, before anything is done with it. */
template <typename T, int V> struct raw {
    uint4 bits;
};
template <typename T> struct raw<T, 1> {
    T bits;
};

template <int V> struct numbers {
    float v[V];
};

template <typename T, int V> __device__ inline raw<T, V> load_raw(const T *from)
{
    return *reinterpret_cast<const raw<T, V> *>(from);
}

__device__ inline uint4 load_streaming(const uint4 *from)
{
    return __ldcs(from);
}

__device__ inline float load_streaming(const float *from)
{
    return __ldcs(from);
}

__device__ inline bf16 load_streaming(const bf16 *from)
{
    return { __ldcs(&from->bits) };
}

__device__ inline f16 load_streaming(const f16 *from)
{
    return { __ldcs(&from->bits) };
}

/* What nobody reads soon again gives way in the cache to what is written. */
template <typename T, int V> __device__ inline raw<T, V> load_last(const T *from)
{
    return { load_streaming(&reinterpret_cast<const raw<T, V> *>(from)->bits) };
}

template <typename T, int V> __device__ inline numbers<V> widen(const raw<T, V> &from)
{
    union {
        raw<T, V> all;
        T each[V];
    } u = { from };
    numbers<V> n;
#pragma unroll
    for (int i = 0; i < V; i++)
        n.v[i] = widen(u.each[i]);
    return n;
}

template <typename T, int V> __device__ inline void store(T *to, const numbers<V> &n)
{
    if constexpr (V == 1)
        narrow(to, n.v[0]);
    else
        store_words(to, n.v);
}

/* V floats, which begin at a multiple of 16 bytes unless V is 1. */
template <int V> __device__ inline numbers<V> load_floats(const float *from)
{
    numbers<V> n;
    if constexpr (V == 1)
        n.v[0] = *from;
    else
#pragma unroll
        for (int i = 0; i < V; i += 4) {
            float4 four = *reinterpret_cast<const float4 *>(from + i);
            n.v[i] = four.x;
            n.v[i + 1] = four.y;
            n.v[i + 2] = four.z;
            n.v[i + 3] = four.w;
        }
    return n;
}

/* Calls body with a number as type stores it. */
template <typename Body> int with_type(enum kern_type type, Body body)
{
    return type == KERN_F32 ? body(float{}) : type == KERN_BF16 ? body(bf16{}) : body(f16{});
}

/* How a kernel reads and writes: its numbers are T, V at once. */
template <typename Type, int Count> struct access {
    using T = Type;
    enum { V = Count };
};

/* May rows of c numbers at these addresses be taken in packs? */
template <typename T, typename... Pointers> inline bool fits_packs(size_t c, Pointers... at)
{
    return c % pack<T>::N == 0 && ((reinterpret_cast<uintptr_t>(at) % 16 == 0) && ...);
}

/* Calls body(access) with what suits rows of c numbers of type at these addresses. */
template <typename Body, typename... Pointers>
int with_access(enum kern_type type, size_t c, Body body, Pointers... at)
{
    return with_type(type, [&](auto number) {
        using T = decltype(number);
        return fits_packs<T>(c, at...) ? body(access<T, pack<T>::N>{}) : body(access<T, 1>{});
    });
}

#endif
