/*
 * test_prov.c - JSON strings, and the histories made of them.
 */
#include "common/base/prov.h"
#include "tests/t.h"
#include <string.h>

static void check_quote(const char *s, size_t n, const char *want)
{
    char *got = json_quote(s, n);
    ok(got && strcmp(got, want) == 0, "%s", want);
    if (got && strcmp(got, want) != 0)
        printf("# got %s\n", got);
    free(got);
}
#define QUOTE(s, want) check_quote(s, sizeof(s) - 1, want)

static void check_json(void)
{
    QUOTE("", "\"\"");
    QUOTE("plain text", "\"plain text\"");
    QUOTE("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    QUOTE("tab\tline\n\x01\x7f", "\"tab\\u0009line\\u000a\\u0001\\u007f\"");
    QUOTE("\xc2\x9bm\xc2\xa0", "\"\\u009bm\xc2\xa0\""); /* control characters beyond ASCII */
    QUOTE("nul\0nul", "\"nul\\u0000nul\"");
    QUOTE("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
    QUOTE("\xe9t\xe9", "\"\\u00e9t\\u00e9\"");                     /* Latin-1 */
    QUOTE("\xc3", "\"\\u00c3\"");                                  /* cut off */
    QUOTE("\xc0\x80", "\"\\u00c0\\u0080\"");                       /* overlong */
    QUOTE("\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"");            /* half a surrogate pair */
    QUOTE("\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\""); /* beyond Unicode */
    QUOTE("\xf8\x88\x80\x80\x80", "\"\\u00f8\\u0088\\u0080\\u0080\\u0080\"");
}

static void check_history(void)
{
    struct history a = { 0 }, b = { 0 };
    history_add(&a, "1");
    history_add(&a, "2");
    ok(history_add(&a, "1") == 0 && a.n == 2, "a line is kept once");
    history_add(&b, "3");
    history_add(&b, "2");
    history_add(&b, "4");
    history_merge(&a, &b);
    ok(a.n == 4 && !strcmp(a.line[2], "3") && !strcmp(a.line[3], "4"),
       "merging adds what lacks, in order");
    history_release(&a);
    history_release(&b);
    history_release(&b);
    ok(b.n == 0 && b.line == NULL, "released twice");
}

int main(void)
{
    check_json();
    check_history();

    static char *command[] = { "semppl-test", "-o", "a \"b\".h5", NULL };
    struct history h = { 0 };
    ok(strcmp(prov_program(), "semppl") == 0, "a name before there is a command");
    prov_command("semppl-test", 3, command);
    ok(strcmp(prov_program(), "semppl-test") == 0, "the program's name");
    prov_input("train.h5", 0xa1b2c3d);
    prov_input("x.h5", 7);
    prov_input("train.h5", 0xa1b2c3d);
    prov_note("seed", "1");
    prov_note("set", "[\"a\"]");
    prov_note("seed", "5");
    history_add(&h, "{}");
    ok(history_self(&h) == 0 && h.n == 2, "this process's line");
    const char *want = "{\"program\": \"semppl-test\", \"version\": \"" SEMPPL_VERSION
                       "\", \"command\": [\"semppl-test\", \"-o\", \"a \\\"b\\\".h5\"], "
                       "\"inputs\": [{\"name\": \"train.h5\", \"checksum\": \"0a1b2c3d\"}, "
                       "{\"name\": \"x.h5\", \"checksum\": \"00000007\"}], "
                       "\"seed\": 5, \"set\": [\"a\"]}";
    if (!ok(strcmp(h.line[1], want) == 0, "is what it should be"))
        printf("# got  %s\n# want %s\n", h.line[1], want);
    ok(history_self(&h) == 0 && h.n == 2, "is added once");
    history_release(&h);
    return done();
}
