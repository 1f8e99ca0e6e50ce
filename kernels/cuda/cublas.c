/*
 * cublas.c - matrix products by cuBLASLt: plans from its heuristics for a shape.
 *
 * The library's matrices are column-major, and a row-major matrix is its own transpose there: with
 * c' = op(b)' op(a)' the factors change places, and nothing is transposed that was not.
 *
 * float32 is strict (CUBLAS_COMPUTE_32F); TF32 is a type of its own in gemm.h. Of one version, on
 * one kind of device, a shape gives the same bits every time.
 */
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/library.h"
#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>

#define CALLS(X)                                                                                   \
    X(cublasLtCreate)                                                                              \
    X(cublasLtDestroy)                                                                             \
    X(cublasLtGetVersion)                                                                          \
    X(cublasLtMatmul)                                                                              \
    X(cublasLtMatmulAlgoGetHeuristic)                                                              \
    X(cublasLtMatmulDescCreate)                                                                    \
    X(cublasLtMatmulDescDestroy)                                                                   \
    X(cublasLtMatmulDescSetAttribute)                                                              \
    X(cublasLtMatmulPreferenceCreate)                                                              \
    X(cublasLtMatmulPreferenceDestroy)                                                             \
    X(cublasLtMatmulPreferenceSetAttribute)                                                        \
    X(cublasLtMatrixLayoutCreate)                                                                  \
    X(cublasLtMatrixLayoutDestroy)

static struct {
    CALLS(LIBRARY_POINTER)
} lt;

#define SYMBOL(name) { #name, &lt.name },
static const struct library_symbol symbols[] = { CALLS(SYMBOL){ NULL, NULL } };
static const char *const files[] = { "libcublasLt.so.13", "libcublasLt.so.12", NULL };
static struct library library = { .what = "cuBLASLt", .files = files, .symbols = symbols };

/* The library's side of one handle. */
struct side {
    struct kern *kn;
    cublasLtHandle_t handle;
    void *workspace;
};

/* Left and right are the library's factors: b and a. */
struct gemm_plan {
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t left, right, out;
    cublasLtMatmulAlgo_t algo;
};

static int error_of(cublasStatus_t st)
{
    switch (st) {
    case CUBLAS_STATUS_SUCCESS:
        return 0;
    case CUBLAS_STATUS_ALLOC_FAILED:
        return -ENOMEM;
    case CUBLAS_STATUS_NOT_SUPPORTED:
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return -ENOTSUP;
    default:
        return -EIO;
    }
}

int gemm_library_find(char *why, size_t room)
{
    int rc = library_open(&library);
    if (rc < 0)
        snprintf(why, room, "%s", cuda_missing());
    return rc;
}

void gemm_library_report(char *text, size_t room)
{
    if (gemm_library_find(text, room) < 0)
        return;
    unsigned version = (unsigned)lt.cublasLtGetVersion(); /* as CUBLAS_VERSION */
    snprintf(text, room, "%u.%u.%u", version / 10000, version / 100 % 100, version % 100);
}

int gemm_library_open(struct kern *kn, void **out)
{
    int rc = library_open(&library);
    if (rc < 0)
        return rc;
    struct side *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->kn = kn;
    s->workspace = cuda_alloc(kn, GEMM_WORKSPACE);
    rc = s->workspace ? error_of(lt.cublasLtCreate(&s->handle)) : -ENOMEM;
    if (rc < 0)
        gemm_library_close(s);
    else
        *out = s;
    return rc;
}

void gemm_library_close(void *lib)
{
    struct side *s = lib;
    if (s->handle)
        lt.cublasLtDestroy(s->handle);
    if (s->workspace)
        cuda_free(s->kn, s->workspace);
    free(s);
}

/* A matrix whose rows, as the caller sees them, have cols numbers. */
static cublasStatus_t layout(cublasLtMatrixLayout_t *to, cudaDataType_t type, size_t rows,
                             size_t cols, size_t ld)
{
    return lt.cublasLtMatrixLayoutCreate(to, type, cols, rows, (int64_t)ld);
}

static cublasStatus_t describe(struct gemm_plan *p, const struct gemm *g)
{
    cudaDataType_t out = g->types == GEMM_F16 ? CUDA_R_16F : CUDA_R_32F;
    cudaDataType_t in = g->types == GEMM_BF16 ? CUDA_R_16BF : out;
    cublasComputeType_t how =
        g->types == GEMM_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    int32_t left = g->tb ? CUBLAS_OP_T : CUBLAS_OP_N, right = g->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t st = lt.cublasLtMatmulDescCreate(&p->product, how, CUDA_R_32F);
    if (st == CUBLAS_STATUS_SUCCESS)
        st = lt.cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSA, &left,
                                               sizeof left);
    if (st == CUBLAS_STATUS_SUCCESS)
        st = lt.cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSB, &right,
                                               sizeof right);
    if (st == CUBLAS_STATUS_SUCCESS)
        st = layout(&p->left, in, g->tb ? g->n : g->k, g->tb ? g->k : g->n, g->ldb);
    if (st == CUBLAS_STATUS_SUCCESS)
        st = layout(&p->right, in, g->ta ? g->k : g->m, g->ta ? g->m : g->k, g->lda);
    if (st == CUBLAS_STATUS_SUCCESS)
        st = layout(&p->out, out, g->m, g->n, g->ldc);
    return st;
}

/* float16 stays out of sums that are cut into parts, which meet as float32 in the workspace. */
static cublasStatus_t prefer(cublasLtMatmulPreference_t pref, const struct gemm *g,
                             const struct gemm_alignment *al)
{
    const size_t most = GEMM_WORKSPACE;
    const uint32_t parts = g->types == GEMM_F16 ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                                                : CUBLASLT_REDUCTION_SCHEME_MASK;
    const struct {
        cublasLtMatmulPreferenceAttributes_t which;
        const void *value;
        size_t size;
    } set[] = {
        { CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most },
        { CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &parts, sizeof parts },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &al->b, sizeof(uint32_t) },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &al->a, sizeof(uint32_t) },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &al->c, sizeof(uint32_t) },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &al->c, sizeof(uint32_t) },
    };
    cublasStatus_t st = CUBLAS_STATUS_SUCCESS;
    for (size_t i = 0; i < ARRAY_LEN(set) && st == CUBLAS_STATUS_SUCCESS; i++)
        st = lt.cublasLtMatmulPreferenceSetAttribute(pref, set[i].which, set[i].value, set[i].size);
    return st;
}

/* The algorithm that the heuristics expect to be the fastest. */
static cublasStatus_t choose(const struct side *s, struct gemm_plan *p, const struct gemm *g,
                             const struct gemm_alignment *al)
{
    cublasLtMatmulPreference_t pref;
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    cublasStatus_t st = lt.cublasLtMatmulPreferenceCreate(&pref);
    if (st != CUBLAS_STATUS_SUCCESS)
        return st;
    st = prefer(pref, g, al);
    if (st == CUBLAS_STATUS_SUCCESS)
        st = lt.cublasLtMatmulAlgoGetHeuristic(s->handle, p->product, p->left, p->right, p->out,
                                               p->out, pref, 1, &best, &found);
    lt.cublasLtMatmulPreferenceDestroy(pref);
    if (st != CUBLAS_STATUS_SUCCESS)
        return st;
    if (found < 1)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    p->algo = best.algo;
    return best.state;
}

int gemm_plan_new(void *lib, const struct gemm *g, const struct gemm_alignment *al,
                  struct gemm_plan **plan)
{
    struct gemm_plan *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    cublasStatus_t st = describe(p, g);
    if (st == CUBLAS_STATUS_SUCCESS)
        st = choose(lib, p, g, al);
    if (st == CUBLAS_STATUS_SUCCESS)
        *plan = p;
    else
        gemm_plan_free(lib, p);
    return error_of(st);
}

void gemm_plan_free(void *lib UNUSED, struct gemm_plan *p)
{
    if (p->product)
        lt.cublasLtMatmulDescDestroy(p->product);
    if (p->left)
        lt.cublasLtMatrixLayoutDestroy(p->left);
    if (p->right)
        lt.cublasLtMatrixLayoutDestroy(p->right);
    if (p->out)
        lt.cublasLtMatrixLayoutDestroy(p->out);
    free(p);
}

int gemm_plan_run(struct kern *kn, void *lib, const struct gemm_plan *p, float alpha, const void *a,
                  const void *b, float beta, void *c)
{
    const struct side *s = lib;
    return error_of(lt.cublasLtMatmul(s->handle, p->product, &alpha, b, p->left, a, p->right, &beta,
                                      c, p->out, c, p->out, &p->algo, s->workspace, GEMM_WORKSPACE,
                                      cuda_of(kn)->stream));
}
