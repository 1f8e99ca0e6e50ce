/*
 * isa.c - asks the CPU (and, through it, the operating system) which vector instructions work.
 */
#include "kernels/isa.h"
#include "common/base/base.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bits; /* the set and everything below it */
} sets[] = {
    { "ref", ISA_REF },
    { "generic", ISA_GENERIC },
#if defined(__x86_64__)
    { "avx2", ISA_GENERIC | ISA_AVX2 },
    { "avx512", ISA_GENERIC | ISA_AVX2 | ISA_AVX512 },
    { "avx512bf16", ISA_GENERIC | ISA_AVX2 | ISA_AVX512 | ISA_AVX512BF16 },
    { "amx", ISA_GENERIC | ISA_AVX2 | ISA_AVX512 | ISA_AVX512BF16 | ISA_AMX },
#endif
};

unsigned isa_detect(void)
{
    unsigned isa = ISA_GENERIC;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        isa |= ISA_AVX2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            isa |= ISA_AVX512;
        if (isa & ISA_AVX512 && __builtin_cpu_supports("avx512bf16"))
            isa |= ISA_AVX512BF16;
        if (isa & ISA_AVX512BF16 && isa_tiles())
            isa |= ISA_AMX;
    }
#endif
    const char *wish = getenv("SEMPPL_ISA");
    for (size_t i = 0; wish && i < ARRAY_LEN(sets); i++)
        if (strcmp(wish, sets[i].name) == 0)
            isa &= sets[i].bits;
    return isa;
}

const char *isa_name(unsigned isa)
{
    size_t best = ARRAY_LEN(sets) - 1;
    while (best > 0 && (isa & sets[best].bits) != sets[best].bits)
        best--;
    return sets[best].name;
}
