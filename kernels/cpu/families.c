/*
 * families.c - families whose whole code is compiled once an instruction set: the best one there is
 * fills the table.
 */
#include "kernels/cpu/cpu.h"

#define FAMILY(name)                                                                               \
    void cpu_set_##name##_generic(struct kern_ops *o), cpu_set_##name##_avx2(struct kern_ops *o),  \
        cpu_set_##name##_avx512(struct kern_ops *o);                                               \
    void cpu_init_##name(struct kern_ops *o, unsigned isa)                                         \
    {                                                                                              \
        (isa & ISA_AVX512 ? cpu_set_##name##_avx512                                                \
         : isa & ISA_AVX2 ? cpu_set_##name##_avx2                                                  \
                          : cpu_set_##name##_generic)(o);                                          \
    }
FAMILY(norm)
FAMILY(pool)
FAMILY(dense)
FAMILY(contrast)
FAMILY(optim)
