/*
 * shim.h - between the files of the shim.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include "cuda_runtime.h"

/* For what runs between CUDA threads: ThreadSanitizer does not see it. */
#ifdef __SANITIZE_THREAD__
#define UNSEEN __attribute__((no_sanitize("thread")))
#else
#define UNSEEN
#endif

/* A kernel's start. */
struct shim_grid {
    const char *file, *function; /* who launched it */
    int line;
    dim3 grid, block;
    size_t shared;
    std::function<void()> thread;
};

/* fibers.cpp: runs all blocks, on the calling thread. One grid at a time. */
void shim_run(const shim_grid &grid);

/* Ends the program with a message. */
[[noreturn]] __attribute__((format(printf, 1, 2))) void shim_die(const char *format, ...);

/* Draws from SEMPPL_SHIM_SEED: a number below n. */
unsigned shim_draw(unsigned n);

#endif
