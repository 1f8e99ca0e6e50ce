/*
 * opt_help.c - the help text of a table.
 */
#include "common/base/opt_impl.h"
#include <inttypes.h>
#include <string.h>

enum { WIDTH = 79, COLUMN = 30 };

void opt_value_name(char *buf, size_t size, const struct opt *o)
{
    *buf = '\0';
    if (o->kind != OPT_KIND_CHOICE || o->meanings) {
        snprintf(buf, size, "%s", !opt_takes_value(o) ? "" : o->arg ? o->arg : "N");
        return;
    }
    for (size_t i = 0, len = 0; o->choices[i] && len < size; i++)
        len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? "|" : "", o->choices[i]);
}

/* Bytes in the largest unit that leaves a whole number, once the plain number is hard to read. */
static void print_size(char *buf, size_t size, uint64_t v)
{
    static const char *const unit[2][5] = { { "", "K", "M", "G", "T" },
                                            { "", "Ki", "Mi", "Gi", "Ti" } };
    uint64_t base = v % 1024 == 0 ? 1024 : 1000;
    int u = 0;
    for (bool big = v >= 100000; big && u < 4 && v % base == 0; u++)
        v /= base;
    snprintf(buf, size, "%" PRIu64 "%s", v, unit[base == 1024][u]);
}

/* What the variable holds before parsing; nothing if that is no value the user could give. */
static void default_text(char *buf, size_t size, const struct opt *o)
{
    *buf = '\0';
    if (o->kind == OPT_KIND_INT) {
        int v = *(int *)o->to;
        if (v >= o->lo && v <= o->hi)
            snprintf(buf, size, "%d", v);
    } else if (o->kind == OPT_KIND_U64) {
        snprintf(buf, size, "%" PRIu64, *(uint64_t *)o->to);
    } else if (o->kind == OPT_KIND_FLOAT) {
        double v = *(double *)o->to;
        if (v >= o->lo && v <= o->hi)
            snprintf(buf, size, "%.10g", v);
    } else if (o->kind == OPT_KIND_SIZE) {
        uint64_t v = *(uint64_t *)o->to;
        if ((double)v >= o->lo && (double)v <= o->hi)
            print_size(buf, size, v);
    } else if (o->kind == OPT_KIND_STR) {
        const char *v = *(const char **)o->to;
        if (v)
            snprintf(buf, size, "%s", v);
    } else if (o->kind == OPT_KIND_CHOICE) {
        int v = *(int *)o->to;
        if (v >= 0)
            snprintf(buf, size, "%s", o->choices[v]);
    }
}

/* Text from COLUMN on, broken between words; at is the column reached so far. */
static void print_wrapped(FILE *f, int at, const char *text)
{
    if (at >= COLUMN - 1) {
        fputc('\n', f);
        at = 0;
    }
    fprintf(f, "%*s", COLUMN - at, "");
    at = COLUMN;
    for (const char *word = text; *word;) {
        int len = (int)strcspn(word, " ");
        if (at > COLUMN && at + 1 + len > WIDTH) {
            fprintf(f, "\n%*s", COLUMN, "");
            at = COLUMN;
        } else if (at > COLUMN) {
            fputc(' ', f);
            at++;
        }
        fprintf(f, "%.*s", len, word);
        at += len;
        word += len;
        word += strspn(word, " ");
    }
    fputc('\n', f);
}

static void print_option(FILE *f, const struct opt *o)
{
    char value[256], preset[256], text[1024];
    int at = o->letter ? fprintf(f, "  -%c, --%s", o->letter, o->name)
                       : fprintf(f, "      --%s", o->name);
    opt_value_name(value, sizeof value, o);
    if (*value)
        at += fprintf(f, " %s", value);
    default_text(preset, sizeof preset, o);
    snprintf(text, sizeof text, *preset ? "%s (default %s)" : "%s", o->help, preset);
    print_wrapped(f, at, text);
    for (int i = 0; o->meanings && o->choices[i]; i++)
        print_wrapped(f, fprintf(f, "      %s", o->choices[i]), o->meanings[i]);
}

void opt_help(FILE *f, const char *program, const struct opt_verb *verbs,
              const struct opt_verb *verb)
{
    if (verb && verb->name)
        fprintf(f, "usage: %s %s %s\n", program, verb->name, verb->usage);
    else if (verb)
        fprintf(f, "usage: %s %s\n", program, verb->usage);
    else
        fprintf(f, "usage: %s VERB [options] ...\n\nverbs (%s VERB --help tells more):\n", program,
                program);
    for (const struct opt_verb *v = verbs; !verb && v->run; v++)
        print_wrapped(f, fprintf(f, "  %s", v->name), v->summary);
    if (verb)
        fprintf(f, "%s\n", verb->summary);
    fprintf(f, "\noptions:\n");
    const struct opt *own = verb ? verb->opts : NULL;
    for (const struct opt *o = opt_next(own, NULL); o; o = opt_next(own, o))
        print_option(f, o);
}
