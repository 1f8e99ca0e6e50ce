/*
 * memory.c - the CPU's device memory is ordinary memory.
 */
#include "common/base/avail.h"
#include "common/base/mem.h"
#include "kernels/ref/ref.h"
#include <stdlib.h>
#include <string.h>

void *ref_alloc(struct kern *kn UNUSED, size_t nbytes)
{
    return mem_zeroed(nbytes);
}

void ref_free(struct kern *kn UNUSED, void *dev)
{
    free(dev);
}

uint64_t ref_available(struct kern *kn UNUSED)
{
    return mem_available();
}

/* Of the fast kernels too: sums of parts, and where weights' gradients go by tiles, one operand of
 * a convolution once more. */
uint64_t ref_overhead(struct kern *kn UNUSED, const struct kern_conv *cv)
{
    enum { SUMS = 48 << 20 };
    uint64_t operand = cv->n * MAX(cv->h * cv->w * cv->c, cv->oh * cv->ow * cv->k);
    return SUMS + (cv->type == KERN_F32 ? 0 : operand * kern_sizeof(cv->type));
}

int ref_put(struct kern *kn UNUSED, void *dev, const void *host, size_t nbytes)
{
    memcpy(dev, host, nbytes);
    return 0;
}

int ref_get(struct kern *kn UNUSED, void *host, const void *dev, size_t nbytes)
{
    memcpy(host, dev, nbytes);
    return 0;
}

int ref_zero(struct kern *kn UNUSED, void *dev, size_t nbytes)
{
    memset(dev, 0, nbytes);
    return 0;
}

int ref_sync(struct kern *kn UNUSED)
{
    return 0; /* every call has ended when it returns */
}

int ref_record(struct kern *kn UNUSED)
{
    return -ENOTSUP; /* calls cost nothing beside their work */
}
