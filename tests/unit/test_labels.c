/*
 * test_labels.c - label lists, and the split of labels.
 */
#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/data/labels.h"
#include "common/data/split.h"
#include "tests/t.h"

#include <string.h>
#include <unistd.h>

static int parse(struct labels *l, const char *text, size_t n)
{
    char path[] = "/tmp/test_labels.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        exit(1);
    close(fd);
    int rc = labels_read(l, path);
    unlink(path);
    return rc;
}

static bool has(const struct labels *l, size_t i, const char *key, const char *name, size_t line)
{
    return i < l->n && strcmp(l->item[i].key, key) == 0 && l->item[i].line == line &&
           strcmp(l->classes.name[l->item[i].label], name) == 0;
}

static void test_read(void)
{
    static const char text[] = "\xef\xbb\xbf./b.jpg\tdog\n"
                               "a b\\tc\\n\\\\\\xff.jpg\tcat\t0.93\textra\r\n"
                               "\r\n"
                               "\n"
                               "b.jpg\tdog\n"
                               "-x\tan\\tt";
    struct labels l;
    if (ok(parse(&l, text, strlen(text)) == 0, "a list is read: %s", fail_text())) {
        ok(l.n == 3 && l.classes.n == 3 && strcmp(l.classes.name[0], "an\tt") == 0,
           "three rows of three classes, sorted");
        ok(has(&l, 0, "-x", "an\tt", 6), "the last line needs no newline");
        ok(has(&l, 1, "a b\tc\n\\\xff.jpg", "cat", 2), "escapes, further columns, CR");
        ok(has(&l, 2, "b.jpg", "dog", 1), "byte order mark, ./, an equal repeat");
        labels_release(&l);
    }
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        { "a\tx\nb\n", "line 2 has no tab" },    { "a\tx\nb\ty\na\tz\n", "lines 1 and 3" },
        { "\tx\n", "line 1 has an empty path" }, { "a\t\n", "line 1 has an empty class" },
        { "a\\q\tx\n", "line 1 has a backsl" },  { "a\\x0\tx\n", "line 1 has a backsl" },
        { "a\\x00\tx\n", "line 1 has a bac" },   { "a\\", "line 1 has no tab" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ok(parse(&l, bad[i].text, strlen(bad[i].text)) == -EINVAL &&
               strstr(fail_text(), bad[i].sentence) != NULL,
           "refused: %s", fail_text());
    ok(parse(&l, "a\tx\0y\n", 6) == -EINVAL, "a NUL is refused: %s", fail_text());
    ok(parse(&l, "", 0) == 0 && l.n == 0, "an empty list has no labels");
    labels_release(&l);
    ok(parse(&l, "a\t?\t0.3\nb\tx\n", 12) == 0 && l.n == 2 && l.classes.n == 1 &&
           l.item[0].label == -1 && l.item[1].label == 0,
       "the class ? is none");
    labels_release(&l);
    ok(labels_read(&l, "/nowhere/x.tsv") == -ENOENT, "a missing one fails: %s", fail_text());
}

struct asked {
    size_t calls, rows;
    const bool *sound;
};

static int sound(void *arg, const size_t *row, size_t n, bool *good)
{
    struct asked *a = arg;
    a->calls++;
    a->rows += n;
    for (size_t i = 0; i < n; i++)
        good[i] = a->sound[row[i]];
    return 0;
}

enum { N = 90, CLASSES = 3 };

static void fill(int32_t *label, uint64_t *rank, size_t n)
{
    static const char *const names[CLASSES] = { "a", "b", "c" };
    for (size_t i = 0; i < n; i++) {
        char key[20];
        snprintf(key, sizeof key, "k%zu", i);
        label[i] = i % 10 == 9 ? -1 : (int32_t)(i % CLASSES); /* 30 of 90, less the unlabelled */
        rank[i] = label[i] < 0 ? 0 : split_rank(t_seed(), names[label[i]], key);
    }
}

static void test_split(void)
{
    bool all[N], some[N], keep[N], more[N];
    int32_t label[N];
    uint64_t rank[N];
    size_t kept[CLASSES];
    for (size_t i = 0; i < N; i++) {
        all[i] = true;
        some[i] = i % 7 != 0;
    }
    fill(label, rank, N);
    struct asked a = { .sound = all };
    ok(split_choose(keep, kept, label, rank, N, CLASSES, 4, 0, sound, &a) == 0 && kept[0] == 4 &&
           kept[1] == 4 && kept[2] == 4 && a.calls == 1 && a.rows == 12,
       "4 a class of sound pictures: 12 questions");
    a = (struct asked){ .sound = all };
    split_choose(more, kept, label, rank, N, CLASSES, 9, 0, sound, &a);
    bool within = true, right = true;
    for (size_t i = 0; i < N; i++) {
        within = within && (!keep[i] || more[i]);
        right = right && (!more[i] || label[i] >= 0);
    }
    ok(within, "9 a class hold the 4 a class");
    ok(right, "rows without a label are never chosen");
    /* the same rows, half of the others gone: the choice among what is left does not change */
    int32_t fewer[N];
    for (size_t i = 0; i < N; i++)
        fewer[i] = keep[i] || i % 2 ? label[i] : -1;
    split_choose(more, kept, fewer, rank, N, CLASSES, 4, 0, sound, &a);
    ok(memcmp(keep, more, sizeof keep) == 0, "blind to the other files");

    a = (struct asked){ .sound = some };
    split_choose(keep, kept, label, rank, N, CLASSES, 9, 0, sound, &a);
    bool bad = false;
    for (size_t i = 0; i < N; i++)
        bad = bad || (keep[i] && !some[i]);
    ok(!bad && kept[0] == 9 && kept[1] == 9 && kept[2] == 9, "damaged ones are passed over");
    split_choose(keep, kept, label, rank, N, CLASSES, 1000, 0, sound, &a);
    size_t n[CLASSES] = { 0 };
    for (size_t i = 0; i < N; i++)
        if (label[i] >= 0 && some[i])
            n[label[i]]++;
    ok(memcmp(n, kept, sizeof n) == 0, "a class with too few gives all it has");

    /* class sizes 27: 0.5 is 13.5, which goes up; 0.001 is 0, which is 1 */
    split_choose(keep, kept, label, rank, N, CLASSES, 0, 0.5, sound,
                 &(struct asked){ .sound = all });
    ok(kept[0] == 14 && kept[1] == 14 && kept[2] == 14, "half of 27 is 14, got %zu", kept[0]);
    split_choose(keep, kept, label, rank, N, CLASSES, 0, 0.001, sound,
                 &(struct asked){ .sound = all });
    ok(kept[0] == 1 && kept[1] == 1 && kept[2] == 1, "the least is 1");
    split_choose(keep, kept, label, rank, N, CLASSES, 0, 1, sound, &(struct asked){ .sound = all });
    ok(kept[0] == 27 && kept[1] == 27 && kept[2] == 27, "all is all");

    ok(split_rank(1, "a", "bc") != split_rank(1, "ab", "c"), "class and key do not run together");
    ok(split_rank(1, "cat", "cat/1.jpg") == 0xfb2986855fc81e0eu, "a rank never changes: %llx",
       (unsigned long long)split_rank(1, "cat", "cat/1.jpg"));
}

int main(void)
{
    test_read();
    test_split();
    return done();
}
