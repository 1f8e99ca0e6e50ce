/*
 * ahead.h - a tensor's part that is needed soon, asked for a little with each piece of work, so
 * that it arrives from memory while there is something to calculate. For files that are compiled
 * for AVX-512.
 */
#ifndef SEMPPL_CPU_AHEAD_H
#define SEMPPL_CPU_AHEAD_H

#include "kernels/cpu/cpu.h"
#include <immintrin.h>

struct ahead {
    const uint8_t *at, *end;
    size_t each; /* bytes a piece of work */
};

/* For so many pieces of work. */
static inline struct ahead ahead_begin(const uint16_t *from, size_t numbers, size_t pieces)
{
    const uint8_t *at = (const uint8_t *)from;
    size_t bytes = numbers * sizeof *from;
    return (struct ahead){ at, at + bytes, bytes / MAX(pieces, (size_t)1) + 64 };
}

static inline void ahead_look(struct ahead *a)
{
    const uint8_t *to = a->at + MIN(a->each, (size_t)(a->end - a->at));
    for (; a->at < to; a->at += 64)
        _mm_prefetch(a->at, _MM_HINT_T1);
    a->at = MIN(a->at, a->end);
}

#endif
