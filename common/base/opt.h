/*
 * opt.h - one table an option: the parser, the help text, the completions.
 *
 * GNU conventions: --name VALUE and --name=VALUE, clustered letters, operands and options mixed,
 * "--" ends the options, no abbreviations of long names. Every program also has -h/--help,
 * -V/--version and --completion SHELL (bash, zsh, fish), which print to stdout and exit 0. A usage
 * error is two lines on stderr and status 2.
 */
#ifndef SEMPPL_OPT_H
#define SEMPPL_OPT_H

#include "common/base/base.h"

enum opt_kind {
    OPT_KIND_END,
    OPT_KIND_FLAG,
    OPT_KIND_INT,
    OPT_KIND_U64,
    OPT_KIND_FLOAT,
    OPT_KIND_SIZE,
    OPT_KIND_STR,
    OPT_KIND_CHOICE,
    OPT_KIND_LIST,
    OPT_KIND_COUNT
};

/* A growing list of the caller's strings, in the order given. Release with free(item). */
struct opt_list {
    const char **item;
    size_t n, room;
};

struct opt {
    enum opt_kind kind;
    char letter;      /* 0: none */
    const char *name; /* long name, without dashes */
    void *to;         /* where the value goes; its initial content is the default that help shows */
    const char *arg;  /* name of the value in the help text, e.g. "FILE" */
    const char *help; /* one line, lower case, no full stop */
    double lo, hi;    /* range of INT, U64, FLOAT, SIZE (inclusive) */
    const char *const *choices;  /* NULL-terminated names for CHOICE, *to is int, the index; for
                                    STR, words that completions offer instead of files */
    const char *const *meanings; /* a line for each of them, where their names do not tell */
};

#define OPT_FLAG(l, n, p, h)                                                                       \
    {                                                                                              \
        OPT_KIND_FLAG, l, n, 1 ? (p) : (bool *)0, NULL, h, 0, 0, NULL, NULL                        \
    }
#define OPT_INT(l, n, p, a, lo, hi, h)                                                             \
    {                                                                                              \
        OPT_KIND_INT, l, n, 1 ? (p) : (int *)0, a, h, lo, hi, NULL, NULL                           \
    }
#define OPT_U64(l, n, p, a, h)                                                                     \
    {                                                                                              \
        OPT_KIND_U64, l, n, 1 ? (p) : (uint64_t *)0, a, h, 0, 1.8446744073709552e19, NULL, NULL    \
    }
#define OPT_FLOAT(l, n, p, a, lo, hi, h)                                                           \
    {                                                                                              \
        OPT_KIND_FLOAT, l, n, 1 ? (p) : (double *)0, a, h, lo, hi, NULL, NULL                      \
    }
/* bytes (or a count) with K M G T (powers of 1000) or Ki Mi Gi Ti (of 1024) behind it; uint64_t */
#define OPT_SIZE(l, n, p, a, lo, hi, h)                                                            \
    {                                                                                              \
        OPT_KIND_SIZE, l, n, 1 ? (p) : (uint64_t *)0, a, h, lo, hi, NULL, NULL                     \
    }
#define OPT_STR(l, n, p, a, h)                                                                     \
    {                                                                                              \
        OPT_KIND_STR, l, n, 1 ? (p) : (const char **)0, a, h, 0, 0, NULL, NULL                     \
    }
#define OPT_WORD(l, n, p, a, w, h)                                                                 \
    {                                                                                              \
        OPT_KIND_STR, l, n, 1 ? (p) : (const char **)0, a, h, 0, 0, w, NULL                        \
    }
#define OPT_CHOICE(l, n, p, c, h)                                                                  \
    {                                                                                              \
        OPT_KIND_CHOICE, l, n, 1 ? (p) : (int *)0, NULL, h, 0, 0, c, NULL                          \
    }
#define OPT_LIST(l, n, p, a, h)                                                                    \
    {                                                                                              \
        OPT_KIND_LIST, l, n, 1 ? (p) : (struct opt_list *)0, a, h, 0, 0, NULL, NULL                \
    }
#define OPT_COUNT(l, n, p, h)                                                                      \
    {                                                                                              \
        OPT_KIND_COUNT, l, n, 1 ? (p) : (int *)0, NULL, h, 0, 0, NULL, NULL                        \
    }
#define OPT_END                                                                                    \
    {                                                                                              \
        OPT_KIND_END, 0, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL                                  \
    }

/* What every program that computes has. */
struct opt_common {
    int threads; /* 0: all CPUs */
    bool quiet;
    int verbose;
};
extern struct opt_common opt_common;
#define OPT_COMMON                                                                                 \
    OPT_INT('j', "threads", &opt_common.threads, "N", 0, 1024, "threads to use; 0: one a CPU"),    \
        OPT_FLAG('q', "quiet", &opt_common.quiet, "say nothing but errors"),                       \
        OPT_COUNT('v', "verbose", &opt_common.verbose, "say more")

/* A verb of a program ("new", "show"); a program without verbs has one entry whose name is NULL. */
struct opt_verb {
    const char *name;
    const char *usage;   /* what follows the program's name (and verb) in the usage line */
    const char *summary; /* one line */
    const struct opt *opts;
    int (*run)(int n, char **operands); /* returns 0 or a negative errno */
};

/*
 * The whole of main(): parses, runs, prints the failure as "semppl-NAME: sentence", returns the
 * exit status. Also sets prov's command line, log_level, SIGPIPE to its default. verbs ends with an
 * entry whose run is NULL.
 */
int opt_main(const char *program, const struct opt_verb *verbs, int argc, char **argv);

/* Was the option with this storage given on the command line? */
bool opt_given(const void *to);

#endif
