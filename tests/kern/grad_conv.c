/*
 * grad_conv.c - the gradients of a convolution against finite differences of its forward pass.
 *
 * L = sum y * dy is linear in x and in w, so that a difference over a step of 1 has no error but
 * rounding.
 */
#include "tests/kern/check.h"
#include <float.h>

struct layer {
    struct kern *kn;
    struct kern_conv cv;
    float *x, *w, *y, *dy;
    void *packed;
    size_t nx, ny, nw;
};

static double loss(void *arg)
{
    struct layer *l = arg;
    if (kern_conv_pack(l->kn, &l->cv, l->packed, l->w) ||
        kern_conv_forward(l->kn, &l->cv, l->y, l->x, l->packed, NULL))
        return NAN;
    return check_dot(l->y, l->dy, l->ny);
}

static void grad(struct kern *kn, const char *isa, struct kern_conv cv)
{
    struct layer l = { .kn = kn, .cv = cv };
    l.nx = cv.n * cv.h * cv.w * cv.c;
    l.ny = cv.n * cv.oh * cv.ow * cv.k;
    l.nw = cv.k * cv.c * cv.kh * cv.kw;
    l.x = check_normal(l.nx);
    l.w = check_normal(l.nw);
    l.y = check_buf(l.ny);
    l.dy = check_normal(l.ny);
    l.packed = check_bytes(kern_conv_packed(kn, &cv));
    float *dx = check_buf(l.nx), *dw = check_zeros(l.nw);
    bool good = isfinite(loss(&l)) &&
                kern_conv_backward_data(kn, &cv, dx, l.dy, l.packed, false) == 0 &&
                kern_conv_backward_weights(kn, &cv, dw, l.x, l.dy) == 0;
    /* y is rounded: each of its ny numbers, of this size, is off by half a unit at most */
    double size = sqrt((double)(cv.c * cv.kh * cv.kw)), tol = 4 * FLT_EPSILON * size;
    tol *= sqrt((double)l.ny) + sqrt((double)(l.ny / cv.k));
    ok(good, "%s: a %zux%zu window, stride %zu, %zu to %zu channels", isa, cv.kh, cv.kw, cv.stride,
       cv.c, cv.k);
    check_gradient(loss, &l, l.x, l.nx, dx, 1, tol, "%s: gradient of x", isa);
    check_gradient(loss, &l, l.w, l.nw, dw, 1, tol, "%s: gradient of w", isa);
    check_release();
}

int main(void)
{
    static const struct kern_conv layers[] = {
        { KERN_F32, 2, 6, 6, 16, 16, 3, 3, 1, 1, 1, 6, 6 },
        { KERN_F32, 2, 7, 5, 9, 20, 3, 3, 2, 1, 1, 4, 3 },
        { KERN_F32, 2, 8, 6, 5, 18, 3, 3, 2, 0, 0, 4, 3 }, /* one cell of padding, behind */
        { KERN_F32, 3, 6, 6, 16, 32, 1, 1, 2, 0, 0, 3, 3 },
        { KERN_F32, 1, 11, 11, 3, 8, 7, 7, 2, 3, 3, 6, 6 },
        { KERN_F32, 4, 1, 1, 8, 8, 3, 3, 1, 1, 1, 1, 1 },
    };
    check_init();
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        for (size_t j = 0; j < ARRAY_LEN(layers); j++)
            grad(kn, check_isa(i), layers[j]);
        check_close(kn);
    }
    return done();
}
