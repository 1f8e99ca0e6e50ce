/*
 * test_text.c - characters of UTF-8 one by one, and what may go to a terminal.
 */
#include "tests/t.h"
#include "common/base/text.h"
#include <string.h>

static void check_char(const char *s, size_t n, unsigned code, size_t length, bool utf8,
                       bool control)
{
    struct text_char c = text_char(s, n);
    ok(c.code == code && c.length == length && c.utf8 == utf8 && c.control == control,
       "U+%04x of %zu bytes: U+%04x, %zu, %d, %d", code, n, c.code, c.length, c.utf8, c.control);
}

static void check_tidy(const char *s, const char *want)
{
    char text[64];
    strcpy(text, s);
    text_tidy(text);
    ok(strcmp(text, want) == 0, "'%s'", text);
}

int main(void)
{
    check_char("a", 1, 'a', 1, true, false);
    check_char("", 1, 0, 1, true, true);
    check_char("\x1f", 1, 0x1f, 1, true, true);
    check_char(" ", 1, ' ', 1, true, false);
    check_char("~", 1, '~', 1, true, false);
    check_char("\x7f", 1, 0x7f, 1, true, true);
    check_char("\xc2\x80", 2, 0x80, 2, true, true);
    check_char("\xc2\x9f", 2, 0x9f, 2, true, true);
    check_char("\xc2\xa0", 2, 0xa0, 2, true, false);
    check_char("\xe2\x82\xac", 3, 0x20ac, 3, true, false);
    check_char("\xf0\x9f\x98\x80", 4, 0x1f600, 4, true, false);
    check_char("\xe2\x82\xac", 2, 0xe2, 1, false, false);         /* cut off */
    check_char("\xc1\xbf", 2, 0xc1, 1, false, false);             /* overlong */
    check_char("\xe0\x9f\xbf", 3, 0xe0, 1, false, false);         /* likewise */
    check_char("\xed\xa0\x80", 3, 0xed, 1, false, false);         /* half a surrogate pair */
    check_char("\xf4\x90\x80\x80", 4, 0xf4, 1, false, false);     /* beyond Unicode */
    check_char("\xf8\x88\x80\x80\x80", 5, 0xf8, 1, false, false); /* likewise */
    check_char("\x9b", 1, 0x9b, 1, false, false);                 /* in Latin-1 a control */

    ok(!strcmp(TEXT_COUNT(0, "row", "rows"), "0 rows") &&
           !strcmp(TEXT_COUNT(1, "row", "rows"), "1 row") &&
           !strcmp(TEXT_COUNT(UINT64_MAX, "class", "classes"), "18446744073709551615 classes"),
       "a number of things");
    check_tidy("", "");
    check_tidy("h\xc3\xa9ron \xf0\x9f\x98\x80", "h\xc3\xa9ron \xf0\x9f\x98\x80");
    check_tidy("a\nb\x1b[1m\x7f", "a?b?[1m?");
    check_tidy("\xc2\x9b"
               "1m\xc2\xa0",
               "?1m\xc2\xa0");
    check_tidy("\x9b"
               "1m\xe9t\xe9\xe2\x82",
               "?1m?t???");
    return done();
}
