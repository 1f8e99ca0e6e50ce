/*
 * text.c - see text.h.
 */
#include "common/base/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct text_char text_char(const char *s, size_t n)
{
    static const unsigned least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *u = (const unsigned char *)s;
    struct text_char bad = { .code = u[0], .length = 1 };
    size_t length = u[0] < 0x80 ? 1 : u[0] < 0xc0 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (length == 0 || length > n || u[0] > 0xf4)
        return bad;
    unsigned code = length == 1 ? u[0] : u[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return bad;
        code = code << 6 | (u[i] & 0x3fu);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return bad;
    return (struct text_char){ code, length, true, code < 0x20 || (code >= 0x7f && code < 0xa0) };
}

const char *text_count(char text[64], uint64_t n, const char *one, const char *many)
{
    snprintf(text, 64, "%" PRIu64 " %s", n, n == 1 ? one : many);
    return text;
}

void text_tidy(char *s)
{
    char *to = s;
    for (size_t n = strlen(s); n > 0;) {
        struct text_char c = text_char(s, n);
        if (c.utf8 && !c.control)
            memmove(to, s, c.length);
        else
            *to = '?';
        to += c.utf8 && !c.control ? c.length : 1;
        s += c.length;
        n -= c.length;
    }
    *to = '\0';
}
