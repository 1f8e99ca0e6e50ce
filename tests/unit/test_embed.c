/*
 * test_embed.c - embedding shards: one by one, all as one, and what cannot be compared.
 */
#include "common/base/fail.h"
#include "common/data/embed.h"
#include "tests/t.h"
#include "tests/unit/files.h"

static const struct embed_kind features = { "features", "online", "0123456789abcdef", true };

/* Rows first .. first+n-1 of an endless table; x[i][j] = i + j / 8. */
static void make_rows(struct rows *r, float *x, size_t first, size_t n, size_t d, bool truth,
                      const char *const *class, size_t nclasses)
{
    char key[32];

    *r = (struct rows){ 0 };
    for (size_t i = 0; i < nclasses; i++)
        classes_add(&r->classes, class[i]);
    for (size_t i = first; i < first + n; i++) {
        uint64_t id = i * 77, offset[2] = { 0, (uint64_t)sprintf(key, "row %zu", i) };
        int32_t label = nclasses ? (int32_t)(i % nclasses) : -1, t = label;
        struct rows one = { .n = 1,
                            .id = &id,
                            .label = &label,
                            .truth = truth ? &t : NULL,
                            .key = (uint8_t *)key,
                            .key_offset = offset };
        rows_append(r, &one, 0, 1);
        for (size_t j = 0; j < d; j++)
            x[(i - first) * d + j] = (float)(i + 1) + (float)j / 8;
    }
}

static int write_some(const char *path, size_t first, size_t n, size_t d, bool truth,
                      const char *const *class, size_t nclasses, const struct embed_kind *kind)
{
    struct embed_writer *w;
    struct rows r;
    float *x = mem_alloc(n, d * sizeof(*x), "x");
    int rc = embed_writer_open(&w, path, d, kind, NULL);

    make_rows(&r, x, first, n, d, truth, class, nclasses);
    for (size_t i = 0; i < n && rc == 0; i += 100) /* in pieces, from the middle of the source */
        rc = embed_writer_add(w, &r, i, MIN(n - i, 100), x + i * d);
    rc = rc == 0 ? embed_writer_close(w) : rc;
    rows_release(&r);
    free(x);
    return rc;
}

static const char *const pets[] = { "cat", "dog" }, *const birds[] = { "owl" };

static bool same_rows(const struct embed *e, size_t first, size_t n, size_t d)
{
    char key[32];
    bool same = e->rows.n == n && e->d == d;

    for (size_t i = 0; same && i < n; i++) {
        size_t len, want = (size_t)sprintf(key, "row %zu", first + i);
        const char *k = rows_key(&e->rows, i, &len);
        same = len == want && !memcmp(k, key, len) && e->rows.id[i] == (first + i) * 77;
        for (size_t j = 0; j < d; j++)
            same = same && e->x[i * d + j] == (float)(first + i + 1) + (float)j / 8;
    }
    return same;
}

static void test_one(void)
{
    char *a[] = { "a.h5" };
    struct embed_all all;

    ok(write_some("a.h5", 0, 250, 5, true, pets, 2, &features) == 0, "250 rows: %s", fail_text());
    ok(embed_read_all(&all, a, 1, 1000) == 0 && same_rows(&all.e, 0, 250, 5), "are read again: %s",
       fail_text());
    ok(all.e.rows.truth && all.e.rows.label[1] == 1 && all.e.rows.classes.n == 2 &&
           !strcmp(all.e.kind.layer, "features") && !strcmp(all.e.kind.net, "online") &&
           !strcmp(all.e.kind.checkpoint, "0123456789abcdef") && all.e.kind.normalised &&
           !strcmp(all.e.name, "a.h5") && all.e.checksum != 0,
       "with their columns and kind");
    embed_all_release(&all);

    ok(write_some("none.h5", 0, 0, 5, true, pets, 2, &features) == 0, "no rows: %s", fail_text());
    a[0] = "none.h5";
    ok(embed_read_all(&all, a, 1, 1000) == 0 && all.e.rows.n == 0 && all.e.d == 5,
       "are a shard too: %s", fail_text());
    embed_all_release(&all);
    write_some("b.h5", 0, 250, 5, true, pets, 2, &features);
    ok(files_equal("a.h5", "b.h5"), "the same rows make the same bytes");
}

static void test_all(void)
{
    char *two[] = { "a.h5", "b.h5" };
    struct embed_all a, b;

    write_some("a.h5", 0, 250, 5, true, pets, 2, &features);
    write_some("b.h5", 250, 777, 5, false, pets, 2, &features);
    ok(embed_read_all(&a, two, 2, UINT64_MAX) == 0 && same_rows(&a.e, 0, 1027, 5),
       "two files as one: %s", fail_text());
    ok(a.e.rows.truth && a.e.rows.truth[300] == 0 && a.e.rows.classes.n == 2 && a.spool.fd < 0,
       "with truth where one has it");
    ok(embed_read_all(&b, two, 2, 1000) == 0 && same_rows(&b.e, 0, 1027, 5) && b.spool.fd > 0,
       "the same from a spool: %s", fail_text());
    ok(a.e.checksum == b.e.checksum, "and checksum");
    embed_all_release(&a);
    embed_all_release(&b);
    embed_all_release(&b);
    files_stdin("", 0);
    ok(embed_read_all(&a, NULL, 0, 1000) == -EINVAL, "nothing: %s", fail_text());
    files_reap();
}

struct seen {
    size_t rows, files;
    bool good;
};

static int see_block(void *arg, const struct embed *e, size_t first, size_t n, const float *x)
{
    struct seen *s = arg;
    for (size_t i = 0; i < n; i++)
        s->good = s->good && x[i * e->d] == (float)(s->rows + first + i + 1);
    return 0;
}

static int see_end(void *arg, const struct embed *e)
{
    struct seen *s = arg;
    s->good = s->good && e->rows.n * e->d * 4 <= EMBED_IMAGE_LIMIT && e->rows.n > 0;
    s->rows += e->rows.n;
    s->files++;
    return 0;
}

static void test_pipe(void)
{
    size_t d = 4096, n = 5000; /* 82 MB: two images */
    int saved = files_stdout("piped.h5");
    char *piped[] = { "piped.h5", "a.h5" };
    struct embed all = { 0 };
    struct seen seen = { .good = true };
    int rc = write_some("-", 0, n, d, false, pets, 2, &features);

    files_stdout_back(saved);
    ok(rc == 0, "through a pipe: %s", fail_text());
    rc = embed_stream(piped, 1, 0, &all, see_block, see_end, &seen);
    ok(rc == 0 && seen.good && seen.rows == n && seen.files == 2,
       "%zu images, %zu rows, each below its limit", seen.files, seen.rows);
    embed_release(&all);
    seen = (struct seen){ 0 };
    rc = embed_stream(piped, 2, 0, &all, see_block, see_end, &seen);
    ok(rc == -EINVAL && seen.files == 2, "other vectors are not shown: %s", fail_text());
    embed_release(&all);
    embed_release(&all);
}

static void test_kinds(void)
{
    static const struct embed_kind other[] = {
        { "projection", "online", "0123456789abcdef", true },
        { "features", "target", "0123456789abcdef", true },
        { "features", "online", "fedcba9876543210", true },
        { "features", "online", "0123456789abcdef", false },
    };
    char *two[] = { "a.h5", "b.h5" };
    struct embed_all a;

    write_some("a.h5", 0, 3, 5, true, pets, 2, &features);
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        write_some("b.h5", 0, 3, 5, true, pets, 2, &other[i]);
        ok(embed_read_all(&a, two, 2, 1000) == -EINVAL && strstr(fail_text(), "a.h5 and b.h5"),
           "%s", fail_text());
    }
    write_some("b.h5", 0, 3, 6, true, pets, 2, &features);
    ok(embed_read_all(&a, two, 2, 1000) == -EINVAL, "%s", fail_text());
    write_some("b.h5", 0, 3, 5, true, birds, 1, &features);
    ok(embed_read_all(&a, two, 2, 1000) == -EINVAL && strstr(fail_text(), "'owl'"), "%s",
       fail_text());
    write_some("b.h5", 0, 3, 5, false, NULL, 0, &features);
    ok(embed_read_all(&a, two, 2, 1000) == 0 && a.e.rows.label[3] == -1, "no classes meet any");
    embed_all_release(&a);
}

static void test_vectors(void)
{
    static const float bad[][2] = { { 1, NAN }, { INFINITY, 1 }, { 0, -0.0f } };
    static const char *const word[] = { "not finite", "not finite", "all zero" };
    char *a[] = { "bad.h5" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        float x[6] = { 1, 2, bad[i][0], bad[i][1], 0, 1 }, unused[6];
        struct embed_writer *w;
        struct embed_all all;
        struct rows r;
        make_rows(&r, unused, 0, 3, 2, false, NULL, 0);
        files_must(embed_writer_open(&w, "bad.h5", 2, &features, NULL) == 0 &&
                       embed_writer_add(w, &r, 0, 3, x) == 0 && embed_writer_close(w) == 0,
                   fail_text());
        ok(embed_read_all(&all, a, 1, 1000) == -ENUMERIC &&
               strstr(fail_text(), "bad.h5: row 1 (row 1)") && strstr(fail_text(), word[i]),
           "%s", fail_text());
        rows_release(&r);
    }
}

/* A flipped bit is noticed, or it is where nothing lies. */
static void test_flips(void)
{
    char *flip[] = { "flip.h5" };
    unsigned long seed = t_seed();
    size_t n, refused = 0, wrong = 0;
    struct embed_all all;

    write_some("flip.h5", 0, 200, 5, true, pets, 2, &features);
    uint8_t *a = files_read("flip.h5", &n);
    int fd = open("flip.h5", O_WRONLY);
    for (int i = 0; i < 500; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(seed >> 20) % n;
        uint8_t flipped = a[at] ^ (uint8_t)(1u << (seed >> 60 & 7));
        files_must(pwrite(fd, &flipped, 1, (off_t)at) == 1, "flip");
        if (embed_read_all(&all, flip, 1, 1 << 20) == 0)
            wrong += !same_rows(&all.e, 0, 200, 5);
        else
            refused++;
        embed_all_release(&all);
        files_must(pwrite(fd, &a[at], 1, (off_t)at) == 1, "flip");
    }
    close(fd);
    free(a);
    ok(refused > 200 && wrong == 0, "flipped bits: %zu of 500 refused, %zu wrong answers", refused,
       wrong);
}

int main(void)
{
    files_enter();
    test_one();
    test_all();
    test_pipe();
    test_kinds();
    test_vectors();
    test_flips();
    ok(files_idle(), "nothing of HDF5 is left open");
    return done();
}
