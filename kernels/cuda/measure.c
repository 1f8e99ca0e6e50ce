/*
 * measure.c - what the device can do, as other programs measure it: a copy by the runtime, and a
 * product by cuBLASLt. Operands are random: with zeros a product is a tenth faster.
 */
#include "kernels/cuda/gemm.h"
#include <stdlib.h>
#include <time.h>

/* A device of tests, which has little memory, is not kept busy for hours. */
struct sizes {
    size_t copy, side; /* bytes; of the matrices */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* dev in random bfloat16 numbers from 1 to 2, half of them negative. */
static int fill(struct kern *kn, void *dev, size_t bytes)
{
    enum { PIECE = 1 << 16 };
    uint16_t piece[PIECE / sizeof(uint16_t)];
    uint32_t state = 1;
    size_t have = MIN(bytes, sizeof piece);
    for (size_t i = 0; i < ARRAY_LEN(piece); i++) {
        state = state * 1664525u + 1013904223u;
        piece[i] = (uint16_t)(0x3f80u | (state >> 16 & 0x807fu));
    }
    int rc = cuda_put(kn, dev, piece, have);
    for (; have < bytes && rc == 0; have += MIN(have, bytes - have))
        rc = cuda_error(cudaMemcpyAsync((char *)dev + have, dev, MIN(have, bytes - have),
                                        cudaMemcpyDeviceToDevice, cuda_of(kn)->stream));
    return rc;
}

static int copies(struct kern *kn, void *to, const void *from, size_t bytes, double *rate)
{
    enum { TIMES = 20 };
    double start = 0;
    int rc = 0;
    for (int i = -2; i < TIMES && rc == 0; i++) { /* the first two warm up */
        if (i == 0) {
            rc = cuda_sync(kn);
            start = now();
        }
        if (rc == 0)
            rc = cuda_error(
                cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda_of(kn)->stream));
    }
    rc = rc == 0 ? cuda_sync(kn) : rc;
    *rate = 2.0 * TIMES * (double)bytes / (now() - start);
    return rc;
}

static int products(struct kern *kn, void *c, const void *ab, size_t side, double *rate)
{
    enum { TIMES = 20 };
    const struct gemm g = { .types = GEMM_BF16,
                            .tb = true,
                            .m = side,
                            .n = side,
                            .k = side,
                            .lda = side,
                            .ldb = side,
                            .ldc = side };
    double start = 0;
    int rc = 0;
    for (int i = -2; i < TIMES && rc == 0; i++) {
        if (i == 0) {
            rc = cuda_sync(kn);
            start = now();
        }
        if (rc == 0)
            rc = cuda_gemm_typed(kn, &g, 1, ab, (const uint16_t *)ab + side * side, 0, c);
    }
    rc = rc == 0 ? cuda_sync(kn) : rc;
    *rate = 2.0 * TIMES * (double)side * (double)side * (double)side / (now() - start);
    return rc;
}

int cuda_measure(struct kern *kn, double *copy, double *product)
{
    static const struct sizes large = { (size_t)1 << 30, 8192 }, small = { (size_t)1 << 16, 32 };
    size_t unused, all;
    cuda_of(kn);
    int rc = cuda_error(cudaMemGetInfo(&unused, &all));
    if (rc < 0)
        return rc;
    struct sizes s = all >= (size_t)8 << 30 ? large : small;
    size_t matrix = s.side * s.side;
    size_t from_bytes = MAX(s.copy, 2 * matrix * sizeof(uint16_t));
    size_t to_bytes = MAX(s.copy, matrix * sizeof(float));
    void *from = cuda_alloc(kn, from_bytes), *to = cuda_alloc(kn, to_bytes);
    rc = from && to ? fill(kn, from, from_bytes) : -ENOMEM;
    if (rc == 0)
        rc = copies(kn, to, from, s.copy, copy);
    if (rc == 0)
        rc = products(kn, to, from, s.side, product);
    if (from)
        cuda_free(kn, from);
    if (to)
        cuda_free(kn, to);
    return rc;
}
