/*
 * labels.c - see labels.h.
 */
#include "common/data/labels.h"
#include "common/base/fail.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes rows_print_key() in place; false at an escape that it does not write. */
static bool unescape(char *s)
{
    char *to = s;
    for (; *s != '\0'; s++) {
        if (*s != '\\') {
            *to++ = *s;
            continue;
        }
        switch (*++s) {
        case '\\':
            *to++ = '\\';
            break;
        case 't':
            *to++ = '\t';
            break;
        case 'n':
            *to++ = '\n';
            break;
        case 'x': {
            int hi = hex(s[1]), lo = hi < 0 ? -1 : hex(s[2]);
            if (lo < 0 || hi + lo == 0) /* a key holds no NUL */
                return false;
            *to++ = (char)(hi * 16 + lo);
            s += 2;
            break;
        }
        default:
            return false;
        }
    }
    *to = '\0';
    return true;
}

static int parse(struct labels *l, char *text, size_t line, const char *path)
{
    char *tab = strchr(text, '\t');
    if (tab == NULL)
        return fail(-EINVAL, "%s: line %zu has no tab between path and class", path, line);
    char *name = tab + 1;
    *tab = '\0';
    name[strcspn(name, "\t")] = '\0';
    while (text[0] == '.' && text[1] == '/')
        text += 2;
    if (*text == '\0' || *name == '\0')
        return fail(-EINVAL, "%s: line %zu has an empty %s", path, line,
                    *text == '\0' ? "path" : "class");
    if (!unescape(text) || !unescape(name))
        return fail(-EINVAL, "%s: line %zu has a backslash that is not \\\\, \\t, \\n or \\xHH",
                    path, line);
    int rc = mem_grow(&l->item, &l->room, l->n + 1, sizeof *l->item);
    if (rc < 0)
        return rc;
    struct label *item = &l->item[l->n];
    *item = (struct label){ .key = mem_strdup(text), .name = mem_strdup(name), .line = line };
    l->n++;
    return item->key == NULL || item->name == NULL ? -ENOMEM : 0;
}

static int read_lines(struct labels *l, FILE *f, const char *path)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    int rc = 0;
    for (size_t line = 1; rc == 0 && (n = getline(&text, &room, f)) >= 0; line++) {
        size_t len = (size_t)n;
        l->checksum = (uint32_t)crc32_z(l->checksum, (const Bytef *)text, len);
        char *begin = line == 1 && strncmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text;
        if (memchr(text, '\0', len) != NULL) {
            rc = fail(-EINVAL, "%s: line %zu holds a NUL byte", path, line);
            break;
        }
        begin[strcspn(begin, "\n")] = '\0';
        len = strlen(begin);
        if (len > 0 && begin[len - 1] == '\r')
            begin[len - 1] = '\0';
        if (*begin != '\0')
            rc = parse(l, begin, line, path);
    }
    if (rc == 0 && !feof(f)) /* getline() marks no error where memory is lacking */
        rc = fail_errno("%s: cannot be read", path);
    free(text);
    return rc;
}

static int by_key(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static int drop_repeats(struct labels *l, const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct label *item = &l->item[i], *last = n > 0 ? &l->item[n - 1] : NULL;
        if (last == NULL || strcmp(last->key, item->key) != 0) {
            l->item[n++] = *item;
            if (n - 1 != i)
                *item = (struct label){ 0 };
            continue;
        }
        if (strcmp(last->name, item->name) != 0)
            return fail(-EINVAL, "%s: lines %zu and %zu give one path two classes, %s and %s", path,
                        last->line, item->line, last->name, item->name);
        free(item->key);
        free(item->name);
        *item = (struct label){ 0 };
    }
    l->n = n;
    return 0;
}

int labels_read(struct labels *l, const char *path)
{
    *l = (struct labels){ 0 };
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return fail_errno("%s: cannot be opened", path);
    int rc = read_lines(l, f, path);
    fclose(f);
    if (rc == 0 && l->n > 0)
        qsort(l->item, l->n, sizeof *l->item, by_key);
    if (rc == 0)
        rc = drop_repeats(l, path);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        if (strcmp(l->item[i].name, "?") != 0 &&
            (i == 0 || strcmp(l->item[i].name, l->item[i - 1].name) != 0))
            rc = classes_add(&l->classes, l->item[i].name);
    if (rc == 0)
        rc = classes_sort(&l->classes);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        l->item[i].label = classes_find(&l->classes, l->item[i].name);
    if (rc < 0)
        labels_release(l);
    return rc;
}

void labels_release(struct labels *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->item[i].key);
        free(l->item[i].name);
    }
    free(l->item);
    classes_release(&l->classes);
    *l = (struct labels){ 0 };
}
