/*
 * conv.c - the slots of convolutions.
 *
 * A slot is one engine where the library has one for all of it, else steps: the input into the form
 * of conv_form.c, the engine, then what was left to do. Batch norm's sums are always a step of
 * their own; they and what a convolution without scale and shift gives are of numbers rounded to
 * their type.
 */
#include "kernels/cuda/convolve.h"

static size_t bytes_of(enum kern_type type, size_t n)
{
    size_t bytes = n * (type == KERN_F32 ? sizeof(float) : sizeof(uint16_t));
    return (bytes + 255) / 256 * 256;
}

size_t cuda_conv_packed(struct kern *kn UNUSED, const struct kern_conv *cv)
{
    struct conv_form f = conv_form_of(cv);
    return bytes_of(cv->type, conv_weight_numbers(&f.cv));
}

int cuda_conv_pack(struct kern *kn, const struct kern_conv *cv, void *packed, const float *w)
{
    struct conv_form f = conv_form_of(cv);
    return conv_pack_weights(kn, &f, packed, w);
}

/* Scratch for a plan behind front bytes of the caller's; NULL: no memory. */
static uint8_t *room(struct kern *kn, size_t front, const struct convolve *what,
                     const struct conv_plan *plan)
{
    return cuda_scratch(kn, front + conv_plan_scratch(what, plan) + 256);
}

/* No engine does what: if one does bare, which is less, that is what the plan is for. */
static int in_steps(struct kern *kn, const struct convolve *bare,
                    const struct convolve_arrays *bare_at, struct convolve *what,
                    struct convolve_arrays *at, struct conv_plan **plan, bool *apart)
{
    struct conv_plan *less;
    int rc = conv_plan_of(kn, bare, bare_at, &less);
    if (rc < 0 || !conv_plan_served(less))
        return rc;
    *what = *bare;
    *at = *bare_at;
    *plan = less;
    *apart = true;
    return 0;
}

int cuda_conv_forward(struct kern *kn, const struct kern_conv *cv, void *y, const void *x,
                      const void *packed, const struct kern_epilogue *ep)
{
    struct conv_form f = conv_form_of(cv);
    struct convolve what = { .pass = CONVOLVE_FORWARD,
                             .cv = f.cv,
                             .affine = ep->scale,
                             .residual = ep->residual,
                             .relu = ep->relu };
    struct convolve_arrays at = { .out = y,
                                  .a = f.copied ? NULL : x,
                                  .b = packed,
                                  .scale = ep->scale,
                                  .shift = ep->shift,
                                  .old = ep->residual };
    struct conv_plan *plan;
    int rc = conv_plan_of(kn, &what, &at, &plan);
    if (rc < 0)
        return rc;
    bool apart = false; /* scale and shift are */
    if (what.affine && !conv_plan_served(plan)) {
        struct convolve bare = { .pass = CONVOLVE_FORWARD, .cv = f.cv };
        struct convolve_arrays bare_at = { .out = at.out, .a = at.a, .b = at.b };
        rc = in_steps(kn, &bare, &bare_at, &what, &at, &plan, &apart);
    }
    if (rc < 0)
        return rc;
    size_t front = f.copied ? bytes_of(cv->type, conv_input_numbers(&f.cv)) : 0;
    uint8_t *scratch = room(kn, front, &what, plan);
    if (!scratch)
        return -ENOMEM;
    if (f.copied) {
        rc = conv_pack_input(kn, &f, scratch, x);
        at.a = scratch;
    }
    if (rc == 0)
        rc = conv_plan_run(kn, &what, plan, &at, scratch + front);
    size_t rows = cv->n * cv->oh * cv->ow;
    if (rc == 0 && apart)
        rc = cuda_bn_forward(kn, cv->type, y, y, ep->residual, ep->scale, ep->shift, rows, cv->k,
                             ep->relu);
    if (rc == 0 && ep->mean)
        rc = cuda_bn_stats(kn, cv->type, ep->mean, ep->var, y, rows, cv->k);
    return rc;
}

int cuda_conv_backward_data(struct kern *kn, const struct kern_conv *cv, void *dx, const void *dy,
                            const void *packed, bool add)
{
    struct conv_form f = conv_form_of(cv);
    struct convolve what = { .pass = CONVOLVE_DATA, .cv = f.cv, .add = add && !f.copied };
    struct convolve_arrays at = {
        .out = f.copied ? NULL : dx, .a = dy, .b = packed, .old = what.add ? dx : NULL
    };
    struct conv_plan *plan;
    int rc = conv_plan_of(kn, &what, &at, &plan);
    if (rc < 0)
        return rc;
    bool apart = f.copied; /* the gradient lies in scratch first */
    if (what.add && !conv_plan_served(plan)) {
        struct convolve bare = { .pass = CONVOLVE_DATA, .cv = f.cv };
        struct convolve_arrays bare_at = { .a = at.a, .b = at.b };
        rc = in_steps(kn, &bare, &bare_at, &what, &at, &plan, &apart);
    }
    if (rc < 0)
        return rc;
    size_t front = apart ? bytes_of(cv->type, conv_input_numbers(&f.cv)) : 0;
    uint8_t *scratch = room(kn, front, &what, plan);
    if (!scratch)
        return -ENOMEM;
    if (apart)
        at.out = scratch;
    rc = conv_plan_run(kn, &what, plan, &at, scratch + front);
    if (rc == 0 && f.copied)
        rc = conv_unpack_input(kn, &f, dx, scratch, add);
    else if (rc == 0 && apart)
        rc = conv_add(kn, cv->type, dx, scratch, conv_input_numbers(cv));
    return rc;
}

int cuda_conv_backward_weights(struct kern *kn, const struct kern_conv *cv, float *dw,
                               const void *x, const void *dy)
{
    struct conv_form f = conv_form_of(cv);
    struct convolve what = { .pass = CONVOLVE_WEIGHTS, .cv = f.cv };
    struct convolve_arrays at = { .a = f.copied ? NULL : x, .b = dy };
    struct conv_plan *plan;
    int rc = conv_plan_of(kn, &what, &at, &plan);
    if (rc < 0)
        return rc;
    size_t gradient = bytes_of(cv->type, conv_weight_numbers(&f.cv));
    size_t input = f.copied ? bytes_of(cv->type, conv_input_numbers(&f.cv)) : 0;
    uint8_t *scratch = room(kn, gradient + input, &what, plan);
    if (!scratch)
        return -ENOMEM;
    at.out = scratch;
    if (f.copied) {
        rc = conv_pack_input(kn, &f, scratch + gradient, x);
        at.a = scratch + gradient;
    }
    if (rc == 0)
        rc = conv_plan_run(kn, &what, plan, &at, scratch + gradient + input);
    return rc < 0 ? rc : conv_add_weights(kn, &f, dw, scratch);
}
