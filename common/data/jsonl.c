/*
 * jsonl.c - the numbers at the top of each line's object.
 */
#include "common/data/jsonl.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The members of the line's object; out [nkeys] takes their numbers. */
static bool members(struct json *j, const char *const *key, size_t nkeys, double *out)
{
    if (json_is(j, '}'))
        return true;
    do {
        const char *name;
        size_t n;
        double v = NAN;
        if (!json_string(j, &name, &n) || !json_is(j, ':') || !json_value(j, &v))
            return false;
        for (size_t k = 0; k < nkeys; k++)
            if (strlen(key[k]) == n && memcmp(key[k], name, n) == 0)
                out[k] = v;
    } while (json_is(j, ','));
    return json_is(j, '}');
}

static bool whole_line(struct json *j, const char *const *key, size_t nkeys, double *out)
{
    return json_is(j, '{') && members(j, key, nkeys, out) && json_end(j);
}

bool jsonl_object(const char *text)
{
    struct json j = { text };
    return !strpbrk(text, "\r\n") && whole_line(&j, NULL, 0, NULL);
}

static int read_lines(FILE *f, struct jsonl *j, const char *path, const char *const *key,
                      size_t nkeys, double **row, size_t *n)
{
    char *line = NULL;
    size_t room = 0, cap = 0, number = 0;
    ssize_t len;
    int rc = 0;
    while (rc >= 0 && (len = getline(&line, &room, f)) >= 0) {
        struct json s = { line };
        number++;
        if (json_end(&s) && s.at - line == len)
            continue;
        if ((rc = mem_grow(row, &cap, (*n + 1) * nkeys, sizeof **row)) < 0)
            break;
        double *out = *row + *n * nkeys;
        for (size_t k = 0; k < nkeys; k++)
            out[k] = NAN;
        if (!whole_line(&s, key, nkeys, out) || s.at - line != len)
            rc = fail(-EINVAL, "%s: line %zu is not a whole JSON object", path, number);
        ++*n;
    }
    if (rc >= 0 && !feof(f)) /* getline() marks no error where memory is lacking */
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
