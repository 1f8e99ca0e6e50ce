/*
 * test_knn_vote.c - the bank, its neighbours whatever the memory, and the vote.
 */
#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/model/knn_vote.h"
#include "tests/t.h"
#include <string.h>

enum { D = 6, MOST = 400 };

static struct pool *pool;
static struct kern *kn;

/* An embedding shard in memory: n rows, every third without a label. */
struct sample {
    struct embed e;
    float x[MOST * D];
    uint64_t id[MOST];
    int32_t label[MOST];
    char *name[3];
};

static void fill(struct sample *s, size_t n)
{
    static char *names[] = { (char *)"a", (char *)"b", (char *)"c" };
    struct rng r;
    *s = (struct sample){ 0 };
    rng_init(&r, t_seed(), RNG_TEST, 2, n, 0);
    for (size_t i = 0; i < n; i++) {
        s->id[i] = 1000 - i;
        s->label[i] = i % 3 == 2 ? -1 : (int32_t)(i / 3 % 2); /* class c has no row */
        for (size_t j = 0; j < D; j++)
            s->x[i * D + j] = (float)((int)rng_below(&r, 5) - 2) + (j == 0 ? 0.5f : 0);
    }
    memcpy(s->name, names, sizeof names);
    s->e.rows.n = n;
    s->e.rows.id = s->id;
    s->e.rows.label = s->label;
    s->e.rows.classes = (struct classes){ s->name, 3, 3 };
    s->e.d = D;
    s->e.x = s->x;
    s->e.name = (char *)"bank.h5";
}

static double cosine(const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (int j = 0; j < D; j++) {
        ab += (double)a[j] * b[j];
        aa += (double)a[j] * a[j];
        bb += (double)b[j] * b[j];
    }
    return ab / sqrt(aa * bb);
}

static void test_search(void)
{
    enum { N = 300, Q = 50, K = 7 };
    static struct sample s, q;
    static int32_t idx[Q * K], again[Q * K];
    static float sim[Q * K], sim2[Q * K];
    struct knn_bank b;
    fill(&s, N);
    fill(&q, Q);
    memcpy(s.x + 30 * D, s.x, (size_t)D * sizeof(float)); /* duplicates, and scaled ones */
    for (int j = 0; j < D; j++)
        s.x[60 * D + j] = 2 * s.x[j];
    ok(knn_bank_open(&b, kn, &s.e, K, 64 << 20) == 0, "a bank opens");
    ok(b.n == 200 && b.per_class[0] == 100 && b.per_class[1] == 100 && b.per_class[2] == 0,
       "its labelled rows are counted");
    ok(b.fewest == 0 && b.most == 100, "fewest and most too");
    ok(knn_bank_has(&b, 1000) && !knn_bank_has(&b, 998) && !knn_bank_has(&b, 5000),
       "labelled pictures are found by id, others not");
    ok(knn_search(&b, q.x, NULL, Q, idx, sim) == 0, "a search");
    bool sorted = true, labelled = true, best = true, right = true;
    for (int i = 0; i < Q; i++) {
        double most = -2;
        for (size_t j = 0; j < b.n; j++)
            most = fmax(most, cosine(q.x + i * D, s.x + b.row[j] * D));
        best = best && fabs(most - sim[i * K]) < 1e-6;
        for (int t = 0; t < K; t++) {
            int32_t at = idx[i * K + t];
            labelled = labelled && s.label[b.row[at]] >= 0;
            right = right && fabs(cosine(q.x + i * D, s.x + b.row[at] * D) - sim[i * K + t]) < 1e-6;
            sorted = sorted && (t == 0 || sim[i * K + t] < sim[i * K + t - 1] ||
                                (sim[i * K + t] == sim[i * K + t - 1]));
        }
    }
    ok(labelled, "only labelled rows answer");
    ok(best && right, "with their cosines, the best first");
    ok(sorted, "in falling order");
    ok(knn_search(&b, s.x, NULL, 1, again, sim2) == 0 && b.row[again[0]] == 0 &&
           b.row[again[1]] == 30 && b.row[again[2]] == 60,
       "of duplicates, also scaled ones, the lower row comes first");
    knn_bank_close(&b);

    ok(knn_bank_open(&b, kn, &s.e, K, 4096) == 0 && b.tile_rows < 200 && b.block < Q,
       "little memory: tiles of %zu rows, %zu queries at once", b.tile_rows, b.block);
    ok(knn_search(&b, q.x, NULL, Q, again, sim2) == 0 && !memcmp(idx, again, sizeof idx) &&
           !memcmp(sim, sim2, sizeof sim),
       "gives the same neighbours");
    uint32_t row[2] = { 7, 3 };
    ok(knn_search(&b, q.x, row, 2, again, sim2) == 0 && !memcmp(again, idx + 7 * K, K * 4) &&
           !memcmp(again + K, idx + 3 * K, K * 4),
       "rows can be listed");
    knn_bank_close(&b);

    fill(&s, 4);
    ok(knn_bank_open(&b, kn, &s.e, K, 1 << 20) == 0 &&
           knn_search(&b, q.x, NULL, 1, idx, sim) == 0 && idx[2] >= 0 && idx[3] == -1,
       "k larger than the bank gives what there is");
    knn_bank_close(&b);
    s.label[0] = s.label[1] = s.label[3] = -1;
    ok(knn_bank_open(&b, kn, &s.e, K, 1 << 20) == -EINVAL && strstr(fail_text(), "label"),
       "a bank without labels is refused");
}

static void test_vote(void)
{
    static struct sample s;
    struct knn_bank b;
    struct knn_vote v = { 0 };
    int32_t near0[4] = { 0, 2, 3, 1 }; /* bank rows 0, 1 are a, 2, 3 are b */
    float sim0[4] = { 0.9f, 0.8f, 0.7f, 0.1f };
    fill(&s, 6);
    ok(knn_bank_open(&b, kn, &s.e, 4, 1 << 20) == 0 && b.n == 4, "four rows: a, a, b, b");
    ok(knn_vote_open(&v, KNN_MAJORITY, 1, 3) == 0, "a majority vote");
    ok(knn_vote_count(&v, &b, near0, sim0, 3) == 1, "two b beat one a");
    near(v.confidence, 2.0 / 3, 1e-12, "with two thirds");
    ok(knn_vote_count(&v, &b, near0, sim0, 4) == 1 && v.voted == 2,
       "of two and two, the larger sum of similarities wins");
    float even[4] = { 0.5f, 0.5f, 0.5f, 0.5f };
    ok(knn_vote_count(&v, &b, near0, even, 4) == 0, "of equal sums, the lower label");
    near(v.confidence, 0.5, 1e-12, "with a half");
    int32_t few[3] = { 2, -1, -1 };
    ok(knn_vote_count(&v, &b, few, even, 3) == 1 && v.voted == 1, "one neighbour decides alone");
    near(v.confidence, 1, 0, "and surely");
    knn_vote_close(&v);

    ok(knn_vote_open(&v, KNN_WEIGHTED, 0.07, 3) == 0, "a weighted vote");
    ok(knn_vote_count(&v, &b, near0, sim0, 4) == 0, "one close a beats two farther b");
    double wa = exp(0.9 / 0.07) + exp(0.1 / 0.07), wb = exp(0.8 / 0.07) + exp(0.7 / 0.07);
    near(v.confidence, wa / (wa + wb), 1e-6, "its share is that of exp(similarity / 0.07)");
    ok(v.order[0] == 0 && v.order[1] == 1, "the other class is second");
    knn_vote_close(&v);
    ok(knn_vote_open(&v, KNN_WEIGHTED, 1e-4, 3) == 0 &&
           knn_vote_count(&v, &b, near0, sim0, 4) == 0 && v.confidence == 1,
       "the smallest temperature does not overflow");
    knn_vote_close(&v);
    knn_bank_close(&b);
}

int main(void)
{
    if (pool_open(&pool, 2) < 0 || kern_open(&kn, pool) < 0)
        return 1;
    test_search();
    test_vote();
    kern_close(kn);
    pool_close(pool);
    return done();
}
