/*
 * test_json.c - the scanner of JSON: strings and their escapes, whole numbers, values. What
 * test_jsonl.c refuses is not said again.
 */
#include "common/base/fail.h"
#include "common/data/json.h"
#include "tests/t.h"
#include <string.h>

/* The string that text begins with, without its escapes, is want; NULL: it is refused. */
static void unquoted(const char *text, const char *want)
{
    struct json j = { text };
    const char *s;
    char *out = NULL;
    size_t n;
    int rc = json_string(&j, &s, &n) ? json_unquote(s, n, &out) : -EPERM;
    ok(want ? rc == 0 && strcmp(out, want) == 0 : rc == -EINVAL, "%s", text);
    if (rc == 0)
        free(out);
}

static bool count(const char *text, size_t want)
{
    struct json j = { text };
    size_t v;
    return json_count(&j, &v) && v == want && json_end(&j);
}

int main(void)
{
    unquoted(" \"\"", "");
    unquoted("\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\"", "a\"b\\c/d\b\f\n\r\t");
    unquoted("\"\\u0041\\u00fc\\u20ac\\ud83d\\ude00.\"", "A\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80.");
    unquoted("\"\\ud83d\"", NULL);
    unquoted("\"\\ud83dx\\ude00\"", NULL);
    unquoted("\"\\ud83d\\u0041\"", NULL);
    unquoted("\"\\ud83d\\ud83d\"", NULL);
    unquoted("\"\\ude00\"", NULL);
    unquoted("\"\\u0000\"", NULL);
    ok(count(" 0 ", 0) && count("18446744073709551615", SIZE_MAX) && count("70", 70),
       "whole numbers");
    ok(!count("18446744073709551616", 0) && !count("99999999999999999999", 0) && !count("-1", 1) &&
           !count("01", 1) && !count("1e1", 10) && !count("1.0", 1) && !count("", 0),
       "and what is none, or does not fit");
    struct json j = { "[1, {\"a\": [null, -2.5]}] , 7" };
    double v = 0;
    ok(json_value(&j, &v) && v == 0 && json_is(&j, ',') && !json_is(&j, ',') &&
           json_value(&j, &v) && v == 7 && json_end(&j),
       "a value is taken whole");
    return done();
}
