/*
 * maxpool_bits.cuh - for maxpool.cu: numbers that are compared and added as they lie in memory.
 */
#ifndef SEMPPL_MAXPOOL_BITS_CUH
#define SEMPPL_MAXPOOL_BITS_CUH

#include "kernels/cuda/storage.cuh"

/*
 * V numbers as their bits in whole words, two of 2 bytes in one: maxima are chosen and gradients
 * passed on or added without leaving that, with a third of the instructions. In masks all bits of a
 * number are 1 or 0.
 */
template <typename T, int V> struct bits {
    enum { N = V == 1 ? 1 : 4 };
    unsigned w[N];
};

template <typename T, int V> __device__ inline bits<T, V> load_bits(const T *from)
{
    if constexpr (V > 1) {
        uint4 u = *reinterpret_cast<const uint4 *>(from);
        return { { u.x, u.y, u.z, u.w } };
    } else if constexpr (sizeof(T) == 2) {
        return { { from->bits } };
    } else {
        return { { __float_as_uint(*from) } };
    }
}

template <typename T, int V> __device__ inline void store_bits(T *to, const bits<T, V> &b)
{
    if constexpr (V > 1)
        store_16(to, make_uint4(b.w[0], b.w[1], b.w[2], b.w[3]));
    else if constexpr (sizeof(T) == 2)
        to->bits = (uint16_t)b.w[0];
    else
        *to = __uint_as_float(b.w[0]);
}

#define NOTHING (~0u) /* as bits: NaN, which is larger than nothing */

template <typename T, int V> __device__ inline bits<T, V> filled(unsigned word)
{
    bits<T, V> b;
    for (int i = 0; i < b.N; i++)
        b.w[i] = word;
    return b;
}

#ifdef __CUDACC__
__device__ inline __nv_bfloat162 pair_of(bf16, unsigned x)
{
    return *reinterpret_cast<__nv_bfloat162 *>(&x);
}

__device__ inline __half2 pair_of(f16, unsigned x)
{
    return *reinterpret_cast<__half2 *>(&x);
}
#else
template <typename T, typename F> inline unsigned pair_by_pair(unsigned x, unsigned y, F f)
{
    unsigned low = f(widen(T{ (uint16_t)x }), widen(T{ (uint16_t)y }));
    unsigned high = f(widen(T{ (uint16_t)(x >> 16) }), widen(T{ (uint16_t)(y >> 16) }));
    return low | high << 16;
}
#endif

/* One number of two bytes: the first bit of a mantissa, and a float that T holds, no denormal. */
template <typename T> struct as;
template <> struct as<bf16> {
    enum { quiet = 0x0040 };
    static __device__ constexpr unsigned number(unsigned float_bits) { return float_bits >> 16; }
};
template <> struct as<f16> {
    enum { quiet = 0x0200 };
    static __device__ constexpr unsigned number(unsigned float_bits)
    {
        return (float_bits - (112u << 23)) >> 13;
    }
};

/* The numbers of two words, pair by pair: */
template <typename T> struct word {
#ifdef __CUDACC__ /* two numbers an instruction */
    static __device__ unsigned greater(unsigned x, unsigned y)
    {
        return __hgt2_mask(pair_of(T{}, x), pair_of(T{}, y));
    }
    static __device__ unsigned equal(unsigned x, unsigned y)
    {
        return __heq2_mask(pair_of(T{}, x), pair_of(T{}, y));
    }
    static __device__ unsigned sum(unsigned x, unsigned y)
    {
        auto both = __hadd2_rn(pair_of(T{}, x), pair_of(T{}, y));
        return *reinterpret_cast<unsigned *>(&both);
    }
#else
    static unsigned greater(unsigned x, unsigned y)
    {
        return pair_by_pair<T>(x, y, [](float a, float b) { return a > b ? 0xffffu : 0u; });
    }
    static unsigned equal(unsigned x, unsigned y)
    {
        return pair_by_pair<T>(x, y, [](float a, float b) { return a == b ? 0xffffu : 0u; });
    }
    static unsigned sum(unsigned x, unsigned y)
    {
        return pair_by_pair<T>(x, y, [](float a, float b) {
            T rounded;
            narrow(&rounded, a + b);
            return (unsigned)rounded.bits;
        });
    }
#endif
    /* NaN with the bit that the definition sets in all it stores */
    static __device__ unsigned quiet(unsigned x)
    {
        return x | (~equal(x, x) & 0x10001u * as<T>::quiet);
    }
    static __device__ constexpr unsigned number(unsigned float_bits)
    {
        return 0x10001u * as<T>::number(float_bits);
    }
};

template <> struct word<float> {
    static __device__ unsigned greater(unsigned x, unsigned y)
    {
        return __uint_as_float(x) > __uint_as_float(y) ? ~0u : 0;
    }
    static __device__ unsigned equal(unsigned x, unsigned y)
    {
        return __uint_as_float(x) == __uint_as_float(y) ? ~0u : 0;
    }
    static __device__ unsigned sum(unsigned x, unsigned y)
    {
        return __float_as_uint(__uint_as_float(x) + __uint_as_float(y));
    }
    static __device__ unsigned quiet(unsigned x) { return x; }
    static __device__ constexpr unsigned number(unsigned float_bits) { return float_bits; }
};

__device__ static inline unsigned choose(unsigned mask, unsigned x, unsigned y)
{
    return (x & mask) | (y & ~mask);
}

/* What was found, or a further cell where that is larger. */
template <typename T, int V> __device__ inline void take(bits<T, V> &most, const bits<T, V> &x)
{
    for (int i = 0; i < x.N; i++)
        most.w[i] = choose(word<T>::greater(x.w[i], most.w[i]), x.w[i], most.w[i]);
}

/* Likewise; which is then what stands for the cell. */
template <typename T, int V>
__device__ inline void take(bits<T, V> &most, bits<T, V> &which, const bits<T, V> &x, unsigned cell)
{
    for (int i = 0; i < x.N; i++) {
        unsigned more = word<T>::greater(x.w[i], most.w[i]);
        most.w[i] = choose(more, x.w[i], most.w[i]);
        which.w[i] = choose(more, cell, which.w[i]);
    }
}

template <typename T, int V> __device__ inline void store_maxima(T *to, bits<T, V> most)
{
    for (int i = 0; i < most.N; i++)
        most.w[i] = word<T>::quiet(most.w[i]);
    store_bits<T, V>(to, most);
}

#endif
