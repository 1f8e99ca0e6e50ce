/*
 * tensors.h - a file of tensors of any bytes: listed, every number read, and all that follows from
 * the names of the tensors.
 */
#ifndef SEMPPL_FUZZ_TENSORS_H
#define SEMPPL_FUZZ_TENSORS_H

#include "common/model/bridge.h"
#include <stdlib.h>
#include <string.h>

static inline void tensors_fuzz(const uint8_t *bytes, size_t n)
{
    struct tensors t;
    uint8_t *exact = malloc(n > 0 ? n : 1); /* so that a step behind the end is seen */
    if (!exact)
        abort();
    memcpy(exact, bytes, n);
    if (tensors_memory(&t, "fuzz", exact, n) == 0) {
        for (size_t i = 0; i < t.n; i++) {
            int64_t v;
            (void)tensor_int(&t.item[i], &v);
            size_t count = t.item[i].count;
            float *x = count < 1 << 22 ? malloc(count * sizeof *x + 1) : NULL;
            if (x)
                (void)tensor_floats(&t, &t.item[i], count, x);
            free(x);
        }
        struct bridge b = { .tensors = t, .haiku = t.format == TENSORS_PICKLE };
        struct settings set;
        b.used = calloc(t.n + 1, sizeof *b.used);
        if (bridge_list(&b) == 0)
            (void)bridge_settings(&b, -1, &set);
        bridge_release(&b);
    }
    free(exact);
}

#endif
