/*
 * handle.c - a handle: the device behind it, memory, and the order of its calls.
 */
#include "common/base/mem.h"
#include "kernels/plugin.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* -- opening and closing ------------------------------------------------------------------- */

static int open_cpu(struct kern **out, struct pool *pool, unsigned isa)
{
    *out = NULL;
    if (!pool)
        return -EINVAL;
    struct kern *kn = calloc(1, sizeof(*kn));
    if (!kn)
        return -ENOMEM;
    kn->pool = pool;
    kn->isa = isa;
    kn->fast_bf16 = (kn->isa & ISA_AMX) != 0;
    ops_init_cpu(&kn->ops, kn->isa);
    snprintf(kn->description, sizeof(kn->description), "cpu %s", isa_name(kn->isa));
    *out = kn;
    return 0;
}

int kern_open(struct kern **kn, struct pool *pool)
{
    return open_cpu(kn, pool, isa_detect());
}

int kern_open_ref(struct kern **kn, struct pool *pool)
{
    return open_cpu(kn, pool, ISA_REF);
}

/* The sentence of the thread's last failure to open a device. */
static _Thread_local char trouble[512];

int kern_open_cuda(struct kern **out, int index, struct pool *pool, const char **why)
{
    const struct kern_plugin *plugin;
    *out = NULL;
    int rc = plugin_load(&plugin, why);
    if (rc < 0)
        return rc;
    *why = trouble;
    struct kern *kn = calloc(1, sizeof(*kn));
    if (!kn || !pool) {
        snprintf(trouble, sizeof trouble, "no %s for a handle", pool ? "memory" : "pool");
        free(kn);
        return pool ? -ENOMEM : -EINVAL;
    }
    kn->pool = pool;
    kn->pool_run = pool_run;
    kn->device_index = index;
    if ((rc = plugin->open(kn, index, trouble, sizeof trouble)) < 0) {
        free(kn);
        return rc;
    }
    *out = kn;
    return 0;
}

int kern_count_cuda(const char **why)
{
    const struct kern_plugin *plugin;
    int rc = plugin_load(&plugin, why);
    if (rc < 0)
        return rc;
    *why = trouble;
    return plugin->count(trouble, sizeof trouble);
}

int kern_open_like(struct kern **kn, const struct kern *like, struct pool *pool)
{
    const char *why;
    return like->device_state ? kern_open_cuda(kn, like->device_index, pool, &why)
                              : kern_open(kn, pool);
}

int kern_report_cuda(char *text, size_t room, const char **why)
{
    const struct kern_plugin *plugin;
    *text = '\0';
    int rc = plugin_load(&plugin, why);
    if (rc < 0)
        return rc;
    int n = snprintf(text, room, "plugin: %s\n", plugin_path());
    if (n >= 0 && (size_t)n < room)
        plugin->report(text + n, room - (size_t)n);
    return 0;
}

void kern_close(struct kern *kn)
{
    const struct kern_plugin *plugin;
    const char *why;
    if (!kn)
        return;
    if (kn->device_state && plugin_load(&plugin, &why) == 0)
        plugin->close(kn);
    free(kn->scratch);
    free(kn->shared);
    free(kn);
}

const char *kern_describe(const struct kern *kn)
{
    return kn->description;
}

bool kern_fast_bf16(const struct kern *kn)
{
    return kn->fast_bf16;
}

int kern_tf32(struct kern *kn, bool on)
{
    if (!kn->device_state)
        return -ENOTSUP;
    kn->tf32 = on;
    return 0;
}

bool kern_apart(const struct kern *kn)
{
    return kn->device_state != NULL;
}

const char *kern_trouble(const struct kern *kn)
{
    const struct kern_plugin *plugin;
    const char *why;
    return kn->device_state && plugin_load(&plugin, &why) == 0 ? plugin->trouble() : NULL;
}

int kern_measure(struct kern *kn, double *copy, double *product)
{
    const struct kern_plugin *plugin;
    const char *why;
    *copy = *product = 0;
    if (!kn->device_state || plugin_load(&plugin, &why) < 0)
        return -ENOTSUP;
    return plugin->measure(kn, copy, product);
}

size_t kern_sizeof(enum kern_type type)
{
    return type == KERN_F32 ? sizeof(float) : sizeof(uint16_t);
}

bool kern_has(const struct kern *kn, enum kern_type type)
{
    return type != KERN_F16 || kn->device_state || kn->isa == ISA_REF;
}

/* Makes *block at least size bytes long; what it held is lost. */
static int at_least(uint8_t **block, size_t *have, size_t size)
{
    if (*have >= size)
        return 0;
    free(*block);
    *have = 0;
    *block = mem_block(size);
    if (!*block)
        return -ENOMEM;
    *have = size;
    return 0;
}

int kern_scratch(struct kern *kn, size_t bytes)
{
    size_t each, total, have = kn->scratch_each * (size_t)pool_threads(kn->pool);
    if (bytes <= kn->scratch_each)
        return 0;
    if (bytes > PTRDIFF_MAX / 2)
        return -ENOMEM;
    /* A few cache lines beyond whole pages: workers' pieces do not compete for the same sets. */
    each = (bytes + 4095) / 4096 * 4096 + 192;
    if (__builtin_mul_overflow(each, (size_t)pool_threads(kn->pool), &total))
        return -ENOMEM;
    kn->scratch_each = 0;
    if (at_least(&kn->scratch, &have, total))
        return -ENOMEM;
    kn->scratch_each = each;
    return 0;
}

void *kern_scratch_of(struct kern *kn, int worker)
{
    return kn->scratch + (size_t)worker * kn->scratch_each;
}

void *kern_shared(struct kern *kn, size_t bytes)
{
    if (bytes > PTRDIFF_MAX / 2)
        return NULL;
    bytes = (bytes + 4096) / 4096 * 4096; /* never empty */
    return at_least(&kn->shared, &kn->shared_size, bytes) ? NULL : kn->shared;
}

/* -- memory -------------------------------------------------------------------------------- */

void *kern_alloc(struct kern *kn, size_t nbytes)
{
    return kn->ops.alloc(kn, nbytes);
}

void kern_free(struct kern *kn, void *dev)
{
    if (dev)
        kn->ops.free(kn, dev);
}

uint64_t kern_available(struct kern *kn)
{
    return kn->ops.available(kn);
}

uint64_t kern_overhead(struct kern *kn, const struct kern_conv *cv)
{
    return kn->ops.overhead(kn, cv);
}

int kern_put(struct kern *kn, void *dev, const void *host, size_t nbytes)
{
    return nbytes ? kn->ops.put(kn, dev, host, nbytes) : 0;
}

int kern_get(struct kern *kn, void *host, const void *dev, size_t nbytes)
{
    return nbytes ? kn->ops.get(kn, host, dev, nbytes) : 0;
}

int kern_zero(struct kern *kn, void *dev, size_t nbytes)
{
    return nbytes ? kn->ops.zero(kn, dev, nbytes) : 0;
}

int kern_sync(struct kern *kn)
{
    return kn->ops.sync(kn);
}

int kern_record(struct kern *kn)
{
    return kn->ops.record(kn);
}

int kern_record_end(struct kern *kn, struct kern_recording **r)
{
    *r = NULL;
    return kn->ops.record_end(kn, r);
}

int kern_replay(struct kern *kn, struct kern_recording *r)
{
    return kn->ops.replay(kn, r);
}

void kern_recording_free(struct kern *kn, struct kern_recording *r)
{
    if (r)
        kn->ops.recording_free(kn, r);
}

/* The CPU's table has no second lane: its threads are all at one call. */
int kern_lanes(const struct kern *kn)
{
    return kn->ops.fork ? 2 : 1;
}

int kern_fork(struct kern *kn)
{
    return kn->ops.fork ? kn->ops.fork(kn) : 0;
}

int kern_back(struct kern *kn)
{
    return kn->ops.fork ? kn->ops.back(kn) : 0;
}

int kern_join(struct kern *kn)
{
    return kn->ops.fork ? kn->ops.join(kn) : 0;
}
