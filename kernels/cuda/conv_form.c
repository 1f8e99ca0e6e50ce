/*
 * conv_form.c - the form in which a convolution goes to an engine.
 *
 * Engines for matrix units load 16 bytes at a time: 8 channels of 2 bytes. Thin inputs in blocks:
 * space-to-depth, as MLPerf's ResNets do it for their first layer.
 */
#include "kernels/cuda/convolve.h"

enum { LANES = 8 };

size_t conv_input_numbers(const struct kern_conv *cv)
{
    return cv->n * cv->h * cv->w * cv->c;
}

size_t conv_output_numbers(const struct kern_conv *cv)
{
    return cv->n * cv->oh * cv->ow * cv->k;
}

size_t conv_weight_numbers(const struct kern_conv *cv)
{
    return cv->k * cv->kh * cv->kw * cv->c;
}

struct conv_form conv_form_of(const struct kern_conv *cv)
{
    struct conv_form f = { .of = *cv, .cv = *cv, .step = 1, .copied = cv->c % LANES != 0 };
    if (!f.copied)
        return f;
    f.step = cv->stride == 2 && 4 * cv->c <= 2 * LANES ? 2 : 1;
    f.cv.c = (f.step * f.step * cv->c + LANES - 1) / LANES * LANES;
    f.cv.kh = (cv->kh + f.step - 1) / f.step;
    f.cv.kw = (cv->kw + f.step - 1) / f.step;
    f.cv.stride = cv->stride / f.step;
    f.cv.pad_top = 0;
    f.cv.pad_left = 0;
    f.cv.h = (cv->oh - 1) * f.cv.stride + f.cv.kh;
    f.cv.w = (cv->ow - 1) * f.cv.stride + f.cv.kw;
    return f;
}
