/*
 * test_log.c - what comes out on stderr at each level, and when progress speaks.
 */
#include "common/base/log.h"
#include "common/base/prov.h"
#include "tests/t.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int saved, file;

static void capture(void)
{
    char path[] = "/tmp/semppl-log-XXXXXX";
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    file = mkstemp(path);
    unlink(path);
    dup2(file, STDERR_FILENO);
}

static const char *captured(void)
{
    static char text[8192];
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(file);
    return text;
}

static void speak(void)
{
    log_warn("one %d", 1);
    log_info("two");
    log_debug("three");
}

static void check_level(int level, const char *want)
{
    log_level = level;
    capture();
    speak();
    const char *got = captured();
    ok(strcmp(got, want) == 0, "level %d", level);
    log_level = LOG_NORMAL;
}

static int lines(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

static const char *work(uint64_t total, double seconds_ago)
{
    struct progress p;
    capture();
    progress_start(&p, "rows", total);
    p.start -= seconds_ago;
    for (int i = 0; i < 100; i++)
        progress_add(&p, 1);
    progress_end(&p);
    return captured();
}

int main(void)
{
    prov_command("semppl-test", 0, NULL);
    check_level(LOG_QUIET, "");
    check_level(LOG_NORMAL, "semppl-test: warning: one 1\nsemppl-test: two\n");
    check_level(LOG_VERBOSE, "semppl-test: warning: one 1\nsemppl-test: two\nsemppl-test: three\n");

    static char big[5000];
    memset(big, 'x', sizeof big - 1);
    capture();
    log_info("%s", big);
    const char *got = captured();
    ok(lines(got) == 1 && strlen(got) < 2049 && got[strlen(got) - 1] == '\n', "a long line is cut");
    capture();
    log_info("a\nb\033[1m\xc2\x9b");
    ok(strcmp(captured(), "semppl-test: a?b?[1m?\n") == 0, "no control characters");

    got = work(200, 50);
    ok(lines(got) == 7, "a line each doubling of 100: %d", lines(got));
    ok(strstr(got, "semppl-test: rows: 64 of 200, 1.28 a second, 1:46 min left\n"),
       "with count, rate and time left");
    ok(!strstr(work(0, 50), "left"), "an unknown total has no time left");
    ok(*work(200, 0) == '\0', "nothing in the first second");
    log_level = LOG_QUIET;
    ok(*work(200, 50) == '\0', "nothing with -q");

    double t = log_seconds();
    usleep(2000);
    double passed = log_seconds() - t;
    ok(passed >= 0.002 && passed < 60, "the clock is in seconds");
    return done();
}
