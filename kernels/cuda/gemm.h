/*
 * gemm.h - private to the CUDA plugin: matrix products for all that needs one, and what a library
 * of them must offer.
 *
 * gemm.c keeps a plan for every shape it has met; cublas.c makes and runs plans by cuBLASLt, and
 * for the device of tests tests/cuda/gemm.cu does so with a plain kernel.
 */
#ifndef SEMPPL_CUDA_GEMM_H
#define SEMPPL_CUDA_GEMM_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gemm_types {
    GEMM_F32,  /* float32, products and sums too */
    GEMM_TF32, /* float32 whose products may keep 10 bits of their factors' fractions */
    GEMM_BF16, /* a and b bfloat16; sums and c float32 */
    GEMM_F16   /* a, b and c float16; sums float32, rounded once */
};

/* op(a) op(b) as in kern_gemm(), of rows that lie lda, ldb, ldc numbers apart in memory. */
struct gemm {
    enum gemm_types types;
    bool ta, tb;
    size_t m, n, k;
    size_t lda, ldb, ldc;
};

/*
 * c = alpha * op(a) op(b) + beta * c, queued on the handle's stream; c is not read if beta is 0.
 * a and b are aligned to their numbers at least; multiples of 16 bytes, leading dimensions too, are
 * faster. -ENOTSUP: there is no cuBLASLt, and cuda_missing() (library.h) says why.
 */
int cuda_gemm_typed(struct kern *kn, const struct gemm *g, float alpha, const void *a,
                    const void *b, float beta, void *c);
/* Forgets all plans; for the end of a handle. */
void cuda_gemm_close(struct cuda *cu);

/* Bytes that the library's side of a handle, of which each lane has one, takes on the device. */
#define GEMM_WORKSPACE ((size_t)32 << 20) /* what NVIDIA advises for Hopper */

/* -- the library: cublas.c, tests/cuda/gemm.cu ---- */

struct gemm_plan;

/* What the pointers of a product are aligned to: bytes, at most 16. */
struct gemm_alignment {
    unsigned a, b, c;
};

/* 0: it is there. -ENOTSUP: it is not, and why, a sentence without an end. */
int gemm_library_find(char *why, size_t room);
/* Its version, or why it is not there. */
void gemm_library_report(char *text, size_t room);
/* The library's side of a handle; 0 or a negative errno. */
int gemm_library_open(struct kern *kn, void **library);
void gemm_library_close(void *library);
/* How a shape will be computed where pointers are aligned like this. */
int gemm_plan_new(void *library, const struct gemm *g, const struct gemm_alignment *al,
                  struct gemm_plan **plan);
int gemm_plan_run(struct kern *kn, void *library, const struct gemm_plan *plan, float alpha,
                  const void *a, const void *b, float beta, void *c);
void gemm_plan_free(void *library, struct gemm_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
