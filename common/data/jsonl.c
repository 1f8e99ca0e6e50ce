/*
 * jsonl.c - a JSON scanner that keeps only numbers at the top of each object.
 */
#include "common/data/jsonl.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

struct scan {
    const char *at;
    const char *const *key;
    size_t nkeys;
    double *out; /* [nkeys] of this line */
};

static void space(struct scan *s)
{
    while (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n')
        s->at++;
}

static bool is(struct scan *s, char c)
{
    space(s);
    if (*s->at != c)
        return false;
    s->at++;
    return true;
}

/* From the backslash to the last character of an escape. */
static bool escape(struct scan *s)
{
    s->at++;
    if (*s->at != 'u')
        return *s->at && strchr("\"\\/bfnrt", *s->at);
    for (int i = 0; i < 4; i++)
        if (!isxdigit((unsigned char)*++s->at))
            return false;
    return true;
}

/* A string: its bytes, escapes as they stand. */
static bool string(struct scan *s, const char **text, size_t *n)
{
    if (!is(s, '"'))
        return false;
    *text = s->at;
    for (; (unsigned char)*s->at >= ' ' && *s->at != '"'; s->at++)
        if (*s->at == '\\' && !escape(s))
            return false;
    *n = (size_t)(s->at - *text);
    return *s->at++ == '"';
}

static bool word(struct scan *s, const char *w)
{
    size_t n = strlen(w);
    if (strncmp(s->at, w, n) != 0)
        return false;
    s->at += n;
    return true;
}

static bool digits(const char **p)
{
    const char *first = *p;
    while (isdigit((unsigned char)**p))
        ++*p;
    return *p > first;
}

/* strtod() takes more than JSON has: hexadecimal, infinity, zeros in front. */
static bool number(struct scan *s, double *v)
{
    const char *p = s->at + (*s->at == '-');
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
    *v = strtod(s->at, NULL);
    s->at = p;
    return true;
}

static bool value(struct scan *s, int depth, double *v);

static bool object(struct scan *s, int depth)
{
    if (is(s, '}'))
        return true;
    do {
        const char *name;
        size_t n;
        double v = NAN;
        if (!string(s, &name, &n) || !is(s, ':') || !value(s, depth + 1, &v))
            return false;
        for (size_t k = 0; depth == 0 && k < s->nkeys; k++)
            if (strlen(s->key[k]) == n && memcmp(s->key[k], name, n) == 0)
                s->out[k] = v;
    } while (is(s, ','));
    return is(s, '}');
}

static bool array(struct scan *s, int depth)
{
    double v;
    if (is(s, ']'))
        return true;
    do {
        if (!value(s, depth + 1, &v))
            return false;
    } while (is(s, ','));
    return is(s, ']');
}

/* Any value; *v is set if it is a number. */
static bool value(struct scan *s, int depth, double *v)
{
    const char *text;
    size_t n;
    if (depth > DEEPEST)
        return false;
    space(s);
    if (*s->at == '"')
        return string(s, &text, &n);
    if (is(s, '{'))
        return object(s, depth);
    if (is(s, '['))
        return array(s, depth);
    return word(s, "true") || word(s, "false") || word(s, "null") || number(s, v);
}

static bool whole_line(struct scan *s)
{
    if (!is(s, '{') || !object(s, 0))
        return false;
    space(s);
    return *s->at == 0;
}

bool jsonl_object(const char *text)
{
    struct scan s = { .at = text };
    return !strpbrk(text, "\r\n") && whole_line(&s);
}

static int read_lines(FILE *f, struct jsonl *j, const char *path, const char *const *key,
                      size_t nkeys, double **row, size_t *n)
{
    char *line = NULL;
    size_t room = 0, cap = 0, number = 0;
    ssize_t len;
    int rc = 0;
    while (rc >= 0 && (len = getline(&line, &room, f)) >= 0) {
        struct scan s = { .at = line, .key = key, .nkeys = nkeys };
        number++;
        space(&s);
        if (*s.at == 0 && (size_t)(s.at - line) == (size_t)len)
            continue;
        if ((rc = mem_grow(row, &cap, (*n + 1) * nkeys, sizeof **row)) < 0)
            break;
        s.out = *row + *n * nkeys;
        for (size_t k = 0; k < nkeys; k++)
            s.out[k] = NAN;
        if (!whole_line(&s) || (size_t)(s.at - line) != (size_t)len)
            rc = fail(-EINVAL, "%s: line %zu is not a whole JSON object", path, number);
        ++*n;
    }
    if (rc >= 0 && ferror(f))
        rc = fail_errno("%s", path);
    free(line);
    j->n = *n;
    return rc;
}

int jsonl_read(struct jsonl *j, const char *path, const char *const *key, size_t nkeys)
{
    double *row = NULL;
    size_t n = 0;
    *j = (struct jsonl){ 0 };
    FILE *f = fopen(path, "r");
    if (!f)
        return fail_errno("%s", path);
    int rc = read_lines(f, j, path, key, nkeys, &row, &n);
    fclose(f);
    if (rc >= 0 && !(j->value = mem_alloc(n * nkeys, sizeof *j->value, path)))
        rc = -ENOMEM;
    for (size_t i = 0; i < n && rc >= 0; i++)
        for (size_t k = 0; k < nkeys; k++)
            j->value[k * n + i] = row[i * nkeys + k];
    free(row);
    return rc;
}

void jsonl_release(struct jsonl *j)
{
    free(j->value);
    *j = (struct jsonl){ 0 };
}
