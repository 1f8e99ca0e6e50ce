/*
 * test_queue.c - the rings: order, wrap, overflow, taking back, draws by class, checks of what a
 * checkpoint claims.
 */
#include "common/model/queue.h"
#include "tests/t.h"
#include <errno.h>
#include <string.h>

enum { VIEWS = 2, SLOTS = 7, DIM = 3, CLASSES = 4, BATCH = 12 };

static float t0[BATCH * DIM], t1[BATCH * DIM];
static const float *const t[] = { t0, t1 };

/* Vectors that tell view and batch place, and whose place tells the id. */
static void fill(void)
{
    for (int i = 0; i < BATCH * DIM; i++) {
        t0[i] = (float)(100 + i);
        t1[i] = (float)(200 + i);
    }
}

static void push(struct queue *q, uint64_t first_id, size_t n)
{
    int32_t row[BATCH], label[BATCH];
    uint64_t id[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        row[i] = (int32_t)i;
        label[i] = (int32_t)((first_id + i) % 3);
        id[i] = first_id + i;
    }
    queue_push(q, row, n, label, id);
    queue_write(q, t);
    queue_publish(q);
}

static bool holds(const struct queue *q, size_t slot, uint64_t id, size_t place)
{
    return q->id[slot] == id && q->label[slot] == (int32_t)(id % 3) &&
           memcmp(queue_vectors(q, 0) + slot * DIM, t0 + place * DIM, sizeof(float) * DIM) == 0 &&
           memcmp(queue_vectors(q, 1) + slot * DIM, t1 + place * DIM, sizeof(float) * DIM) == 0;
}

/* What kernels see of a slot. */
static bool published(const struct queue *q, size_t slot, uint64_t id)
{
    uint64_t id_dev;
    int32_t label_dev;
    kern_get(q->kn, &id_dev, q->id_dev + slot, sizeof id_dev);
    kern_get(q->kn, &label_dev, q->label_dev + slot, sizeof label_dev);
    return id_dev == id && label_dev == (int32_t)(id % 3);
}

int main(void)
{
    struct pool *pool;
    struct kern *kn;
    struct queue q, again;
    pool_open(&pool, 1);
    kern_open(&kn, pool);
    fill();
    ok(queue_open(&q, kn, VIEWS, SLOTS, DIM, CLASSES, BATCH) == 0, "open");
    push(&q, 50, 0);
    ok(q.fill == 0 && q.head == 0, "nothing pushed, nothing there");

    push(&q, 10, 5);
    ok(q.fill == 5 && q.head == 5, "five rows fill five slots");
    ok(holds(&q, 0, 10, 0) && holds(&q, 4, 14, 4), "in order");
    ok(published(&q, 0, 10) && published(&q, 4, 14), "on the device too");
    queue_keep(&q);
    queue_take_back(&q);
    ok(q.fill == 5 && holds(&q, 4, 14, 4), "what was kept is not taken back");

    push(&q, 20, 4);
    ok(q.fill == 7 && q.head == 2, "four more wrap around");
    ok(holds(&q, 5, 20, 0) && holds(&q, 6, 21, 1) && holds(&q, 0, 22, 2) && holds(&q, 1, 23, 3) &&
           holds(&q, 2, 12, 2),
       "and overwrite the oldest");
    queue_take_back(&q);
    ok(q.fill == 5 && q.head == 5 && holds(&q, 0, 10, 0) && holds(&q, 1, 11, 1), "taken back");
    queue_take_back(&q);
    ok(q.fill == 5, "only once");
    queue_push(&q, (const int32_t[]){ 3, 2, 1, 0 }, 4, (const int32_t[]){ 2, 2, 2, 2 },
               (const uint64_t[]){ 1, 2, 3, 4 });
    queue_take_back(&q);
    ok(q.fill == 5 && holds(&q, 0, 10, 0) && holds(&q, 1, 11, 1), "also before its vectors came");

    push(&q, 30, BATCH);
    ok(q.fill == 7, "more rows than slots fill all");
    bool last = true;
    for (size_t i = 0; i < SLOTS; i++)
        last &= holds(&q, (5 + i) % SLOTS, 35 + i, 5 + i);
    ok(last && q.head == 5, "with the last ones, oldest at the head");

    int32_t start[CLASSES + 1], slot[SLOTS]; /* ids 35..41 from slot 5 on: labels 2 0 1 2 0 1 2 */
    kern_get(kn, start, q.start_dev, sizeof start);
    kern_get(kn, slot, q.slot_dev, sizeof slot);
    bool right = start[CLASSES] == SLOTS;
    for (int32_t c = 0; c < CLASSES; c++)
        for (int32_t i = start[c]; i < start[c + 1]; i++)
            right &= q.label[slot[i]] == c && (i == start[c] || slot[i] > slot[i - 1]);
    ok(right, "the index has every slot once, under its class");
    ok(queue_has(&q, 1) && !queue_has(&q, 3) && !queue_has(&q, -1), "and tells who is there");

    float v[VIEWS * SLOTS * DIM];
    int32_t label[SLOTS];
    uint64_t id[SLOTS];
    int64_t head, full;
    queue_keep(&q);
    queue_save(&q, v, label, id, &head, &full);
    queue_open(&again, kn, VIEWS, SLOTS, DIM, CLASSES, BATCH);
    ok(queue_load(&again, v, label, id, head, full) == 0 && again.head == 5 && again.fill == 7,
       "saved and loaded");
    ok(holds(&again, 5, 35, 5) && memcmp(again.slot, q.slot, sizeof *q.slot * SLOTS) == 0,
       "all of it");
    ok(queue_load(&again, v, label, id, 7, 7) == -EINVAL, "a head beyond the slots is refused");
    ok(queue_load(&again, v, label, id, 2, 5) == -EINVAL, "so is one that is not where it must be");
    label[6] = CLASSES;
    ok(queue_load(&again, v, label, id, 5, 7) == -EINVAL, "and a label without a class");
    ok(queue_load(&again, v, label, id, 6, 6) == 0, "unless the slot is not in use");
    queue_close(&again);
    queue_close(&q);
    kern_close(kn);
    pool_close(pool);
    return done();
}
