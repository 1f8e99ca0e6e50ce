/*
 * test_sampler.c - batches are whole, cover the data, mix labelled and unlabelled rows as asked,
 * and depend on the step alone.
 */
#include "common/model/sampler.h"
#include "tests/t.h"

enum { ROWS = 103, BATCH = 24 };

static struct settings settings(double ratio, int batch)
{
    struct settings set;
    settings_preset(&set, 1);
    set.batch = batch;
    set.labelled_ratio = ratio;
    set.seed = t_seed();
    return set;
}

/* Every tenth row has a label. */
static void labels(int32_t *label)
{
    for (int i = 0; i < ROWS; i++)
        label[i] = i % 10 == 3 ? i / 10 % 4 : -1;
}

static bool same(const struct sample *a, const struct sample *b)
{
    for (size_t i = 0; i < BATCH; i++)
        if (a[i].row != b[i].row || a[i].label != b[i].label || a[i].stream != b[i].stream ||
            a[i].turn != b[i].turn)
            return false;
    return true;
}

static void mixed(void)
{
    int32_t label[ROWS];
    struct settings set = settings(5, BATCH);
    struct sampler s;
    struct sample a[BATCH], b[BATCH];
    labels(label);
    ok(sampler_open(&s, &set, label, ROWS) == 0 && s.nlabelled == 10, "ten rows have a label");
    ok(s.labelled_places == 4, "5 to 1 of 24 is 4 places");

    int seen[ROWS] = { 0 }, seen_labelled[ROWS] = { 0 };
    bool right = true;
    for (int k = 0; k < ROWS; k++) { /* ROWS batches: 20 full turns of all rows */
        sampler_batch(&s, k, a);
        for (size_t i = 0; i < BATCH; i++) {
            bool first = i < 4;
            right &= a[i].row < ROWS;
            right &= a[i].stream == (first ? STREAM_LABELLED : STREAM_ALL);
            right &= a[i].label == (first ? label[a[i].row] : -1);
            right &= !first || a[i].label >= 0;
            (first ? seen_labelled : seen)[a[i].row]++;
        }
    }
    ok(right, "labelled places come first, the others hide their labels");
    bool even = true;
    for (int i = 0; i < ROWS; i++)
        even &= seen[i] == 20 && (label[i] < 0 ? seen_labelled[i] == 0
                                               : seen_labelled[i] == 41 || seen_labelled[i] == 42);
    ok(even, "each row comes once an epoch, in both streams");

    sampler_batch(&s, 7, a);
    sampler_batch(&s, 8, b);
    ok(!same(a, b), "another step is another batch");
    sampler_batch(&s, 7, b);
    ok(same(a, b), "the same step is the same batch");
    sampler_close(&s);
    set.seed++;
    sampler_open(&s, &set, label, ROWS);
    sampler_batch(&s, 7, b);
    ok(!same(a, b), "another seed is another batch");
    sampler_close(&s);
}

static void uniform(void)
{
    int32_t label[ROWS];
    struct settings set = settings(0, BATCH);
    struct sampler s;
    struct sample a[BATCH];
    labels(label);
    sampler_open(&s, &set, label, ROWS);
    bool right = s.labelled_places == 0;
    for (int k = 0; k < 10; k++) {
        sampler_batch(&s, k, a);
        for (size_t i = 0; i < BATCH; i++)
            right &= a[i].stream == STREAM_ALL && a[i].label == label[a[i].row];
    }
    ok(right, "ratio 0: one stream, labels visible");
    sampler_close(&s);

    for (int i = 0; i < ROWS; i++)
        label[i] = -1;
    set = settings(5, BATCH);
    sampler_open(&s, &set, label, ROWS);
    sampler_batch(&s, 0, a);
    right = s.labelled_places == 0 && s.nlabelled == 0;
    for (size_t i = 0; i < BATCH; i++)
        right &= a[i].label == -1;
    ok(right, "without labels there is one stream too");
    sampler_close(&s);
}

/* labelled_again no: the other places never show a labelled row. */
static void once(void)
{
    int32_t label[ROWS];
    struct settings set = settings(5, BATCH);
    struct sampler s;
    struct sample a[BATCH];
    int seen[ROWS] = { 0 };
    bool right = true, even = true;
    labels(label);
    set.labelled_again = 0;
    sampler_open(&s, &set, label, ROWS);
    for (int k = 0; k < 93; k++) { /* 20 places of 93 rows */
        sampler_batch(&s, k, a);
        for (size_t i = 0; i < BATCH; i++) {
            right &= a[i].label == (i < 4 ? label[a[i].row] : -1);
            right &= (label[a[i].row] >= 0) == (i < 4);
            seen[a[i].row] += i >= 4;
        }
    }
    for (int i = 0; i < ROWS; i++)
        even &= seen[i] == (label[i] < 0 ? 20 : 0);
    ok(right && even, "labelled rows are not seen again, the others each once an epoch");
    sampler_close(&s);

    for (int i = 0; i < ROWS; i++)
        label[i] = i % 4;
    sampler_open(&s, &set, label, ROWS);
    sampler_batch(&s, 2, a);
    right = s.labelled_places == BATCH;
    for (size_t i = 0; i < BATCH; i++)
        right &= a[i].label >= 0;
    ok(right, "if all rows are labelled, so are all places");
    sampler_close(&s);
}

static void small(void)
{
    int32_t label[5] = { -1, 0, -1, -1, -1 };
    struct settings set = settings(5, BATCH);
    struct sampler s;
    struct sample a[BATCH];
    sampler_open(&s, &set, label, 5);
    sampler_batch(&s, 0, a);
    bool right = true;
    for (size_t i = 0; i < 4; i++)
        right &= a[i].row == 1 && a[i].turn == i;
    for (size_t i = 4; i < BATCH; i++)
        right &= a[i].turn == (i - 4) / 5;
    ok(right, "less data than places: repeats are told apart by their turn");
    sampler_close(&s);

    set = settings(100, 2);
    sampler_open(&s, &set, label, 5);
    ok(s.labelled_places == 1, "at least one place is labelled");
    sampler_close(&s);
    set = settings(0.01, 2);
    sampler_open(&s, &set, label, 5);
    sampler_batch(&s, 3, a);
    ok(s.labelled_places == 2 && a[1].label == 0, "a batch may be all labelled");
    sampler_close(&s);
}

int main(void)
{
    mixed();
    uniform();
    once();
    small();
    return done();
}
