/*
 * cpu.h - the fast kernels, family by family: each puts what it has faster than ref/ into the
 * table.
 *
 * What works on both types of storage has one source: inner functions are inlined with the type as
 * a constant, once for each.
 */
#ifndef SEMPPL_CPU_H
#define SEMPPL_CPU_H

#include "kernels/ref/ref.h"

void cpu_init_conv(struct kern_ops *o, unsigned isa);     /* conv_* */
void cpu_init_norm(struct kern_ops *o, unsigned isa);     /* bn_* */
void cpu_init_pool(struct kern_ops *o, unsigned isa);     /* maxpool_*, avgpool*_* */
void cpu_init_sk(struct kern_ops *o, unsigned isa);       /* sk_* */
void cpu_init_dense(struct kern_ops *o, unsigned isa);    /* gemm, bias_*, l2norm_*, copy_rows */
void cpu_init_contrast(struct kern_ops *o, unsigned isa); /* contrast_*, kl */
void cpu_init_knn(struct kern_ops *o, unsigned isa);      /* knn */
void cpu_init_optim(struct kern_ops *o, unsigned isa);    /* update, norm */
void cpu_init_augment(struct kern_ops *o, unsigned isa);  /* augment */
void cpu_init_memory(struct kern_ops *o);                 /* zero, overhead */

/* Where element i of an array of type lies; NULL stays NULL. */
static inline void *cpu_at(enum kern_type type, const void *p, size_t i)
{
    size_t each = type == KERN_F32 ? sizeof(float) : sizeof(uint16_t); /* no call: type is known */
    return p ? (uint8_t *)p + i * each : NULL;
}

/*
 * Into how many parts, at most so many, each of n equal tasks should be cut where that changes no
 * bit of the result, so that no thread waits long for another. pieces: what a task can be cut into;
 * again: what every part does over again, as a fraction of the task.
 */
size_t cpu_parts(const struct kern *kn, size_t n, size_t pieces, size_t most, double again);

/* Name of a function of a file that is compiled once an instruction set: ISA(cpu_bn_forward) ->
 * cpu_bn_forward_avx2. */
#define ISA_PASTE_(a, b) a##_##b
#define ISA_PASTE(a, b) ISA_PASTE_(a, b)
#define ISA(name) ISA_PASTE(name, ISA_SUFFIX)
/* Of such a name's three variants, the one for a handle. */
#define ISA_BEST(kn, name)                                                                         \
    ((kn)->isa & ISA_AVX512 ? &name##_avx512                                                       \
     : (kn)->isa & ISA_AVX2 ? &name##_avx2                                                         \
                            : &name##_generic)

#endif
