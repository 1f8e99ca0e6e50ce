/*
 * conv.c - the slots of convolutions.
 *
 * Around what conv_plan.c does: the input into the form of conv_form.c and back, batch norm's sums,
 * and the sum of weights' gradients, each a kernel of its own. The sums are of numbers rounded to
 * their type, as are the gradients of weights that are added.
 */
#include "kernels/cuda/convolve.h"

static size_t bytes_of(enum kern_type type, size_t n)
{
    size_t bytes = n * (type == KERN_F32 ? sizeof(float) : sizeof(uint16_t));
    return (bytes + 255) / 256 * 256;
}

static size_t input_bytes(const struct conv_form *f)
{
    return bytes_of(f->cv.type, conv_input_numbers(&f->cv));
}

size_t cuda_conv_packed(struct kern *kn UNUSED, const struct kern_conv *cv)
{
    struct conv_form f = conv_form_of(cv);
    return bytes_of(cv->type, conv_weight_numbers(&f.cv));
}

static bool by_tf32(const struct kern *kn, const struct kern_conv *cv)
{
    return kn->tf32 && cv->type == KERN_F32;
}

/* The plan, and scratch for it behind front bytes of the caller's. */
static int prepare(struct kern *kn, const struct convolve *what, const struct convolve_arrays *at,
                   size_t front, struct conv_plan **plan, uint8_t **scratch)
{
    int rc = conv_plan_of(kn, what, at, plan);
    if (rc < 0)
        return rc;
    *scratch = cuda_scratch(kn, front + conv_plan_scratch(*plan) + 256);
    return *scratch ? 0 : -ENOMEM;
}

int cuda_conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                      const void *packed, const struct kern_epilogue *ep)
{
    struct conv_form f = conv_form_of(cv);
    struct convolve what = { .pass = CONVOLVE_FORWARD,
                             .cv = f.cv,
                             .affine = ep->scale,
                             .residual = ep->residual,
                             .relu = ep->relu,
                             .tf32 = by_tf32(kn, cv) };
    struct convolve_arrays at = { .out = y,
                                  .a = f.copied ? NULL : x,
                                  .b = packed,
                                  .scale = ep->scale,
                                  .shift = ep->shift,
                                  .old = ep->residual };
    size_t front = f.copied ? input_bytes(&f) : 0;
    struct conv_plan *plan;
    uint8_t *scratch;
    int rc = prepare(kn, &what, &at, front, &plan, &scratch);
    if (rc == 0 && f.copied) {
        rc = conv_pack_input(kn, &f, scratch, x);
        at.a = scratch;
    }
    if (rc == 0)
        rc = conv_plan_run(kn, plan, &at, scratch + front);
    if (rc == 0 && ep->bn)
        rc = cuda_bn_stats(kn, cv->type, ep->bn, y, cv->n * cv->oh * cv->ow, cv->k);
    return rc;
}

int cuda_conv_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                            const void *packed, bool add)
{
    struct conv_form f = conv_form_of(cv);
    struct convolve what = {
        .pass = CONVOLVE_DATA, .cv = f.cv, .add = add && !f.copied, .tf32 = by_tf32(kn, cv)
    };
    struct convolve_arrays at = {
        .out = f.copied ? NULL : dx, .a = dy, .b = packed, .old = what.add ? dx : NULL
    };
    size_t front = f.copied ? input_bytes(&f) : 0;
    struct conv_plan *plan;
    uint8_t *scratch;
    int rc = prepare(kn, &what, &at, front, &plan, &scratch);
    if (rc == 0 && f.copied)
        at.out = scratch;
    if (rc == 0)
        rc = conv_plan_run(kn, plan, &at, scratch + front);
    if (rc == 0 && f.copied)
        rc = conv_unpack_input(kn, &f, dx, scratch, add);
    return rc;
}

int cuda_conv_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw,
                               const void *x, const void *dy)
{
    struct conv_form f = conv_form_of(cv);
    struct convolve what = { .pass = CONVOLVE_WEIGHTS, .cv = f.cv, .tf32 = by_tf32(kn, cv) };
    struct convolve_arrays at = { .a = f.copied ? NULL : x, .b = dy };
    size_t gradient = bytes_of(cv->type, conv_weight_numbers(&f.cv));
    size_t front = gradient + (f.copied ? input_bytes(&f) : 0);
    struct conv_plan *plan;
    uint8_t *scratch;
    int rc = prepare(kn, &what, &at, front, &plan, &scratch);
    if (rc < 0)
        return rc;
    at.out = scratch;
    if (f.copied) {
        rc = conv_pack_input(kn, &f, scratch + gradient, x);
        at.a = scratch + gradient;
    }
    if (rc == 0)
        rc = conv_plan_run(kn, plan, &at, scratch + front);
    return rc < 0 ? rc : conv_add_weights(kn, &f, dw, scratch);
}
