/*
 * queue.h - the labelled target embeddings of past batches: one ring a large view.
 *
 * Slot s of every ring is the same picture, so labels, ids, head and fill are shared. Vectors and
 * ids live on the device, labels and a second copy of the ids on the host. The oldest slots are
 * overwritten; slots 0 .. fill-1 are valid. An index by class is kept, so that a draw of a slot of
 * a class is one random number.
 */
#ifndef SEMPPL_QUEUE_H
#define SEMPPL_QUEUE_H

#include "common/base/rng.h"
#include "kernels/kern.h"

struct queue {
    struct kern *kn;
    size_t views, capacity, dim, nclasses;
    size_t head, fill; /* next slot to write; valid slots */
    float *vectors;    /* [views][capacity][dim], device */
    uint64_t *id_dev;  /* [capacity], device */
    uint64_t *id;      /* [capacity], host */
    int32_t *label;    /* [capacity], host */

    size_t *start; /* [nclasses + 1]: slots of class c are slot[start[c] .. start[c+1]-1] */
    int32_t *slot; /* [capacity], sorted by class, then by number */

    /* the last push, so that it can be taken back */
    size_t most, pushed; /* rows of a push at most; rows of the last one that were written */
    size_t old_head, old_fill;
    int32_t *written, *source;         /* [most] slots, and rows of the batch that went there */
    int32_t *written_dev, *source_dev; /* the same, device */
    float *old_vectors;                /* [views][most][dim], device */
    uint64_t *old_id;                  /* [most] */
    int32_t *old_label;
};

/* most: rows of a push at most (the batch). */
int queue_open(struct queue *q, struct kern *kn, size_t views, size_t capacity, size_t dim,
               size_t nclasses, size_t most);
void queue_close(struct queue *q);
size_t queue_bytes(size_t views, size_t capacity, size_t dim, size_t most); /* about */

/* From and to host memory: vectors [views][capacity][dim]. -EINVAL (worded) if it cannot be. */
int queue_load(struct queue *q, const float *vectors, const int32_t *label, const uint64_t *id,
               int64_t head, int64_t fill);
int queue_save(const struct queue *q, float *vectors, int32_t *label, uint64_t *id, int64_t *head,
               int64_t *fill);

/*
 * Writes rows row[0..n-1] of a batch: vector t[j] [row] goes to ring j; label and id are of the
 * whole batch. Of more rows than slots the last are kept.
 */
int queue_push(struct queue *q, const float *const *t, const int32_t *row, size_t n,
               const int32_t *label, const uint64_t *id);
/* Undoes the last push, unless it was kept or taken back before. */
int queue_take_back(struct queue *q);
static inline void queue_keep(struct queue *q)
{
    q->pushed = 0;
}

static inline float *queue_vectors(const struct queue *q, size_t view)
{
    return q->vectors + view * q->capacity * q->dim;
}

/* A slot of the class, uniform; -1 if there is none (or label is -1: then nothing is drawn). */
static inline int32_t queue_draw(const struct queue *q, int32_t label, struct rng *r)
{
    if (label < 0)
        return -1;
    size_t first = q->start[label], n = q->start[label + 1] - first;
    return n == 0 ? -1 : q->slot[first + rng_below(r, (uint32_t)n)];
}

#endif
