/*
 * check_knn.c - exact neighbours: equal to the definition to the last bit, ties, duplicates, ids,
 * odd sizes.
 */
#include <string.h>

#include "tests/kern/check.h"

struct shape {
    size_t n, m, d, k;
    bool ids;
    int copies; /* each bank row stands this often */
};

static const struct shape shapes[] = {
    { 1, 1, 1, 1, false, 1 },     { 33, 700, 17, 5, false, 1 },   { 5, 3, 8, 7, false, 1 },
    { 64, 513, 64, 20, true, 1 }, { 7, 2100, 40, 1, true, 3 },    { 40, 600, 12, 600, false, 2 },
    { 3, 0, 5, 2, false, 1 },     { 2, 5000, 31, 9, false, 500 },
};

static void unit_rows(float *x, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        double r = 1 / sqrt(check_dot(x + i * d, x + i * d, d));
        for (size_t c = 0; c < d; c++)
            x[i * d + c] = (float)(x[i * d + c] * r);
    }
}

static void check_shape(const struct shape *s, const char *isa)
{
    float *query = check_normal(s->n * s->d), *bank = check_normal(s->m * s->d);
    uint64_t *qid = check_bytes(s->n * sizeof(*qid)), *bid = check_bytes(s->m * sizeof(*bid));
    unit_rows(query, s->n, s->d);
    unit_rows(bank, s->m, s->d);
    for (size_t j = 0; j < s->m; j++) /* copies lie far apart */
        memcpy(bank + j * s->d, bank + j % (s->m / (size_t)s->copies + 1) * s->d,
               s->d * sizeof(float));
    for (size_t i = 0; i < s->n; i++)
        qid[i] = i % 5;
    for (size_t j = 0; j < s->m; j++)
        bid[j] = j % 11;
    struct kern_knn q = {
        s->n, s->m, s->d, s->k, query, bank, s->ids ? qid : NULL, s->ids ? bid : NULL
    };
    int32_t *want = check_bytes(s->n * s->k * 4), *got = check_bytes(s->n * s->k * 4);
    float *want_sim = check_buf(s->n * s->k), *got_sim = check_buf(s->n * s->k);
    struct kern *ref = check_open("ref", 1);
    ok(kern_knn(ref, &q, want, want_sim) == 0, "the definition answers");
    check_close(ref);
    for (int t = 0; t < CHECK_THREADS; t++) {
        struct kern *kn = check_open(isa, check_threads[t]);
        ok(kern_knn(kn, &q, got, got_sim) == 0, "%zu x %zu x %zu, k %zu", s->n, s->m, s->d, s->k);
        check_same(got, want, s->n * s->k * 4, "rows of %s with %d threads", isa, check_threads[t]);
        check_same(got_sim, want_sim, s->n * s->k * 4, "similarities");
        check_close(kn);
    }
    check_release();
}

static void check_definition(void)
{
    const float bank[] = { 1, 0, 0, 1, 1, 0, 0.6f, 0.8f }, query[] = { 1, 0 };
    const uint64_t bid[] = { 4, 5, 6, 7 }, qid[] = { 4 };
    int32_t idx[6];
    float sim[6];
    struct kern_knn q = { 1, 4, 2, 6, query, bank, NULL, NULL };
    struct kern *kn = check_open("ref", 1);
    kern_knn(kn, &q, idx, sim);
    ok(idx[0] == 0 && idx[1] == 2 && idx[2] == 3 && idx[3] == 1,
       "best first, of equals the lower row");
    ok(idx[4] == -1 && idx[5] == -1 && isinf(sim[4]) && sim[4] < 0, "fewer than k leaves -1");
    near(sim[2], 0.6, 1e-7, "the similarity is the dot product");
    q.query_id = qid;
    q.bank_id = bid;
    kern_knn(kn, &q, idx, sim);
    ok(idx[0] == 2 && idx[3] == -1, "a row with the query's own id is passed over");
    check_close(kn);
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    check_definition();
    for (int i = 1; check_isa(i); i++)
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
            check_shape(&shapes[s], check_isa(i));
    return done();
}
