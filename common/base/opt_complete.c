/*
 * opt_complete.c - completions for bash, zsh and fish, written from the same table as the help
 * text.
 *
 * Choices and words complete to their names, numbers to nothing, other values and operands to file
 * names.
 */
#include "common/base/opt_impl.h"
#include <string.h>

static bool wants_file(const struct opt *o)
{
    return (o->kind == OPT_KIND_STR || o->kind == OPT_KIND_LIST) && !o->choices;
}

static const struct opt *own_of(const struct opt_verb *v)
{
    return v ? v->opts : NULL;
}

static void print_choices(FILE *f, const struct opt *o)
{
    for (int i = 0; o->choices && o->choices[i]; i++)
        fprintf(f, "%s%s", i ? " " : "", o->choices[i]);
}

/* text between single quotes; `special` characters get a backslash, and so does the backslash. */
static void print_quoted(FILE *f, const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'') {
            fputs("'\\''", f);
            continue;
        }
        if (*special && (*text == '\\' || strchr(special, *text)))
            fputc('\\', f);
        fputc(*text, f);
    }
}

/* Choices within single quotes, each with its meaning behind as zsh and fish want it. */
static void print_meanings(FILE *f, const struct opt *o, const char *behind, const char *special)
{
    for (int i = 0; o->choices[i]; i++) {
        fprintf(f, "%s%s%s\"", i ? " " : "", o->choices[i], behind);
        print_quoted(f, o->meanings[i], special);
        fputc('"', f);
    }
}

/* -- bash ---- */

/* Sets words and files for the options of one verb. */
static void bash_values(FILE *f, const char *indent, const struct opt_verb *v)
{
    fprintf(f, "%scase $prev in\n", indent);
    for (const struct opt *o = opt_next(own_of(v), NULL); o; o = opt_next(own_of(v), o)) {
        if (!opt_takes_value(o))
            continue;
        fprintf(f, "%s--%s", indent, o->name);
        if (o->letter)
            fprintf(f, " | -%c", o->letter);
        fprintf(f, ") words='");
        print_choices(f, o);
        fprintf(f, "' files='%s' ;;\n", wants_file(o) ? "1" : "");
    }
    fprintf(f, "%s*) words='", indent);
    for (const struct opt *o = opt_next(own_of(v), NULL); o; o = opt_next(own_of(v), o))
        fprintf(f, "--%s ", o->name);
    fprintf(f, "' files='1' ;;\n%sesac\n", indent);
}

static void bash_verbs(FILE *f, const struct opt_verb *verbs)
{
    fprintf(f, "    case ${COMP_WORDS[1]} in\n");
    for (const struct opt_verb *v = verbs; v->run; v++) {
        fprintf(f, "    %s)\n", v->name);
        bash_values(f, "        ", v);
        fprintf(f, "        ;;\n");
    }
    fprintf(f, "    *)\n        words='");
    for (const struct opt_verb *v = verbs; v->run; v++)
        fprintf(f, "%s ", v->name);
    fprintf(f, "--help --version --completion' files=''\n"
               "        [[ $prev == --completion ]] && words='");
    print_choices(f, &opt_builtin[OPT_COMPLETION]);
    fprintf(f, "'\n        ;;\n    esac\n");
}

static void bash(FILE *f, const char *program, const struct opt_verb *verbs)
{
    fprintf(f,
            "# bash completion of %s\n_%s() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words files\n"
            "    if [[ $cur == = ]]; then\n" /* --name=value comes as three words */
            "        cur=''\n"
            "    elif [[ $prev == = ]]; then\n"
            "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
            "    fi\n"
            "    COMPREPLY=()\n",
            program, program);
    if (verbs[0].name)
        bash_verbs(f, verbs);
    else
        bash_values(f, "    ", verbs);
    fprintf(f,
            "    [[ $files && $cur != -* ]] && return\n" /* to the default: file names */
            "    compopt +o default +o bashdefault 2>/dev/null\n"
            "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
            "}\n"
            "complete -o bashdefault -o default -F _%s %s\n",
            program, program);
}

/* -- zsh ---- */

static void zsh_option(FILE *f, const struct opt *o)
{
    char value[256];
    const char *more = o->kind == OPT_KIND_LIST || o->kind == OPT_KIND_COUNT ? "*" : "";
    bool takes = opt_takes_value(o);
    fprintf(f, " \\\n        ");
    if (*more)
        fprintf(f, "'*'");
    else if (o->letter)
        fprintf(f, "'(-%c --%s)'", o->letter, o->name);
    if (o->letter)
        fprintf(f, "{-%c%s,--%s%s}", o->letter, takes ? "+" : "", o->name, takes ? "=" : "");
    else
        fprintf(f, "--%s%s", o->name, takes ? "=" : "");
    fprintf(f, "'[");
    print_quoted(f, o->help, "[]:");
    fprintf(f, "]");
    if (takes) {
        opt_value_name(value, sizeof value, o);
        fprintf(f, ":");
        print_quoted(f, o->kind == OPT_KIND_CHOICE ? o->name : value, "[]:");
        fprintf(f, ":");
        if (o->meanings) {
            fprintf(f, "((");
            print_meanings(f, o, "\\:", "[]:");
            fprintf(f, "))");
        } else if (o->choices) {
            fprintf(f, "(");
            print_choices(f, o);
            fprintf(f, ")");
        } else if (wants_file(o)) {
            fprintf(f, "_files");
        }
    }
    fprintf(f, "'");
}

static void zsh_options(FILE *f, const struct opt_verb *v)
{
    for (const struct opt *o = opt_next(own_of(v), NULL); o; o = opt_next(own_of(v), o))
        zsh_option(f, o);
}

static void zsh(FILE *f, const char *program, const struct opt_verb *verbs)
{
    fprintf(f, "#compdef %s\n_%s() {\n", program, program);
    if (!verbs[0].name) {
        fprintf(f, "    _arguments -s -S");
        zsh_options(f, verbs);
        fprintf(f, " \\\n        '*:file:_files'\n");
    } else {
        fprintf(f, "    local curcontext=$curcontext state line\n"
                   "    local -a verbs\n"
                   "    verbs=(\n");
        for (const struct opt_verb *v = verbs; v->run; v++) {
            fprintf(f, "        '%s:", v->name);
            print_quoted(f, v->summary, "");
            fprintf(f, "'\n");
        }
        fprintf(f, "    )\n    _arguments -C -s -S");
        zsh_options(f, NULL);
        fprintf(f, " \\\n        '1:verb:->verb' '*::argument:->rest'\n"
                   "    case $state in\n"
                   "    verb) _describe verb verbs ;;\n"
                   "    rest)\n"
                   "        case $words[1] in\n");
        for (const struct opt_verb *v = verbs; v->run; v++) {
            fprintf(f, "        %s)\n        _arguments -s -S", v->name);
            zsh_options(f, v);
            fprintf(f, " \\\n        '*:file:_files'\n        ;;\n");
        }
        fprintf(f, "        esac\n        ;;\n    esac\n");
    }
    fprintf(f,
            "}\n"
            "if [[ ${funcstack[1]} == _%s ]]; then\n" /* loaded by name, or sourced */
            "    _%s \"$@\"\n"
            "else\n"
            "    compdef _%s %s\n"
            "fi\n",
            program, program, program, program);
}

/* -- fish ---- */

static void fish_option(FILE *f, const char *program, const char *condition, const struct opt *o)
{
    fprintf(f, "complete -c %s%s", program, condition);
    if (o->letter)
        fprintf(f, " -s %c", o->letter);
    fprintf(f, " -l %s", o->name);
    if (o->choices) {
        fprintf(f, " -x -a '");
        if (o->meanings)
            print_meanings(f, o, "\\t", "");
        else
            print_choices(f, o);
        fprintf(f, "'");
    } else if (opt_takes_value(o)) {
        fprintf(f, wants_file(o) ? " -r -F" : " -x");
    }
    fprintf(f, " -d '");
    print_quoted(f, o->help, "");
    fprintf(f, "'\n");
}

static void fish(FILE *f, const char *program, const struct opt_verb *verbs)
{
    char condition[128] = "";
    fprintf(f, "# fish completion of %s\n", program);
    for (const struct opt *o = opt_next(NULL, NULL); o; o = opt_next(NULL, o))
        fish_option(f, program, "", o);
    for (const struct opt_verb *v = verbs; v->run; v++) {
        if (v->name) {
            fprintf(f, "complete -c %s -n __fish_use_subcommand -f -a %s -d '", program, v->name);
            print_quoted(f, v->summary, "");
            fprintf(f, "'\n");
            snprintf(condition, sizeof condition, " -n '__fish_seen_subcommand_from %s'", v->name);
        }
        for (const struct opt *o = v->opts; o && o->kind != OPT_KIND_END; o++)
            fish_option(f, program, condition, o);
    }
}

void opt_complete(FILE *f, const char *program, const struct opt_verb *verbs)
{
    static void (*const shell[])(FILE *, const char *, const struct opt_verb *) = { bash, zsh,
                                                                                    fish };
    shell[opt_shell](f, program, verbs);
}
