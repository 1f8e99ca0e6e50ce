/*
 * test_vote.c - the mode of the votes, its ties, and the votes of all pairs of views and queues.
 */
#include "common/model/vote.h"
#include "tests/t.h"

static int32_t work[16];

static void counting(void)
{
    int32_t a[] = { 2, 1, 2, 0 };
    float s[] = { 0.1f, 0.9f, 0.1f, 0.9f };
    struct vote v = vote_count(a, s, 4, work);
    ok(v.label == 2, "the most votes win, not the most similar");
    near(v.share, 0.5, 1e-6, "half of the votes");

    int32_t b[] = { 3, 1, 3, 1, 0 };
    float t[] = { 0.5f, 0.4f, 0.5f, 0.5f, 1 };
    ok(vote_count(b, t, 5, work).label == 3, "of equals the larger sum of similarities");
    float u[] = { 0.5f, 0.5f, 0.5f, 0.5f, 1 };
    ok(vote_count(b, u, 5, work).label == 1, "then the smaller label");
    int32_t c[] = { 1, 3, 1, 3, 0 };
    ok(vote_count(c, u, 5, work).label == 1, "in any order");

    int32_t d[] = { -1, 4, -1, -1 };
    v = vote_count(d, s, 4, work);
    ok(v.label == 4 && v.share == 1, "no vote does not count");
    int32_t e[] = { -1, -1 };
    v = vote_count(e, s, 2, work);
    ok(v.label == -1 && v.share == 0, "no votes, no label");
}

/* Two views, two queues of four slots on the circle; three images ask. */
static void pairs(void)
{
    struct pool *pool;
    struct kern *kn;
    struct queue q;
    struct voter voter;
    pool_open(&pool, 1);
    kern_open(&kn, KERN_CPU, pool);
    const float ring0[] = { 1, 0, 0, 1, -1, 0, 0.8f, 0.6f };
    const float ring1[] = { 0.6f, 0.8f, 0, 1, -1, 0, 0, -1 };
    const float *const t[] = { ring0, ring1 };
    const int32_t row[] = { 0, 1, 2, 3 }, label[] = { 5, 2, 1, 5 };
    const uint64_t id[] = { 10, 11, 12, 13 };
    queue_open(&q, kn, 2, 6, 2, 6, 4);
    voter_open(&voter, kn, 3, 1, 2);

    const float o0[] = { 1, 0, 0, 1, 1, 0 }, o1[] = { 0, 1, -1, 0, 0.6f, 0.8f };
    const float *const o[] = { o0, o1 };
    const uint64_t asks[] = { 1, 12, 10 };
    struct vote out[3];
    ok(voter_run(&voter, &q, o, asks, 3, out) == 0 && out[0].label == -1 && out[2].share == 0,
       "an empty queue has no say");
    queue_push(&q, t, row, 4, label, id);
    ok(voter_run(&voter, &q, o, asks, 3, out) == 0, "they vote");
    /* image 0: view 0 asks ring 0 (slot 0: 5) and ring 1 (slot 0: 5), view 1 slots 1 and 1: 2, 2;
     * sums 1 + 0.6 against 1 + 1 */
    ok(out[0].label == 2 && fabsf(out[0].share - 0.5f) < 1e-6f, "all pairs of views and queues");
    /* image 1 is slot 2: view 1 finds slot 1 (0 > -0.8) in ring 0, in ring 1 slots 1 and 3 at 0 */
    ok(out[1].label == 2 && out[1].share == 1, "a picture does not vote for itself");
    /* image 2 is slot 0: both views find slot 3 in ring 0, at 0.8 and 0.96, and slot 1 in ring 1,
     * at 0 (slot 3 too, but it is later) and 0.8 */
    ok(out[2].label == 5 && fabsf(out[2].share - 0.5f) < 1e-6f, "nor does its other occurrence");
    voter_close(&voter);

    voter_open(&voter, kn, 3, 9, 2);
    voter_run(&voter, &q, o, asks, 1, out);
    ok(out[0].label == 5 && fabsf(out[0].share - 0.5f) < 1e-6f,
       "more neighbours than slots: all of them vote");
    voter_close(&voter);
    queue_close(&q);
    kern_close(kn);
    pool_close(pool);
}

int main(void)
{
    counting();
    pairs();
    return done();
}
