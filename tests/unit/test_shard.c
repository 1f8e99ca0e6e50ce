/*
 * test_shard.c - image shards: written, read, cut, flipped, refused.
 */
#include "common/base/fail.h"
#include "common/data/shard.h"
#include "tests/t.h"
#include "tests/unit/files.h"
#include <pthread.h>
#include <zlib.h>

static struct classes pets, none;

/* Row i: its bytes are made from i, 1 + i % 50 of them. */
static struct shard_row make_row(size_t i, uint8_t *bytes, char *key)
{
    struct shard_row r = { .key = key,
                           .id = i * 1000003u,
                           .label = (int)(i % 3) - 1,
                           .truth = (int)(i % 2),
                           .h = 7 + i % 5,
                           .w = 65535,
                           .bytes = bytes,
                           .nbytes = 1 + i % 50,
                           .orientation = (int)(1 + i % 8) };

    r.keylen = (size_t)sprintf(key, "photos/%zu\n.jpg", i);
    for (size_t k = 0; k < r.nbytes; k++)
        bytes[k] = (uint8_t)(i * 31 + k);
    return r;
}

static int write_rows(const char *path, uint64_t limit, size_t n, bool truth, size_t *nfiles)
{
    struct history h = { 0 };
    struct shard_writer *w;
    uint8_t bytes[64];
    char key[64];
    int rc = shard_writer_open(&w, path, limit, 0, truth, &pets, "{\"short_side\": 0}", &h);

    if (rc < 0)
        return rc;
    history_add(&h, "{\"program\": \"test\"}"); /* after the open: it is read at the end */
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct shard_row r = make_row(i, bytes, key);
        rc = shard_writer_add(w, &r);
    }
    if (rc < 0)
        shard_writer_abort(w);
    else
        rc = shard_writer_close(w, nfiles);
    history_release(&h);
    return rc;
}

/* Is row i of the shard the row number want? */
static bool same_row(const struct shard *s, size_t i, size_t want)
{
    uint8_t bytes[64], got[64];
    char key[64];
    struct shard_row r = make_row(want, bytes, key);
    size_t len;
    const char *k = rows_key(&s->rows, i, &len);

    return len == r.keylen && !memcmp(k, key, len) && s->rows.id[i] == r.id &&
           s->rows.label[i] == r.label && (!s->rows.truth || s->rows.truth[i] == r.truth) &&
           s->size[i][0] == r.h && s->size[i][1] == r.w && s->orientation[i] == r.orientation &&
           shard_row_bytes(s, i) == r.nbytes && shard_row_read(s, i, got) == 0 &&
           !memcmp(got, bytes, r.nbytes);
}

/* The rows of all operands must be 0 .. n-1, each once, in order. Returns n, a million, or what
 * went wrong. */
static int count_rows(char **operands, int n, size_t *files)
{
    struct stream *st;
    struct shard s;
    uint8_t row[64];
    int rows = 0, rc = stream_open(&st, operands, n), damaged = 0;
    bool wrong = false;

    *files = 0;
    if (rc < 0)
        return rc;
    while ((rc = shard_next(st, &s)) == 1) {
        for (size_t i = 0; i < s.rows.n; i++, rows++) {
            int read = shard_row_read(&s, i, row);
            damaged = MIN(damaged, read);
            wrong = wrong || (read == 0 && !same_row(&s, i, (size_t)rows));
        }
        ++*files;
        shard_close(&s);
    }
    stream_close(st);
    return rc < 0 ? rc : damaged < 0 ? damaged : wrong ? 1000000 : rows;
}

static void test_single(void)
{
    char *one[] = { "one.h5" };
    struct shard s;
    size_t files = 0;

    ok(write_rows("one.h5", 0, 500, true, &files) == 0 && files == 1, "500 rows: %s", fail_text());
    ok(count_rows(one, 1, &files) == 500, "are read again: %s", fail_text());
    ok(shard_open(&s, "one.h5") == 0 && !s.decoded && s.rows.truth && s.rows.classes.n == 2 &&
           !strcmp(s.rows.classes.name[1], "dog") && s.history.n == 1 &&
           !strcmp(s.recipe, "{\"short_side\": 0}") && !s.pictures.loaded,
       "with truth, classes, history and recipe");
    ok(s.checksum == (uint32_t)crc32(0, (const Bytef *)s.crc, 2000), "and a checksum");
    shard_close(&s);
    shard_close(&s);
    ok(write_rows("one.h5", 0, 0, true, &files) == 0 && files == 1 &&
           count_rows(one, 1, &files) == 0,
       "no rows are a shard too: %s", fail_text());
    ok(shard_open(&s, "one.h5") == 0 && s.rows.n == 0 && s.rows.truth, "with a column of truth");
    shard_close(&s);
    write_rows("one.h5", 0, 10, false, NULL);
    ok(shard_open(&s, "one.h5") == 0 && s.rows.n == 10 && !s.rows.truth, "no truth");
    shard_close(&s);
    write_rows("two.h5", 0, 10, false, NULL);
    ok(files_equal("one.h5", "two.h5"), "the same rows make the same bytes");
}

static void test_several(void)
{
    char *names[64], text[64][20], *piped[] = { "piped.h5" };
    size_t files = 0, got, total = 0, largest = 0;
    struct shard_set set;
    struct stat sb;

    int rc = write_rows("s-%03d.h5", 20000, 700, true, &files);
    ok(rc == 0 && files > 2, "%zu numbered shards", files);
    for (size_t i = 0; i < files && i < 64; i++) {
        sprintf(text[i], "s-%03zu.h5", i);
        names[i] = text[i];
        files_must(stat(names[i], &sb) == 0, names[i]);
        total += (size_t)sb.st_size;
        largest = MAX(largest, (size_t)sb.st_size);
    }
    ok(largest <= 20000 && total > 8000 * files, "none above its limit: %zu", largest);
    ok(count_rows(names, (int)files, &got) == 700 && got == files, "all rows, in order");
    ok(shard_set_open(&set, names, (int)files) == 0 && set.nrows == 700 && set.nshards == files,
       "as one set: %s", fail_text());
    bool good = true;
    for (size_t i = 0; i < 700; i += 7) {
        size_t row;
        struct shard *s = shard_set_find(&set, i, &row);
        good = good && same_row(s, row, i);
    }
    ok(good && set.classes.n == 2, "found by number");
    shard_set_close(&set);
    int saved = files_stdout("piped.h5");
    rc = write_rows("-", 20000, 700, true, &files);
    files_stdout_back(saved);
    ok(rc == 0 && files > 2, "%zu images through a pipe", files);
    ok(count_rows(piped, 1, &got) == 700 && got == files, "all rows, in order");
    ok(write_rows("t-%d.h5", 1, 3, true, &files) == 0 && files == 3,
       "a row above the limit is alone");
}

static void test_names(void)
{
    static const char *const wrong[] = { "a-%d-%d.h5", "a-%s.h5",   "a-%.h5",  "a-%%d.h5", "%-3d",
                                         "a%0d.h5",    "a%099d.h5", "a%d%.h5", "a%ld",     "a%5d" };
    size_t bad = 0;
    struct shard_writer *w;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        bad += shard_writer_open(&w, wrong[i], 0, 0, false, &none, NULL, NULL) != -EUSAGE;
    ok(bad == 0, "patterns: %s", fail_text());
    ok(shard_writer_open(&w, "no/such.h5", 0, 0, false, &none, NULL, NULL) == -ENOENT,
       "no such folder, before any work: %s", fail_text());
}

static void test_rows_refused(void)
{
    struct shard_writer *w;
    uint8_t bytes[64];
    char key[64];
    struct shard_row good = make_row(1, bytes, key), r;
    int before = files_count();

    files_must(shard_writer_open(&w, "refused.h5", 0, 0, false, &pets, NULL, NULL) == 0, "open");
    r = good;
    r.keylen = 0;
    ok(shard_writer_add(w, &r) == -EINVAL, "no key: %s", fail_text());
    r = good;
    r.label = 2;
    ok(shard_writer_add(w, &r) == -EINVAL, "no such class: %s", fail_text());
    r = good;
    r.w = 65536;
    ok(shard_writer_add(w, &r) == -EINVAL, "too wide: %s", fail_text());
    r = good;
    r.nbytes = 0;
    ok(shard_writer_add(w, &r) == -EINVAL, "no bytes: %s", fail_text());
    r = good;
    r.orientation = 9;
    ok(shard_writer_add(w, &r) == -EINVAL, "orientation: %s", fail_text());
    ok(shard_writer_add(w, &good) == 0, "a good one");
    shard_writer_abort(w);
    ok(files_count() == before, "an abort leaves nothing");
}

static void *read_some(void *arg)
{
    const struct shard *s = arg;
    size_t good = 0;

    for (size_t i = 0; i < s->rows.n; i++)
        good += same_row(s, i, i);
    return good == s->rows.n ? arg : NULL;
}

static void test_threads(void)
{
    pthread_t t[4];
    struct shard s;
    void *good;
    bool all = true;

    write_rows("threads.h5", 0, 400, true, NULL);
    files_must(shard_open(&s, "threads.h5") == 0, fail_text());
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, read_some, &s);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &good);
        all = all && good;
    }
    ok(all, "four threads read rows");
    shard_close(&s);
}

static void test_pictures(void)
{
    uint8_t rgb[4 * 6 * 3], *png, square[5 * 5 * 3];
    struct image im = { 4, 6, rgb }, back;
    struct shard_row r = { .key = "p", .keylen = 1, .label = -1, .truth = -1, .orientation = 1 };
    struct shard_writer *w;
    struct shard s;
    size_t n;

    for (size_t i = 0; i < sizeof(rgb); i++)
        rgb[i] = (uint8_t)(i * 3);
    for (size_t i = 0; i < sizeof(square); i++)
        square[i] = (uint8_t)(i * 5);
    files_must(image_encode_png(&im, &png, &n) == 0, "png");
    files_must(shard_writer_open(&w, "p.h5", 0, 0, false, &none, NULL, NULL) == 0, "open");
    r.bytes = png;
    r.nbytes = n;
    r.h = 4;
    r.w = 6;
    ok(shard_writer_add(w, &r) == 0, "a picture");
    r.h = 5;
    ok(shard_writer_add(w, &r) == 0, "one whose size is told wrong");
    r.nbytes = n / 3;
    r.bytes = rgb;
    ok(shard_writer_add(w, &r) == 0, "one that is none");
    files_must(shard_writer_close(w, NULL) == 0 && shard_open(&s, "p.h5") == 0, fail_text());
    ok(shard_row_image(&s, 0, &back) == 0 && back.h == 4 && back.w == 6 &&
           !memcmp(back.rgb, rgb, sizeof(rgb)),
       "decoded: %s", fail_text());
    image_release(&back);
    ok(shard_row_image(&s, 1, &back) == -EIO, "size: %s", fail_text());
    ok(shard_row_image(&s, 2, &back) < 0 && strstr(fail_text(), "p.h5: row 2 (p)"), "none: %s",
       fail_text());
    shard_close(&s);
    free(png);

    files_must(shard_writer_open(&w, "d.h5", 0, 5, true, &pets, NULL, NULL) == 0, "open");
    r = (struct shard_row){ .key = "q",
                            .keylen = 1,
                            .label = 1,
                            .truth = 1,
                            .orientation = 1,
                            .h = 5,
                            .w = 5,
                            .bytes = square,
                            .nbytes = sizeof(square) };
    ok(shard_writer_add(w, &r) == 0 && shard_writer_add(w, &r) == 0, "decoded pictures");
    r.nbytes--;
    ok(shard_writer_add(w, &r) == -EINVAL, "of another size: %s", fail_text());
    files_must(shard_writer_close(w, NULL) == 0 && shard_open(&s, "d.h5") == 0, fail_text());
    ok(s.decoded && s.h == 5 && s.w == 5 && shard_row_image(&s, 1, &back) == 0 &&
           !memcmp(back.rgb, square, sizeof(square)),
       "are read again");
    image_release(&back);
    shard_close(&s);
}

/* A mask of 4 x 6, or of side x side: two columns are foreground. */
static struct mask make_mask(size_t side)
{
    struct mask m = { side ? side : 4, side ? side : 6, NULL };

    m.plane = calloc(m.h, m.w);
    for (size_t y = 0; y < m.h; y++)
        m.plane[y * m.w + 1] = m.plane[y * m.w + 2] = 255;
    return m;
}

/* Five pictures, of which the second and the fourth have a mask. */
static int write_masks(const char *path, size_t side, bool truth_of_size)
{
    uint8_t bytes[5 * 5 * 3] = { 1 }, *png;
    struct mask m = make_mask(side);
    struct shard_row r = { .key = "m", .keylen = 1, .label = -1, .truth = -1, .orientation = 1 };
    struct shard_writer *w;
    size_t n;
    int rc = 0;

    files_must(mask_encode(&m, &png, &n) == 0 &&
                   shard_writer_open(&w, path, 0, side, false, &none, NULL, NULL) == 0,
               fail_text());
    r.h = side ? side : 4;
    r.w = side ? side : truth_of_size ? 6 : 7;
    r.bytes = bytes;
    r.nbytes = side ? side * side * 3 : 10;
    for (int i = 0; i < 5 && rc == 0; i++) {
        r.mask = i % 2 == 0 ? NULL : side ? m.plane : png;
        r.nmask = i % 2 == 0 ? 0 : side ? side * side : n;
        rc = shard_writer_add(w, &r);
    }
    free(png);
    mask_release(&m);
    return rc < 0 ? rc : shard_writer_close(w, NULL);
}

/* 5 if all rows have the masks that write_masks() gave them; negative if one is refused. */
static int count_masks(const char *path, size_t side)
{
    struct mask want = make_mask(side), got;
    struct shard s;
    int good = 0, rc = shard_open(&s, path);

    for (size_t i = 0; rc >= 0 && i < s.rows.n; i++) {
        rc = shard_row_mask(&s, i, &got);
        good +=
            rc == (int)(i % 2) && (rc == 0 || (got.h == want.h && got.w == want.w &&
                                               !memcmp(got.plane, want.plane, want.h * want.w)));
        mask_release(&got);
    }
    if (s.in.name)
        shard_close(&s);
    mask_release(&want);
    return rc < 0 ? rc : good;
}

static void test_masks(void)
{
    struct shard s;
    size_t n, refused = 0, wrong = 0;
    unsigned long seed = t_seed();

    ok(write_masks("mask.h5", 0, true) == 0 && count_masks("mask.h5", 0) == 5,
       "masks of encoded pictures: %s", fail_text());
    ok(write_masks("plane.h5", 5, true) == 0 && count_masks("plane.h5", 5) == 5,
       "and of decoded ones: %s", fail_text());
    ok(write_masks("small.h5", 0, false) == 0 && count_masks("small.h5", 0) == -EIO &&
           strstr(fail_text(), "small.h5: row 1 (m): its mask"),
       "one of another size: %s", fail_text());
    write_rows("unmasked.h5", 0, 5, true, NULL);
    ok(shard_open(&s, "unmasked.h5") == 0 && !s.masked && count_masks("unmasked.h5", 0) == 3,
       "none at all");
    shard_close(&s);

    uint8_t *a = files_read("mask.h5", &n);
    int fd = open("mask.h5", O_WRONLY);
    for (int i = 0; i < 400; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(seed >> 20) % n;
        uint8_t flipped = a[at] ^ (uint8_t)(1u << (seed >> 60 & 7));
        files_must(pwrite(fd, &flipped, 1, (off_t)at) == 1, "flip");
        int rc = count_masks("mask.h5", 0);
        refused += rc < 0;
        wrong += rc >= 0 && rc != 5;
        files_must(pwrite(fd, &a[at], 1, (off_t)at) == 1, "flip");
    }
    close(fd);
    free(a);
    ok(refused > 100 && wrong == 0, "flipped bits: %zu of 400 refused, %zu wrong masks", refused,
       wrong);
}

/* Every prefix of a stream of two shards is the whole, or the first alone, or refused. */
static void test_prefixes(void)
{
    size_t n, files, bad = 0;
    char *cut[] = { "cut.h5" };

    write_rows("first.h5", 0, 3, true, NULL);
    uint8_t *a = files_read("first.h5", &n), *both = malloc(2 * n);
    memcpy(both, a, n);
    memcpy(both + n, a, n);
    files_write("cut.h5", both, 2 * n);
    for (size_t k = 2 * n - 1; k > 0; k -= k > n + 60 && k < 2 * n - 3 ? 13 : 1) {
        files_must(truncate("cut.h5", (off_t)k) == 0, "truncate");
        int rc = count_rows(cut, 1, &files);
        bad += k == n ? rc != 3 : rc >= 0;
    }
    ok(bad == 0, "a shard cut at each of %zu bytes, the next at some", n);
    free(a);
    free(both);
}

/* A flipped bit is noticed, or it is where nothing lies. */
static void test_flips(void)
{
    char *flip[] = { "whole.h5" };
    size_t n, files, refused = 0, wrong = 0;
    unsigned long seed = t_seed();

    write_rows("whole.h5", 0, 20, true, NULL);
    uint8_t *a = files_read("whole.h5", &n);
    int fd = open("whole.h5", O_WRONLY);
    files_must(fd >= 0, "whole.h5");
    for (int i = 0; i < 1500; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(seed >> 20) % n;
        uint8_t bit = (uint8_t)(1u << (seed >> 60 & 7));
        uint8_t flipped = a[at] ^ bit;
        files_must(pwrite(fd, &flipped, 1, (off_t)at) == 1, "flip");
        int rc = count_rows(flip, 1, &files);
        refused += rc < 0;
        wrong += rc >= 0 && rc != 20;
        files_must(pwrite(fd, &a[at], 1, (off_t)at) == 1, "flip");
    }
    close(fd);
    ok(refused > 500 && wrong == 0, "flipped bits: %zu of 1500 refused, %zu wrong answers", refused,
       wrong);
    free(a);
}

/* One thing wrong at a time, in a file that is otherwise good. */
static void test_content(void)
{
    static const struct {
        const char *what;
        int change;
    } wrong[] = {
        { "nothing", 0 },           { "a label too large", 1 },    { "a label too small", 2 },
        { "classes unsorted", 3 },  { "a short column", 4 },       { "offsets that fall", 5 },
        { "offsets too large", 6 }, { "a NUL in a key", 7 },       { "an empty key", 8 },
        { "no orientation", 9 },    { "crc of another type", 10 }, { "masks in a plane", 11 },
        { "masks that fall", 12 },  { "masks beyond", 13 },
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        int c = wrong[i].change;
        size_t n = 2, n1 = 3, four = 4, size[2] = { 2, 2 };
        char *sorted[] = { "cat", "dog" }, *unsorted[] = { "dog", "cat" };
        int32_t label[2] = { c == 1 ? 2 : 1, c == 2 ? -2 : -1 };
        uint64_t key_offset[3] = { 0, c == 8 ? 0 : 1, 2 };
        uint64_t offset[3] = { 0, c == 5 ? 4 : c == 6 ? UINT64_MAX : 2, 4 };
        struct h5out o;
        struct shard s;

        files_must(h5out_open(&o, "content.h5") == 0, fail_text());
        h5_write_strings(&o, "classes", c == 3 ? unsorted : sorted, 2);
        h5_write(&o, "id", H5_U64, 1, &n, (uint64_t[]){ 1, 2 });
        h5_write(&o, "label", H5_I32, 1, c == 4 ? &n1 : &n, (int32_t[]){ label[0], label[1], 0 });
        h5_write(&o, "key_offset", H5_U64, 1, &n1, key_offset);
        h5_write(&o, "key", H5_U8, 1, &n, c == 7 ? "a" : "ab");
        h5_write(&o, "size", H5_U16, 2, size, (uint16_t[]){ 1, 2, 3, 4 });
        h5_write(&o, "orientation", H5_U8, 1, &n, c == 9 ? "\0\1" : "\1\1");
        h5_write(&o, "crc", c == 10 ? H5_I32 : H5_U32, 1, &n, (uint32_t[]){ 1, 2 });
        h5_write(&o, "offset", H5_U64, 1, &n1, offset);
        h5_write(&o, "bytes", H5_U8, 1, &four, "abcd");
        h5_write(&o, "mask", H5_U8, c == 11 ? 2 : 1, c == 11 ? size : &four, "abcd");
        h5_write(&o, "mask_offset", H5_U64, 1, &n1,
                 (uint64_t[]){ 0, c == 12 ? 5 : 0, c == 13 ? 5 : 4 });
        files_must(h5out_commit(&o, SHARD_FORMAT, 1, NULL) == 0, fail_text());
        int rc = shard_open(&s, "content.h5");
        ok(c == 0 ? rc == 0 : rc == -EINVAL && strstr(fail_text(), "content.h5"), "%s: %s",
           wrong[i].what, rc < 0 ? fail_text() : "fine");
        if (c == 0)
            ok(shard_row_read(&s, 1, size) == -EIO && strstr(fail_text(), "row 1 (b)"), "crc: %s",
               fail_text());
        if (c == 0) {
            struct mask m;
            ok(shard_row_mask(&s, 0, &m) == 0, "an empty mask is none");
            ok(shard_row_mask(&s, 1, &m) == -EINVAL && strstr(fail_text(), "row 1 (b): its mask"),
               "one that is no picture: %s", fail_text());
        }
        shard_close(&s);
    }
}

int main(void)
{
    files_enter();
    classes_add(&pets, "dog");
    classes_add(&pets, "cat");
    classes_sort(&pets);
    test_single();
    test_several();
    test_names();
    test_rows_refused();
    test_threads();
    test_pictures();
    test_masks();
    test_prefixes();
    test_flips();
    test_content();
    classes_release(&pets);
    ok(files_idle(), "nothing of HDF5 is left open");
    return done();
}
