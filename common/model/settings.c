/*
 * settings.c - the way of settings in and out, by their table (settings_table.c).
 */
#include "common/model/settings.h"
#include "common/base/fail.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- one value ---- */

union value {
    int64_t i;
    uint64_t u;
    double d;
};

static union value get(const struct settings *s, const struct setting *row)
{
    const char *at = (const char *)s + row->offset;
    union value v = { 0 };
    switch (row->kind) {
    case OPT_KIND_INT:
    case OPT_KIND_CHOICE: {
        int i;
        memcpy(&i, at, sizeof i);
        v.i = i;
        break;
    }
    default: /* all others have 8 bytes */
        memcpy(&v, at, sizeof v);
    }
    return v;
}

static void put(struct settings *s, const struct setting *row, union value v)
{
    char *at = (char *)s + row->offset;
    int i = (int)v.i;
    if (row->kind == OPT_KIND_INT || row->kind == OPT_KIND_CHOICE)
        memcpy(at, &i, sizeof i);
    else
        memcpy(at, &v, sizeof v);
}

static bool in_range(const struct setting *row, union value v)
{
    if (row->kind == OPT_KIND_U64)
        return true;
    double d = row->kind == OPT_KIND_FLOAT ? v.d : (double)v.i;
    return d >= row->lo && d <= row->hi; /* false for NaN */
}

static int find_choice(const struct setting *row, const char *text)
{
    for (int i = 0; row->choices[i]; i++)
        if (strcmp(row->choices[i], text) == 0)
            return i;
    return -1;
}

void settings_print(const struct settings *s, const struct setting *row, char *buf, size_t size)
{
    union value v = get(s, row);
    switch (row->kind) {
    case OPT_KIND_CHOICE:
        snprintf(buf, size, "%s", row->choices[v.i]);
        break;
    case OPT_KIND_FLOAT:
        if (v.d == floor(v.d) && fabs(v.d) < 1e15) {
            snprintf(buf, size, "%.0f", v.d);
            break;
        }
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(buf, size, "%.*g", digits, v.d);
            if (strtod(buf, NULL) == v.d)
                break;
        }
        break;
    case OPT_KIND_U64:
        snprintf(buf, size, "%llu", (unsigned long long)v.u);
        break;
    default:
        snprintf(buf, size, "%lld", (long long)v.i);
    }
}

void settings_put(FILE *f, const struct settings *s)
{
    for (const struct setting *row = settings_table; row->name; row++) {
        char value[64];
        settings_print(s, row, value, sizeof value);
        fprintf(f, row->kind == OPT_KIND_CHOICE ? "%s\"%s\": \"%s\"" : "%s\"%s\": %s",
                row == settings_table ? "{" : ", ", row->name, value);
    }
    fputc('}', f);
}

/* -- columns, options and assignments ---- */

void settings_column(struct settings *s, int column)
{
    *s = (struct settings){ 0 };
    for (const struct setting *row = settings_table; row->name; row++) {
        union value v = { .d = row->preset[column] };
        if (row->kind == OPT_KIND_U64)
            v.u = (uint64_t)row->preset[column];
        else if (row->kind != OPT_KIND_FLOAT)
            v.i = (int64_t)row->preset[column];
        put(s, row, v);
    }
}

void settings_merge(struct settings *s, const struct settings *given)
{
    for (const struct setting *row = settings_table; row->name; row++)
        if (opt_given((const char *)given + row->offset))
            put(s, row, get(given, row));
}

static const char *placeholder(const struct setting *row)
{
    return row->kind == OPT_KIND_FLOAT ? "X" : row->kind == OPT_KIND_CHOICE ? NULL : "N";
}

struct opt *settings_opts(struct settings *s, const struct opt *extra)
{
    size_t nextra = 0, n = 0, letters = 0;
    while (extra[nextra].kind != OPT_KIND_END)
        nextra++;
    for (const struct setting *row = settings_table; row->name; row++) {
        n++;
        letters += strlen(row->name) + 1;
    }
    struct opt *opts = calloc(1, (nextra + n + 1) * sizeof *opts + letters);
    if (!opts) {
        fail(-ENOMEM, "no memory for the options");
        return NULL;
    }
    memcpy(opts, extra, nextra * sizeof *opts);
    struct opt *o = opts + nextra;
    char *name = (char *)(opts + nextra + n + 1); /* the names lie behind the table */
    for (const struct setting *row = settings_table; row->name; row++) {
        *o++ = (struct opt){ .kind = row->kind,
                             .name = strcpy(name, row->name),
                             .to = (char *)s + row->offset,
                             .arg = placeholder(row),
                             .help = row->help,
                             .lo = row->lo,
                             .hi = row->hi,
                             .choices = row->choices };
        for (; *name; name++)
            if (*name == '_')
                *name = '-';
        name++;
    }
    *o = (struct opt)OPT_END;
    return opts;
}

static const struct setting *find(const char *name, size_t len)
{
    for (const struct setting *row = settings_table; row->name; row++) {
        size_t i = 0;
        while (i < len && row->name[i] == (name[i] == '-' ? '_' : name[i]))
            i++;
        if (i == len && row->name[len] == '\0')
            return row;
    }
    return NULL;
}

static int parse(const struct setting *row, const char *text, union value *v)
{
    char *end = NULL;
    errno = 0;
    if (row->kind == OPT_KIND_CHOICE) {
        v->i = find_choice(row, text);
        return v->i < 0 ? -EUSAGE : 0;
    }
    if (row->kind == OPT_KIND_FLOAT)
        v->d = strtod(text, &end);
    else if (row->kind == OPT_KIND_U64)
        v->u = strtoull(text, &end, 10);
    else
        v->i = strtoll(text, &end, 10);
    bool plain = text[strspn(text, "+-.0123456789eE")] == '\0'; /* no nan, inf, 0x1p3, spaces */
    bool number = plain && end != text && *end == '\0' && errno == 0;
    bool negative = row->kind == OPT_KIND_U64 && *text == '-';
    return number && !negative && in_range(row, *v) ? 0 : -EUSAGE;
}

/* What a setting may be, for messages. */
static void print_domain(const struct setting *row, char *buf, size_t size)
{
    if (row->kind == OPT_KIND_U64) {
        snprintf(buf, size, "a whole number from 0 to 2^64-1");
    } else if (row->kind == OPT_KIND_CHOICE) {
        size_t len = (size_t)snprintf(buf, size, "one of");
        for (int i = 0; row->choices[i] && len < size; i++)
            len += (size_t)snprintf(buf + len, size - len, " %s", row->choices[i]);
    } else {
        snprintf(buf, size,
                 row->kind == OPT_KIND_FLOAT ? "a number from %g to %g"
                                             : "a whole number from %.0f to %.0f",
                 row->lo, row->hi);
    }
}

/* The row that an assignment names; NULL (worded): it is none, or names none. */
static const struct setting *named(const char *assignment)
{
    size_t len = strcspn(assignment, "=");
    const struct setting *row = find(assignment, len);
    if (assignment[len] == '\0')
        fail(-EUSAGE, "--set %s: NAME=VALUE is wanted", assignment);
    else if (!row)
        fail(-EUSAGE, "--set %s: there is no setting %.*s", assignment, (int)len, assignment);
    return assignment[len] == '\0' ? NULL : row;
}

int settings_assign(struct settings *s, const char *assignment)
{
    const struct setting *row = named(assignment);
    if (!row)
        return -EUSAGE;
    union value v;
    char domain[128];
    if (parse(row, strchr(assignment, '=') + 1, &v) < 0) {
        print_domain(row, domain, sizeof domain);
        return fail(-EUSAGE, "--set %s: %s is %s", assignment, row->name, domain);
    }
    put(s, row, v);
    return 0;
}

int settings_set(struct settings *s, const char *assignment)
{
    const struct setting *row = named(assignment);
    if (row && row->fixed)
        return fail(-EUSAGE, "--set %s: %s is chosen when a checkpoint is made, and stays",
                    assignment, row->name);
    return row ? settings_assign(s, assignment) : -EUSAGE;
}

int settings_check(const struct settings *s)
{
    if (s->width * 8 != floor(s->width * 8))
        return fail(-EUSAGE, "width %g is not a multiple of 1/8", s->width);
    if (s->sk && s->encoder < ENC_RESNET50)
        return fail(-EUSAGE, "sk yes needs bottleneck blocks, which %s does not have",
                    settings_table[0].choices[s->encoder]);
    if (s->large_area_min > s->large_area_max)
        return fail(-EUSAGE, "large_area_min %g is above large_area_max %g", s->large_area_min,
                    s->large_area_max);
    if (s->small_area_min > s->small_area_max)
        return fail(-EUSAGE, "small_area_min %g is above small_area_max %g", s->small_area_min,
                    s->small_area_max);
    if (s->aspect_min > s->aspect_max)
        return fail(-EUSAGE, "aspect_min %g is above aspect_max %g", s->aspect_min, s->aspect_max);
    if (s->sigma_min > s->sigma_max)
        return fail(-EUSAGE, "sigma_min %g is above sigma_max %g", s->sigma_min, s->sigma_max);
    if (s->invariance == INV_S && s->large_crops < 2)
        return fail(-EUSAGE, "invariance S needs at least 2 large crops");
    if (s->micro_batch == 1)
        return fail(-EUSAGE, "micro_batch 1: batch norm needs 2 pictures at least");
    if (s->micro_batch > 0 && s->batch % s->micro_batch != 0)
        return fail(-EUSAGE, "micro_batch %d does not divide batch %d", s->micro_batch, s->batch);
    return 0;
}

/* -- checkpoints ---- */

int settings_to_ckpt(const struct settings *s, struct ckpt *c)
{
    for (const struct setting *row = settings_table; row->name; row++) {
        union value v = get(s, row);
        int rc;
        if (row->kind == OPT_KIND_CHOICE)
            rc = ckpt_put_string(c, row->name, row->choices[v.i]);
        else if (row->kind == OPT_KIND_FLOAT)
            rc = ckpt_put_double(c, row->name, v.d);
        else if (row->kind == OPT_KIND_U64)
            rc = ckpt_put_uint(c, row->name, v.u);
        else
            rc = ckpt_put_int(c, row->name, v.i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_value(const struct ckpt *c, const struct setting *row, union value *v)
{
    const struct ckpt_attr *a = ckpt_attr(c, row->name);
    if (!a && row == settings_table)
        return fail(-EINVAL, "%s: setting %s is missing", c->name, row->name);
    if (!a)
        return 0; /* it came after this checkpoint, and stands as settings_preset() has left it */
    enum h5_attr_kind want = row->kind == OPT_KIND_CHOICE  ? H5_ATTR_STRING
                             : row->kind == OPT_KIND_FLOAT ? H5_ATTR_DOUBLE
                                                           : H5_ATTR_INT;
    /* Early versions wrote a seed above INT64_MAX as a negative number. */
    bool good = a->kind == want || (row->kind == OPT_KIND_U64 && a->kind == H5_ATTR_UINT);
    if (good && want == H5_ATTR_STRING)
        good = (v->i = find_choice(row, a->s)) >= 0;
    else if (good && want == H5_ATTR_DOUBLE)
        v->d = a->d;
    else if (good)
        v->i = a->i;
    if (good && in_range(row, *v))
        return 0;
    char domain[128];
    print_domain(row, domain, sizeof domain);
    return fail(-EINVAL, "%s: setting %s is not %s", c->name, row->name, domain);
}

int settings_from_ckpt(struct settings *s, const struct ckpt *c)
{
    settings_preset(s, 0);
    for (const struct setting *row = settings_table; row->name; row++) {
        union value v = get(s, row);
        int rc = read_value(c, row, &v);
        if (rc < 0)
            return rc;
        put(s, row, v);
    }
    if (settings_check(s) < 0) {
        char sentence[256];
        snprintf(sentence, sizeof sentence, "%s", fail_text());
        return fail(-EINVAL, "%s: %s", c->name, sentence);
    }
    return 0;
}
