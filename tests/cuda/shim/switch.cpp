/*
 * switch.cpp - stacks, and going from one to another: what a called function has to preserve goes
 * onto the old stack and comes from the new one (System V ABI for x86-64, AAPCS64).
 */
#include "switch.h"
#include "shim.h"
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES ((size_t)512 << 10)
#else
#define STACK_BYTES ((size_t)128 << 10)
#endif
#define GUARD_BYTES ((size_t)64 << 10)

extern "C" void shim_switch(void **save, void *sp);

#if defined(__x86_64__)
asm(R"(
    .text
    .hidden shim_switch
    .globl shim_switch
    .type shim_switch, @function
shim_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size shim_switch, . - shim_switch
)");
/* Words from the stored stack pointer to the top: six registers, the return, and one to align. */
enum { FRAME = 8, RETURN = 6 };
#elif defined(__aarch64__)
asm(R"(
    .text
    .hidden shim_switch
    .globl shim_switch
    .type shim_switch, %function
shim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size shim_switch, . - shim_switch
)");
enum { FRAME = 20, RETURN = 11 };
#else
#error "no context switch for this processor"
#endif

static fiber *left; /* by the last switch */

UNSEEN void fiber_new(fiber *f, void (*entry)())
{
    char *p = (char *)mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, GUARD_BYTES, PROT_NONE) < 0)
        shim_die("no memory for another stack");
    *f = fiber{};
    f->stack = p + GUARD_BYTES;
    f->size = STACK_BYTES;
    void **top = (void **)(p + GUARD_BYTES + STACK_BYTES) - FRAME;
    top[RETURN] = (void *)entry;
    f->sp = top;
}

UNSEEN void fiber_entered()
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, &left->stack, &left->size);
#endif
}

UNSEEN void fiber_switch(fiber *from, fiber *to)
{
    left = from;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake, to->stack, to->size);
#endif
    shim_switch(&from->sp, to->sp);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from->fake, &left->stack, &left->size);
#endif
}
