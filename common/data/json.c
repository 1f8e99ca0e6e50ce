/*
 * json.c - see json.h.
 */
#include "common/data/json.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

static void space(struct json *j)
{
    while (*j->at == ' ' || *j->at == '\t' || *j->at == '\r' || *j->at == '\n')
        j->at++;
}

bool json_is(struct json *j, char c)
{
    space(j);
    if (*j->at != c)
        return false;
    j->at++;
    return true;
}

bool json_end(struct json *j)
{
    space(j);
    return *j->at == 0;
}

/* From the backslash to the last character of an escape. */
static bool escape(struct json *j)
{
    j->at++;
    if (*j->at != 'u')
        return *j->at && strchr("\"\\/bfnrt", *j->at);
    for (int i = 0; i < 4; i++)
        if (!isxdigit((unsigned char)*++j->at))
            return false;
    return true;
}

bool json_string(struct json *j, const char **text, size_t *n)
{
    if (!json_is(j, '"'))
        return false;
    *text = j->at;
    for (; (unsigned char)*j->at >= ' ' && *j->at != '"'; j->at++)
        if (*j->at == '\\' && !escape(j))
            return false;
    *n = (size_t)(j->at - *text);
    return *j->at++ == '"';
}

static bool word(struct json *j, const char *w)
{
    size_t n = strlen(w);
    if (strncmp(j->at, w, n) != 0)
        return false;
    j->at += n;
    return true;
}

static bool digits(const char **p)
{
    const char *first = *p;
    while (isdigit((unsigned char)**p))
        ++*p;
    return *p > first;
}

bool json_count(struct json *j, size_t *v)
{
    space(j);
    const char *first = j->at;
    *v = 0;
    for (; isdigit((unsigned char)*j->at); j->at++)
        if (__builtin_mul_overflow(*v, (size_t)10, v) ||
            __builtin_add_overflow(*v, (size_t)(*j->at - '0'), v))
            return false;
    return j->at > first && (*first != '0' || j->at == first + 1);
}

/* strtod() takes more than JSON has: hexadecimal, infinity, zeros in front. */
static bool number(struct json *j, double *v)
{
    const char *p = j->at + (*j->at == '-');
    if (*p == '0')
        p++;
    else if (!digits(&p))
        return false;
    if (*p == '.') {
        p++;
        if (!digits(&p))
            return false;
    }
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        if (!digits(&p))
            return false;
    }
    *v = strtod(j->at, NULL);
    j->at = p;
    return true;
}

static bool value(struct json *j, int depth, double *v);

/* Behind the opening bracket. */
static bool members(struct json *j, int depth, char close)
{
    const char *name;
    size_t n;
    double v;
    if (json_is(j, close))
        return true;
    do {
        if (close == '}' && (!json_string(j, &name, &n) || !json_is(j, ':')))
            return false;
        if (!value(j, depth + 1, &v))
            return false;
    } while (json_is(j, ','));
    return json_is(j, close);
}

static bool value(struct json *j, int depth, double *v)
{
    const char *text;
    size_t n;
    if (depth > DEEPEST)
        return false;
    space(j);
    if (*j->at == '"')
        return json_string(j, &text, &n);
    if (json_is(j, '{'))
        return members(j, depth, '}');
    if (json_is(j, '['))
        return members(j, depth, ']');
    return word(j, "true") || word(j, "false") || word(j, "null") || number(j, v);
}

bool json_value(struct json *j, double *v)
{
    return value(j, 1, v);
}

/* -- escapes ---- */

static unsigned hex4(const char *text)
{
    char digit[5] = { text[0], text[1], text[2], text[3], 0 };
    return (unsigned)strtoul(digit, NULL, 16);
}

/* The character of \uXXXX at *text, or of two of them that are a pair; 0 if it is none. */
static unsigned unicode(const char **text, const char *end)
{
    unsigned c = hex4(*text + 2);
    *text += 6;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c > 0xdbff || end - *text < 6 || (*text)[0] != '\\' || (*text)[1] != 'u')
        return 0;
    unsigned low = hex4(*text + 2);
    *text += 6;
    return low < 0xdc00 || low > 0xdfff ? 0 : 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static char *put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned lead[] = { 0, 0xc0, 0xe0, 0xf0 };
    *to++ = (char)(lead[more] | c >> 6 * more);
    while (more-- > 0)
        *to++ = (char)(0x80 | (c >> 6 * more & 0x3f));
    return to;
}

int json_unquote(const char *text, size_t n, char **out)
{
    static const char letters[] = "bfnrt", codes[] = "\b\f\n\r\t";
    const char *end = text + n;
    char *to = *out = mem_alloc(n + 1, 1, "a text");
    if (!to)
        return -ENOMEM;
    while (text < end) {
        if (*text != '\\') {
            *to++ = *text++;
        } else if (text[1] == 'u') {
            unsigned c = unicode(&text, end);
            if (c == 0) {
                free(*out);
                return -EINVAL;
            }
            to = put_utf8(to, c);
        } else {
            const char *letter = strchr(letters, text[1]);
            *to++ = letter ? codes[letter - letters] : text[1];
            text += 2;
        }
    }
    return 0;
}
