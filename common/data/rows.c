/*
 * rows.c - class names that meet by name, and the columns that travel with every row.
 */
#include "common/data/rows.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int classes_add(struct classes *c, const char *name)
{
    if (!*name)
        return fail(-EINVAL, "a class has an empty name");
    int rc = mem_grow(&c->name, &c->room, c->n + 1, sizeof(*c->name));
    if (rc < 0)
        return rc;
    if (!(c->name[c->n] = mem_strdup(name)))
        return -ENOMEM;
    c->n++;
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int classes_sort(struct classes *c)
{
    size_t kept = 0;

    if (c->n == 0)
        return 0;
    qsort(c->name, c->n, sizeof(*c->name), by_bytes);
    for (size_t i = 0; i < c->n; i++) {
        if (kept > 0 && strcmp(c->name[kept - 1], c->name[i]) == 0)
            free(c->name[i]);
        else
            c->name[kept++] = c->name[i];
    }
    c->n = kept;
    return 0;
}

int classes_find(const struct classes *c, const char *name)
{
    char **hit = c->n ? bsearch(&name, c->name, c->n, sizeof(*c->name), by_bytes) : NULL;

    return hit ? (int)(hit - c->name) : -1;
}

int classes_copy(struct classes *to, const struct classes *from)
{
    int rc = 0;

    classes_release(to);
    for (size_t i = 0; i < from->n && rc == 0; i++)
        rc = classes_add(to, from->name[i]);
    return rc;
}

/* The first name of a that b lacks, NULL if there is none; both sorted. */
static const char *only_in(const struct classes *a, const struct classes *b)
{
    for (size_t i = 0; i < a->n; i++)
        if (classes_find(b, a->name[i]) < 0)
            return a->name[i];
    return NULL;
}

int classes_meet(struct classes *to, const struct classes *from, const char *a, const char *b)
{
    if (from->n == 0)
        return 0;
    if (to->n == 0)
        return classes_copy(to, from);

    const char *left = only_in(to, from), *right = only_in(from, to);
    if (left && right)
        return fail(-EINVAL,
                    "%s and %s name different classes: only the first has '%s', only the second "
                    "has '%s'",
                    a, b, left, right);
    if (left || right)
        return fail(-EINVAL,
                    "%s and %s name different classes: %zu and %zu of them, and only the %s "
                    "has '%s'",
                    a, b, to->n, from->n, left ? "first" : "second", left ? left : right);
    return 0;
}

void classes_release(struct classes *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->name[i]);
    free(c->name);
    *c = (struct classes){ 0 };
}

const char *rows_key(const struct rows *r, size_t row, size_t *len)
{
    *len = r->key_offset[row + 1] - r->key_offset[row];
    return (const char *)r->key + r->key_offset[row];
}

/* Room for n rows (and n + 1 offsets) and nkey bytes of keys. */
static int rows_reserve(struct rows *r, size_t n, size_t nkey, bool truth)
{
    /* each block starts from the same room and so ends with the same; on failure the old, smaller
     * room stays true of all of them */
    size_t room = r->room, room1 = room, room2 = room, room3 = room;
    int rc;

    if ((rc = mem_grow(&r->id, &room, n + 1, sizeof(*r->id))) < 0 ||
        (rc = mem_grow(&r->label, &room1, n + 1, sizeof(*r->label))) < 0 ||
        (rc = mem_grow(&r->key_offset, &room2, n + 1, sizeof(*r->key_offset))) < 0 ||
        (rc = mem_grow(&r->key, &r->key_room, nkey + 1, 1)) < 0)
        return rc;
    if (truth && !r->truth)
        room3 = 0;
    if (truth) {
        bool fresh = !r->truth;
        if ((rc = mem_grow(&r->truth, &room3, room, sizeof(*r->truth))) < 0)
            return rc;
        if (fresh && r->n > 0)
            memcpy(r->truth, r->label, r->n * sizeof(*r->truth));
    } else {
        room3 = room;
    }
    r->room = MIN(MIN(room, room1), MIN(room2, room3));
    return 0;
}

int rows_append(struct rows *to, const struct rows *from, size_t first, size_t count)
{
    bool truth = to->truth || from->truth;
    uint64_t key0 = from->n ? from->key_offset[first] : 0;
    size_t nkey = from->n ? from->key_offset[first + count] - key0 : 0;
    size_t have = to->n ? to->key_offset[to->n] : 0;

    int rc = rows_reserve(to, to->n + count, have + nkey, truth);
    if (rc < 0)
        return rc;
    to->key_offset[0] = 0;
    if (count == 0)
        return 0;
    memcpy(to->id + to->n, from->id + first, count * sizeof(*to->id));
    memcpy(to->label + to->n, from->label + first, count * sizeof(*to->label));
    if (truth)
        memcpy(to->truth + to->n, (from->truth ? from->truth : from->label) + first,
               count * sizeof(*to->truth));
    memcpy(to->key + have, from->key + key0, nkey);
    for (size_t i = 0; i < count; i++)
        to->key_offset[to->n + i + 1] = have + (from->key_offset[first + i + 1] - key0);
    to->n += count;
    return 0;
}

void rows_release(struct rows *r)
{
    free(r->id);
    free(r->label);
    free(r->truth);
    free(r->key);
    free(r->key_offset);
    classes_release(&r->classes);
    *r = (struct rows){ 0 };
}

uint64_t rows_hash(uint64_t h, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

void rows_print_key(void *stdio_file, const char *key, size_t len)
{
    FILE *f = stdio_file;

    while (len > 0) {
        struct text_char c = text_char(key, len);
        if (c.code == '\t')
            fputs("\\t", f);
        else if (c.code == '\n')
            fputs("\\n", f);
        else if (c.code == '\\')
            fputs("\\\\", f);
        else
            for (size_t i = 0; i < c.length; i++)
                if (c.control)
                    fprintf(f, "\\x%02x", (unsigned char)key[i]);
                else
                    putc(key[i], f);
        key += c.length;
        len -= c.length;
    }
}

int rows_name_width(const char *name)
{
    int n = 0;

    for (size_t len = strlen(name), step; len > 0; len -= step, name += step, n++)
        step = text_char(name, len).length;
    return n;
}

void rows_print_name(void *stdio_file, const char *name, int width)
{
    FILE *f = stdio_file;
    int most = abs(width), n = MIN(rows_name_width(name), most);

    fprintf(f, "%*s", width < 0 ? most - n : 0, "");
    for (size_t len = strlen(name), i = 0; i < (size_t)n; i++) {
        struct text_char c = text_char(name, len);
        if (c.utf8 && !c.control)
            fwrite(name, 1, c.length, f);
        else
            putc('?', f);
        name += c.length;
        len -= c.length;
    }
    fprintf(f, "%*s", width > 0 ? most - n : 0, "");
}
