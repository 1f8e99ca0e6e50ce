/*
 * gemm.cu - matrix products for the device of tests, in place of kernels/cuda/cublas.c: one thread
 * a number, as plain as can be, summed in double: what is tested is who calls it. TF32 is always
 * used where it is allowed (tf32.cuh).
 */
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/storage.cuh"
#include "tests/cuda/tf32.cuh"
#include <stdio.h>
#include <stdlib.h>

struct gemm_plan {
    struct gemm g;
};

template <typename T, typename C>
static __global__ void product(gemm g, float alpha, const T *a, const T *b, float beta, C *c)
{
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= g.m * g.n)
        return;
    size_t i = at / g.n, j = at % g.n;
    double sum = 0;
    for (size_t l = 0; l < g.k; l++) {
        float x = widen(a[g.ta ? l * g.lda + i : i * g.lda + l]);
        float y = widen(b[g.tb ? j * g.ldb + l : l * g.ldb + j]);
        sum += g.types == GEMM_TF32 ? (double)tf32(x) * tf32(y) : (double)x * y;
    }
    C *to = &c[i * g.ldc + j];
    narrow(to, (float)(alpha * sum + (beta != 0 ? beta * widen(*to) : 0)));
}

extern "C" int gemm_library_find(char *, size_t)
{
    return 0;
}

extern "C" void gemm_library_report(char *text, size_t room)
{
    snprintf(text, room, "a plain kernel in its place");
}

extern "C" int gemm_library_open(struct kern *, void **library)
{
    *library = NULL;
    return 0;
}

extern "C" void gemm_library_close(void *) {}

extern "C" int gemm_plan_new(void *, const struct gemm *g, const struct gemm_alignment *,
                             struct gemm_plan **plan)
{
    *plan = (struct gemm_plan *)malloc(sizeof **plan);
    if (!*plan)
        return -ENOMEM;
    (*plan)->g = *g;
    return 0;
}

extern "C" int gemm_plan_run(struct kern *kn, void *, const struct gemm_plan *plan, float alpha,
                             const void *a, const void *b, float beta, void *c)
{
    enum { THREADS = 128 };
    const struct gemm *g = &plan->g;
    cudaStream_t stream = cuda_of(kn)->stream;
    dim3 grid((unsigned)((g->m * g->n + THREADS - 1) / THREADS));
    if (g->types == GEMM_BF16)
        return launch(stream, product<bf16, float>, grid, dim3(THREADS), 0, *g, alpha,
                      (const bf16 *)a, (const bf16 *)b, beta, (float *)c);
    if (g->types == GEMM_F16)
        return launch(stream, product<f16, f16>, grid, dim3(THREADS), 0, *g, alpha, (const f16 *)a,
                      (const f16 *)b, beta, (f16 *)c);
    return launch(stream, product<float, float>, grid, dim3(THREADS), 0, *g, alpha,
                  (const float *)a, (const float *)b, beta, (float *)c);
}

extern "C" void gemm_plan_free(void *, struct gemm_plan *plan)
{
    free(plan);
}
