/*
 * tiles.c - see tiles.h.
 */
#include "tests/tiles/tiles.h"
#include "common/base/base.h"
#include <immintrin.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILES = 8, ROWS = 16, BYTES = 64, WORDS = BYTES / 4 };

/* What lies outside of its rows and columns is zero. */
struct tile {
    size_t rows, bytes;
    uint32_t word[ROWS][WORDS]; /* float32, or pairs of bfloat16 with the first in the low half */
};

static _Thread_local struct {
    bool configured;
    struct tile tile[TILES];
} unit;

static atomic_bool used;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *what, ...)
{
    va_list ap;
    va_start(ap, what);
    printf("Bail out! tiles: ");
    vprintf(what, ap);
    printf("\n");
    va_end(ap);
    fflush(stdout);
    abort();
}

/* -- configuration ------------------------------------------------------------------------- */

/* A configuration has room for more tiles than there are. */
static void shape(size_t i, size_t bytes, size_t rows)
{
    if (rows > ROWS || bytes > BYTES || (rows == 0) != (bytes == 0))
        die("tile %zu is to have %zu rows of %zu bytes", i, rows, bytes);
    if (i >= TILES && rows > 0)
        die("there is no tile %zu", i);
    if (i < TILES)
        unit.tile[i] = (struct tile){ .rows = rows, .bytes = bytes };
}

void tiles_configure(const void *config)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } c;
    memcpy(&c, config, sizeof c);
    if (c.palette != 1)
        die("palette %d", c.palette);
    if (c.start != 0)
        die("loads are to begin at row %d", c.start);
    for (size_t i = 0; i < ARRAY_LEN(c.reserved); i++)
        if (c.reserved[i])
            die("byte %zu of a configuration is reserved", i + 2);
    for (size_t i = 0; i < ARRAY_LEN(c.rows); i++)
        shape(i, c.bytes[i], c.rows[i]);
    unit.configured = true;
}

void tiles_release(void)
{
    if (!unit.configured)
        die("tiles are released that are not configured");
    unit.configured = false;
}

static struct tile *tile_of(int i)
{
    if (!unit.configured)
        die("tile %d is used before tiles are configured", i);
    if (i < 0 || i >= TILES)
        die("there is no tile %d", i);
    if (unit.tile[i].rows == 0)
        die("tile %d is used, which has no rows", i);
    return &unit.tile[i];
}

/* -- memory -------------------------------------------------------------------------------- */

void tiles_zero(int tile)
{
    struct tile *t = tile_of(tile);
    memset(t->word, 0, sizeof t->word);
}

void tiles_load(int tile, const void *from, ptrdiff_t stride)
{
    struct tile *t = tile_of(tile);
    if (stride <= 0)
        die("tile %d is loaded from rows %td bytes apart", tile, stride);
    for (size_t m = 0; m < t->rows; m++)
        memcpy(t->word[m], (const uint8_t *)from + (ptrdiff_t)m * stride, t->bytes);
}

void tiles_store(int tile, void *to, ptrdiff_t stride)
{
    struct tile *t = tile_of(tile);
    if (stride < (ptrdiff_t)t->bytes)
        die("tile %d is stored to rows %td bytes apart", tile, stride);
    for (size_t m = 0; m < t->rows; m++)
        memcpy((uint8_t *)to + (ptrdiff_t)m * stride, t->word[m], t->bytes);
}

/* -- products ------------------------------------------------------------------------------ */

static inline float as_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float first(uint32_t pair)
{
    return as_float(pair << 16);
}

static inline float second(uint32_t pair)
{
    return as_float(pair & 0xffff0000u);
}

/* Not inlined: what is calculated must stay between the changes of MXCSR. */
__attribute__((noinline, target("avx512f,fma"))) static void
multiply(struct tile *c, const struct tile *a, const struct tile *b)
{
    float firsts[ROWS][WORDS], seconds[ROWS][WORDS];
    for (size_t k = 0; k < ROWS; k++)
        for (size_t n = 0; n < WORDS; n++) {
            firsts[k][n] = first(b->word[k][n]);
            seconds[k][n] = second(b->word[k][n]);
        }
    for (size_t m = 0; m < c->rows; m++) {
        float sum[2][WORDS] = { { 0 } }, row[WORDS];
        for (size_t k = 0; k < b->rows; k++) {
            float x = first(a->word[m][k]), y = second(a->word[m][k]);
            for (size_t n = 0; n < WORDS; n++)
                sum[0][n] = fmaf(x, firsts[k][n], sum[0][n]);
            for (size_t n = 0; n < WORDS; n++)
                sum[1][n] = fmaf(y, seconds[k][n], sum[1][n]);
        }
        memcpy(row, c->word[m], sizeof row);
        for (size_t n = 0; n < WORDS; n++)
            row[n] += sum[0][n] + sum[1][n];
        memcpy(c->word[m], row, c->bytes);
    }
}

void tiles_multiply(int c, int a, int b)
{
    enum { NEAREST = 0x1f80, DAZ = 0x40, FTZ = 0x8000 }; /* of MXCSR; no exceptions */
    struct tile *to = tile_of(c), *x = tile_of(a), *y = tile_of(b);
    if (c == a || c == b || a == b)
        die("tiles %d, %d and %d of a product are not three", c, a, b);
    if (to->rows != x->rows || to->bytes != y->bytes || x->bytes != y->rows * 4)
        die("%zu rows of %zu bytes are to be the product of %zu of %zu and %zu of %zu", to->rows,
            to->bytes, x->rows, x->bytes, y->rows, y->bytes);
    unsigned before = _mm_getcsr();
    _mm_setcsr(NEAREST | DAZ | FTZ);
    multiply(to, x, y);
    _mm_setcsr(before);
    atomic_store_explicit(&used, true, memory_order_relaxed);
}

bool tiles_used(void)
{
    return atomic_load_explicit(&used, memory_order_relaxed);
}
