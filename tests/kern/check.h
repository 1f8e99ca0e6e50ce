/*
 * check.h - what the tests of kernels share: handles for every instruction set and thread count,
 * random buffers between guard pages, comparison of arrays and finite differences.
 *
 * With CHECK_DEVICE=cuda in the environment the instruction sets are "ref" and "cuda", a mirrored
 * handle (mirror.h) of the first CUDA device that the plugin has, by SEMPPL_CUDA a fake one.
 *
 * A test program is
 *     int main(void)
 *     {
 *         check_init();
 *         ... for (int i = 0; check_isa(i); i++) { struct kern *kn = check_open(check_isa(i), 2);
 * ... return done();
 *     }
 * The macros below are test points of t.h, and belong to the file that uses them.
 */
#ifndef SEMPPL_CHECK_H
#define SEMPPL_CHECK_H

#include "kernels/kern.h"
#include "tests/t.h"

void check_init(void);

/* The i-th of "ref", "generic", "avx2", "avx512", "avx512bf16", "amx" that this machine has; NULL
 * behind the last. */
const char *check_isa(int i);
const char *check_best_isa(void);

/* A handle with a pool of its own; on the CPU, SEMPPL_ISA being isa. Exits if that fails. */
struct kern *check_open(const char *isa, int threads);
void check_close(struct kern *kn);
/* The types of storage that the instruction sets have, for loops from KERN_F32 to the last; "f32"
 * and so on; and the largest error of rounding to one, in parts of a number that is no denormal. */
enum kern_type check_last_type(void);
const char *check_type_name(enum kern_type type);
double check_half_unit(enum kern_type type);
/* Is a case of so many operations to be left out? Those of more than 10 million are with
 * CHECK_QUICK in the environment, as where a device is made of threads of the host. */
bool check_too_large(size_t operations);

/* Thread counts between which results may not differ by a bit: 1, 2, 48. A device has none of its
 * own to choose, and is asked twice. */
extern const int check_threads[];
extern int check_nthreads;

/*
 * Buffers. The last byte is followed by an inaccessible page and the page with the first byte is
 * preceded by one; bytes between that and the buffer hold a pattern. So the start is only as
 * aligned as the size: kernels that want more must be given check_aligned(), which starts at 64
 * bytes and has up to 63 bytes of pattern (NaN, read as floats) behind it.
 */
void *check_bytes(size_t nbytes);   /* all NaN, read as a type of storage */
void *check_aligned(size_t nbytes); /* likewise */
float *check_buf(size_t n);         /* n floats of check_bytes() */
float *check_zeros(size_t n);
float *check_normal(size_t n); /* standard normal, a function of T_SEED and how many came before */
float *check_uniform(size_t n, float lo, float hi);
int32_t *check_ints(size_t n, int32_t lo, int32_t hi); /* lo .. hi - 1 */
float *check_copy(const float *x, size_t n);
/* x stored as type, for kernels; and back. */
void *check_typed(enum kern_type type, const float *x, size_t n);
float *check_floats(enum kern_type type, const void *x, size_t n);
float *check_rounded(enum kern_type type, float *x, size_t n); /* there and back */
/* x to 10 bits behind the point, ties away from 0, as TF32 has it; no NaN. */
float *check_tf32(const float *x, size_t n);
/* Does the device use TF32 wherever kern_tf32() allows it? That of tests does; another as is
 * faster. */
bool check_tf32_always(const struct kern *kn);
/* Every NaN of bfloat16 or float16 becomes one: which it is, is not defined. */
void check_one_nan(enum kern_type type, void *x, size_t n);
/* Unmaps every buffer made since the last call; false (with a diagnosis) if the pattern around one
 * is damaged. As a test point: check_release(). */
bool check_release_(void);
#define check_release(...) ok(check_release_(), "nothing is written around the buffers" __VA_ARGS__)

/* max |x|; 0 of nothing. */
double check_most(const float *x, size_t n);

/* Test point: every |got - want| <= tol; the worst element is named on failure. NaN fails. */
#define check_near(got, want, n, tol, ...) ok(check_near_((got), (want), (n), (tol)), __VA_ARGS__)
bool check_near_(const float *got, const float *want, size_t n, double tol);
/* Test point: likewise; got was rounded to type, which may add half a unit of its last place. */
#define check_near_as(type, got, want, n, tol, ...)                                                \
    ok(check_near_as_((type), (got), (want), (n), (tol)), __VA_ARGS__)
bool check_near_as_(enum kern_type type, const float *got, const float *want, size_t n, double tol);
/* Test point: the same bits. */
#define check_same(got, want, nbytes, ...) ok(check_same_((got), (want), (nbytes)), __VA_ARGS__)
bool check_same_(const void *got, const void *want, size_t nbytes);

/*
 * Test point: grad [n] is the derivative of f(arg) by x [n], by central differences of the given
 * step at up to 24 elements drawn from the seed (all, if there are not more). x is restored.
 */
#define check_gradient(f, arg, x, n, grad, step, tol, ...)                                         \
    ok(check_gradient_((f), (arg), (x), (n), (grad), (step), (tol)), __VA_ARGS__)
bool check_gradient_(double (*f)(void *arg), void *arg, float *x, size_t n, const float *grad,
                     double step, double tol);
/*
 * How far off a sum of n numbers in float32 may be that are drawn with mean 0 and deviation size,
 * products of two or not, whatever the order it is made in: an addition is off by 2^-24 of what it
 * makes, that of i numbers by size * sqrt(i) of this, and no order makes more than the sums of 1, 2
 * .. n numbers. Eight deviations of all these errors together, which are independent too (Higham
 * and Mary, "Sharper probabilistic backward error analysis for basic linear algebra kernels with
 * random data", SIAM J. Sci. Comput. 42, 2020).
 */
double check_sum_error(size_t n, double size);
/* sum x*y in double: the usual scalar that makes a gradient of an array. */
double check_dot(const float *x, const float *y, size_t n);

#endif
