/*
 * ahead.h - a tensor's part that is needed soon, asked for a little with each piece of work, so
 * that it arrives from memory while there is something to calculate.
 */
#ifndef SEMPPL_CPU_AHEAD_H
#define SEMPPL_CPU_AHEAD_H

#include "kernels/cpu/cpu.h"

struct ahead {
    const uint8_t *at, *end;
    size_t each; /* bytes a piece of work */
};

enum { AHEAD_LINE = 64 }; /* bytes that memory gives at once */

/* For so many pieces of work. */
static inline struct ahead ahead_begin(const void *from, size_t bytes, size_t pieces)
{
    const uint8_t *at = from;
    return (struct ahead){ at, at + bytes, bytes / MAX(pieces, (size_t)1) + AHEAD_LINE };
}

static inline void ahead_look(struct ahead *a)
{
    const uint8_t *to = a->at + MIN(a->each, (size_t)(a->end - a->at));
    for (; a->at < to; a->at += AHEAD_LINE)
        __builtin_prefetch(a->at, 0, 2);
    a->at = MIN(a->at, a->end);
}

#endif
