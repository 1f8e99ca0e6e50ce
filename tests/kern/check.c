/*
 * check.c - handles, guarded buffers and comparisons for the tests of kernels.
 */
#include "tests/kern/check.h"
#include "common/base/rng.h"
#include "kernels/isa.h"
#include "kernels/ops.h"
#include "tests/kern/mirror.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const int check_threads[] = { 1, 2, 48 };
int check_nthreads = 3;

static const char *isas[7]; /* what this machine has, NULL behind */
static uint64_t drawn;      /* random buffers so far */
static const char on_device[] = "cuda";

__attribute__((noreturn)) static void die(const char *what)
{
    printf("Bail out! %s\n", what);
    exit(1);
}

void check_init(void)
{
    static const char *const all[] = { "ref", "generic", "avx2", "avx512", "avx512bf16", "amx" };
    const char *asked = getenv("CHECK_DEVICE");
    int n = 0;
    if (asked && strcmp(asked, on_device) == 0) {
        isas[0] = all[0];
        isas[1] = on_device;
        check_nthreads = 2;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        setenv("SEMPPL_ISA", all[i], 1);
        if (strcmp(isa_name(isa_detect()), all[i]) == 0)
            isas[n++] = all[i];
    }
    unsetenv("SEMPPL_ISA");
}

const char *check_isa(int i)
{
    return isas[i];
}

const char *check_best_isa(void)
{
    int i = 0;
    while (isas[i + 1])
        i++;
    return isas[i];
}

enum kern_type check_last_type(void)
{
    return strcmp(check_best_isa(), on_device) == 0 ? KERN_F16 : KERN_BF16;
}

const char *check_type_name(enum kern_type type)
{
    static const char *const names[] = { "f32", "bf16", "f16" };
    return names[type];
}

double check_half_unit(enum kern_type type)
{
    static const double unit[] = { 0x1p-24, 0x1p-8, 0x1p-11 };
    return unit[type];
}

bool check_too_large(size_t operations)
{
    return getenv("CHECK_QUICK") && operations > 10000000;
}

enum { PATTERN = 0xff }; /* NaN in all types of storage, -1 in integers */

/* What earlier tasks left in a worker's memory, or nobody wrote, must not reach a result. */
static void spoil_scratch(struct kern *kn)
{
    enum { EACH = 2 << 20, SHARED = 8 << 20 };
    void *shared = kern_shared(kn, SHARED);
    if (!shared || kern_scratch(kn, EACH) < 0)
        die("no memory for scratch");
    memset(shared, PATTERN, SHARED);
    for (int i = 0; i < pool_threads(kn->pool); i++)
        memset(kern_scratch_of(kn, i), PATTERN, EACH);
}

static struct kern *open_device(struct pool *pool)
{
    struct kern *kn;
    const char *why;
    if (kern_open_cuda(&kn, 0, pool, &why) < 0)
        die(why);
    mirror(kn);
    return kn;
}

struct kern *check_open(const char *isa, int threads)
{
    struct pool *pool;
    struct kern *kn;
    if (pool_open(&pool, threads) < 0)
        die("cannot start threads");
    if (strcmp(isa, on_device) == 0)
        return open_device(pool);
    setenv("SEMPPL_ISA", isa, 1);
    if (kern_open(&kn, pool) < 0)
        die("cannot open a kernel handle");
    unsetenv("SEMPPL_ISA");
    spoil_scratch(kn);
    return kn;
}

void check_close(struct kern *kn)
{
    struct pool *pool = kn->pool;
    kern_close(kn);
    pool_close(pool);
}

/* -- buffers ------------------------------------------------------------------------------- */

struct guarded {
    struct guarded *next;
    uint8_t *map, *start;
    size_t map_bytes, nbytes;
};
static struct guarded *buffers;

static void *guarded(size_t nbytes, size_t align)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (nbytes + page) / page * page;
    struct guarded *g = malloc(sizeof(*g));
    if (!g)
        die("no memory");
    g->nbytes = nbytes;
    g->map_bytes = inner + 2 * page;
    g->map = mmap(NULL, g->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->map == MAP_FAILED || mprotect(g->map + page, inner, PROT_READ | PROT_WRITE))
        die("no memory");
    memset(g->map + page, PATTERN, inner);
    g->start = g->map + page + (inner - nbytes) / align * align;
    g->next = buffers;
    buffers = g;
    return g->start;
}

void *check_bytes(size_t nbytes)
{
    return guarded(nbytes, 1);
}

void *check_aligned(size_t nbytes)
{
    return guarded(nbytes, 64);
}

bool check_release_(void)
{
    bool good = true;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    while (buffers) {
        struct guarded *g = buffers;
        uint8_t *end = g->map + g->map_bytes - page;
        bool whole = true;
        for (const uint8_t *p = g->map + page; p < g->start; p++)
            whole &= *p == PATTERN;
        for (const uint8_t *p = g->start + g->nbytes; p < end; p++)
            whole &= *p == PATTERN;
        if (!whole)
            printf("# bytes around a buffer of %zu were written\n", g->nbytes);
        good &= whole;
        buffers = g->next;
        munmap(g->map, g->map_bytes);
        free(g);
    }
    return good;
}

float *check_buf(size_t n)
{
    return check_bytes(n * sizeof(float));
}

float *check_zeros(size_t n)
{
    return memset(check_buf(n), 0, n * sizeof(float));
}

/* A sequence of draws for each 4096 elements of each buffer. */
static void restart(struct rng *r, size_t i)
{
    if (i % 4096 == 0)
        rng_init(r, t_seed(), RNG_TEST, i / 4096, drawn, 0);
}

float *check_normal(size_t n)
{
    float *x = check_buf(n);
    struct rng r = { 0 };
    for (size_t i = 0; i < n; i++) {
        restart(&r, i);
        double radius = sqrt(-2 * log(1 - (double)rng_float(&r)));
        x[i] = (float)(radius * cos(6.283185307179586 * (double)rng_float(&r)));
    }
    drawn++;
    return x;
}

float *check_uniform(size_t n, float lo, float hi)
{
    float *x = check_buf(n);
    struct rng r = { 0 };
    for (size_t i = 0; i < n; i++) {
        restart(&r, i);
        x[i] = rng_range(&r, lo, hi);
    }
    drawn++;
    return x;
}

int32_t *check_ints(size_t n, int32_t lo, int32_t hi)
{
    int32_t *x = check_bytes(n * sizeof(*x));
    struct rng r = { 0 };
    for (size_t i = 0; i < n; i++) {
        restart(&r, i);
        x[i] = lo + (int32_t)rng_below(&r, (uint32_t)(hi - lo));
    }
    drawn++;
    return x;
}

float *check_copy(const float *x, size_t n)
{
    return memcpy(check_buf(n), x, n * sizeof(float));
}

void *check_typed(enum kern_type type, const float *x, size_t n)
{
    void *p = check_bytes(n * kern_sizeof(type));
    for (size_t i = 0; i < n; i++)
        kern_store(type, p, i, x[i]);
    return p;
}

float *check_floats(enum kern_type type, const void *x, size_t n)
{
    float *f = check_buf(n);
    for (size_t i = 0; i < n; i++)
        f[i] = kern_load(type, x, i);
    return f;
}

float *check_rounded(enum kern_type type, float *x, size_t n)
{
    return type == KERN_F32 ? x : check_floats(type, check_typed(type, x, n), n);
}

float *check_tf32(const float *x, size_t n)
{
    float *f = check_copy(x, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &f[i], sizeof bits);
        bits = (bits + 0x1000u) & ~0x1fffu;
        memcpy(&f[i], &bits, sizeof bits);
    }
    return f;
}

bool check_tf32_always(const struct kern *kn)
{
    return strstr(kern_describe(kn), "fibers") != NULL;
}

void check_one_nan(enum kern_type type, void *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(kern_load(type, x, i)))
            kern_store(type, x, i, NAN);
}

/* -- comparisons --------------------------------------------------------------------------- */

double check_most(const float *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

bool check_near_(const float *got, const float *want, size_t n, double tol)
{
    size_t worst = 0, wrong = 0;
    double most = -1;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - want[i]);
        if (got[i] == want[i])
            off = 0; /* equal infinities */
        if (isnan(off))
            off = INFINITY;
        wrong += off > tol;
        if (off > most) {
            most = off;
            worst = i;
        }
    }
    if (wrong)
        printf("# %zu of %zu are off; the worst, [%zu], is %.9g, want %.9g, tolerance %.3g\n",
               wrong, n, worst, (double)got[worst], (double)want[worst], tol);
    return wrong == 0;
}

bool check_near_as_(enum kern_type type, const float *got, const float *want, size_t n, double tol)
{
    if (type == KERN_F32)
        return check_near_(got, want, n, tol);
    double unit = check_half_unit(type), denormal = type == KERN_F16 ? 0x1p-25 : 0;
    float *off = check_buf(n), *zero = check_zeros(n); /* in units of what is allowed */
    for (size_t i = 0; i < n; i++)
        off[i] = (float)((got[i] - want[i]) / (tol + fabs(want[i]) * unit + denormal));
    return check_near_(off, zero, n, 1);
}

bool check_same_(const void *got, const void *want, size_t nbytes)
{
    const uint8_t *g = got, *w = want;
    for (size_t i = 0; i < nbytes; i++)
        if (g[i] != w[i]) {
            printf("# the first byte that differs is %zu of %zu\n", i, nbytes);
            return false;
        }
    return true;
}

double check_sum_error(size_t n, double size)
{
    double additions = (double)n / sqrt(2), products = sqrt((double)n);
    return 8 * 0x1p-24 * size * (additions + products + 1);
}

double check_dot(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

bool check_gradient_(double (*f)(void *arg), void *arg, float *x, size_t n, const float *grad,
                     double step, double tol)
{
    enum { SAMPLES = 24 };
    bool good = true;
    struct rng r;
    rng_init(&r, t_seed(), RNG_TEST, 1u << 31, drawn++, 1);
    for (size_t j = 0; j < MIN(n, (size_t)SAMPLES); j++) {
        size_t i = n > SAMPLES ? rng_below(&r, (uint32_t)n) : j;
        float old = x[i], above = (float)(old + step), below = (float)(old - step);
        x[i] = above;
        double high = f(arg);
        x[i] = below;
        double low = f(arg);
        x[i] = old;
        double slope = (high - low) / ((double)above - below);
        if (!(fabs(slope - grad[i]) <= tol)) {
            printf("# [%zu]: gradient %.9g, difference quotient %.9g, tolerance %.3g\n", i,
                   (double)grad[i], slope, tol);
            good = false;
        }
    }
    return good;
}
