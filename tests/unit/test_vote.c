/*
 * test_vote.c - the votes of all pairs of views and queues, and their switches. How votes are
 * counted: tests/kern/check_vote.c.
 */
#include "common/model/vote.h"
#include "tests/t.h"

/* Two views, two queues of four slots on the circle; three images ask. */
static const float ring0[] = { 1, 0, 0, 1, -1, 0, 0.8f, 0.6f };
static const float ring1[] = { 0.6f, 0.8f, 0, 1, -1, 0, 0, -1 };
static const float o0[] = { 1, 0, 0, 1, 1, 0 }, o1[] = { 0, 1, -1, 0, 0.6f, 0.8f };
static const float *const o[] = { o0, o1 };
static const uint64_t asks[] = { 1, 12, 10 };
static struct kern *kn;

static struct settings settings(int neighbours)
{
    struct settings set;
    settings_preset(&set, 1);
    set.batch = 3;
    set.large_crops = 2;
    set.neighbours = neighbours;
    set.seed = t_seed();
    return set;
}

static void fill(struct queue *q)
{
    const float *const t[] = { ring0, ring1 };
    const int32_t row[] = { 0, 1, 2, 3 }, label[] = { 5, 2, 1, 5 };
    const uint64_t id[] = { 10, 11, 12, 13 };
    queue_push(q, row, 4, label, id);
    queue_write(q, t);
    queue_publish(q);
}

/* The votes of step k. */
static int run(struct voter *v, int64_t k, const struct queue *q, size_t count, struct vote *out)
{
    int rc = voter_run(v, &k, q, q->fill, o, asks, count, NULL);
    return rc < 0 ? rc : voter_get(v, count, out);
}

static void pairs(struct queue *q)
{
    struct voter voter;
    struct settings set = settings(1);
    struct vote out[3];
    voter_open(&voter, kn, &set);
    fill(q);
    ok(run(&voter, 0, q, 3, out) == 0, "they vote");
    /* image 0: view 0 asks ring 0 (slot 0: 5) and ring 1 (slot 0: 5), view 1 slots 1 and 1: 2, 2;
     * sums 1 + 0.6 against 1 + 1 */
    ok(out[0].label == 2 && fabsf(out[0].share - 0.5f) < 1e-6f, "all pairs of views and queues");
    /* image 1 is slot 2: view 1 finds slot 1 (0 > -0.8) in ring 0, in ring 1 slots 1 and 3 at 0 */
    ok(out[1].label == 2 && out[1].share == 1, "a picture does not vote for itself");
    /* image 2 is slot 0: both views find slot 3 in ring 0, at 0.8 and 0.96, and slot 1 in ring 1,
     * at 0 (slot 3 too, but it is later) and 0.8 */
    ok(out[2].label == 5 && fabsf(out[2].share - 0.5f) < 1e-6f, "nor does its other occurrence");
    voter_close(&voter);

    set = settings(9);
    voter_open(&voter, kn, &set);
    run(&voter, 0, q, 1, out);
    ok(out[0].label == 5 && fabsf(out[0].share - 0.5f) < 1e-6f,
       "more neighbours than slots: all of them vote");
    voter_close(&voter);
}

/* The votes of the three images, with one setting changed. */
static void votes(const struct queue *q, int neighbours, const char *assignment, struct vote out[3])
{
    struct voter voter;
    struct settings set = settings(neighbours);
    settings_set(&set, assignment);
    voter_open(&voter, kn, &set);
    run(&voter, 7, q, 3, out);
    voter_close(&voter);
}

static void switches(const struct queue *q)
{
    struct vote out[3];
    /* as above: slot 0 by view 0, slot 1 by view 1 */
    votes(q, 1, "vote_views=same", out);
    ok(out[0].label == 2 && fabsf(out[0].share - 0.5f) < 1e-6f && out[1].label == 2 &&
           out[2].label == 2,
       "only queue i with view i: a tie of similarities goes to the smaller label");
    votes(q, 1, "vote_views=one", out);
    ok(out[0].label == 5 && out[0].share == 1 && out[1].label == 2 && out[2].label == 5,
       "only the first view and queue");
    votes(q, 1, "tie_break=label", out);
    ok(out[2].label == 2, "of equal votes the smaller label");
    votes(q, 1, "exclude_self=no", out);
    ok(out[1].label == 1 && fabsf(out[1].share - 0.5f) < 1e-6f, "a picture may vote for itself");
    votes(q, 1, "vote_threshold=0.6", out);
    ok(out[0].label == -1 && out[1].label == 2 && out[2].label == -1,
       "a share below the threshold gives no label");
    votes(q, 1, "vote_threshold=0.5", out);
    ok(out[0].label == 2, "one that reaches it does");
}

/* Nine of ten are 0.9, which is another number as a float. */
static void nine_of_ten(void)
{
    struct queue q;
    struct vote out[3];
    float slots[20] = { 0 };
    int32_t row[10], label[10];
    uint64_t id[10];
    for (int s = 0; s < 10; s++) {
        slots[2 * s] = 1;
        row[s] = s;
        label[s] = s > 0;
        id[s] = 100 + (uint64_t)s;
    }
    queue_open(&q, kn, 1, 10, 2, 2, 10);
    queue_push(&q, row, 10, label, id);
    queue_write(&q, (const float *const[]){ slots });
    queue_publish(&q);
    struct settings set = settings(10);
    struct voter voter;
    set.large_crops = 1;
    set.vote_threshold = 0.9;
    voter_open(&voter, kn, &set);
    run(&voter, 0, &q, 3, out);
    ok(out[0].label == 1 && out[2].label == 1, "nine votes of ten reach a threshold of 0.9");
    voter_close(&voter);
    queue_close(&q);
}

/* draw: one of the nearest of each pair, each as often. */
static void drawn(const struct queue *q)
{
    struct voter voter;
    struct settings set = settings(3);
    struct vote out[3], again[3];
    size_t five = 0, same = 0, runs = 2000;
    set.vote_rule = VOTE_DRAW;
    set.vote_views = VIEWS_ONE;
    voter_open(&voter, kn, &set);
    for (size_t k = 0; k < runs; k++) { /* image 0 finds slots 0, 3 and 1: 5, 5, 2 */
        run(&voter, (int64_t)k, q, 3, out);
        run(&voter, (int64_t)k, q, 1, again);
        five += out[0].label == 5;
        same += out[0].label == again[0].label && out[0].share == 1;
    }
    near((double)five / (double)runs, 2.0 / 3, 0.06, "one of three neighbours is drawn");
    ok(same == runs, "the same one in the same step, alone");
    voter_close(&voter);
    set = settings(9);
    set.vote_rule = VOTE_DRAW;
    voter_open(&voter, kn, &set);
    bool valid = true;
    for (int k = 0; k < 50; k++) {
        run(&voter, k, q, 3, out);
        for (int b = 0; b < 3; b++)
            valid &= out[b].label > 0 && out[b].share * 4 == rintf(out[b].share * 4);
    }
    ok(valid, "of those that there are, one for each of four pairs");
    voter_close(&voter);
}

int main(void)
{
    struct pool *pool;
    struct queue q;
    pool_open(&pool, 1);
    kern_open(&kn, pool);
    queue_open(&q, kn, 2, 6, 2, 6, 4);
    pairs(&q);
    switches(&q);
    nine_of_ten();
    drawn(&q);
    queue_close(&q);
    kern_close(kn);
    pool_close(pool);
    return done();
}
