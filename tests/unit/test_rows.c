/*
 * test_rows.c - class names, the rows' columns, keys in text.
 */
#include "common/base/fail.h"
#include "common/data/rows.h"
#include "tests/t.h"
#include <string.h>

static void fill(struct classes *c, const char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        classes_add(c, name[i]);
    classes_sort(c);
}

static void test_classes(void)
{
    static const char *const mixed[] = { "10", "2", "1", "b", "B", "2", "\xc3\xa4", "10" };
    static const char *const pets[] = { "cat", "dog" }, *const fewer[] = { "cat" };
    static const char *const birds[] = { "cat", "wren" };
    struct classes a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, none = { 0 };

    fill(&a, mixed, ARRAY_LEN(mixed));
    ok(a.n == 6 && !strcmp(a.name[0], "1") && !strcmp(a.name[1], "10") && !strcmp(a.name[2], "2") &&
           !strcmp(a.name[3], "B") && !strcmp(a.name[4], "b"),
       "classes are sorted bytewise, once each");
    ok(classes_find(&a, "2") == 2 && classes_find(&a, "3") == -1 && classes_find(&none, "2") == -1,
       "found by name");
    ok(classes_add(&a, "") == -EINVAL, "an empty name is refused");

    fill(&b, pets, 2);
    fill(&c, fewer, 1);
    fill(&d, birds, 2);
    struct classes to = { 0 };
    ok(classes_meet(&to, &b, "x", "y") == 0 && to.n == 2, "an empty list takes the other");
    ok(classes_meet(&to, &none, "x", "y") == 0 && to.n == 2, "and gives way");
    ok(classes_meet(&to, &b, "x", "y") == 0, "equal lists meet");
    ok(classes_meet(&to, &d, "x.h5", "y.h5") == -EINVAL && strstr(fail_text(), "x.h5 and y.h5") &&
           strstr(fail_text(), "first has 'dog'") && strstr(fail_text(), "second has 'wren'"),
       "different lists do not, and both sides are named");
    ok(classes_meet(&to, &c, "x.h5", "y.h5") == -EINVAL &&
           strstr(fail_text(), "only the first has 'dog'"),
       "nor does a part: %s", fail_text());
    ok(classes_meet(&c, &b, "x.h5", "y.h5") == -EINVAL &&
           strstr(fail_text(), "only the second has 'dog'"),
       "from either side");
    classes_release(&a);
    classes_release(&b);
    classes_release(&c);
    classes_release(&d);
    classes_release(&to);
}

static void test_append(void)
{
    uint64_t id[] = { 1, 2, 3 }, offset[] = { 0, 1, 3, 6 };
    int32_t label[] = { 0, -1, 1 }, truth[] = { 0, 5, 1 };
    uint8_t key[] = "abbccc";
    struct rows from = {
        .n = 3, .id = id, .label = label, .truth = NULL, .key = key, .key_offset = offset
    };
    struct rows to = { 0 };
    size_t len;
    bool same = true;

    ok(rows_append(&to, &from, 1, 2) == 0 && to.n == 2 && !to.truth, "two rows without truth");
    ok(to.id[0] == 2 && to.label[1] == 1 && !memcmp(rows_key(&to, 1, &len), "ccc", 3) && len == 3,
       "their columns and keys");
    from.truth = truth;
    ok(rows_append(&to, &from, 1, 1) == 0 && to.truth && to.truth[0] == -1 && to.truth[1] == 1 &&
           to.truth[2] == 5,
       "truth that comes later: rows before have their label");
    from.truth = NULL;
    ok(rows_append(&to, &from, 0, 1) == 0 && to.truth[3] == 0, "and rows after");
    for (int i = 0; i < 1000; i++)
        rows_append(&to, &from, 0, 3);
    for (size_t i = 4; i < to.n; i++) {
        const char *k = rows_key(&to, i, &len);
        same = same && to.id[i] == id[(i - 4) % 3] && len == (i - 4) % 3 + 1 &&
               k[0] == "abc"[(i - 4) % 3] && to.truth[i] == label[(i - 4) % 3];
    }
    ok(to.n == 3004 && same, "three thousand rows");
    ok(rows_append(&to, &from, 3, 0) == 0 && to.n == 3004, "no rows");
    rows_release(&to);
    ok(rows_append(&to, &from, 0, 0) == 0 && to.n == 0 && to.key_offset[0] == 0,
       "no rows into nothing");
    rows_release(&to);
}

static void test_text(void)
{
    static const char key[] = "a\tb\nc\\d\x01\x7f \xc3\xa4\xc2\x9b\x9b";
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    rows_print_key(f, key, sizeof(key) - 1);
    fclose(f);
    ok(!strcmp(text, "a\\tb\\nc\\\\d\\x01\\x7f \xc3\xa4\\xc2\\x9b\x9b"),
       "a key is one TSV field: %s", text);
    free(text);
    f = open_memstream(&text, &n);
    rows_print_name(f, "ant", 5);
    rows_print_name(f, "ant", -5);
    rows_print_name(f, "h\xc3\xa9r\xc3\xa9on", 4);
    rows_print_name(f, "\xc3\xa9\x1b[1m\n", 7);
    rows_print_name(f, "\xc2\x9bm\xff\xc3", 5);
    fclose(f);
    ok(!strcmp(text, "ant    anth\xc3\xa9r\xc3\xa9\xc3\xa9?[1m? ?m?? "),
       "names fill columns, by characters and in plain ones: %s", text);
    ok(rows_name_width("h\xc3\xa9r\xc3\xa9on") == 6 && rows_name_width("\xc2\x9bm\xff\xc3") == 4,
       "six characters; four, two of them no UTF-8");
    free(text);
    /* the published vectors of FNV-1a 64 */
    ok(rows_hash(ROWS_HASH0, "", 0) == 0xcbf29ce484222325u &&
           rows_hash(ROWS_HASH0, "a", 1) == 0xaf63dc4c8601ec8cu &&
           rows_hash(ROWS_HASH0, "foobar", 6) == 0x85944171f73967e8u,
       "FNV-1a 64");
    ok(rows_hash(rows_hash(ROWS_HASH0, "foo", 3), "bar", 3) == 0x85944171f73967e8u, "in two steps");
}

int main(void)
{
    test_classes();
    test_append();
    test_text();
    return done();
}
