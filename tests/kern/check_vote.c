/*
 * check_vote.c - the count of votes, semantic positives and the weights of anchors: worked values,
 * and against the definition.
 */
#include "common/base/rng.h"
#include "tests/kern/check.h"
#include <string.h>

/* The vote of one image to whom the slots of these labels are nearest, -1: no slot. */
static int32_t vote_of(struct kern *kn, const int32_t *label, const float *sim, size_t n,
                       bool by_similarity, float *share)
{
    int32_t slot[8], ballot[8], winner = 7;
    float similarity[8];
    for (size_t i = 0; i < n; i++)
        slot[i] = label[i] < 0 ? -1 : (int32_t)i;
    struct kern_vote v = { .n = 1,
                           .k = n,
                           .searches = 1,
                           .slot = slot,
                           .sim = sim,
                           .slot_label = label,
                           .by_similarity = by_similarity,
                           .step = &(int64_t){ 0 },
                           .id = &(uint64_t){ 0 } };
    int rc = kern_vote(kn, &v, ballot, similarity, &winner, share, NULL);
    for (size_t i = 0; i < n; i++)
        rc |= ballot[i] != label[i] || similarity[i] != sim[i];
    return rc ? -9 : winner;
}

static void check_count(struct kern *kn)
{
    float share;
    const int32_t a[] = { 2, 1, 2, 0 };
    const float s[] = { 0.1f, 0.9f, 0.1f, 0.9f };
    ok(vote_of(kn, a, s, 4, true, &share) == 2, "the most votes win, not the most similar");
    near(share, 0.5, 1e-6, "half of the votes");
    const int32_t b[] = { 3, 1, 3, 1, 0 };
    const float t[] = { 0.5f, 0.4f, 0.5f, 0.5f, 1 };
    ok(vote_of(kn, b, t, 5, true, &share) == 3, "of equals the larger sum of similarities");
    ok(vote_of(kn, b, t, 5, false, &share) == 1, "or the smaller label at once");
    const float u[] = { 0.5f, 0.5f, 0.5f, 0.5f, 1 };
    ok(vote_of(kn, b, u, 5, true, &share) == 1, "then the smaller label");
    const int32_t c[] = { 1, 3, 1, 3, 0 };
    ok(vote_of(kn, c, u, 5, true, &share) == 1, "in any order");
    const int32_t d[] = { 4, -1, -1, -1 };
    ok(vote_of(kn, d, s, 4, true, &share) == 4 && share == 1, "no slot, no vote");
    const int32_t e[] = { -1, -1 };
    ok(vote_of(kn, e, s, 2, true, &share) == -1 && share == 0, "no votes, no label");
}

/* Random neighbours, some missing at the end, few labels so that there are ties. */
static void check_votes(struct kern *ref, struct kern *kn, size_t n, size_t k, size_t searches,
                        bool drawn, bool by_similarity)
{
    enum { SLOTS = 40 };
    size_t found = searches * n * k, ballots = n * searches * (drawn ? 1 : k);
    int32_t *slot = check_ints(found, 0, SLOTS), *fill = check_ints(n, -1, 2);
    float *sim = check_uniform(found, -1, 1);
    for (size_t i = 0; i < found; i++) {
        size_t of = i / k, place = i % k;
        sim[i] = rintf(sim[i] * 4) / 4;
        if ((of % 3 == 2 && place >= (k + 1) / 2) || of % 7 == 6)
            slot[i] = -1;
    }
    uint64_t *id = check_bytes(n * sizeof *id);
    for (size_t b = 0; b < n; b++)
        id[b] = (b + 1) * UINT64_C(0x123456789abcdef);
    int64_t *step = check_bytes(sizeof *step);
    *step = 11;
    struct kern_vote v = { .n = n,
                           .k = k,
                           .searches = searches,
                           .slot = slot,
                           .sim = sim,
                           .slot_label = check_ints(SLOTS, 0, 4),
                           .drawn = drawn,
                           .by_similarity = by_similarity,
                           .least = 0.4f,
                           .seed = t_seed() + 5,
                           .stride = 3,
                           .step = step,
                           .id = id };
    int32_t *ballot[2], *label[2], *filled[2];
    float *similarity[2], *share[2];
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        ballot[i] = check_bytes(ballots * sizeof(int32_t));
        similarity[i] = check_buf(ballots);
        label[i] = check_bytes(n * sizeof(int32_t));
        share[i] = check_buf(n);
        filled[i] = memcpy(check_bytes(n * sizeof(int32_t)), fill, n * sizeof(int32_t));
        rc |= kern_vote(i ? kn : ref, &v, ballot[i], similarity[i], label[i], share[i], filled[i]);
    }
    ok(rc == 0 && check_same_(ballot[1], ballot[0], ballots * sizeof(int32_t)) &&
           check_same_(similarity[1], similarity[0], ballots * sizeof(float)) &&
           check_same_(label[1], label[0], n * sizeof(int32_t)) &&
           check_same_(share[1], share[0], n * sizeof(float)) &&
           check_same_(filled[1], filled[0], n * sizeof(int32_t)),
       "%s: votes of %zu images, %zu of %zu searches%s", kern_describe(kn), n, k, searches,
       drawn ? ", drawn" : "");
}

static void check_positives(struct kern *kn)
{
    enum { N = 9, PAIRS = 3, EACH = 2 };
    const int32_t label[N] = { 0, 1, -1, 2, 3, 0, -1, 1, 1 };
    const int32_t start[] = { 0, 3, 5, 5, 6 }, slot[] = { 0, 2, 5, 1, 4, 3 };
    const uint32_t key[PAIRS] = { 1, 300, 1 };
    const int64_t step = 7;
    int32_t pos[PAIRS * EACH * N];
    struct kern_positives p = { N, PAIRS, EACH, 42, &step, key, label, start, slot };
    bool right = kern_positives(kn, &p, pos) == 0;
    for (size_t i = 0; i < PAIRS; i++) {
        for (size_t b = 0; b < N; b++) {
            struct rng r;
            int32_t c = label[b], count = c < 0 ? 0 : start[c + 1] - start[c];
            rng_init(&r, 42, RNG_POSITIVE, 7, b | (uint64_t)(key[i] >> 8) << 32, key[i] & 255);
            for (size_t j = 0; j < EACH; j++) {
                int32_t want = -1;
                if (count > 0)
                    want = slot[start[c] + (int32_t)rng_below(&r, (uint32_t)count)];
                right &= pos[(i * EACH + j) * N + b] == want;
            }
        }
    }
    ok(right, "%s: positives are drawn from the anchor's class", kern_describe(kn));
}

/* Over many steps every slot of the class comes up as often. */
static void check_uniformity(struct kern *kn)
{
    enum { STEPS = 3000 };
    const int32_t label = 1, start[] = { 0, 1, 3 }, slot[] = { 4, 0, 2 };
    int count[5] = { 0 };
    for (int64_t step = 0; step < STEPS; step++) {
        int32_t pos;
        struct kern_positives p = {
            1, 1, 1, t_seed(), &step, &(uint32_t){ 0 }, &label, start, slot
        };
        if (kern_positives(kn, &p, &pos) || pos < 0 || pos > 4)
            break;
        count[pos]++;
    }
    ok(count[0] + count[2] == STEPS && abs(count[0] - count[2]) < 280,
       "uniformly"); /* 5 deviations */
}

static void check_weights(struct kern *kn)
{
    const int32_t some[] = { 0, 1, -1, 2, 3, 0, -1, 1, 1 }, none[] = { -1, -1, -1 };
    const double whole[] = { 0.5, 0, 0 }, part[] = { 0, 3, 0.7 };
    float weight[3];
    struct kern_weights w = { 9, 3, some, whole, part, 2 };
    ok(kern_weights(kn, &w, weight) == 0 && weight[0] == 0.5f &&
           weight[1] == (float)(3 * (1 / 14.0)) && weight[2] == (float)(0.7 * (1 / 14.0)),
       "%s: seven anchors share a weight", kern_describe(kn));
    w.n = 3;
    w.pos = none;
    ok(kern_weights(kn, &w, weight) == 0 && weight[0] == 0.5f && weight[1] == 0,
       "without any there is nothing to share");
    w.n = 0;
    ok(kern_weights(kn, &w, weight) == 0 && weight[0] == 0.5f && weight[1] == 0, "nor of none");
}

int main(void)
{
    check_init();
    struct kern *ref = check_open("ref", 1);
    for (int i = 0; check_isa(i); i++) {
        struct kern *kn = check_open(check_isa(i), 2);
        check_count(kn);
        for (int drawn = 0; drawn < 2; drawn++) {
            check_votes(ref, kn, 1, 1, 1, drawn, true);
            check_votes(ref, kn, 33, 5, 4, drawn, true);
            check_votes(ref, kn, 130, 3, 16, drawn, false);
        }
        check_positives(kn);
        check_uniformity(kn);
        check_weights(kn);
        check_close(kn);
        check_release();
    }
    check_close(ref);
    return done();
}
