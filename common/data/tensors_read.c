/*
 * tensors_read.c - the numbers of a tensor.
 */
#include "common/base/fail.h"
#include "common/data/tensors.h"
#include <math.h>
#include <string.h>

enum { CHUNK = 4096 }; /* numbers converted at a time */

struct source {
    const uint8_t *at, *end;
    bool latin1;
};

size_t tensor_sizeof(enum tensor_type type)
{
    static const size_t size[] = {
        [TENSOR_F16] = 2, [TENSOR_BF16] = 2, [TENSOR_F32] = 4,  [TENSOR_F64] = 8,
        [TENSOR_I32] = 4, [TENSOR_I64] = 8,  [TENSOR_OTHER] = 0
    };
    return size[type];
}

/* The next n bytes; false if they are not there. */
static bool take(struct source *s, uint8_t *out, size_t n)
{
    if (!s->latin1) {
        if ((size_t)(s->end - s->at) < n)
            return false;
        memcpy(out, s->at, n);
        s->at += n;
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (s->at == s->end)
            return false;
        uint8_t c = *s->at++;
        if (c >= 0x80) { /* of two bytes: 110000xx 10xxxxxx */
            if ((c & 0xfe) != 0xc2 || s->at == s->end || (*s->at & 0xc0) != 0x80)
                return false;
            c = (uint8_t)((c & 3) << 6 | (*s->at++ & 0x3f));
        }
        out[i] = c;
    }
    return true;
}

/* A sign, an exponent and fraction bits, as IEEE 754 has them: exact in float32. */
static float from_16_bits(uint16_t bits, int fraction)
{
    int most = (1 << (15 - fraction)) - 1, exponent = bits >> fraction & most;
    int part = bits & ((1 << fraction) - 1), scale = MAX(exponent, 1) - most / 2 - fraction;
    double x = exponent == most ? (part ? NAN : INFINITY)
                                : ldexp(part + (exponent ? 1 << fraction : 0), scale);
    return (float)(bits & 0x8000 ? -x : x);
}

static float convert(enum tensor_type type, const uint8_t *raw)
{
    uint16_t bits;
    float f;
    double d;
    switch (type) {
    case TENSOR_F16:
    case TENSOR_BF16:
        memcpy(&bits, raw, sizeof bits);
        return from_16_bits(bits, type == TENSOR_F16 ? 10 : 7);
    case TENSOR_F64:
        memcpy(&d, raw, sizeof d);
        return (float)d;
    default:
        memcpy(&f, raw, sizeof f);
        return f;
    }
}

/* Where number i of a file in Fortran's order belongs in C's. */
static size_t c_order(const struct tensor *item, size_t i)
{
    size_t at = 0, step = item->count;
    for (int k = 0; k < item->ndim; k++) {
        step /= item->dim[k];
        at += i % item->dim[k] * step;
        i /= item->dim[k];
    }
    return at;
}

int tensor_floats(const struct tensors *t, const struct tensor *item, size_t n, float *out)
{
    uint8_t raw[CHUNK * 8];
    size_t size = tensor_sizeof(item->type), all = item->fortran ? item->count : n;
    struct source s = { item->at, item->at + item->nbytes, item->latin1 };
    if (item->type > TENSOR_F64)
        return fail(-EINVAL, "%s: %s is of type %s, which is not read", t->name, item->name,
                    item->dtype);
    bool good = n <= item->count;
    for (size_t i = 0; i < all && good; i += CHUNK) {
        size_t some = MIN(all - i, (size_t)CHUNK);
        good = take(&s, raw, some * size);
        for (size_t k = 0; k < some && good; k++) {
            size_t at = item->fortran ? c_order(item, i + k) : i + k;
            if (at < n)
                out[at] = convert(item->type, raw + k * size);
        }
    }
    if (!good || (all == item->count && s.at != s.end))
        return fail(-EINVAL, "%s: the bytes of %s are damaged", t->name, item->name);
    return 0;
}

bool tensor_int(const struct tensor *item, int64_t *out)
{
    uint8_t raw[8] = { 0 };
    int32_t i;
    size_t size = tensor_sizeof(item->type);
    struct source s = { item->at, item->at + item->nbytes, item->latin1 };
    if ((item->type != TENSOR_I32 && item->type != TENSOR_I64) || item->count == 0 ||
        !take(&s, raw, size))
        return false;
    memcpy(out, raw, sizeof *out);
    memcpy(&i, raw, sizeof i);
    if (item->type == TENSOR_I32)
        *out = i;
    return true;
}
