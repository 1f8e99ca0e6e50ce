/*
 * cuda_runtime.h - CUDA C++ for the host's compiler, as far as kernels/cuda writes it.
 *
 * A block runs on one thread of the host, blocks one after another. Its CUDA threads are fibers
 * (fibers.cpp) that change only at barriers and warp operations, in an order drawn from
 * SEMPPL_SHIM_SEED: nothing runs in lock step. So
 *
 * - a kernel may not wait for another block; __activemask() is all lanes that have not ended;
 * - a warp operation whose source lane is not in the mask, or has ended, gives NaN bytes;
 * - shared memory is filled with NaN bytes when a block starts;
 * - barriers or warp operations that threads reach on different lines, or never, end the program
 *   with both places.
 *
 * Fast functions (__expf) are the exact ones. Not imitated: that blocks run at the same time (the
 * order of blocks is drawn too), a missing __threadfence(), how many registers a block may have,
 * the parameters' 32 KB, and time. 16-bit types are storage.cuh's own.
 */
#ifndef SHIM_CUDA_RUNTIME_H
#define SHIM_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#include <errno.h>
#include <functional>
#include <limits>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <tuple>
#include <type_traits>

/* -- Words of the language ---- */

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/* Variables of a function that are thread-local are shared memory: symbols.cpp finds them so. */
#define __shared__ static thread_local
#define DYNAMIC_SHARED(type, name) type *const name = reinterpret_cast<type *>(shim_dynamic_shared)

extern unsigned char *shim_dynamic_shared;

/* -- Vector types ---- */

#define SHIM_VECTOR(type, name, n2, n4)                                                            \
    struct alignas(n2) name##2                                                                     \
    {                                                                                              \
        type x, y;                                                                                 \
    };                                                                                             \
    struct name##3                                                                                 \
    {                                                                                              \
        type x, y, z;                                                                              \
    };                                                                                             \
    struct alignas(n4) name##4                                                                     \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    inline name##2 make_##name##2(type x, type y)                                                  \
    {                                                                                              \
        return { x, y };                                                                           \
    }                                                                                              \
    inline name##3 make_##name##3(type x, type y, type z)                                          \
    {                                                                                              \
        return { x, y, z };                                                                        \
    }                                                                                              \
    inline name##4 make_##name##4(type x, type y, type z, type w)                                  \
    {                                                                                              \
        return { x, y, z, w };                                                                     \
    }
SHIM_VECTOR(signed char, char, 2, 4)
SHIM_VECTOR(unsigned char, uchar, 2, 4)
SHIM_VECTOR(short, short, 4, 8)
SHIM_VECTOR(unsigned short, ushort, 4, 8)
SHIM_VECTOR(int, int, 8, 16)
SHIM_VECTOR(unsigned, uint, 8, 16)
SHIM_VECTOR(long long, longlong, 16, 16)
SHIM_VECTOR(unsigned long long, ulonglong, 16, 16)
SHIM_VECTOR(float, float, 8, 16)
SHIM_VECTOR(double, double, 16, 16)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
};

/* Set by fibers.cpp whenever a fiber goes on. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

/* -- Barriers and warps ---- */

/* A place in the source, for messages, and to see that all wait at the same barrier. */
struct shim_place {
    const char *file, *function;
    int line;
    static shim_place here(const char *file = __builtin_FILE(),
                           const char *function = __builtin_FUNCTION(), int line = __builtin_LINE())
    {
        return { file, function, line };
    }
};
#define SHIM_HERE const shim_place &at = shim_place::here()

/* Threads with a true condition, once all threads of the block that have not ended are here. */
int shim_barrier(bool condition, const shim_place &at);

enum shim_warp_op { SHIM_SYNC, SHIM_SHUFFLE, SHIM_BALLOT };
/* Waits for the lanes of mask that have not ended. SHUFFLE: the value of lane from; BALLOT: the
 * lanes whose value is not 0. */
uint64_t shim_warp(shim_warp_op op, unsigned mask, uint64_t value, int from, const shim_place &at);
int shim_lane();
unsigned __activemask();

/* A function that is one expression. */
#define SHIM_F(type, name, parameters, value)                                                      \
    inline type name parameters                                                                    \
    {                                                                                              \
        return value;                                                                              \
    }

SHIM_F(void, __syncthreads, (SHIM_HERE), (void)shim_barrier(false, at))
SHIM_F(int, __syncthreads_count, (int condition, SHIM_HERE), shim_barrier(condition != 0, at))
SHIM_F(int, __syncthreads_or, (int condition, SHIM_HERE), shim_barrier(condition != 0, at) > 0)
SHIM_F(int, __syncthreads_and, (int condition, SHIM_HERE), shim_barrier(condition == 0, at) == 0)

template <typename T> inline T shim_shuffle(unsigned mask, T value, int from, const shim_place &at)
{
    static_assert(std::is_arithmetic_v<T> && sizeof value >= 4 && sizeof value <= 8,
                  "CUDA has no shuffle of this type");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = shim_warp(SHIM_SHUFFLE, mask, bits, from, at);
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <typename T>
inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, SHIM_HERE)
{
    int lane = shim_lane();
    return shim_shuffle(mask, value, (lane & -width) | (from & (width - 1)), at);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, SHIM_HERE)
{
    int lane = shim_lane(), from = lane - (int)by;
    return shim_shuffle(mask, value, from < (lane & -width) ? lane : from, at);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, SHIM_HERE)
{
    int lane = shim_lane(), from = lane + (int)by;
    return shim_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, at);
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, SHIM_HERE)
{
    int lane = shim_lane(), from = lane ^ with;
    return shim_shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, at);
}
SHIM_F(void, __syncwarp, (unsigned mask = 0xffffffffu, SHIM_HERE),
       (void)shim_warp(SHIM_SYNC, mask, 0, 0, at))
SHIM_F(unsigned, __ballot_sync, (unsigned mask, int condition, SHIM_HERE),
       (unsigned)shim_warp(SHIM_BALLOT, mask, condition != 0, 0, at))
SHIM_F(int, __any_sync, (unsigned mask, int condition, SHIM_HERE),
       shim_warp(SHIM_BALLOT, mask, condition != 0, 0, at) != 0)
SHIM_F(int, __all_sync, (unsigned mask, int condition, SHIM_HERE),
       shim_warp(SHIM_BALLOT, mask, condition == 0, 0, at) == 0)
inline void __threadfence() {}
inline void __threadfence_block() {}

/* -- Atomics: relaxed, as on the device ---- */

template <typename T, typename F> inline T shim_atomic(T *at, F change)
{
    static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
                      std::is_same_v<T, unsigned long long> || std::is_same_v<T, float> ||
                      std::is_same_v<T, double>,
                  "CUDA has no atomics of this type");
    T old, now;
    __atomic_load(at, &old, __ATOMIC_RELAXED);
    do
        now = change(old);
    while (!__atomic_compare_exchange(at, &old, &now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}
#define SHIM_ATOMIC(name, expression)                                                              \
    template <typename T> inline T name(T *at, std::type_identity_t<T> v)                          \
    {                                                                                              \
        return shim_atomic(at, [v](T old) -> T { return expression; });                            \
    }
SHIM_ATOMIC(atomicAdd, old + v)
SHIM_ATOMIC(atomicSub, old - v)
SHIM_ATOMIC(atomicMax, old > v ? old : v)
SHIM_ATOMIC(atomicMin, old < v ? old : v)
SHIM_ATOMIC(atomicAnd, old &(v))
SHIM_ATOMIC(atomicOr, old | v)
SHIM_ATOMIC(atomicXor, old ^ v)
SHIM_ATOMIC(atomicExch, v)
SHIM_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
template <typename T>
inline T atomicCAS(T *at, std::type_identity_t<T> compare, std::type_identity_t<T> v)
{
    return shim_atomic(at, [compare, v](T old) -> T { return old == compare ? v : old; });
}

/* -- Functions ---- */

/* Overloads as in CUDA, so that what is ambiguous there is ambiguous here. */
#define SHIM_MIN_MAX(type, a, b)                                                                   \
    inline type min(a x, b y)                                                                      \
    {                                                                                              \
        return (type)x < (type)y ? (type)x : (type)y;                                              \
    }                                                                                              \
    inline type max(a x, b y)                                                                      \
    {                                                                                              \
        return (type)x > (type)y ? (type)x : (type)y;                                              \
    }
SHIM_MIN_MAX(int, int, int)
SHIM_MIN_MAX(unsigned, unsigned, unsigned)
SHIM_MIN_MAX(unsigned, int, unsigned)
SHIM_MIN_MAX(unsigned, unsigned, int)
SHIM_MIN_MAX(long, long, long)
SHIM_MIN_MAX(unsigned long, unsigned long, unsigned long)
SHIM_MIN_MAX(unsigned long, long, unsigned long)
SHIM_MIN_MAX(unsigned long, unsigned long, long)
SHIM_MIN_MAX(long long, long long, long long)
SHIM_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
#define SHIM_MIN_MAX_FLOAT(type, a, b)                                                             \
    inline type min(a x, b y)                                                                      \
    {                                                                                              \
        return (type)fmin((double)x, (double)y);                                                   \
    }                                                                                              \
    inline type max(a x, b y)                                                                      \
    {                                                                                              \
        return (type)fmax((double)x, (double)y);                                                   \
    }
SHIM_MIN_MAX_FLOAT(float, float, float)
SHIM_MIN_MAX_FLOAT(double, double, double)
SHIM_MIN_MAX_FLOAT(double, float, double)
SHIM_MIN_MAX_FLOAT(double, double, float)

template <typename To, typename From> inline To shim_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
/* The device's conversions saturate, and NaN becomes 0. */
template <typename T> inline T shim_saturate(double x)
{
    double low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
    return isnan(x) ? 0 : (T)fmin(fmax(x, low), high);
}
SHIM_F(unsigned, __float_as_uint, (float x), shim_bits<unsigned>(x))
SHIM_F(int, __float_as_int, (float x), shim_bits<int>(x))
SHIM_F(float, __uint_as_float, (unsigned x), shim_bits<float>(x))
SHIM_F(float, __int_as_float, (int x), shim_bits<float>(x))
SHIM_F(long long, __double_as_longlong, (double x), shim_bits<long long>(x))
SHIM_F(double, __longlong_as_double, (long long x), shim_bits<double>(x))
SHIM_F(float, __fadd_rn, (float x, float y), x + y)
SHIM_F(float, __fsub_rn, (float x, float y), x - y)
SHIM_F(float, __fmul_rn, (float x, float y), x *y)
SHIM_F(float, __fdiv_rn, (float x, float y), x / y)
SHIM_F(float, __fmaf_rn, (float x, float y, float z), fmaf(x, y, z))
SHIM_F(double, __dadd_rn, (double x, double y), x + y)
SHIM_F(double, __dsub_rn, (double x, double y), x - y)
SHIM_F(double, __dmul_rn, (double x, double y), x *y)
SHIM_F(double, __ddiv_rn, (double x, double y), x / y)
SHIM_F(float, __fsqrt_rn, (float x), sqrtf(x))
SHIM_F(float, __frcp_rn, (float x), 1 / x)
SHIM_F(float, __frsqrt_rn, (float x), (float)(1 / sqrt((double)x)))
SHIM_F(float, __fdividef, (float x, float y), x / y)
SHIM_F(float, __expf, (float x), expf(x))
SHIM_F(float, __logf, (float x), logf(x))
SHIM_F(float, __log2f, (float x), log2f(x))
SHIM_F(float, __powf, (float x, float y), powf(x, y))
SHIM_F(float, __sinf, (float x), sinf(x))
SHIM_F(float, __cosf, (float x), cosf(x))
SHIM_F(float, __saturatef, (float x), fminf(fmaxf(x, 0), 1))
SHIM_F(float, rsqrtf, (float x), __frsqrt_rn(x))
SHIM_F(double, rsqrt, (double x), 1 / sqrt(x))
SHIM_F(int, __float2int_rn, (float x), shim_saturate<int>(rintf(x)))
SHIM_F(int, __float2int_rz, (float x), shim_saturate<int>(truncf(x)))
SHIM_F(int, __float2int_rd, (float x), shim_saturate<int>(floorf(x)))
SHIM_F(int, __float2int_ru, (float x), shim_saturate<int>(ceilf(x)))
SHIM_F(unsigned, __float2uint_rn, (float x), shim_saturate<unsigned>(rintf(x)))
SHIM_F(unsigned, __float2uint_rz, (float x), shim_saturate<unsigned>(truncf(x)))
SHIM_F(float, __int2float_rn, (int x), (float)x)
SHIM_F(float, __uint2float_rn, (unsigned x), (float)x)
SHIM_F(float, __double2float_rn, (double x), (float)x)
SHIM_F(int, __clz, (int x), x ? __builtin_clz((unsigned)x) : 32)
SHIM_F(int, __clzll, (long long x), x ? __builtin_clzll((unsigned long long)x) : 64)
SHIM_F(int, __ffs, (int x), __builtin_ffs(x))
SHIM_F(int, __ffsll, (long long x), __builtin_ffsll(x))
SHIM_F(int, __popc, (unsigned x), __builtin_popcount(x))
SHIM_F(int, __popcll, (unsigned long long x), __builtin_popcountll(x))
SHIM_F(int, __mulhi, (int x, int y), (int)(((long long)x * y) >> 32))
SHIM_F(unsigned, __umulhi, (unsigned x, unsigned y), (unsigned)(((uint64_t)x * y) >> 32))
SHIM_F(unsigned long long, __umul64hi, (unsigned long long x, unsigned long long y),
       (unsigned long long)(((unsigned __int128)x * y) >> 64))
#define SHIM_LOAD(name)                                                                            \
    template <typename T> inline T name(const T *p)                                                \
    {                                                                                              \
        return *p;                                                                                 \
    }
#define SHIM_STORE(name)                                                                           \
    template <typename T> inline void name(T *p, T v)                                              \
    {                                                                                              \
        *p = v;                                                                                    \
    }
SHIM_LOAD(__ldg)
SHIM_LOAD(__ldcs)
SHIM_LOAD(__ldcg)
SHIM_LOAD(__ldca)
SHIM_LOAD(__ldlu)
SHIM_STORE(__stcs)
SHIM_STORE(__stcg)
SHIM_STORE(__stwb)
SHIM_STORE(__stwt)

/* -- Starting a kernel: as in launch.cuh ---- */

/* A stream, and who launches on it. */
struct shim_launcher {
    cudaStream_t stream;
    shim_place at;
    shim_launcher(cudaStream_t s, shim_place p = shim_place::here()) : stream(s), at(p) {}
};

/* Queues the kernel; thread() runs one of its threads. Its arguments lie at values. */
cudaError_t shim_launch(const shim_launcher &by, const void *kernel, dim3 grid, dim3 block,
                        size_t shared, const std::function<void()> &thread, const void *values,
                        size_t bytes);

extern "C" int cuda_error(cudaError_t); /* kernels/cuda/cuda.h */

template <typename... Parameters, typename... Arguments>
int launch(shim_launcher by, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
           Arguments... arguments)
{
    std::tuple<std::decay_t<Parameters>...> values(static_cast<Parameters>(arguments)...);
    auto thread = [kernel, values] { std::apply(kernel, values); };
    return cuda_error(shim_launch(by, reinterpret_cast<const void *>(kernel), grid, block, shared,
                                  thread, &values, sizeof values));
}

template <typename T> inline cudaError_t cudaMalloc(T **p, size_t bytes)
{
    return cudaMalloc(reinterpret_cast<void **>(p), bytes);
}
template <typename F>
inline cudaError_t cudaFuncSetAttribute(F *kernel, cudaFuncAttribute attribute, int value)
{
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}
template <typename F>
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, F *kernel,
                                                                 int threads, size_t shared)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks, reinterpret_cast<const void *>(kernel), threads, shared);
}

#endif
