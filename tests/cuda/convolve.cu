/*
 * convolve.cu - engines for the device of tests, in place of kernels/cuda/cudnn.c. They are
 * conv_plain() in several guises, so that all ways through conv.c and conv_plan.c are gone:
 *
 * fails      never works
 * direct     as it is
 * through    its output comes by way of the workspace, which is left in disorder
 * clobbers   writes the gradient before it reads what is to be added: wrong in place
 *
 * Where TF32 is allowed they all round what they multiply to it first, into the workspace.
 *
 * There are none for output channels that are no multiple of 8; with scale and shift for multiples
 * of 16 only; with a sum for input channels that are multiples of 16. For the gradient of inputs
 * whose channels are a multiple of 32 there are only those that clobber, with a sum; for output
 * channels that are a multiple of 5 none that is direct.
 */
#include "kernels/cuda/convolve.h"
#include "kernels/cuda/storage.cuh"
#include "tests/cuda/tf32.cuh"
#include <stdio.h>
#include <stdlib.h>

enum guise { FAILS, DIRECT, THROUGH, CLOBBERS, GUISES };

static const char *const names[] = { "fails", "direct", "through", "clobbers" };

struct engine {
    struct convolve what;
    enum guise guise;
};

extern "C" int engine_library_find(char *, size_t)
{
    return 0;
}

extern "C" void engine_library_report(char *text, size_t room)
{
    snprintf(text, room, "plain kernels in its place");
}

extern "C" int engine_library_open(struct kern *kn, void **library)
{
    *library = kn;
    return 0;
}

extern "C" void engine_library_close(void *) {}

extern "C" const char *engine_library_version(const void *)
{
    return "plain";
}

static bool offered(const struct convolve *what, enum guise guise)
{
    bool clobbered = what->pass == CONVOLVE_DATA && what->cv.c % 32 == 0;
    if (what->cv.k % 8 != 0 || (what->affine && what->cv.k % 16 != 0) ||
        (what->add && what->cv.c % 16 != 0))
        return false;
    if (guise == DIRECT && what->cv.k % 5 == 0)
        return false;
    return guise == CLOBBERS ? clobbered && what->add : !clobbered;
}

extern "C" int engines_for(void *, const struct convolve *what, const char *name,
                           struct engine **list, int most)
{
    int n = 0;
    for (int g = 0; g < GUISES && n < most; g++) {
        if (!offered(what, (enum guise)g) || (name && strcmp(name, names[g]) != 0))
            continue;
        list[n] = (struct engine *)malloc(sizeof **list);
        if (!list[n])
            return -ENOMEM;
        *list[n++] = { *what, (enum guise)g };
    }
    return n;
}

extern "C" const char *engine_name(const struct engine *e)
{
    return names[e->guise];
}

/* Numbers of the arrays, in their order. */
struct counts {
    size_t out, a, b;
};

static counts counts_of(const struct convolve *what)
{
    const struct kern_conv *cv = &what->cv;
    size_t x = conv_input_numbers(cv), w = conv_weight_numbers(cv), y = conv_output_numbers(cv);
    switch (what->pass) {
    case CONVOLVE_FORWARD:
        return { y, x, w };
    case CONVOLVE_DATA:
        return { x, y, w };
    default:
        return { w, x, y };
    }
}

static size_t out_bytes(const struct convolve *what)
{
    return counts_of(what).out * (what->cv.type == KERN_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* The output on its way, if there is one, and then the factors in TF32, if they are. */
extern "C" size_t engine_workspace(const struct engine *e)
{
    counts n = counts_of(&e->what);
    return (e->guise == THROUGH ? out_bytes(&e->what) : 0) +
           (e->what.tf32 ? (n.a + n.b) * sizeof(float) : 0);
}

static __global__ void round_all(float *to, const float *from, size_t n)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        to[i] = tf32(from[i]);
}

static int rounded(cudaStream_t stream, float *to, const void **from, size_t n)
{
    enum { THREADS = 128 };
    int rc = launch(stream, round_all, dim3((unsigned)((n + THREADS - 1) / THREADS)), dim3(THREADS),
                    0, to, (const float *)*from, n);
    *from = to;
    return rc;
}

extern "C" int engine_run(void *library, const struct engine *e, const struct convolve_arrays *at,
                          void *workspace)
{
    struct kern *kn = (struct kern *)library;
    struct convolve what = e->what;
    struct convolve_arrays where = *at;
    if (!what.affine)
        where.scale = where.shift = NULL;
    if (!what.residual && !what.add)
        where.old = NULL;
    uintptr_t all = (uintptr_t)at->out | (uintptr_t)at->a | (uintptr_t)at->b | (uintptr_t)at->old |
                    (uintptr_t)at->scale | (uintptr_t)at->shift;
    if (e->guise == FAILS || all % 16 != 0)
        return -EIO;
    size_t bytes = out_bytes(&what);
    cudaStream_t stream = cuda_of(kn)->stream;
    int rc = 0;
    if (what.tf32) {
        counts n = counts_of(&what);
        float *to = (float *)((char *)workspace + (e->guise == THROUGH ? bytes : 0));
        rc = rounded(stream, to, &where.a, n.a);
        if (rc == 0)
            rc = rounded(stream, to + n.a, &where.b, n.b);
        if (rc < 0)
            return rc;
    }
    if (e->guise == DIRECT)
        return conv_plain(kn, &what, &where);
    if (e->guise == THROUGH) {
        where.out = workspace;
        rc = conv_plain(kn, &what, &where);
        if (rc == 0)
            rc = cuda_error(
                cudaMemcpyAsync(at->out, workspace, bytes, cudaMemcpyDeviceToDevice, stream));
        return rc < 0 ? rc : cuda_error(cudaMemsetAsync(workspace, 0xff, bytes, stream));
    }
    what.add = false;
    where.old = NULL;
    rc = conv_plain(kn, &what, &where);
    return rc < 0 ? rc
                  : conv_sum(kn, what.cv.type, at->out, at->out, at->old,
                             conv_input_numbers(&what.cv));
}

extern "C" void engine_free(struct engine *e)
{
    free(e);
}
