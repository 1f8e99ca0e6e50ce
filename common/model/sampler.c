/*
 * sampler.c - which rows make the batch of a step.
 */
#include "common/model/sampler.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int sampler_open(struct sampler *s, const struct settings *set, const int32_t *label, size_t n)
{
    *s = (struct sampler){
        .seed = set->seed, .batch = (size_t)set->batch, .nrows = n, .again = set->labelled_again
    };
    s->label = mem_alloc(n, sizeof *s->label, "labels of the data");
    s->row = mem_alloc(n, sizeof *s->row, "labelled rows");
    if (!s->label || !s->row) {
        sampler_close(s);
        return -ENOMEM;
    }
    memcpy(s->label, label, n * sizeof *label);
    for (size_t row = 0; row < n; row++)
        if (label[row] >= 0)
            s->row[s->nlabelled++] = row;
    for (size_t row = 0, at = s->nlabelled; row < n; row++)
        if (label[row] < 0)
            s->row[at++] = row;
    if (set->labelled_ratio > 0 && s->nlabelled > 0) {
        double places = floor((double)s->batch / (set->labelled_ratio + 1) + 0.5);
        s->labelled_places = MAX((size_t)places, 1);
        if (!s->again && s->nlabelled == n)
            s->labelled_places = s->batch;
    }
    return 0;
}

void sampler_close(struct sampler *s)
{
    free(s->label);
    free(s->row);
    *s = (struct sampler){ 0 };
}

/* Places first .. first+count-1 of a stream over n things; out[i].row becomes the thing. */
static void draw(const struct sampler *s, struct sample *out, enum sample_stream stream, size_t n,
                 uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t place = first + i, epoch = place / n;
        out[i].stream = stream;
        out[i].turn = (unsigned)(epoch - first / n);
        out[i].row = (size_t)rng_permuted(s->seed, RNG_ORDER, epoch, stream, n, place % n);
    }
}

void sampler_batch(const struct sampler *s, int64_t k, struct sample *out)
{
    size_t nl = s->labelled_places, nu = s->batch - nl;
    size_t skip = nl > 0 && !s->again ? s->nlabelled : 0;
    if (nl > 0) {
        draw(s, out, STREAM_LABELLED, s->nlabelled, (uint64_t)k * nl, nl);
        for (size_t i = 0; i < nl; i++) {
            out[i].row = s->row[out[i].row];
            out[i].label = s->label[out[i].row];
        }
    }
    if (nu > 0)
        draw(s, out + nl, STREAM_ALL, s->nrows - skip, (uint64_t)k * nu, nu);
    for (size_t i = nl; i < s->batch; i++) {
        if (skip > 0)
            out[i].row = s->row[skip + out[i].row];
        out[i].label = nl > 0 ? -1 : s->label[out[i].row];
    }
}
