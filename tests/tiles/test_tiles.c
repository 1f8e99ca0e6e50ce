/*
 * test_tiles.c - the imitated tile unit: what its products are, to the last bit, and that mistakes
 * end the program. Where there is a real one, both are the same.
 */
#include "common/base/base.h"
#include "common/base/rng.h"
#include "kernels/isa.h"
#include "kernels/number.h"
#include "tests/t.h"
#include "tests/tiles/tiles.h"
#include <immintrin.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { C, A, B, NONE = 7 };

struct config {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};

/* c [m][n] of float32, a [m][k] and b [k][n] of pairs; tile 7 is left out. */
static struct config config_of(size_t m, size_t n, size_t k)
{
    return (struct config){
        .palette = 1,
        .bytes = { [C] = (uint16_t)(n * 4), [A] = (uint16_t)(k * 4), [B] = (uint16_t)(n * 4) },
        .rows = { [C] = (uint8_t)m, [A] = (uint8_t)m, [B] = (uint8_t)k }
    };
}

static void configure(size_t m, size_t n, size_t k)
{
    struct config c = config_of(m, n, k);
    tiles_configure(&c);
}

static uint32_t pair(float low, float high)
{
    uint16_t half[2];
    kern_store(KERN_BF16, half, 0, low);
    kern_store(KERN_BF16, half, 1, high);
    return half[0] | (uint32_t)half[1] << 16;
}

/* -- products ------------------------------------------------------------------------------ */

/* Whole numbers, in tiles that are not full. */
static void whole(void)
{
    enum { M = 3, N = 5, K = 4, STRIDE = 7 };
    float x[M][2 * K], y[2 * K][N], c[M][STRIDE], want[M][STRIDE];
    uint32_t a[M][K], b[K][N];
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < sizeof x / sizeof **x; i++)
        x[i / (2 * K)][i % (2 * K)] = (float)rng_below(&r, 100) - 50;
    for (size_t i = 0; i < sizeof y / sizeof **y; i++)
        y[i / N][i % N] = (float)rng_below(&r, 100) - 50;
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < STRIDE; n++) {
            want[m][n] = c[m][n] = (float)(m * 10 + n);
            for (size_t k = 0; n < N && k < 2 * K; k++)
                want[m][n] += x[m][k] * y[k][n];
        }
    for (size_t k = 0; k < K; k++) {
        for (size_t m = 0; m < M; m++)
            a[m][k] = pair(x[m][2 * k], x[m][2 * k + 1]);
        for (size_t n = 0; n < N; n++)
            b[k][n] = pair(y[2 * k][n], y[2 * k + 1][n]);
    }
    configure(M, N, K);
    tiles_load(C, c, sizeof c[0]);
    tiles_load(A, a, sizeof a[0]);
    tiles_load(B, b, sizeof b[0]);
    tiles_multiply(C, A, B);
    tiles_store(C, c, sizeof c[0]);
    ok(memcmp(c, want, sizeof c) == 0, "a product, and nothing beside it");
    tiles_zero(C);
    tiles_store(C, want, sizeof want[0]);
    ok(want[M - 1][N - 1] == 0 && want[M - 1][N] == c[M - 1][N], "zeros");
    tiles_release();
    ok(tiles_used(), "it was used");
}

/* c + a b of one row, one column and two pairs. */
static float product(float c, uint32_t a0, uint32_t b0, uint32_t a1, uint32_t b1)
{
    uint32_t a[] = { a0, a1 }, b[] = { b0, b1 };
    configure(1, 1, 2);
    tiles_load(C, &c, 4);
    tiles_load(A, a, 8);
    tiles_load(B, b, 4);
    tiles_multiply(C, A, B);
    tiles_store(C, &c, 4);
    tiles_release();
    return c;
}

static void order(void)
{
    const uint32_t one = pair(1, 1), tiny = pair(0x1p-24f, 0), odd = pair(0, 0x1p-24f);
    ok(product(1, one, tiny, one, tiny) == 1 + 0x1p-23f, "products are added before c is");
    ok(product(0, one, pair(1, 0x1p-24f), one, odd) == 1 + 0x1p-23f,
       "the second ones apart from the first");
    ok(product(0, one, pair(1, 0), one, tiny) == 1, "half a unit is rounded to even");
    ok(product(0, one, pair(1 + 0x1p-7f, 0), pair(1 + 0x1p-7f, 0), pair(0x1p-17f, 0)) ==
           1 + 0x1p-7f + 0x1p-17f,
       "a product is not");
    ok(product(0, one, pair(0x1p-126f, 0), pair(0x1p-70f, 0), pair(-0x1p-70f, 0)) == 0,
       "nor is it rounded to 0 before it is added; the sum is, below 2^-126");
    ok(product(0, pair(0x1p-130f, 1), pair(0x1p120f, 0), 0, 0) == 0, "denormals of a are 0");
    ok(product(0x1p-130f, one, pair(0x1p-126f, 0), 0, 0) == 0x1p-126f, "those of c too");
    ok(isnan(product(0, one, pair(INFINITY, 0), one, pair(-INFINITY, 0))), "infinities less such");
    volatile float small = 0x1p-130f;
    ok(small * 0.5f == 0x1p-131f, "the thread's own numbers have denormals");
}

static void *elsewhere(void *arg UNUSED)
{
    float five = 5;
    configure(1, 1, 1);
    tiles_load(C, &five, 4);
    return NULL;
}

static void threads(void)
{
    pthread_t thread;
    float c = 3;
    configure(1, 1, 1);
    tiles_load(C, &c, 4);
    pthread_create(&thread, NULL, elsewhere, NULL);
    pthread_join(thread, NULL);
    tiles_store(C, &c, 4);
    tiles_release();
    ok(c == 3, "a thread has its own tiles");
}

/* -- the real one -------------------------------------------------------------------------- */

struct operands {
    float c[16][16];
    uint32_t a[16][16], b[16][16];
};

__attribute__((target("amx-tile,amx-bf16"))) static void multiply_really(struct operands *o)
{
    static const struct config full = { .palette = 1,
                                        .bytes = { 64, 64, 64 },
                                        .rows = { 16, 16, 16 } };
    _tile_loadconfig(&full);
    _tile_loadd(0, o->c, 64);
    _tile_loadd(1, o->a, 64);
    _tile_loadd(2, o->b, 64);
    _tile_dpbf16ps(0, 1, 2);
    _tile_stored(0, o->c, 64);
    _tile_release();
}

static void multiply(struct operands *o)
{
    configure(16, 16, 16);
    tiles_load(C, o->c, 64);
    tiles_load(A, o->a, 64);
    tiles_load(B, o->b, 64);
    tiles_multiply(C, A, B);
    tiles_store(C, o->c, 64);
    tiles_release();
}

/* Numbers of all sizes, of which many sums are denormal, and some infinite. */
static void draw(struct rng *r, struct operands *o)
{
    for (size_t i = 0; i < 16; i++)
        for (size_t k = 0; k < 16; k++) {
            int e = (int)rng_below(r, 280) - 150;
            o->c[i][k] = ldexpf(rng_normal(r), e);
            o->a[i][k] = pair(ldexpf(rng_normal(r), e / 2), ldexpf(rng_normal(r), -60));
            o->b[i][k] = pair(rng_normal(r), ldexpf(rng_normal(r), -66));
        }
}

static void real(void)
{
    struct operands mine, its;
    struct rng r;
    bool same = true;
    if (!(isa_detect() & ISA_AMX)) {
        ok(true, "the same as a real one # SKIP there is none");
        return;
    }
    rng_init(&r, t_seed(), RNG_TEST, 1, 0, 0);
    for (int i = 0; i < 100; i++) {
        draw(&r, &mine);
        its = mine;
        multiply(&mine);
        multiply_really(&its);
        same = same && memcmp(&mine, &its, sizeof mine) == 0;
    }
    ok(same, "the same as a real one");
}

/* -- mistakes ------------------------------------------------------------------------------ */

static void bad_config(size_t i)
{
    struct config c = config_of(1, 1, 1);
    uint8_t *byte[] = { &c.palette, &c.start, &c.reserved[5], &c.rows[C], &c.rows[NONE] };
    *byte[i] = 17;
    tiles_configure(&c);
}

static void no_such_tile(size_t i)
{
    struct config c = config_of(1, 1, 1);
    c.rows[8] = 1;
    c.bytes[8] = 4;
    if (i == 0)
        tiles_configure(&c);
    configure(1, 1, 1);
    tiles_zero(8);
}

static void not_configured(size_t i)
{
    float c = 0;
    if (i > 0)
        configure(1, 1, 1);
    if (i == 1)
        tiles_load(NONE, &c, 4);
    tiles_release();
    tiles_store(C, &c, 4);
}

static void strides(size_t i)
{
    float c[8] = { 0 };
    configure(2, 4, 1);
    if (i == 0)
        tiles_load(C, c, 0);
    tiles_store(C, c, 12);
}

static void no_product(size_t i)
{
    static const int tile[][3] = { { A, A, B }, { C, A, A }, { C, B, A } };
    configure(2, 4, 3);
    tiles_multiply(tile[i][0], tile[i][1], tile[i][2]);
}

/* What the program says when it makes the i-th mistake of a kind; "" if it lives on. */
static const char *last_words(void (*make)(size_t i), size_t i)
{
    static char text[256];
    int fd[2], status;
    size_t n = 0;
    ssize_t more;
    fflush(stdout);
    if (pipe(fd) < 0)
        return "";
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[1], STDOUT_FILENO);
        make(i);
        _exit(0);
    }
    close(fd[1]);
    while (n < sizeof text - 1 && (more = read(fd[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)more;
    close(fd[0]);
    text[n] = '\0';
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? text : "";
}

static void mistakes(void)
{
    static const struct {
        void (*make)(size_t i);
        size_t i;
        const char *words;
    } all[] = {
        { bad_config, 0, "palette 17" },
        { bad_config, 1, "begin at row 17" },
        { bad_config, 2, "byte 7 of a configuration" },
        { bad_config, 3, "tile 0 is to have 17 rows of 4 bytes" },
        { bad_config, 4, "tile 7 is to have 17 rows of 0 bytes" },
        { no_such_tile, 0, "no tile 8" },
        { no_such_tile, 1, "no tile 8" },
        { not_configured, 0, "released that are not configured" },
        { not_configured, 1, "tile 7 is used, which has no rows" },
        { not_configured, 2, "before tiles are configured" },
        { strides, 0, "loaded from rows 0 bytes apart" },
        { strides, 1, "stored to rows 12 bytes apart" },
        { no_product, 0, "are not three" },
        { no_product, 1, "are not three" },
        { no_product, 2, "2 rows of 16 bytes are to be the product of 3 of 16 and 2 of 12" },
    };
    for (size_t m = 0; m < ARRAY_LEN(all); m++)
        ok(strstr(last_words(all[m].make, all[m].i), all[m].words) != NULL, "it ends: %s",
           all[m].words);
}

int main(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f")) {
        printf("1..0 # SKIP this processor has no AVX-512\n");
        return 0;
    }
    mistakes(); /* while there is one thread */
    whole();
    order();
    threads();
    real();
    return done();
}
