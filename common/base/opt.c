/*
 * opt.c - the parser: letters, long names and values into the variables that the table names.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/base/opt_impl.h"
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opt_common opt_common;

const char *const opt_shells[] = { "bash", "zsh", "fish", NULL };
int opt_shell = -1;
static bool hit_help, hit_version;
const struct opt opt_builtin[OPT_BUILTINS + 1] = {
    OPT_FLAG('h', "help", &hit_help, "print this text"),
    OPT_FLAG('V', "version", &hit_version, "print what was compiled in and found"),
    OPT_CHOICE(0, "completion", &opt_shell, opt_shells, "print completions for a shell"), OPT_END
};

const struct opt *opt_next(const struct opt *own, const struct opt *o)
{
    bool builtin = o >= opt_builtin && o < opt_builtin + OPT_BUILTINS;
    if (!o && own && own->kind != OPT_KIND_END)
        return own;
    if (o && !builtin && o[1].kind != OPT_KIND_END)
        return o + 1;
    if (!builtin)
        return opt_builtin;
    return o[1].kind != OPT_KIND_END ? o + 1 : NULL;
}

/* -- Which options were given ---- */

static const void **given;
static size_t ngiven, given_room;

bool opt_given(const void *to)
{
    for (size_t i = 0; i < ngiven; i++)
        if (given[i] == to)
            return true;
    return false;
}

static int note_given(const void *to)
{
    int rc = mem_grow(&given, &given_room, ngiven + 1, sizeof *given);
    if (rc == 0)
        given[ngiven++] = to;
    return rc;
}

/* -- Values ---- */

/* Words a value that does not fit; label is "-k" or "--neighbours", as the user wrote it. */
static int misfit(const char *label, const char *wanted, const char *text)
{
    return fail(-EUSAGE, "%s wants %s, not '%s'", label, wanted, text);
}

static int misfit_range(const char *label, const struct opt *o, const char *kind, const char *text)
{
    char wanted[128];
    if (o->kind == OPT_KIND_U64 || o->hi >= 1e18)
        snprintf(wanted, sizeof wanted, "%s, at least %.15g", kind, o->lo);
    else
        snprintf(wanted, sizeof wanted, "%s from %.15g to %.15g", kind, o->lo, o->hi);
    return misfit(label, wanted, text);
}

static int set_int(const char *label, const struct opt *o, const char *text)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (isspace((unsigned char)*text) || end == text || *end || errno || v < INT_MIN ||
        v > INT_MAX || (double)v < o->lo || (double)v > o->hi)
        return misfit_range(label, o, "a whole number", text);
    *(int *)o->to = (int)v;
    return 0;
}

static int set_u64(const char *label, const struct opt *o, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || (double)v < o->lo || (double)v > o->hi)
        return misfit_range(label, o, "a whole number", text);
    *(uint64_t *)o->to = v;
    return 0;
}

static int set_float(const char *label, const struct opt *o, const char *text)
{
    char *end;
    double v = strtod(text, &end);
    bool plain = text[strspn(text, "+-.0123456789eE")] == '\0'; /* no nan, inf, 0x1p3, spaces */
    if (!plain || end == text || *end || !isfinite(v) || v < o->lo || v > o->hi)
        return misfit_range(label, o, "a number", text);
    *(double *)o->to = v;
    return 0;
}

/* 1500, 64Mi, 1.5G: digits, perhaps a fraction, perhaps a unit. */
static int set_size(const char *label, const struct opt *o, const char *text)
{
    static const char units[] = "KMGT";
    char *end;
    bool plain = isdigit((unsigned char)*text) && strspn(text, "0123456789.") < 40;
    long double v = plain ? strtold(text, &end) : -1;
    if (plain && end != text + strspn(text, "0123456789."))
        plain = false;
    const char *unit = plain && *end ? strchr(units, *end) : NULL;
    if (unit) {
        long double base = end[1] == 'i' ? 1024 : 1000;
        for (const char *u = units; u <= unit; u++)
            v *= base;
        end += end[1] == 'i' ? 2 : 1;
    }
    if (!plain || *end || v < (long double)o->lo || v > (long double)o->hi || v >= 0x1p64L)
        return misfit_range(label, o, "a size (K M G T or Ki Mi Gi Ti may follow)", text);
    *(uint64_t *)o->to = (uint64_t)v;
    return 0;
}

static int set_choice(const char *label, const struct opt *o, const char *text)
{
    char wanted[512] = "";
    size_t len = 0;
    for (int i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *(int *)o->to = i;
            return 0;
        }
        int n = snprintf(wanted + len, sizeof wanted - len, "%s%s",
                         !i                  ? ""
                         : o->choices[i + 1] ? ", "
                                             : " or ",
                         o->choices[i]);
        len = MIN(len + (size_t)n, sizeof wanted - 1);
    }
    return misfit(label, wanted, text);
}

static int set_list(const struct opt *o, const char *text)
{
    struct opt_list *list = o->to;
    int rc = mem_grow(&list->item, &list->room, list->n + 1, sizeof *list->item);
    if (rc == 0)
        list->item[list->n++] = text;
    return rc;
}

static int set(const char *label, const struct opt *o, const char *text)
{
    int rc = note_given(o->to);
    if (rc < 0)
        return rc;
    switch (o->kind) {
    case OPT_KIND_FLAG:
        *(bool *)o->to = true;
        return 0;
    case OPT_KIND_COUNT:
        ++*(int *)o->to;
        return 0;
    case OPT_KIND_INT:
        return set_int(label, o, text);
    case OPT_KIND_U64:
        return set_u64(label, o, text);
    case OPT_KIND_FLOAT:
        return set_float(label, o, text);
    case OPT_KIND_SIZE:
        return set_size(label, o, text);
    case OPT_KIND_CHOICE:
        return set_choice(label, o, text);
    case OPT_KIND_LIST:
        return set_list(o, text);
    default:
        *(const char **)o->to = text;
        return 0;
    }
}

/* -- Names ---- */

/* Edit distance between short names, for "did you mean". */
static size_t distance(const char *a, size_t n, const char *b)
{
    size_t m = strlen(b), row[64];
    if (m >= ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

static const struct opt *find_long(const struct opt *opts, const char *name, size_t len)
{
    const struct opt *near = NULL;
    size_t best = 3; /* farther names are no help */
    for (const struct opt *o = opt_next(opts, NULL); o; o = opt_next(opts, o)) {
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
        size_t d = distance(name, len, o->name);
        if (d < best && d < len) {
            best = d;
            near = o;
        }
    }
    if (near)
        fail(-EUSAGE, "unknown option --%.*s; did you mean --%s?", (int)len, name, near->name);
    else
        fail(-EUSAGE, "unknown option --%.*s", (int)len, name);
    return NULL;
}

static const struct opt *find_letter(const struct opt *opts, const char *letter)
{
    for (const struct opt *o = opt_next(opts, NULL); o; o = opt_next(opts, o))
        if (o->letter == *letter)
            return o;
    int len = 1; /* the whole of a letter that is no ASCII */
    while ((letter[len] & 0xc0) == 0x80)
        len++;
    fail(-EUSAGE, "unknown option -%.*s", len, letter);
    return NULL;
}

/* -- The command line ---- */

struct parse {
    const struct opt *opts;
    char **argv; /* the words not yet looked at, NULL behind the last */
    char **word; /* what to remember of them */
    int nwords;
};

static bool influences(const struct opt *o)
{
    return o->to != &opt_common.threads && o->to != &opt_common.quiet &&
           o->to != &opt_common.verbose;
}

/* One option; inside is the value inside the same word, NULL if there is none. Returns 0, OPT_HIT +
 * a built-in option, or a failure. */
static int take(struct parse *p, const struct opt *o, const char *label, char *inside)
{
    char *value = inside ? inside : (char *)"";
    if (!inside && opt_takes_value(o)) {
        value = *p->argv;
        if (!value)
            return fail(-EUSAGE, "%s wants a value", label);
        p->argv++;
        if (influences(o))
            p->word[p->nwords++] = value;
    }
    if (*value == '\0' && (o->kind == OPT_KIND_STR || o->kind == OPT_KIND_LIST))
        return fail(-EUSAGE, "%s wants a %s that is not empty", label, o->arg);
    int rc = set(label, o, value);
    if (rc == 0 && o >= opt_builtin && o < opt_builtin + OPT_BUILTINS)
        return OPT_HIT + (int)(o - opt_builtin);
    return rc;
}

static int take_long(struct parse *p, char *text)
{
    char *name = text + 2, *equals = strchr(name, '='), label[64];
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct opt *o = find_long(p->opts, name, len);
    if (!o)
        return -EUSAGE;
    snprintf(label, sizeof label, "--%s", o->name);
    if (equals && !opt_takes_value(o))
        return fail(-EUSAGE, "%s takes no value", label);
    if (influences(o))
        p->word[p->nwords++] = text;
    return take(p, o, label, equals ? equals + 1 : NULL);
}

static int take_letters(struct parse *p, char *text)
{
    /* one word of its own a letter: "-q" of "-qk5" may be left out of the history */
    static char single[UCHAR_MAX + 1][3];
    for (char *c = text + 1; *c; c++) {
        const struct opt *o = find_letter(p->opts, c);
        if (!o)
            return -EUSAGE;
        char *label = single[(unsigned char)*c];
        label[0] = '-';
        label[1] = *c;
        bool inside = opt_takes_value(o) && c[1];
        if (influences(o)) {
            p->word[p->nwords++] = label;
            if (inside)
                p->word[p->nwords++] = c + 1;
        }
        int rc = take(p, o, label, inside ? c + 1 : NULL);
        if (rc || inside)
            return rc;
    }
    return 0;
}

int opt_parse(const struct opt *opts, char **argv, char **operand, char **word, int *nwords)
{
    struct parse p = { .opts = opts, .argv = argv, .word = word, .nwords = *nwords };
    bool ended = false;
    char *text;
    int n = 0, rc = 0;
    while (rc == 0 && (text = *p.argv)) {
        p.argv++;
        if (!ended && strcmp(text, "--") == 0) {
            ended = true;
            p.word[p.nwords++] = text;
        } else if (!ended && strncmp(text, "--", 2) == 0) {
            rc = take_long(&p, text);
        } else if (!ended && text[0] == '-' && text[1]) {
            rc = take_letters(&p, text);
        } else {
            operand[n++] = p.word[p.nwords++] = text;
        }
    }
    *nwords = p.nwords;
    return rc ? rc : n;
}
