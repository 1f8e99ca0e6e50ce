/*
 * queue.h - the labelled target embeddings of past batches: one ring a large view.
 *
 * Slot s of every ring is the same picture, so labels, ids, head and fill are shared. Vectors live
 * on the device, all else on the host with a copy on the device. The oldest slots are overwritten;
 * slots 0 .. fill-1 are valid. An index by class is kept, so that a draw of a slot of a class is
 * one random number.
 *
 * Pushing has two halves: the host knows in advance which slots are written (queue_push), and the
 * vectors follow when there are some (queue_write).
 */
#ifndef SEMPPL_QUEUE_H
#define SEMPPL_QUEUE_H

#include "kernels/kern.h"

struct queue {
    struct kern *kn;
    size_t views, capacity, dim, nclasses;
    size_t head, fill; /* next slot to write; valid slots */
    float *vectors;    /* [views][capacity][dim], device */
    uint64_t *id;      /* [capacity] */
    int32_t *label;    /* [capacity] */
    uint64_t *id_dev;  /* as of the last queue_publish() */
    int32_t *label_dev;

    int32_t *start; /* [nclasses + 1]: slots of class c are slot[start[c] .. start[c+1]-1] */
    int32_t *slot;  /* [capacity], sorted by class, then by number */
    int32_t *start_dev, *slot_dev;

    /* the last push, so that it can be taken back */
    size_t most, pushed; /* rows of a push at most; rows of the last one that are written */
    size_t old_head, old_fill;
    int32_t *written, *source; /* [most] slots, and rows of the batch that go there; then -1 */
    int32_t *written_dev, *source_dev;
    float *old_vectors; /* [views][most][dim], device */
    uint64_t *old_id;   /* [most] */
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
 * Rows row[0..n-1] of a batch are to be written; label and id are of the whole batch. Of more rows
 * than slots the last are kept. All but the vectors is then as after the push, and those that are
 * to go are put aside.
 */
int queue_push(struct queue *q, const int32_t *row, size_t n, const int32_t *label,
               const uint64_t *id);
/* The vectors of the last push: t[j] [row] [dev] goes to ring j. Once a push, and always the same
 * work. */
int queue_write(struct queue *q, const float *const *t);
/* Brings labels and ids to the device, for searches and votes. */
int queue_publish(struct queue *q);
/* Undoes the last push, written or not, unless it was kept or taken back before. */
int queue_take_back(struct queue *q);
static inline void queue_keep(struct queue *q)
{
    q->pushed = 0;
}

static inline float *queue_vectors(const struct queue *q, size_t view)
{
    return q->vectors + view * q->capacity * q->dim;
}

/* Is there a slot of the class? A label below 0 is none. */
static inline bool queue_has(const struct queue *q, int32_t label)
{
    return label >= 0 && q->start[label] < q->start[label + 1];
}

#endif
