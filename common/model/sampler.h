/*
 * sampler.h - which rows make the batch of a step: a pure function of (seed, step, labels).
 *
 * With labelled_ratio r > 0 and labelled rows in the data, round(batch / (r + 1)) places of a batch
 * (the first ones) come from a stream of labelled rows, the others from a stream of all rows whose
 * labels are hidden: a labelled picture is also seen as an unlabelled one. With labelled_again no
 * that stream has the rows without a label only; if there are none, all places are labelled.
 * Otherwise there is one stream of all rows with the labels that they have. A stream is one random
 * permutation of its rows after the other, so batches are always whole.
 */
#ifndef SEMPPL_SAMPLER_H
#define SEMPPL_SAMPLER_H

#include "common/model/settings.h"

enum sample_stream { STREAM_ALL, STREAM_LABELLED };

struct sample {
    size_t row;
    int32_t label;   /* -1: none, or hidden */
    unsigned stream; /* enum sample_stream */
    unsigned turn;   /* permutations that ended in this batch before it: tells repeats apart */
};

struct sampler {
    uint64_t seed;
    size_t batch, nrows, nlabelled;
    size_t labelled_places; /* of a batch, from the labelled stream; 0: one stream of all rows */
    bool again;             /* labelled rows are in the other stream too */
    int32_t *label;         /* [nrows] */
    size_t *row;            /* [nrows] first the labelled ones, then the others */
};

/* label [n], -1 for none; copied. n >= 1. */
int sampler_open(struct sampler *s, const struct settings *set, const int32_t *label, size_t n);
void sampler_close(struct sampler *s);

/* The batch of step k (steps done before it): out [batch]. */
void sampler_batch(const struct sampler *s, int64_t k, struct sample *out);

#endif
