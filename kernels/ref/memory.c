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

uint64_t ref_overhead(struct kern *kn UNUSED, const struct kern_conv *cv)
{
    return cv->k * 2 * sizeof(double); /* sums of channels */
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
