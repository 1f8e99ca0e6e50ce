/*
 * opt_main.c - the frame of every program: standard streams, command line, run, exit status.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt_impl.h"
#include "common/base/prov.h"
#include "common/base/tail.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A file opened later must not become standard output because that was closed. The closed ones are
 * taken by a file that fails in use: written where one reads, and read where one writes.
 */
static void take_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            while (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0 && errno == EINTR)
                ;
}

/* What is still in the buffer may not fit on the disk; some file systems tell that on closing. */
static int finish_stdout(void)
{
    int rc = tail_send();
    if (rc < 0)
        return rc;
    errno = 0;
    if (fflush(stdout) != 0)
        return fail_errno("standard output");
    if (ferror(stdout))
        return fail(-ENOSPC, "standard output: not everything could be written");
    if (close(STDOUT_FILENO) != 0 && errno != EBADF)
        return fail_errno("standard output");
    return 0;
}

static int verb_unknown(const struct opt_verb *verbs, const char *word)
{
    char names[512] = "";
    size_t len = 0;
    for (const struct opt_verb *v = verbs; v->run && len < sizeof names; v++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s",
                                v == verbs ? ""
                                : v[1].run ? ", "
                                           : " or ",
                                v->name);
    if (!word)
        return fail(-EUSAGE, "which verb: %s?", names);
    return fail(-EUSAGE, "unknown verb '%s'; there is %s", word, names);
}

/* Finds the verb, parses what follows, and runs it. *verb is set as soon as it is known. */
static int run(const char *program, const struct opt_verb *verbs, const struct opt_verb **verb,
               int argc, char **argv, char **operand, char **word)
{
    int first = 1, nwords = 0, n;
    word[nwords++] = (char *)program;
    if (!verbs[0].name) {
        *verb = &verbs[0];
    } else if (argc > 1 && argv[1][0] != '-') {
        for (*verb = verbs; (*verb)->run && strcmp((*verb)->name, argv[1]) != 0;)
            ++*verb;
        if (!(*verb)->run) {
            *verb = NULL;
            return verb_unknown(verbs, argv[1]);
        }
        word[nwords++] = argv[first++];
    }
    n = opt_parse(*verb ? (*verb)->opts : NULL, argv + MIN(first, argc), operand, word, &nwords);
    if (n < 0)
        return n;
    switch (n - OPT_HIT) {
    case OPT_HELP:
        opt_help(stdout, program, verbs, *verb);
        return 0;
    case OPT_VERSION:
        prov_print_version();
        return 0;
    case OPT_COMPLETION:
        opt_complete(stdout, program, verbs);
        return 0;
    default:
        break;
    }
    if (!*verb)
        return verb_unknown(verbs, NULL);
    log_level = opt_common.quiet ? LOG_QUIET : opt_common.verbose ? LOG_VERBOSE : LOG_NORMAL;
    prov_command(program, nwords, word);
    return (*verb)->run(n, operand);
}

int opt_main(const char *program, const struct opt_verb *verbs, int argc, char **argv)
{
    const struct opt_verb *verb = NULL;
    take_standard_streams();
    signal(SIGPIPE, SIG_DFL); /* a parent may have it ignored: then `| head` would not end us */
    prov_command(program, 0, NULL);

    char **operand = mem_alloc((size_t)argc + 1, sizeof *operand, "the command line");
    size_t most = 3; /* a word a letter, at worst */
    for (int i = 0; i < argc; i++)
        most += strlen(argv[i]) + 1;
    char **word = mem_alloc(most, sizeof *word, "the command line");
    int rc = -ENOMEM;
    if (operand && word)
        rc = run(program, verbs, &verb, argc, argv, operand, word);
    if (rc >= 0 || rc == -ENEGATIVE || rc == -ESKIPPED || rc == -ESIGNAL) {
        int out = finish_stdout();
        rc = out < 0 ? out : rc;
    }
    if (rc < 0 && *fail_text())
        fprintf(stderr, "%s: %s\n", program, fail_text());
    if (rc == -EUSAGE)
        fprintf(stderr, "try '%s%s%s --help'\n", program, verb && verb->name ? " " : "",
                verb && verb->name ? verb->name : "");
    prov_command(program, 0, NULL);
    free(operand);
    free(word);
    return (int)fail_status(rc);
}
