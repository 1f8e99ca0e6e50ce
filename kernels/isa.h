/*
 * isa.h - what the CPU can do, found at run time, and the mask that tests and users may set.
 */
#ifndef SEMPPL_ISA_H
#define SEMPPL_ISA_H

#include <stdbool.h>

/* Sets of one kind of processor are no bit on another, where their files are not compiled: what
 * asks for them falls away. */
#if defined(__x86_64__)
#define ISA_X86(bit) (1 << (bit))
#else
#define ISA_X86(bit) 0
#endif

enum {
    ISA_REF = 0,                 /* only the definitions of ref/ */
    ISA_GENERIC = 1 << 0,        /* cpu/ in portable C */
    ISA_AVX2 = ISA_X86(1),       /* and FMA */
    ISA_AVX512 = ISA_X86(2),     /* F, BW, DQ, VL */
    ISA_AVX512BF16 = ISA_X86(3), /* and products of bfloat16 */
    ISA_AMX = ISA_X86(4),        /* and tiles of it */
};

/*
 * Bits of what is there, lowered by SEMPPL_ISA = ref, generic, avx2, avx512, avx512bf16 or
 * amx in the environment. An unknown word is ignored. Never reports what the CPU or the operating
 * system lacks.
 */
unsigned isa_detect(void);
const char *isa_name(unsigned isa); /* of the best bit: "amx" ... */

/*
 * Are there tiles of bfloat16? Linux wants to be asked for them, which this does: they make a
 * thread's state 8 KiB larger (Linux, Documentation/arch/x86/xstate.rst).
 */
bool isa_tiles(void);

#endif
