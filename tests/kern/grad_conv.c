/*
 * grad_conv.c - the gradients of a convolution against finite differences of its forward pass.
 *
 * L = sum y * dy is linear in x and in w, so that a difference over a step of 1 has no error but
 * rounding; and not that, where all are small whole numbers, which bfloat16 holds up to 256.
 */
#include "tests/kern/check.h"
#include <float.h>

struct layer {
    struct kern *kn;
    struct kern_conv cv;
    float *x, *w, *dy;
    void *packed;
    size_t nx, ny, nw;
};

static double loss(void *arg)
{
    struct layer *l = arg;
    enum kern_type type = l->cv.type;
    void *x = check_typed(type, l->x, l->nx), *y = check_bytes(l->ny * kern_sizeof(type));
    if (kern_conv_pack(l->kn, &(struct kern_conv_weights){ l->cv, l->packed, l->w }, 1) ||
        kern_conv_forward(l->kn, &l->cv, y, x, l->packed, NULL))
        return NAN;
    return check_dot(check_floats(type, y, l->ny), l->dy, l->ny);
}

/* -1, 0 or 1 */
static float *whole_numbers(size_t n)
{
    int32_t *drawn = check_ints(n, -1, 2);
    float *x = check_buf(n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)drawn[i];
    return x;
}

static void grad(struct kern *kn, const char *isa, struct kern_conv cv)
{
    struct layer l = { .kn = kn, .cv = cv };
    bool whole = cv.type != KERN_F32;
    float *(*draw)(size_t n) = whole ? whole_numbers : check_normal;
    l.nx = cv.n * cv.h * cv.w * cv.c;
    l.ny = cv.n * cv.oh * cv.ow * cv.k;
    l.nw = cv.k * cv.c * cv.kh * cv.kw;
    l.x = draw(l.nx);
    l.w = draw(l.nw);
    l.dy = draw(l.ny);
    l.packed = check_bytes(kern_conv_packed(kn, &cv));
    void *x = check_typed(cv.type, l.x, l.nx), *dy = check_typed(cv.type, l.dy, l.ny);
    void *dx = check_bytes(l.nx * kern_sizeof(cv.type));
    float *dw = check_zeros(l.nw);
    bool good = isfinite(loss(&l)) &&
                kern_conv_backward_data(kn, &cv, dx, dy, l.packed, false) == 0 &&
                kern_conv_backward_weights(kn, &cv, dw, x, dy) == 0;
    /* y is rounded: each of its ny numbers, of this size, is off by half a unit at most */
    double size = sqrt((double)(cv.c * cv.kh * cv.kw)), tol = 4 * FLT_EPSILON * size;
    tol *= sqrt((double)l.ny) + sqrt((double)(l.ny / cv.k));
    tol = whole ? 0 : tol;
    ok(good, "%s: a %zux%zu window, stride %zu, %zu to %zu channels, %s", isa, cv.kh, cv.kw,
       cv.stride, cv.c, cv.k, check_type_name(cv.type));
    check_gradient(loss, &l, l.x, l.nx, check_floats(cv.type, dx, l.nx), 1, tol,
                   "%s: gradient of x", isa);
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
        { KERN_F32, 3, 5, 7, 32, 40, 1, 1, 1, 0, 0, 5, 7 }, /* whole steps of the tile unit */
        { KERN_F32, 2, 7, 7, 32, 32, 3, 3, 2, 1, 1, 4, 4 },
    };
    check_init();
    /* a device's engines may go by way of fractions */
    enum kern_type last = check_last_type() == KERN_BF16 ? KERN_BF16 : KERN_F32;
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        for (enum kern_type type = KERN_F32; type <= last; type++)
            for (size_t j = 0; j < ARRAY_LEN(layers); j++) {
                struct kern_conv cv = layers[j];
                cv.type = type;
                grad(kn, check_isa(i), cv);
            }
        check_close(kn);
    }
    return done();
}
