/*
 * opt_impl.h - private to opt*.c: what the parser, the help text and the completions share.
 */
#ifndef SEMPPL_OPT_IMPL_H
#define SEMPPL_OPT_IMPL_H

#include "common/base/opt.h"
#include <stdio.h>

/* The options that every program has; they end the list of every verb. */
enum opt_builtin { OPT_HELP, OPT_VERSION, OPT_COMPLETION, OPT_BUILTINS };
extern const struct opt opt_builtin[OPT_BUILTINS + 1];
extern const char *const opt_shells[]; /* "bash", "zsh", "fish", NULL */
extern int opt_shell;                  /* the choice of --completion, an index of opt_shells */

static inline bool opt_takes_value(const struct opt *o)
{
    return o->kind != OPT_KIND_FLAG && o->kind != OPT_KIND_COUNT;
}

/* The option before *cur in the order of help texts: the verb's own (NULL: none), then the built-in
 * ones. Starts with NULL, ends with NULL. */
const struct opt *opt_next(const struct opt *own, const struct opt *o);

/* "FILE", "bash|zsh|fish" (choices with meanings: "NAME"): what stands for the value in texts; 0
 * bytes if the option takes none. */
void opt_value_name(char *buf, size_t size, const struct opt *o);

void opt_help(FILE *f, const char *program, const struct opt_verb *verbs,
              const struct opt_verb *verb); /* verb NULL: of a program with verbs, as a whole */
void opt_complete(FILE *f, const char *program, const struct opt_verb *verbs);

/*
 * Parses argv, which follows the program's name and verb and ends with NULL. Operands go to
 * operand[], the words that can have an influence on results to word[] from *nwords on: all but
 * those of OPT_COMMON, letters of clusters apart, so at most as many as there are characters.
 * Returns the number of operands, OPT_HIT + an enum opt_builtin, or -EUSAGE (worded).
 */
enum { OPT_HIT = 1 << 30 };
int opt_parse(const struct opt *opts, char **argv, char **operand, char **word, int *nwords);

#endif
