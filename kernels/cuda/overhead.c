/*
 * overhead.c - how much of the device's memory the calls of a training take for themselves, from
 * above and before any of them is made.
 *
 * Each of the two lanes has one piece of scratch for all its calls (memory.c), as large as the
 * largest of them asks for: that is a convolution. Which engine does it is found by running those
 * that there are, so that of their workspace only the limit is known, ENGINE_WORKSPACE. Before it
 * in the piece lie, with x and w in the form that engines see (conv_form.c),
 *
 * forward    x, if that form is a copy
 * data       x twice: the gradient before it is added, and that of an engine on trial (conv_plan.c)
 * weights    w, and x again if it is a copy
 *
 * Beside scratch: the workspace of matrix products, one a lane; what the handle that makes pictures
 * has; and a part of the memory for what nobody tells: code of the libraries' kernels, which is
 * loaded when they are first used, recordings, and that allocations are whole pages.
 */
#include "kernels/cuda/convolve.h"
#include "kernels/cuda/gemm.h"

enum { UNTOLD = 64 }; /* that part of all memory; an estimate */

uint64_t cuda_overhead(struct kern *kn, const struct kern_conv *cv)
{
    struct conv_form f = conv_form_of(cv);
    uint64_t size = f.cv.type == KERN_F32 ? sizeof(float) : sizeof(uint16_t);
    uint64_t x = conv_input_numbers(&f.cv) * size, w = conv_weight_numbers(&f.cv) * size;
    size_t left = 0, all = 0;
    cuda_of(kn);
    cuda_error(cudaMemGetInfo(&left, &all)); /* kern_available() will say that it failed */
    return 2 * ENGINE_WORKSPACE + x + MAX(2 * x, x + w) + 2 * GEMM_WORKSPACE +
           cuda_augment_scratch() + all / UNTOLD;
}
