/*
 * check_knn.c - exact neighbours: equal to the definition to the last bit, ties, duplicates, ids,
 * odd sizes, tight clusters, any scale.
 */
#include <string.h>

#include "tests/kern/check.h"

/* What vectors look like: directions evenly spread; clusters of the given spread; units of the last
 * place apart, around one vector; lengths from 2^-40 to 2^40 in one bank. */
enum look { EVEN, CLUSTERS, CLOSE, LENGTHS };

struct shape {
    size_t n, m, d, k;
    bool ids;
    int copies; /* each bank row stands this often */
    enum look look;
    float query_scale, bank_scale;
};

static const struct shape shapes[] = {
    { 1, 1, 1, 1, false, 1, EVEN, 1, 1 },
    { 33, 700, 17, 5, false, 1, EVEN, 1, 1 },
    { 5, 3, 8, 7, false, 1, EVEN, 1, 1 },
    { 64, 513, 64, 20, true, 1, EVEN, 1, 1 },
    { 7, 2100, 40, 1, true, 3, EVEN, 1, 1 },
    { 40, 600, 12, 600, false, 2, EVEN, 1, 1 },
    { 3, 0, 5, 2, false, 1, EVEN, 1, 1 },
    { 2, 5000, 31, 9, false, 500, EVEN, 1, 1 },
    { 9, 5000, 7, 9, false, 2500, EVEN, 1, 1 },
    { 3, 5000, 7, 40, true, 2500, EVEN, 1, 1 },
    { 3, 2600, 6, 700, true, 40, EVEN, 1, 1 },
    { 2, 4500, 3, 2100, false, 1, EVEN, 1, 1 },
    { 530, 3000, 70, 10, false, 1, CLUSTERS, 1, 1 },
    { 270, 2049, 33, 1, true, 2, CLUSTERS, 1, 1 },
    { 40, 3000, 64, 20, false, 1, CLOSE, 1, 1 },
    { 33, 2000, 128, 1, false, 3, CLOSE, 1, 1 },
    { 50, 4000, 48, 15, false, 1, LENGTHS, 1, 1 },
    { 17, 900, 1, 3, false, 1, LENGTHS, 1, 1 },
    { 20, 1500, 2, 4, false, 1, EVEN, 1, 1 },
    { 20, 1500, 3, 1500, false, 1, EVEN, 1, 1 },
    { 33, 1100, 40, 5, false, 1, CLUSTERS, 1e30f, 1e30f },
    { 33, 1100, 40, 5, false, 1, CLUSTERS, 3e38f, 3e38f },
    { 33, 1100, 40, 5, false, 1, CLUSTERS, 1e-30f, 1e-30f },
    { 33, 1100, 40, 5, false, 1, EVEN, 1e-42f, 1e-43f },
    { 33, 1100, 40, 5, false, 1, EVEN, 1, 1e-44f },
};

static void unit_rows(float *x, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        double r = 1 / sqrt(check_dot(x + i * d, x + i * d, d));
        for (size_t c = 0; c < d; c++)
            x[i * d + c] = (float)(x[i * d + c] * r);
    }
}

/* Rows of one make; the centres are the same for queries and bank. */
static float *vectors(const struct shape *s, size_t n, const float *centre, float scale)
{
    enum { CENTRES = 7 };
    static const float spread[] = { [CLUSTERS] = 0.05f, [CLOSE] = 0x1p-22f };
    float *x = check_normal(n * s->d);
    for (size_t i = 0; i < n && (s->look == CLUSTERS || s->look == CLOSE); i++)
        for (size_t c = 0; c < s->d; c++) {
            float at = centre[(s->look == CLUSTERS ? i % CENTRES : 0) * s->d + c];
            x[i * s->d + c] = at + x[i * s->d + c] * spread[s->look];
        }
    unit_rows(x, n, s->d);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < s->d; c++) {
            float length = s->look == LENGTHS ? ldexpf(1, (int)(i * 37 % 81) - 40) : 1;
            x[i * s->d + c] *= length * scale;
        }
    return x;
}

/* Fewer queries where large cases take long: still more than a block of them. */
static struct shape fewer(struct shape s)
{
    while (check_too_large(s.n * s.m * s.d))
        s.n /= 2;
    return s;
}

static void check_shape(struct shape shape, const char *isa)
{
    const struct shape *s = &shape;
    float *centre = check_normal(7 * s->d);
    float *query = vectors(s, s->n, centre, s->query_scale);
    float *bank = vectors(s, s->m, centre, s->bank_scale);
    uint64_t *qid = check_bytes(s->n * sizeof(*qid)), *bid = check_bytes(s->m * sizeof(*bid));
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
    for (int t = 0; t < check_nthreads; t++) {
        struct kern *kn = check_open(isa, check_threads[t]);
        ok(kern_knn(kn, &q, got, got_sim) == 0, "%zu x %zu x %zu, k %zu", s->n, s->m, s->d, s->k);
        check_same(got, want, s->n * s->k * 4, "rows of %s with %d threads", isa, check_threads[t]);
        check_same(got_sim, want_sim, s->n * s->k * 4, "similarities");
        check_close(kn);
    }
    check_release();
}

static void check_equal(const char *isa, const struct kern_knn *q, const int32_t *want,
                        const float *want_sim, const char *what)
{
    int32_t *got = check_bytes(q->n * q->k * 4);
    float *got_sim = check_buf(q->n * q->k);
    struct kern *kn = check_open(isa, 2);
    ok(kern_knn(kn, q, got, got_sim) == 0, "%s", what);
    check_close(kn);
    check_same(got, want, q->n * q->k * 4, "rows of %s", isa);
    check_same(got_sim, want_sim, q->n * q->k * 4, "similarities");
}

/* An infinity or NaN spoils the pairs that it is in, and no others: they are nobody's neighbours.
 */
static void check_unbounded(const char *isa)
{
    enum { N = 3, M = 600, D = 20, K = 4 };
    float *query = check_normal(N * D), *bank = check_normal(M * D);
    bank[100 * D + 3] = INFINITY;
    bank[200 * D] = NAN;
    bank[300 * D] = bank[300 * D + 1] = 3e38f;
    query[1 * D] = query[1 * D + 1] = 3e38f;
    query[2 * D + 3] = 0; /* infinity times 0 */
    int32_t want[N * K];
    float want_sim[N * K];
    struct kern_knn q = { N, M, D, K, query, bank, NULL, NULL };
    struct kern *ref = check_open("ref", 1);
    kern_knn(ref, &q, want, want_sim);
    check_close(ref);
    check_equal(isa, &q, want, want_sim, "infinities and a NaN in the bank");
    check_release();
}

/* Queries without direction, beside others; more rows without bounds than there are candidates. */
static void check_boundless(const char *isa)
{
    enum { N = 5, M = 3000, D = 12, K = 40 };
    float *query = check_normal(N * D), *bank = check_normal(M * D);
    uint64_t qid[N] = { 0 }, bid[M];
    int32_t *want = check_bytes(N * K * 4);
    float *want_sim = check_buf(N * K);
    struct kern_knn q = { N, M, D, K, query, bank, NULL, NULL };
    struct kern *ref = check_open("ref", 1);
    memset(query + 1 * D, 0, D * sizeof(*query));
    memset(bank + 7 * D, 0, D * sizeof(*bank));
    query[2 * D] = INFINITY;
    bank[7 * D] = 1;
    query[(N - 1) * D + D - 1] = NAN;
    kern_knn(ref, &q, want, want_sim);
    check_equal(isa, &q, want, want_sim, "zeros, an infinity and a NaN among queries");

    q.n = 2;
    for (int j = 0; j < M; j += 2)
        bank[j * D + 3] = INFINITY; /* of which 0, as query 1 has it, is NaN */
    query[3] = 1;
    kern_knn(ref, &q, want, want_sim);
    check_equal(isa, &q, want, want_sim, "infinities in half of the bank");

    for (int j = 0; j < M; j++) {
        bank[j * D + 3] = (float)(j % 5);
        bid[j] = 1;
    }
    bid[2000] = bid[2003] = 3;
    q.query_id = qid;
    q.bank_id = bid;
    qid[0] = qid[1] = 1;
    kern_knn(ref, &q, want, want_sim);
    check_equal(isa, &q, want, want_sim, "nearly all rows with the query's id");

    struct kern_knn all = { 2, 1300, D, 1301, query, bank, NULL, NULL };
    want = check_bytes(all.n * all.k * 4);
    want_sim = check_buf(all.n * all.k);
    kern_knn(ref, &all, want, want_sim);
    check_equal(isa, &all, want, want_sim, "all rows of a bank, for zeros too");
    check_close(ref);
    check_release();
}

/* The same numbers in every row, each in an order of its own: sums of any other order than that of
 * d are rounded otherwise, and rank the rows otherwise. */
static void check_order(const char *isa, size_t m)
{
    enum { D = 73, K = 20 }; /* D a prime: multiples meet all places */
    float *number = check_normal(D), *query = check_buf(D), *bank = check_buf(m * D);
    int32_t *want = check_bytes(K * 4);
    float *want_sim = check_buf(K);
    struct kern_knn q = { 1, m, D, K, query, bank, NULL, NULL };
    for (size_t c = 0; c < D; c++) {
        number[c] = ldexpf(number[c], (int)(c % 50));
        query[c] = 1;
    }
    for (size_t j = 0; j < m; j++)
        for (size_t c = 0; c < D; c++)
            bank[j * D + c] = number[(c * (j % (D - 1) + 1) + j) % D];
    struct kern *ref = check_open("ref", 1);
    kern_knn(ref, &q, want, want_sim);
    check_close(ref);
    check_equal(isa, &q, want, want_sim, "sums in the order of d");
    check_release();
}

/*
 * Scores as wrong as they can be: rounded to steps of 2 unit beside 1, the first row loses unit of
 * its similarity and the second gains as much, and yet the first is nearer. First by the rounding
 * of the rows, then by the rounding of the query. Last, a sum whose beginning overflows. The
 * negatives of both rows keep their mean at 0.
 */
static void check_margin(const char *isa, float unit)
{
    enum { D = 64 };
    const float down = 1 + unit - 0x1p-20f, up = 1 + unit + 0x1p-20f;
    float query[3][D], bank[3][4][D] = { 0 };
    for (int c = 0; c < D; c++) {
        query[0][c] = 1;
        bank[0][0][c] = down;
        bank[0][1][c] = c ? up : 1 - unit;
        query[1][c] = c % 2 ? up : down;
        bank[1][c % 2][c] = c == 1 ? 2 - 2 * unit : 2;
        query[2][c] = 1e19f;
    }
    bank[2][0][0] = -4e19f;
    bank[2][0][1] = 3e19f;
    bank[2][1][0] = -2e19f;
    struct kern *kn = check_open(isa, 1);
    for (int i = 0; i < 3; i++) {
        int32_t idx;
        float sim;
        for (int c = 0; c < 2 * D && i < 2; c++)
            bank[i][2 + c / D][c % D] = -bank[i][c / D][c % D];
        struct kern_knn q = { 1, i < 2 ? 4 : 2, D, 1, query[i], bank[i][0], NULL, NULL };
        kern_knn(kn, &q, &idx, &sim);
        ok(idx == 0, "%s: the nearer row, in spite of its score (%d)", isa, i);
    }
    check_close(kn);
}

static void check_definition(void)
{
    float bank[] = { 1, 0, 0, 1, 1, 0, 0.6f, 0.8f }, query[] = { 1, 0 };
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
    bank[2 * 2 + 1] = INFINITY;
    kern_knn(kn, &q, idx, sim);
    ok(idx[0] == 3 && idx[1] == 1 && idx[2] == -1, "and one whose similarity is NaN");
    check_close(kn);
}

int main(void)
{
    check_init();
    check_definition();
    check_margin("ref", 0x1p-8f);
    check_margin("ref", 0x1p-11f);
    for (int i = 1; check_isa(i); i++) {
        check_unbounded(check_isa(i));
        check_boundless(check_isa(i));
        check_order(check_isa(i), 300);
        check_order(check_isa(i), 1500);      /* more than are told apart by estimates */
        check_margin(check_isa(i), 0x1p-8f);  /* bfloat16 */
        check_margin(check_isa(i), 0x1p-11f); /* float16 */
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
            check_shape(fewer(shapes[s]), check_isa(i));
    }
    return done();
}
