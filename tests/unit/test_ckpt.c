/*
 * test_ckpt.c - checkpoints: written, read, compared, damaged.
 */
#include "tests/t.h"
#include "common/base/fail.h"
#include "common/data/ckpt.h"
#include "tests/unit/files.h"

#define WEIGHT "online/encoder/layer1.0.conv1.weight"

/* backwards: the same content in another order. */
static void fill(struct ckpt *c, bool backwards)
{
    *c = (struct ckpt){ 0 };
    for (int k = 0; k < 6; k++) {
        float *f;
        switch (backwards ? 5 - k : k) {
        case 0:
            f = ckpt_add(c, WEIGHT, H5_F32, 4, (size_t[]){ 2, 3, 3, 3 });
            for (int i = 0; i < 54; i++)
                f[i] = (float)i / 3;
            break;
        case 1:
            f = ckpt_add(c, "target/encoder/bn1.bias", H5_F32, 1, (size_t[]){ 3 });
            f[0] = NAN;
            f[1] = -0.0f;
            f[2] = 1e-40f;
            break;
        case 2:
            *(int64_t *)ckpt_add(c, "counters/step", H5_I64, 0, NULL) = 12345678901;
            break;
        case 3:
            ((uint64_t *)ckpt_add(c, "queue/ids", H5_U64, 1, (size_t[]){ 2 }))[1] = UINT64_MAX;
            break;
        case 4:
            ckpt_put_int(c, "batch", 256);
            ckpt_put_double(c, "tau", 0.1);
            break;
        default:
            ckpt_put_string(c, "encoder", "resnet18");
            ckpt_add(c, "empty", H5_F32, 2, (size_t[]){ 0, 5 });
        }
    }
    classes_add(&c->classes, "cat");
    classes_add(&c->classes, "dog");
}

static void test_round_trip(void)
{
    struct ckpt a, b, c;
    char hex[17], again[17], part[17];
    uint32_t sum = 0, other = 1;

    fill(&a, false);
    fill(&b, true);
    history_add(&a.history, "{\"program\": \"x\"}");
    history_add(&b.history, "{\"program\": \"x\"}");
    ok(ckpt_checksum(&a, &sum) == 0 && ckpt_checksum(&b, &other) == 0 && sum == other,
       "the checksum knows no order");
    ok(ckpt_compare(&a, &b) == 0, "nor does the comparison");
    ok(ckpt_write(&a, "a.h5") == 0 && ckpt_write(&b, "b.h5") == 0 && files_equal("a.h5", "b.h5"),
       "nor the bytes: %s", fail_text());
    ok(ckpt_read(&c, "a.h5") == 0 && ckpt_compare(&a, &c) == 0, "read again: %s", fail_text());
    ok(c.ntensors == 5 && !strcmp(c.tensor[0].name, "counters/step") &&
           !strcmp(c.tensor[4].name, "target/encoder/bn1.bias") && c.nattrs == 3 &&
           !strcmp(c.attr[0].name, "batch") && c.history.n == 1 && c.classes.n == 2,
       "in name order, with history and classes");
    int64_t *step = ckpt_get(&c, "counters/step", H5_I64, 0, NULL);
    ok(step && *step == 12345678901, "a scalar");
    ok(ckpt_get(&c, WEIGHT, H5_F32, 4, (size_t[]){ 2, 3, 3, 3 }) != NULL, "a tensor");
    ok(!ckpt_get(&c, WEIGHT, H5_F32, 4, (size_t[]){ 2, 3, 3, 4 }) &&
           strstr(fail_text(), "f32 [2][3][3][3], not f32 [2][3][3][4]"),
       "of another shape: %s", fail_text());
    ok(!ckpt_get(&c, WEIGHT, H5_F64, 4, (size_t[]){ 2, 3, 3, 3 }), "of another type: %s",
       fail_text());
    ok(!ckpt_get(&c, "queue", H5_F64, 0, NULL) && !ckpt_find(&c, "queue"), "none: %s", fail_text());
    ok(ckpt_attr(&c, "tau")->d == 0.1 && !strcmp(ckpt_attr(&c, "encoder")->s, "resnet18") &&
           ckpt_attr(&c, "batch")->i == 256 && !ckpt_attr(&c, "none"),
       "attributes");
    ckpt_hash(&a, "online/encoder", hex);
    ckpt_hash(&c, "online/encoder/", again);
    ckpt_hash(&c, "online/enc", part);
    ok(strlen(hex) == 16 && !strcmp(hex, again) && strcmp(hex, part), "a hash of weights: %s", hex);
    ((float *)ckpt_find(&c, WEIGHT)->data)[53] = 0;
    ckpt_hash(&c, "online/encoder", again);
    ok(strcmp(hex, again), "changes with them");
    ckpt_release(&a);
    ckpt_release(&b);
    ckpt_release(&c);
    ckpt_release(&c);
}

static bool differs(struct ckpt *a, struct ckpt *b, const char *word)
{
    a->name = a->name ? a->name : strdup("a.h5");
    b->name = b->name ? b->name : strdup("b.h5");
    bool good = ckpt_compare(a, b) == -ENEGATIVE && strstr(fail_text(), word);

    ckpt_release(b);
    fill(b, true);
    return good;
}

static void test_compare(void)
{
    struct ckpt a, b;

    fill(&a, false);
    fill(&b, true);
    ((float *)ckpt_find(&b, WEIGHT)->data)[53] = 7;
    ((float *)ckpt_find(&b, WEIGHT)->data)[28] = 8;
    ok(differs(&a, &b, "tensor " WEIGHT "[1][0][0][1] is 9.33333302 in a.h5, 8 in b.h5; 2 of 54"),
       "%s", fail_text());
    ((float *)ckpt_find(&b, "target/encoder/bn1.bias")->data)[1] = 0;
    ok(differs(&a, &b, "tensor target/encoder/bn1.bias[1] is -0 in a.h5, 0 in b.h5; 1 of 3"), "%s",
       fail_text());
    *(int64_t *)ckpt_find(&b, "counters/step")->data = 1;
    ((float *)ckpt_find(&b, WEIGHT)->data)[0] = 7;
    ok(differs(&a, &b, "tensor counters/step is 12345678901 in a.h5, 1 in b.h5"), "%s",
       fail_text());
    ckpt_add(&b, "extra", H5_U8, 0, NULL);
    ok(differs(&a, &b, "tensor extra is only in b.h5"), "%s", fail_text());
    ckpt_put_double(&b, "tau", 0.2);
    ok(differs(&a, &b, "attribute tau is 0.1 in a.h5, 0.2 in b.h5"), "%s", fail_text());
    ckpt_put_string(&b, "batch", "256");
    ok(differs(&a, &b, "attribute batch is 256 in a.h5, \"256\" in b.h5"), "%s", fail_text());
    ckpt_put_int(&b, "aaa", 1);
    ok(differs(&a, &b, "attribute aaa is only in b.h5"), "%s", fail_text());
    classes_add(&b.classes, "owl");
    ok(differs(&a, &b, "class owl is only in b.h5"), "%s", fail_text());
    history_add(&b.history, "{}");
    ok(ckpt_compare(&a, &b) == 0, "history aside");
    ckpt_release(&a);
    ckpt_release(&b);
}

static void test_names(void)
{
    struct ckpt c = { 0 };

    ok(ckpt_add(&c, "a/b", H5_U8, 0, NULL) && !ckpt_add(&c, "a/b", H5_U8, 0, NULL), "twice: %s",
       fail_text());
    ok(!ckpt_add(&c, "history", H5_U8, 0, NULL) && ckpt_put_int(&c, "complete", 1) == -EINVAL,
       "the container's own: %s", fail_text());
    ok(!ckpt_add(&c, "x", H5_U8, 2, (size_t[]){ SIZE_MAX, 3 }), "too large: %s", fail_text());
    ok(ckpt_add(&c, "a", H5_U8, 0, NULL) && ckpt_write(&c, "conflict.h5") < 0 &&
           access("conflict.h5", F_OK) < 0,
       "a tensor that is a group: %s", fail_text());
    ckpt_release(&c);
}

/* Every prefix is refused; a flipped bit is refused, or lies where nothing is. */
static void test_damage(void)
{
    unsigned long seed = t_seed();
    size_t n, refused = 0, wrong = 0, cut = 0;
    struct ckpt a, b;

    fill(&a, false);
    files_must(ckpt_write(&a, "d.h5") == 0, fail_text());
    uint8_t *x = files_read("d.h5", &n);
    int fd = open("d.h5", O_WRONLY);
    for (int i = 0; i < 700; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(seed >> 20) % n;
        uint8_t flipped = x[at] ^ (uint8_t)(1u << (seed >> 60 & 7));
        files_must(pwrite(fd, &flipped, 1, (off_t)at) == 1, "flip");
        if (ckpt_read(&b, "d.h5") == 0)
            wrong += ckpt_compare(&a, &b) != 0;
        else
            refused++;
        ckpt_release(&b);
        files_must(pwrite(fd, &x[at], 1, (off_t)at) == 1, "flip");
    }
    ok(refused > 200 && wrong == 0, "flipped bits: %zu of 700 refused, %zu wrong answers", refused,
       wrong);
    for (size_t k = n; k-- > 0;) {
        files_must(ftruncate(fd, (off_t)k) == 0, "cut");
        cut += ckpt_read(&b, "d.h5") < 0;
    }
    ok(cut == n, "cut at each of %zu bytes", n);

    /* a byte of a tensor */
    ckpt_add(&a, "large", H5_U8, 1, (size_t[]){ 100000 });
    files_must(ckpt_write(&a, "e.h5") == 0, fail_text());
    struct h5in in;
    uint64_t at = 0;
    files_must(h5in_open(&in, "e.h5") == 0 && h5_offset(&in, "large", H5_U8, &at) == 0,
               fail_text());
    h5in_close(&in);
    int e = open("e.h5", O_WRONLY);
    files_must(pwrite(e, "!", 1, (off_t)at + 54321) == 1, "flip");
    ok(ckpt_read(&b, "e.h5") == -EIO && strstr(fail_text(), "e.h5: damaged"), "%s", fail_text());
    close(e);
    close(fd);
    free(x);
    ckpt_release(&a);
}

/* Only what is asked for is read, and found damaged. */
static void test_groups(void)
{
    static const char *const online[] = { "counters", "online", NULL },
                             *const target[] = { "counters", "target", NULL },
                             *const none[] = { NULL };
    struct ckpt a, b;
    struct h5in in;
    uint64_t at = 0;
    uint32_t sum = 0;

    fill(&a, false);
    files_must(ckpt_write(&a, "g.h5") == 0, fail_text());
    ok(ckpt_read_groups(&b, "g.h5", online) == 0 && b.ntensors == 2 && ckpt_find(&b, WEIGHT) &&
           ckpt_find(&b, "counters/step") && b.nattrs == 3 && b.classes.n == 2,
       "two groups: %s", fail_text());
    ok(ckpt_checksum(&a, &sum) == 0 && b.checksum == sum, "and the checksum of all");
    ckpt_release(&b);
    ok(ckpt_read_groups(&b, "g.h5", none) == 0 && b.ntensors == 0 && b.nattrs == 3, "no group");
    ckpt_release(&b);
    files_must(h5in_open(&in, "g.h5") == 0 && h5_offset(&in, WEIGHT, H5_F32, &at) == 0,
               fail_text());
    h5in_close(&in);
    int fd = open("g.h5", O_WRONLY);
    files_must(pwrite(fd, "!", 1, (off_t)at + 9) == 1, "flip");
    close(fd);
    ok(ckpt_read_groups(&b, "g.h5", target) == 0, "damage elsewhere: %s", fail_text());
    ckpt_release(&b);
    ok(ckpt_read_groups(&b, "g.h5", online) == -EIO && strstr(fail_text(), "g.h5: damaged"),
       "damage in a group: %s", fail_text());
    ckpt_release(&a);
}

/* Many tensors, some large, a long attribute; through a pipe too. */
static void test_large(void)
{
    struct ckpt a = { 0 }, b;
    size_t n;
    char name[64], *text = malloc(65002);

    for (int i = 0; i < 320; i++) {
        sprintf(name, "online/encoder/layer%d.%d.conv.weight", i % 4, i);
        float *f = ckpt_add(&a, name, H5_F32, 2, (size_t[]){ 10, (size_t)(20 + i * 3) });
        for (size_t k = 0; k < 10 * (size_t)(20 + i * 3); k++)
            f[k] = (float)k * (float)i;
        sprintf(name, "setting%d", i);
        ckpt_put_int(&a, name, i);
    }
    memset(text, 'x', 65001);
    text[65001] = '\0';
    ckpt_put_string(&a, "long", text);
    ok(ckpt_write(&a, "large.h5") == -EINVAL, "an attribute that is too long: %s", fail_text());
    text[65000] = '\0';
    ckpt_put_string(&a, "long", text);
    ok(ckpt_write(&a, "large.h5") == 0 && ckpt_read(&b, "large.h5") == 0 &&
           ckpt_compare(&a, &b) == 0,
       "320 tensors, 321 attributes: %s", fail_text());
    ckpt_release(&b);
    int saved = files_stdout("piped.h5");
    int rc = ckpt_write(&a, "-");
    files_stdout_back(saved);
    ok(rc == 0 && files_equal("large.h5", "piped.h5"), "the same through a pipe");
    uint8_t *x = files_read("large.h5", &n);
    files_stdin(x, n);
    ok(ckpt_read(&b, "-") == 0 && ckpt_compare(&a, &b) == 0, "both ways: %s", fail_text());
    ckpt_release(&b);
    ckpt_release(&a);
    free(text);
    free(x);
}

int main(void)
{
    files_enter();
    test_round_trip();
    test_compare();
    test_names();
    test_damage();
    test_groups();
    test_large();
    ok(files_idle(), "nothing of HDF5 is left open");
    return done();
}
