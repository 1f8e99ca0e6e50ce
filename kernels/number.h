/*
 * number.h - numbers as enum kern_type stores them, one at a time: for the definitions, and for
 * tests. Rounding is to nearest even; NaN stays NaN.
 */
#ifndef SEMPPL_NUMBER_H
#define SEMPPL_NUMBER_H

#include "kernels/kern.h"

union kern_bits {
    float f;
    uint32_t u;
};

/* float16 is a sign, 5 bits of exponent less 15, 10 of mantissa; below 2^-14 units of 2^-24. */
static inline float kern_from_f16(uint16_t x)
{
    uint32_t sign = (x & 0x8000u) << 16, rest = x & 0x7fffu;
    union kern_bits v = { .f = (float)rest * 0x1p-24f };
    if (rest >= 0x400)
        v.u = (rest << 13) + (rest < 0x7c00 ? 112u << 23 : 224u << 23);
    v.u |= sign;
    return v.f;
}

/* Beyond 65504 infinity. */
static inline uint16_t kern_to_f16(float x)
{
    union kern_bits v = { .f = x };
    uint32_t sign = v.u >> 16 & 0x8000u, rest = v.u & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (rest >= 0x47800000u)
        return (uint16_t)(sign | 0x7c00u);
    if (rest >= 0x38800000u)
        return (uint16_t)(sign | (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13);
    v.u = rest;
    v.f += 0.5f; /* whose last place is 2^-24 */
    return (uint16_t)(sign | (v.u - 0x3f000000u));
}

/* The i-th number of an array of type. */
static inline float kern_load(enum kern_type type, const void *p, size_t i)
{
    if (type == KERN_F32)
        return ((const float *)p)[i];
    uint16_t x = ((const uint16_t *)p)[i];
    if (type == KERN_F16)
        return kern_from_f16(x);
    union kern_bits v = { .u = (uint32_t)x << 16 };
    return v.f;
}

static inline void kern_store(enum kern_type type, void *p, size_t i, float x)
{
    if (type == KERN_F32) {
        ((float *)p)[i] = x;
        return;
    }
    if (type == KERN_F16) {
        ((uint16_t *)p)[i] = kern_to_f16(x);
        return;
    }
    union kern_bits v = { .f = x };
    uint32_t u = v.u;
    ((uint16_t *)p)[i] =
        (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u
                                                   : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

/* The largest number that type stores as 0. */
static inline float kern_vanishing(enum kern_type type)
{
    return type == KERN_F32 ? 0 : type == KERN_BF16 ? 0x1p-134f : 0x1p-25f;
}

#endif
