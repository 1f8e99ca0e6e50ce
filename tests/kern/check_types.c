/*
 * check_types.c - float16 as number.h has it, for every number of 16 bits, and which handles have
 * kernels for it.
 */
#include "kernels/number.h"
#include "tests/kern/check.h"
#include <errno.h>

enum { ALL = 1 << 16, INFINITE = 0x7c00, LARGEST = 0x7bff };

/* By the text of the standard: IEEE 754-2019, 3.4. */
static double value(unsigned bits)
{
    unsigned exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double size =
        exponent ? ldexp(1 + mantissa / 1024.0, (int)exponent - 15) : ldexp(mantissa / 1024.0, -14);
    return bits & 0x8000 ? -size : size;
}

static void check_values(void)
{
    bool right = true, back = true, odd = true;
    for (unsigned bits = 0; bits < ALL; bits++) {
        uint16_t x = (uint16_t)bits, y;
        float f = kern_load(KERN_F16, &x, 0);
        kern_store(KERN_F16, &y, 0, f);
        if ((bits & 0x7fff) < INFINITE) {
            right = right && (double)f == value(bits) && !signbit(f) == !(bits & 0x8000);
            back = back && x == y;
        } else if ((bits & 0x7fff) == INFINITE) {
            odd = odd && isinf(f) && (f < 0) == (bits >> 15) && x == y;
        } else {
            odd = odd && isnan(f) && (y & 0x7fff) > INFINITE;
        }
    }
    ok(right, "every number is what it says");
    ok(back, "and comes back");
    ok(odd, "so do infinities, and NaN as NaN");
}

static uint16_t stored(float x)
{
    uint16_t bits;
    kern_store(KERN_F16, &bits, 0, x);
    return bits;
}

/* Between any two neighbours: the middle goes to the even one, what is beside it to the nearer.
 * What would follow the largest number is infinity. */
static void check_rounding(void)
{
    bool good = true;
    for (unsigned low = 0; low <= LARGEST; low++) {
        unsigned even = low & 1 ? low + 1 : low;
        double next = low == LARGEST ? 65536 : value(low + 1);
        float middle = (float)((value(low) + next) / 2); /* exact */
        for (unsigned sign = 0; sign < 2; sign++) {
            float to = sign ? -1.0f : 1.0f;
            good = good && stored(to * middle) == (even | sign << 15) &&
                   stored(to * nextafterf(middle, 0)) == (low | sign << 15) &&
                   stored(to * nextafterf(middle, INFINITY)) == ((low + 1) | sign << 15);
        }
    }
    ok(good, "rounds to the nearest, of two to the even one");
    ok(stored(1e30f) == INFINITE && stored(-1e30f) == (INFINITE | 0x8000), "what is beyond is inf");
    ok(stored(1e-30f) == 0 && stored(-1e-30f) == 0x8000, "what is far below is 0");
    ok(kern_sizeof(KERN_F16) == 2, "two bytes");
}

/* The CPU's fast kernels have no float16; the definitions and devices have. */
static void check_handles(void)
{
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 1);
        bool has = i == 0 || check_last_type() == KERN_F16;
        int want = has ? 0 : -ENOTSUP;
        uint16_t x[4] = { 0x3c00, 0x4000, 0x4200, 0x4400 }, y[4];
        float mean[1], var[1], one[1] = { 1 }, zero[1] = { 0 };
        struct kern_bn bn = { .mean = mean, .var = var };
        ok(kern_has(kn, KERN_F32) && kern_has(kn, KERN_BF16) && kern_has(kn, KERN_F16) == has,
           "%s: float16%s", check_isa(i), has ? "" : " is refused");
        ok(kern_bn_stats(kn, KERN_F16, &bn, x, 4, 1) == want, "statistics");
        ok(!has || (mean[0] == 2.5f && var[0] == 1.25f), "of float16");
        struct kern_bn_forward f = { KERN_F16, 4, 1, .y = y, .x = x, .scale = one, .shift = zero };
        ok(kern_bn_forward(kn, &f) == want, "a norm");
        ok(kern_avgpool_forward(kn, KERN_F16, mean, x, 1, 4, 1) == want, "a mean");
        ok(kern_avgpool_backward(kn, KERN_F16, y, one, 1, 4, 1) == want, "and its gradient");
        struct kern_maxpool mp = { KERN_F16, 1, 2, 2, 1, 2, 1, 0, 0, 1, 1 };
        ok(kern_maxpool_forward(kn, &mp, y, x) == want, "a maximum");
        struct kern_conv cv = { .type = KERN_F16,
                                .n = 1,
                                .h = 2,
                                .w = 2,
                                .c = 1,
                                .k = 1,
                                .kh = 1,
                                .kw = 1,
                                .stride = 1,
                                .oh = 2,
                                .ow = 2 };
        ok((kern_conv_packed(kn, &cv) > 0) == has, "a convolution");
        ok(kern_bn_stats(kn, (enum kern_type)3, &bn, x, 4, 1) == -EINVAL, "no such type");
        check_close(kn);
    }
}

int main(void)
{
    check_init();
    check_values();
    check_rounding();
    check_handles();
    return done();
}
