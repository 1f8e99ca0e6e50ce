/*
 * ops_cpu.c - the CPU's table: the definitions, overwritten family by family with what is faster.
 */
#include "kernels/cpu/cpu.h"

void ops_init_cpu(struct kern_ops *ops, unsigned isa)
{
    *ops = ops_ref; /* every slot is filled, always */
    if (isa == ISA_REF)
        return;
    cpu_init_conv(ops, isa);
    cpu_init_norm(ops, isa);
    cpu_init_pool(ops, isa);
    cpu_init_sk(ops, isa);
    cpu_init_dense(ops, isa);
    cpu_init_contrast(ops, isa);
    cpu_init_knn(ops, isa);
    cpu_init_optim(ops, isa);
    cpu_init_augment(ops, isa);
    cpu_init_memory(ops);
}
