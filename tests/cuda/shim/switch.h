/*
 * switch.h - from one stack to another: fiber_switch() stores where we are and goes on where other
 * stood; fiber_new() makes a stack on which entry() starts. Sanitizers are told.
 */
#ifndef SHIM_SWITCH_H
#define SHIM_SWITCH_H

#include <stddef.h>

struct fiber {
    void *sp;
    const void *stack; /* its lowest address, and size */
    size_t size;
    void *fake; /* AddressSanitizer's own stack of this fiber */
};

void fiber_new(struct fiber *f, void (*entry)());
void fiber_switch(struct fiber *from, struct fiber *to);
/* The first thing that entry() does. */
void fiber_entered();

#endif
