/*
 * test_opt.c - the parser through opt_main(), each command line in a process of its own.
 */
#include "tests/t.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/opt.h"
#include "common/base/prov.h"
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const colours[] = { "red", "green", "blue", NULL };
static struct {
    bool flag;
    int k, colour;
    double tau;
    uint64_t seed, mem;
    const char *output;
    struct opt_list set;
} o = { .k = 20, .colour = 1, .tau = 0.1, .seed = 1, .mem = 1 << 30 };

static const struct opt opts[] = { OPT_FLAG('f', "flag", &o.flag, "a flag"),
                                   OPT_INT('k', "neighbours", &o.k, "N", -5, 4096,
                                           "neighbours asked for each query"),
                                   OPT_FLOAT('t', "tau", &o.tau, "X", -1, 10, "a temperature"),
                                   OPT_U64(0, "seed", &o.seed, "N", "a seed"),
                                   OPT_SIZE(0, "mem", &o.mem, "SIZE", 1, 1e15, "memory to use"),
                                   OPT_STR('o', "output", &o.output, "FILE", "where it goes"),
                                   OPT_CHOICE('c', "colour", &o.colour, colours, "a colour"),
                                   OPT_LIST('s', "set", &o.set, "NAME=VALUE", "a setting"),
                                   OPT_COMMON,
                                   OPT_END };

static int run(int n, char **operands)
{
    struct history h = { 0 };
    int rc = history_self(&h);
    printf("f%d k%d t%g seed%llu mem%llu o%s c%s", o.flag, o.k, o.tau, (unsigned long long)o.seed,
           (unsigned long long)o.mem, o.output ? o.output : "?", colours[o.colour]);
    printf(" j%d log%d given%d%d", opt_common.threads, log_level, opt_given(&o.k),
           opt_given(&o.tau));
    for (size_t i = 0; i < o.set.n; i++)
        printf(" set:%s", o.set.item[i]);
    for (int i = 0; i < n; i++)
        printf(" <%s>", operands[i]);
    printf("\n%s\n", h.line[0]);
    history_release(&h);
    if (n && strcmp(operands[0], "break") == 0)
        return fail(-EIO, "it broke");
    if (n && strcmp(operands[0], "open") == 0)
        return open("/dev/null", O_RDWR) <= 2 ? fail(-EIO, "a file took a standard stream") : 0;
    if (n && strcmp(operands[0], "negative") == 0)
        return -ENEGATIVE;
    return rc;
}

static int run_other(int n, char **operands)
{
    (void)operands;
    printf("other %d\n", n);
    return n ? fail(-EUSAGE, "no operands, please") : 0;
}

static const struct opt_verb plain[] = { { NULL, "[options] [FILE...]", "a test", opts, run },
                                         { 0 } };
static const struct opt_verb verbs[] = { { "this", "[FILE...]", "does this", opts, run },
                                         { "other", "", "does that", NULL, run_other },
                                         { 0 } };

/* Runs the command line, words apart by '|'; returns the status, with both outputs. */
static char out[65536], err[65536];

static int call_to(const struct opt_verb *v, const char *line, const char *to)
{
    char words[1024], *argv[64] = { (char *)"semppl-test" };
    int argc = 1, status = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = words, *next; *line && w; w = next) {
        if ((next = strchr(w, '|')))
            *next++ = '\0';
        argv[argc++] = w;
    }
    char name[2][32] = { "/tmp/semppl-out-XXXXXX", "/tmp/semppl-err-XXXXXX" };
    int fd[2] = { mkstemp(name[0]), mkstemp(name[1]) };
    unlink(name[0]);
    unlink(name[1]);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[0], 1);
        dup2(fd[1], 2);
        if (to) {
            close(1);
            if (*to && open(to, O_WRONLY) != 1)
                _exit(99);
        }
        exit(opt_main("semppl-test", v, argc, argv));
    }
    waitpid(child, &status, 0);
    char *buf[2] = { out, err };
    for (int i = 0; i < 2; i++) {
        ssize_t n = pread(fd[i], buf[i], sizeof out - 1, 0);
        buf[i][n > 0 ? n : 0] = '\0';
        close(fd[i]);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int call(const struct opt_verb *v, const char *line)
{
    return call_to(v, line, NULL);
}

/* The line parses, and the first line of stdout is `want`. */
static void good(const char *line, const char *want)
{
    int rc = call(plain, line);
    char *end = strchr(out, '\n');
    if (end)
        *end = '\0';
    if (!ok(rc == 0 && strcmp(out, want) == 0, "'%s'", line))
        printf("# status %d\n# got  %s\n# want %s\n# %s\n", rc, out, want, err);
}

static void bad(const struct opt_verb *v, const char *line, const char *sentence)
{
    char want[512];
    snprintf(want, sizeof want, "semppl-test: %s\ntry 'semppl-test --help'\n", sentence);
    int rc = call(v, line);
    if (!ok(rc == EXIT_USAGE && !*out && strcmp(err, want) == 0, "'%s' is refused", line))
        printf("# status %d: %s# want: %s", rc, err, want);
}

static void check_good(void)
{
    good("", "f0 k20 t0.1 seed1 mem1073741824 o? cgreen j0 log0 given00");
    good("-f|-k|5|x", "f1 k5 t0.1 seed1 mem1073741824 o? cgreen j0 log0 given10 <x>");
    good("x|-fk5|y|--tau=2.5", "f1 k5 t2.5 seed1 mem1073741824 o? cgreen j0 log0 given11 <x> <y>");
    good("--neighbours|7|--neighbours=8",
         "f0 k8 t0.1 seed1 mem1073741824 o? cgreen j0 log0 given10");
    good("-k|-3|-t-1|--tau|-.5", "f0 k-3 t-0.5 seed1 mem1073741824 o? cgreen j0 log0 given11");
    good("--|-k|--x", "f0 k20 t0.1 seed1 mem1073741824 o? cgreen j0 log0 given00 <-k> <--x>");
    good("-|-o|-", "f0 k20 t0.1 seed1 mem1073741824 o- cgreen j0 log0 given00 <->");
    good("-o--|--seed|18446744073709551615",
         "f0 k20 t0.1 seed18446744073709551615 mem1073741824 o-- cgreen j0 log0 given00");
    good("--mem|64Mi", "f0 k20 t0.1 seed1 mem67108864 o? cgreen j0 log0 given00");
    good("--mem=1.5G", "f0 k20 t0.1 seed1 mem1500000000 o? cgreen j0 log0 given00");
    good("--mem=3K|-c|blue", "f0 k20 t0.1 seed1 mem3000 o? cblue j0 log0 given00");
    good("-sa=1|--set|b=2|--set=c=3",
         "f0 k20 t0.1 seed1 mem1073741824 o? cgreen j0 log0 given00 set:a=1 set:b=2 set:c=3");
    good("-j4|-q", "f0 k20 t0.1 seed1 mem1073741824 o? cgreen j4 log-1 given00");
    good("-vv|--threads=2", "f0 k20 t0.1 seed1 mem1073741824 o? cgreen j2 log1 given00");
    good("-qv", "f0 k20 t0.1 seed1 mem1073741824 o? cgreen j0 log-1 given00");
    good("-t|1e-3|", "f0 k20 t0.001 seed1 mem1073741824 o? cgreen j0 log0 given01 <>");
}

static void check_bad(void)
{
    bad(plain, "--nieghbours=3", "unknown option --nieghbours; did you mean --neighbours?");
    bad(plain, "--neighbour|3", "unknown option --neighbour; did you mean --neighbours?");
    bad(plain, "--neigh|3", "unknown option --neigh");
    bad(plain, "--xyzzy", "unknown option --xyzzy");
    bad(plain, "-x", "unknown option -x");
    bad(plain, "-5", "unknown option -5");
    bad(plain, "-f\xc3\xa9", "unknown option -\xc3\xa9");
    bad(plain, "-k", "-k wants a value");
    bad(plain, "x|--tau", "--tau wants a value");
    bad(plain, "--flag=yes", "--flag takes no value");
    bad(plain, "-k|many", "-k wants a whole number from -5 to 4096, not 'many'");
    bad(plain, "-k5x", "-k wants a whole number from -5 to 4096, not '5x'");
    bad(plain, "-k|1.5", "-k wants a whole number from -5 to 4096, not '1.5'");
    bad(plain, "-k=5", "-k wants a whole number from -5 to 4096, not '=5'");
    bad(plain, "-k|", "-k wants a whole number from -5 to 4096, not ''");
    bad(plain, "-k| 5", "-k wants a whole number from -5 to 4096, not ' 5'");
    bad(plain, "--neighbours=4097",
        "--neighbours wants a whole number from -5 to 4096, not '4097'");
    bad(plain, "-k|99999999999999999999",
        "-k wants a whole number from -5 to 4096, not '99999999999999999999'");
    static const char *const floats[] = { "nan", "inf", "-inf", "1e999", "0x1p3", "1,5",
                                          "",    "2 ",  "1e",   "10.01", "-" };
    for (size_t i = 0; i < ARRAY_LEN(floats); i++) {
        char line[64], want[128];
        snprintf(line, sizeof line, "--tau=%s", floats[i]);
        snprintf(want, sizeof want, "--tau wants a number from -1 to 10, not '%s'", floats[i]);
        bad(plain, line, want);
    }
    static const char *const seeds[] = { "-1", "18446744073709551616", "1.0", "+1", "" };
    for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
        char line[64], want[128];
        snprintf(line, sizeof line, "--seed=%s", seeds[i]);
        snprintf(want, sizeof want, "--seed wants a whole number, at least 0, not '%s'", seeds[i]);
        bad(plain, line, want);
    }
    static const char *const sizes[] = { "0",     "-1",  "5X",    "5Kib", "K",
                                         "1.5.5", "1e3", "9999T", "nan" };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char line[64], want[192];
        snprintf(line, sizeof line, "--mem=%s", sizes[i]);
        snprintf(want, sizeof want,
                 "--mem wants a size (K M G T or Ki Mi Gi Ti may follow) from 1 to 1e+15, not '%s'",
                 sizes[i]);
        bad(plain, line, want);
    }
    bad(plain, "-c|r", "-c wants red, green or blue, not 'r'");
    bad(plain, "--completion=tcsh", "--completion wants bash, zsh or fish, not 'tcsh'");
}

static void check_verbs(void)
{
    ok(call(verbs, "other") == 0 && !strcmp(out, "other 0\n"), "a verb");
    ok(call(verbs, "this|-k3") == 0 && strstr(out, " k3 "), "a verb with options");
    ok(strstr(out, "[\"semppl-test\", \"this\", \"-k\", \"3\"]") != NULL, "and its history");
    bad(verbs, "", "which verb: this or other?");
    bad(verbs, "those", "unknown verb 'those'; there is this or other");
    bad(verbs, "--xyzzy", "unknown option --xyzzy");
    int rc = call(verbs, "this|-k|x");
    ok(rc == EXIT_USAGE && strstr(err, "\ntry 'semppl-test this --help'\n"),
       "a verb's usage error");
    rc = call(verbs, "other|x");
    ok(rc == EXIT_USAGE &&
           !strcmp(err, "semppl-test: no operands, please\ntry 'semppl-test other --help'\n"),
       "a usage error that the verb finds");
    ok(call(verbs, "--help") == 0 && strstr(out, "VERB") && strstr(out, "  other   "),
       "help of a program with verbs");
    ok(call(verbs, "this|--help") == 0 &&
           strstr(out, "usage: semppl-test this [FILE...]\ndoes this\n"),
       "help of a verb");
    ok(call(verbs, "other|-h") == 0 && strstr(out, "--help"), "help of a verb without options");
}

static void check_texts(void)
{
    ok(call(plain, "--help") == 0 && !*err, "--help");
    ok(strstr(out, "usage: semppl-test [options] [FILE...]\na test\n"), "with a usage line");
    ok(strstr(out, "  -k, --neighbours N          neighbours asked for each query (default 20)\n"),
       "with an option and its default");
    ok(strstr(out, "      --mem SIZE              memory to use (default 1Gi)\n"), "with a size");
    ok(strstr(out, "  -c, --colour red|green|blue\n                              a colour (default "
                   "green)\n"),
       "with a choice");
    ok(strstr(out, "  -f, --flag                  a flag\n"), "with a flag");
    ok(call(plain, "-V") == 0 && strstr(out, "\nHDF5: ") &&
           strstr(out, "semppl-test (semppl-tools) " SEMPPL_VERSION "\n") == out,
       "--version");
    static const char *const shells[] = { "bash", "zsh", "fish" };
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        char line[64];
        snprintf(line, sizeof line, "--completion=%s", shells[i]);
        ok(call(plain, line) == 0 && strstr(out, "neighbours") && strstr(out, "red green blue"),
           "%s", line);
        ok(call(verbs, line) == 0 && strstr(out, "other") && strstr(out, "red green blue"),
           "%s of a program with verbs", line);
    }
    ok(call(plain, "-k|x|--help") == EXIT_USAGE && call(plain, "--help|-k|x") == 0,
       "the first counts");
}

static void check_ends(void)
{
    ok(call(plain, "break") == EXIT_INPUT && !strcmp(err, "semppl-test: it broke\n"), "a failure");
    ok(call(plain, "negative") == EXIT_NEGATIVE && !*err && *out, "a negative answer");
    call(plain, "-j3|-qfv|-k5|x");
    ok(strstr(out, "\"command\": [\"semppl-test\", \"-f\", \"-k\", \"5\", \"x\"]"),
       "the history leaves out what changes no result");
    ok(call_to(plain, "", "/dev/full") == EXIT_RESOURCE && strstr(err, "standard output: No space"),
       "a full disk: %s", err);
    ok(call_to(plain, "", "") != 0 && strstr(err, "standard output: "), "stdout is closed: %s",
       err);
    call_to(plain, "open", "");
    ok(strstr(err, "standard output: ") && !strstr(err, "took"), "nothing else takes its place");
    ok(call_to(verbs, "other", "/dev/null") == 0, "stdout goes nowhere");
}

int main(void)
{
    check_good();
    check_bad();
    check_verbs();
    check_texts();
    check_ends();
    return done();
}
