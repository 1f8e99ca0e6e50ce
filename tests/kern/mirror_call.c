/*
 * mirror_call.c - see mirror_call.h.
 */
#include "tests/kern/mirror_call.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kern_ops device;

enum { GUARD = 256, PATTERN = 0xff };

void die(const struct call *k, const char *what)
{
    printf("Bail out! %s: %s\n", k->name, what);
    exit(1);
}

/* -- what a call touches ------------------------------------------------------------------- */

void reads(struct call *k, const void *p, size_t bytes)
{
    uint8_t *from = (uint8_t *)(uintptr_t)p, *to = from + bytes;
    if (!p || bytes == 0)
        return;
    for (int i = 0; i < k->nblocks;) {
        struct block *b = &k->block[i];
        if (b->host >= to || b->host + b->bytes <= from) {
            i++;
            continue;
        }
        from = MIN(from, b->host);
        to = MAX(to, b->host + b->bytes);
        *b = k->block[--k->nblocks];
        i = 0; /* the longer one may meet those that it did not before */
    }
    if (k->nblocks == MOST)
        die(k, "too many arrays");
    k->block[k->nblocks++] = (struct block){ .host = from, .bytes = (size_t)(to - from) };
}

void writes(struct call *k, void *p, size_t bytes)
{
    if (!p || bytes == 0)
        return;
    reads(k, p, bytes);
    k->written[k->nwritten].host = p;
    k->written[k->nwritten++].bytes = bytes;
}

static struct block *block_of(struct call *k, const void *p)
{
    for (int i = 0; i < k->nblocks; i++) {
        struct block *b = &k->block[i];
        if ((const uint8_t *)p >= b->host && (const uint8_t *)p < b->host + b->bytes)
            return b;
    }
    return NULL;
}

void *at(struct call *k, const void *p)
{
    struct block *b = block_of(k, p);
    return b ? b->dev + b->before + ((const uint8_t *)p - b->host) : NULL;
}

/* -- there and back ------------------------------------------------------------------------ */

void call_send(struct call *k)
{
    for (int i = 0; i < k->nblocks; i++) {
        struct block *b = &k->block[i];
        b->before = GUARD + (uintptr_t)b->host % GUARD;
        b->all = b->before + b->bytes + GUARD;
        b->dev = device.alloc(k->kn, b->all);
        b->sent = malloc(b->all);
        b->came = malloc(b->all);
        if (!b->dev || !b->sent || !b->came)
            die(k, "no memory");
        memset(b->sent, PATTERN, b->all);
        memcpy(b->sent + b->before, b->host, b->bytes);
        if (device.put(k->kn, b->dev, b->sent, b->all))
            die(k, "the device took no copy");
    }
}

int call_receive(struct call *k, int rc)
{
    for (int i = 0; i < k->nblocks; i++)
        if (device.get(k->kn, k->block[i].came, k->block[i].dev, k->block[i].all))
            die(k, "the device failed");
    for (int i = 0; i < k->nwritten; i++) {
        struct block *b = block_of(k, k->written[i].host);
        size_t offset = b->before + (size_t)(k->written[i].host - b->host);
        memcpy(b->sent + offset, b->came + offset, k->written[i].bytes);
        memcpy(k->written[i].host, b->came + offset, k->written[i].bytes);
    }
    for (int i = 0; i < k->nblocks; i++) {
        struct block *b = &k->block[i];
        if (memcmp(b->sent, b->came, b->all) != 0)
            die(k, "an input or bytes around an array were written");
        device.free(k->kn, b->dev);
        free(b->sent);
        free(b->came);
    }
    return rc;
}

size_t rows_of(const int32_t *list, size_t n)
{
    size_t most = list ? 0 : n;
    for (size_t i = 0; list && i < n; i++)
        most = list[i] >= 0 ? MAX(most, (size_t)list[i] + 1) : most;
    return most;
}
