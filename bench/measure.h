/*
 * measure.h - what all benchmarks share, be they of the CPU or of a device: seconds, and operands.
 */
#ifndef SEMPPL_BENCH_MEASURE_H
#define SEMPPL_BENCH_MEASURE_H

#include "kernels/kern.h"

__attribute__((noreturn)) void bench_die(const char *what);
/* Seconds of f(arg): the best of several calls that last some tenths of a second together. */
double bench_seconds(void (*f)(void *arg), void *arg);
/* n numbers from -1 to 1, 64-byte aligned; free() releases them. */
void *bench_random(enum kern_type type, size_t n);

#endif
