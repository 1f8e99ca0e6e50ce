/*
 * test_stream.c - HDF5 files one after the other, from disk and from pipes.
 */
#include "common/base/fail.h"
#include "common/data/h5.h"
#include "tests/t.h"
#include "tests/unit/files.h"

/* A file whose only content is the number v. */
static void make(const char *path, int64_t v)
{
    struct h5out o;

    files_must(h5out_open(&o, path) == 0 && h5_put_int(&o, "", "v", v) == 0 &&
                   h5out_commit(&o, "number", 1, NULL) == 0,
               fail_text());
}

/* Reads a stream of such files: the numbers as digits of *sum, first to last. Returns what ended
 * it. */
static int numbers(char **operands, int n, int64_t *sum, char *names)
{
    struct stream *st;
    struct h5in in;
    int64_t v = 0;
    int rc = stream_open(&st, operands, n);

    *sum = 0;
    if (names)
        *names = '\0';
    if (rc < 0)
        return rc;
    while ((rc = stream_next(st, &in)) == 1) {
        if (h5_attr_int(&in, "", "v", &v) < 0)
            v = 9;
        *sum = *sum * 10 + v;
        if (names)
            strcat(strcat(names, in.name), " ");
        h5in_close(&in);
    }
    stream_close(st);
    return rc;
}

static uint8_t *join(const uint8_t *a, size_t n, const uint8_t *b, size_t m)
{
    uint8_t *both = malloc(n + m);

    memcpy(both, a, n);
    memcpy(both + n, b, m);
    return both;
}

static void test_order(const uint8_t *both, size_t n, size_t m)
{
    char *two[] = { "a.h5", "b.h5" }, *mixed[] = { "b.h5", "-", "a.h5" }, *cat[] = { "ab.h5" };
    char names[200];
    struct h5in in;
    int64_t v;

    ok(numbers(two, 2, &v, names) == 0 && v == 12 && !strcmp(names, "a.h5 b.h5 "), "two operands");
    files_write("ab.h5", both, n + m);
    ok(numbers(cat, 1, &v, names) == 0 && v == 12 && !strcmp(names, "ab.h5[1] ab.h5[2] "),
       "two in one file: %s", names);
    files_stdin(both, n + m);
    ok(numbers(NULL, 0, &v, names) == 0 && v == 12 &&
           !strcmp(names, "standard input standard input[2] "),
       "two in a pipe: %s", names);
    files_stdin(both, n + m);
    ok(numbers(mixed, 3, &v, NULL) == 0 && v == 2121, "a pipe among files");
    files_must(freopen("ab.h5", "rb", stdin) != NULL, "ab.h5");
    ok(numbers(NULL, 0, &v, NULL) == 0 && v == 12, "standard input that is a file of two");
    files_must(freopen("a.h5", "rb", stdin) != NULL, "a.h5");
    ok(numbers(NULL, 0, &v, NULL) == 0 && v == 1, "and of one");

    ok(h5in_open(&in, "ab.h5") == -EINVAL && strstr(fail_text(), "more than one"), "one alone: %s",
       fail_text());
    ok(h5in_open(&in, "a.h5") == 0 && in.fd >= 0 && !in.image, "a file alone stays on disk");
    h5in_close(&in);
    h5in_close(&in);
    files_stdin(both, n);
    ok(h5in_open(&in, "-") == 0 && in.image && in.size == n, "one from a pipe is in memory");
    h5in_close(&in);
}

static void test_ends(const uint8_t *both, size_t n, size_t m)
{
    char *stdin2[] = { "-", "-" }, *empty[] = { "empty.h5" }, *gone[] = { "a.h5", "gone.h5" };
    char *folder[] = { "." }, *tail[] = { "tail.h5" }, *cut[] = { "cut.h5" }, *text[] = { "t.h5" };
    struct h5in in;
    int64_t v;

    files_stdin(both, 0);
    ok(numbers(NULL, 0, &v, NULL) == 0 && v == 0, "nothing on standard input is no files");
    files_stdin(both, 0);
    ok(h5in_open(&in, "-") == -EINVAL, "where one is expected: %s", fail_text());
    ok(numbers(stdin2, 2, &v, NULL) == -EUSAGE, "standard input twice: %s", fail_text());
    files_write("empty.h5", both, 0);
    ok(numbers(empty, 1, &v, NULL) == -EINVAL, "an empty file: %s", fail_text());
    ok(numbers(gone, 2, &v, NULL) == -ENOENT && v == 1 && strstr(fail_text(), "gone.h5"),
       "a missing file: %s", fail_text());
    ok(numbers(folder, 1, &v, NULL) == -EISDIR, "a folder: %s", fail_text());
    uint8_t *x = join(both, n, (const uint8_t *)"garbage", 7);
    files_write("tail.h5", x, n + 7);
    ok(numbers(tail, 1, &v, NULL) == -EINVAL && v == 0, "bytes behind a file: %s", fail_text());
    files_stdin(x, n + 7);
    ok(numbers(NULL, 0, &v, NULL) == -EINVAL && v == 1, "behind one in a pipe: %s", fail_text());
    free(x);
    files_write("cut.h5", both, n - 1);
    ok(numbers(cut, 1, &v, NULL) == -EIO && v == 0, "a cut file: %s", fail_text());
    files_stdin(both, n + m - 1);
    ok(numbers(NULL, 0, &v, NULL) == -EIO && v == 1 &&
           strstr(fail_text(), "standard input: cut off after"),
       "a cut pipe: %s", fail_text());
    files_write("t.h5", "key\tclass\n", 10);
    ok(numbers(text, 1, &v, NULL) == -EINVAL, "text: %s", fail_text());
    files_stdin("key\tclass\n", 10);
    ok(numbers(NULL, 0, &v, NULL) == -EINVAL, "text in a pipe: %s", fail_text());
}

/* Every prefix of a stream of two is refused, but for the whole and the first. */
static void test_prefixes(const uint8_t *both, size_t n, size_t m)
{
    size_t bad = 0;
    char *cut[] = { "cut.h5" };
    int64_t v;

    for (size_t k = 1; k <= n + m; k++) {
        bool good = k == n || k == n + m;
        files_write("cut.h5", both, k);
        int rc = numbers(cut, 1, &v, NULL);
        bad += good ? rc != 0 || v != (k == n ? 1 : 12) : rc == 0 || (k < n && v != 0);
    }
    ok(bad == 0, "every prefix of %zu bytes on disk", n + m);
    bad = 0;
    for (size_t k = 1; k <= n + m; k += k < 56 || k % n < 3 || k % n > n - 3 ? 1 : 17) {
        bool good = k == n || k == n + m;
        files_stdin(both, k);
        int rc = numbers(NULL, 0, &v, NULL);
        bad += good ? rc != 0 || v != (k == n ? 1 : 12) : rc == 0 || v != (k < n ? 0 : 1);
        files_reap();
    }
    ok(bad == 0, "and in a pipe");
}

/* Superblocks that lie, and those of other versions. */
static void test_superblocks(const uint8_t *a, size_t n)
{
    static const struct {
        const char *what;
        size_t at;
        uint8_t byte;
    } lies[] = {
        { "an unknown version", 8, 7 }, { "addresses of 3 bytes", 9, 3 },
        { "a user block", 13, 2 },      { "a size of 2^60", 35, 0x10 },
        { "no size", 28, 0 },
    };
    char *lie[] = { "lie.h5" }, *old[] = { "v0.h5", "v3.h5" };
    uint8_t *x = malloc(n);
    int64_t v;

    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        memcpy(x, a, n);
        x[lies[i].at] = lies[i].byte;
        if (lies[i].at == 28)
            memset(x + 28, 0, 8);
        files_write("lie.h5", x, n);
        ok(numbers(lie, 1, &v, NULL) < 0, "%s: %s", lies[i].what, fail_text());
        files_stdin(x, n);
        ok(numbers(NULL, 0, &v, NULL) < 0, "in a pipe: %s", fail_text());
    }
    free(x);

    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    for (int i = 0; i < 2; i++) {
        hid_t file = H5Fcreate(old[i], H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
        hid_t space = H5Screate(H5S_SCALAR);
        hid_t attr = H5Acreate2(file, "v", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(attr, H5T_NATIVE_INT, &(int){ 3 + i });
        H5Aclose(attr);
        H5Sclose(space);
        H5Fclose(file);
        H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110);
    }
    H5Pclose(fapl);
    ok(numbers(old, 2, &v, NULL) == 0 && v == 34, "superblocks 0 and 3 are read");
    for (int i = 0; i < 2; i++) {
        size_t k;
        uint8_t *y = files_read(old[i], &k);
        files_stdin(y, k);
        ok(numbers(NULL, 0, &v, NULL) == 0 && v == 3 + i, "and in a pipe");
        free(y);
    }
}

/* An image much larger than a pipe, through one. */
static void test_large(void)
{
    size_t n = 5000000, m;
    uint8_t *x = malloc(n), *back = malloc(n), *file;
    struct h5out o;
    struct h5in in;

    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)(i * 2654435761u >> 13);
    files_must(h5out_open(&o, "large.h5") == 0 && h5_write(&o, "x", H5_U8, 1, &n, x) == 0 &&
                   h5out_commit(&o, "bytes", 1, NULL) == 0,
               fail_text());
    file = files_read("large.h5", &m);
    files_stdin(file, m);
    ok(h5in_open(&in, "-") == 0 && h5_read(&in, "x", H5_U8, n, back) == 0 &&
           memcmp(x, back, n) == 0,
       "five megabytes through a pipe");
    h5in_close(&in);
    free(x);
    free(back);
    free(file);
}

int main(void)
{
    size_t n, m;

    files_enter();
    make("a.h5", 1);
    make("b.h5", 2);
    uint8_t *a = files_read("a.h5", &n), *b = files_read("b.h5", &m), *both = join(a, n, b, m);
    ok(h5_signature(a, 8) && !h5_signature(a, 7) && !h5_signature(b + 1, 8), "a signature");
    test_order(both, n, m);
    test_ends(both, n, m);
    test_prefixes(both, n, m);
    test_superblocks(a, n);
    test_large();
    files_reap();
    free(a);
    free(b);
    free(both);
    ok(files_idle(), "nothing of HDF5 is left open");
    return done();
}
