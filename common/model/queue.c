/*
 * queue.c - the labelled target embeddings of past batches.
 */
#include "common/model/queue.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include <stdlib.h>
#include <string.h>

int queue_open(struct queue *q, struct kern *kn, size_t views, size_t capacity, size_t dim,
               size_t nclasses, size_t most)
{
    most = MIN(most, capacity);
    *q = (struct queue){ .kn = kn,
                         .views = views,
                         .capacity = capacity,
                         .dim = dim,
                         .nclasses = nclasses,
                         .most = most };
    q->vectors = kern_alloc(kn, views * capacity * dim * sizeof *q->vectors);
    q->old_vectors = kern_alloc(kn, views * most * dim * sizeof *q->old_vectors);
    q->id_dev = kern_alloc(kn, capacity * sizeof *q->id_dev);
    q->label_dev = kern_alloc(kn, capacity * sizeof *q->label_dev);
    q->start_dev = kern_alloc(kn, (nclasses + 1) * sizeof *q->start_dev);
    q->slot_dev = kern_alloc(kn, capacity * sizeof *q->slot_dev);
    q->written_dev = kern_alloc(kn, most * sizeof *q->written_dev);
    q->source_dev = kern_alloc(kn, most * sizeof *q->source_dev);
    q->id = mem_alloc(capacity, sizeof *q->id, "queue");
    q->label = mem_alloc(capacity, sizeof *q->label, "queue");
    q->start = mem_alloc(nclasses + 1, sizeof *q->start, "queue");
    q->slot = mem_alloc(capacity, sizeof *q->slot, "queue");
    q->written = mem_alloc(most, sizeof *q->written, "queue");
    q->source = mem_alloc(most, sizeof *q->source, "queue");
    q->old_id = mem_alloc(most, sizeof *q->old_id, "queue");
    q->old_label = mem_alloc(most, sizeof *q->old_label, "queue");
    if (q->vectors && q->old_vectors && q->id_dev && q->label_dev && q->start_dev && q->slot_dev &&
        q->written_dev && q->source_dev && q->id && q->label && q->start && q->slot && q->written &&
        q->source && q->old_id && q->old_label)
        return 0;
    queue_close(q);
    return fail(-ENOMEM, "no memory for %zu queues of %zu embeddings", views, capacity);
}

void queue_close(struct queue *q)
{
    if (q->kn) {
        kern_free(q->kn, q->vectors);
        kern_free(q->kn, q->old_vectors);
        kern_free(q->kn, q->id_dev);
        kern_free(q->kn, q->label_dev);
        kern_free(q->kn, q->start_dev);
        kern_free(q->kn, q->slot_dev);
        kern_free(q->kn, q->written_dev);
        kern_free(q->kn, q->source_dev);
    }
    free(q->id);
    free(q->label);
    free(q->start);
    free(q->slot);
    free(q->written);
    free(q->source);
    free(q->old_id);
    free(q->old_label);
    *q = (struct queue){ 0 };
}

size_t queue_bytes(size_t views, size_t capacity, size_t dim, size_t most)
{
    return views * (capacity + MIN(most, capacity)) * dim * sizeof(float) + capacity * 32;
}

/* Slots by class, by counting sort: within a class in the order of their numbers. */
static int sort_by_class(struct queue *q)
{
    memset(q->start, 0, (q->nclasses + 1) * sizeof *q->start);
    for (size_t s = 0; s < q->fill; s++)
        q->start[q->label[s] + 1]++;
    for (size_t c = 0; c < q->nclasses; c++)
        q->start[c + 1] += q->start[c];
    for (size_t s = 0; s < q->fill; s++) /* start[c] runs to the end of its class ... */
        q->slot[q->start[q->label[s]]++] = (int32_t)s;
    for (size_t c = q->nclasses; c > 0; c--) /* ... which is where the next one began */
        q->start[c] = q->start[c - 1];
    q->start[0] = 0;
    int rc = kern_put(q->kn, q->start_dev, q->start, (q->nclasses + 1) * sizeof *q->start);
    if (rc == 0)
        rc = kern_put(q->kn, q->slot_dev, q->slot, q->capacity * sizeof *q->slot);
    return rc;
}

int queue_load(struct queue *q, const float *vectors, const int32_t *label, const uint64_t *id,
               int64_t head, int64_t fill)
{
    if (head < 0 || fill < 0 || (size_t)head >= q->capacity || (size_t)fill > q->capacity ||
        ((size_t)fill < q->capacity && head != fill))
        return fail(-EINVAL, "the queue's head %lld and fill %lld do not fit its %zu slots",
                    (long long)head, (long long)fill, q->capacity);
    for (int64_t s = 0; s < fill; s++)
        if (label[s] < 0 || (size_t)label[s] >= q->nclasses)
            return fail(-EINVAL, "slot %lld of the queue has label %d of %s", (long long)s,
                        (int)label[s], TEXT_COUNT(q->nclasses, "class", "classes"));
    q->head = (size_t)head;
    q->fill = (size_t)fill;
    q->pushed = 0;
    memcpy(q->label, label, q->capacity * sizeof *label);
    memcpy(q->id, id, q->capacity * sizeof *id);
    int rc = sort_by_class(q);
    if (rc == 0)
        rc =
            kern_put(q->kn, q->vectors, vectors, q->views * q->capacity * q->dim * sizeof *vectors);
    return rc < 0 ? fail(rc, "the device did not take the queue") : 0;
}

int queue_save(const struct queue *q, float *vectors, int32_t *label, uint64_t *id, int64_t *head,
               int64_t *fill)
{
    *head = (int64_t)q->head;
    *fill = (int64_t)q->fill;
    memcpy(label, q->label, q->capacity * sizeof *label);
    memcpy(id, q->id, q->capacity * sizeof *id);
    int rc =
        kern_get(q->kn, vectors, q->vectors, q->views * q->capacity * q->dim * sizeof *vectors);
    return rc < 0 ? fail(rc, "the device did not give the queue") : 0;
}

int queue_publish(struct queue *q)
{
    int rc = kern_put(q->kn, q->id_dev, q->id, q->capacity * sizeof *q->id);
    if (rc == 0)
        rc = kern_put(q->kn, q->label_dev, q->label, q->capacity * sizeof *q->label);
    return rc < 0 ? fail(rc, "the device did not take the queue") : 0;
}

int queue_push(struct queue *q, const int32_t *row, size_t n, const int32_t *label,
               const uint64_t *id)
{
    size_t skip = n > q->capacity ? n - q->capacity : 0;
    q->old_head = q->head;
    q->old_fill = q->fill;
    q->pushed = n - skip;
    for (size_t i = 0; i < q->pushed; i++) {
        size_t s = q->head, b = (size_t)row[skip + i];
        q->written[i] = (int32_t)s;
        q->source[i] = (int32_t)b;
        q->old_label[i] = q->label[s];
        q->old_id[i] = q->id[s];
        q->label[s] = label[b];
        q->id[s] = id[b];
        q->head = (s + 1) % q->capacity;
    }
    for (size_t i = q->pushed; i < q->most; i++)
        q->written[i] = q->source[i] = -1;
    q->fill = MIN(q->fill + q->pushed, q->capacity);
    int rc = kern_put(q->kn, q->written_dev, q->written, q->most * sizeof *q->written);
    if (rc == 0)
        rc = kern_put(q->kn, q->source_dev, q->source, q->most * sizeof *q->source);
    if (rc == 0)
        rc = sort_by_class(q);
    for (size_t j = 0; j < q->views && rc == 0; j++)
        rc = kern_copy_rows(q->kn, q->old_vectors + j * q->most * q->dim, NULL, queue_vectors(q, j),
                            q->written_dev, q->most, q->dim);
    return rc < 0 ? fail(rc, "the device did not take the queue") : 0;
}

int queue_write(struct queue *q, const float *const *t)
{
    int rc = 0;
    for (size_t j = 0; j < q->views && rc == 0; j++)
        rc = kern_copy_rows(q->kn, queue_vectors(q, j), q->written_dev, t[j], q->source_dev,
                            q->most, q->dim);
    return rc < 0 ? fail(rc, "the device failed at writing the queue") : 0;
}

int queue_take_back(struct queue *q)
{
    if (q->pushed == 0)
        return 0;
    int rc = 0;
    for (size_t j = 0; j < q->views && rc == 0; j++)
        rc = kern_copy_rows(q->kn, queue_vectors(q, j), q->written_dev,
                            q->old_vectors + j * q->most * q->dim, NULL, q->most, q->dim);
    for (size_t i = 0; i < q->pushed; i++) {
        q->label[q->written[i]] = q->old_label[i];
        q->id[q->written[i]] = q->old_id[i];
    }
    q->head = q->old_head;
    q->fill = q->old_fill;
    q->pushed = 0;
    if (rc == 0)
        rc = sort_by_class(q);
    return rc < 0 ? fail(rc, "the device failed at writing the queue") : 0;
}
