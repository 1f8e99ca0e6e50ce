/*
 * conv_plain.cu - a convolution and its gradients by their definition, a thread for each number
 * that comes out: for shapes that no engine takes, channels of the output that are no multiple of
 * 8 and arrays off 16-byte boundaries. Right for all, and some hundred times slower than an engine.
 * Sums go cell by cell, or image by image, so that none is of too many.
 */
#include "kernels/cuda/convolve.h"
#include "kernels/cuda/storage.cuh"

enum { THREADS = 256 };

/* at = (((i0 * n1 + i1) * n2 + i2) * n3) + i3 */
struct place {
    size_t i0, i1, i2, i3;
};

static __device__ place place_of(size_t at, size_t n1, size_t n2, size_t n3)
{
    place p;
    p.i3 = at % n3;
    at /= n3;
    p.i2 = at % n2;
    at /= n2;
    p.i1 = at % n1;
    p.i0 = at / n1;
    return p;
}

/* What follows the sum: old may be the array that comes out. */
template <typename T> struct then {
    const float *scale, *shift; /* or NULL */
    const T *old;               /* or NULL */
    bool relu;
};

template <typename T>
static __global__ void forward(kern_conv cv, T *y, const T *__restrict__ x, const T *__restrict__ w,
                               then<T> then, size_t all)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= all)
        return;
    place o = place_of(at, cv.oh, cv.ow, cv.k); /* n, p, q, k */
    float sum = 0;
    for (size_t r = 0; r < cv.kh; r++)
        for (size_t s = 0; s < cv.kw; s++) {
            size_t i = o.i1 * cv.stride + r - cv.pad_top; /* wraps far above h if negative */
            size_t j = o.i2 * cv.stride + s - cv.pad_left;
            if (i >= cv.h || j >= cv.w)
                continue;
            const T *from = &x[((o.i0 * cv.h + i) * cv.w + j) * cv.c];
            const T *by = &w[((o.i3 * cv.kh + r) * cv.kw + s) * cv.c];
            float part = 0;
            for (size_t c = 0; c < cv.c; c++)
                part += widen(from[c]) * widen(by[c]);
            sum += part;
        }
    if (then.scale)
        sum = sum * then.scale[o.i3] + then.shift[o.i3];
    if (then.old)
        sum += widen(then.old[at]);
    narrow(&y[at], then.relu && sum < 0 ? 0 : sum);
}

/* Which output cell sees input cell i through tap t: p with p * stride + t - pad = i. */
static __device__ bool output_cell(size_t stride, size_t i, size_t t, size_t pad, size_t size,
                                   size_t *p)
{
    if (i + pad < t || (i + pad - t) % stride != 0)
        return false;
    *p = (i + pad - t) / stride;
    return *p < size;
}

template <typename T>
static __global__ void data(kern_conv cv, T *dx, const T *__restrict__ dy, const T *__restrict__ w,
                            then<T> then, size_t all)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x, p, q;
    if (at >= all)
        return;
    place o = place_of(at, cv.h, cv.w, cv.c); /* n, i, j, c */
    float sum = 0;
    for (size_t r = 0; r < cv.kh; r++)
        for (size_t s = 0; s < cv.kw; s++) {
            if (!output_cell(cv.stride, o.i1, r, cv.pad_top, cv.oh, &p) ||
                !output_cell(cv.stride, o.i2, s, cv.pad_left, cv.ow, &q))
                continue;
            const T *from = &dy[((o.i0 * cv.oh + p) * cv.ow + q) * cv.k];
            const T *by = &w[(r * cv.kw + s) * cv.c + o.i3];
            float part = 0;
            for (size_t k = 0; k < cv.k; k++)
                part += widen(from[k]) * widen(by[k * cv.kh * cv.kw * cv.c]);
            sum += part;
        }
    narrow(&dx[at], then.old ? widen(then.old[at]) + sum : sum);
}

template <typename T>
static __global__ void weights(kern_conv cv, T *dw, const T *__restrict__ x,
                               const T *__restrict__ dy, then<T>, size_t all)
{
    size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= all)
        return;
    place o = place_of(at, cv.kh, cv.kw, cv.c); /* k, r, s, c */
    float sum = 0;
    for (size_t n = 0; n < cv.n; n++) {
        float part = 0;
        for (size_t p = 0; p < cv.oh; p++)
            for (size_t q = 0; q < cv.ow; q++) {
                size_t i = p * cv.stride + o.i1 - cv.pad_top;
                size_t j = q * cv.stride + o.i2 - cv.pad_left;
                if (i < cv.h && j < cv.w)
                    part += widen(x[((n * cv.h + i) * cv.w + j) * cv.c + o.i3]) *
                            widen(dy[((n * cv.oh + p) * cv.ow + q) * cv.k + o.i0]);
            }
        sum += part;
    }
    narrow(&dw[at], sum);
}

template <typename T>
static int run(struct kern *kn, const struct convolve *what, const struct convolve_arrays *at)
{
    static void (*const kernels[])(kern_conv, T *, const T *, const T *, then<T>,
                                   size_t) = { forward<T>, data<T>, weights<T> };
    then<T> then = { at->scale, at->shift, (const T *)at->old, what->relu };
    const struct kern_conv *cv = &what->cv;
    size_t all = what->pass == CONVOLVE_FORWARD ? conv_output_numbers(cv)
                 : what->pass == CONVOLVE_DATA  ? conv_input_numbers(cv)
                                                : conv_weight_numbers(cv);
    dim3 grid((unsigned)((all + THREADS - 1) / THREADS));
    return launch(cuda_of(kn)->stream, kernels[what->pass], grid, dim3(THREADS), 0, *cv,
                  (T *)at->out, (const T *)at->a, (const T *)at->b, then, all);
}

extern "C" int conv_plain(struct kern *kn, const struct convolve *what,
                          const struct convolve_arrays *at)
{
    return with_type(what->cv.type,
                     [&](auto number) { return run<decltype(number)>(kn, what, at); });
}
