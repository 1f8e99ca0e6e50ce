/*
 * test_ledger.c - the account of skipped files, and files that appear whole.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/data/ledger.h"
#include "tests/t.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *content(const char *path)
{
    static char text[1000];
    FILE *f = fopen(path, "r");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f != NULL)
        fclose(f);
    return f != NULL ? text : "no file";
}

int main(void)
{
    char dir[] = "/tmp/test_ledger.XXXXXX", path[64];
    struct ledger l;
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/l.tsv", dir);
    ok(ledger_open(&l, path) == 0, "a ledger opens");
    ledger_add(&l, LEDGER_SKIPPED, "cat/a\tb\n.jpg", "truncated", "data ends\tearly");
    ledger_add(&l, LEDGER_KEPT, "-x", "truncated", "");
    ledger_add(&l, LEDGER_STORED, "c\\d", "duplicate", "of x");
    ledger_add(&l, LEDGER_STORED, "e", "oddity", "y");
    ok(access(path, F_OK) != 0, "nothing stands there before the end");
    ok(ledger_commit(&l) == 0, "it is committed");
    ok(strcmp(content(path), "key\tstatus\treason\tdetail\n"
                             "cat/a\\tb\\n.jpg\tskipped\ttruncated\tdata ends\\tearly\n"
                             "-x\tkept\ttruncated\t\n"
                             "c\\\\d\tstored\tduplicate\tof x\n"
                             "e\tstored\toddity\ty\n") == 0,
       "one line a row, four fields each");
    ok(l.count[LEDGER_SKIPPED] == 1 && l.count[LEDGER_KEPT] == 1 && l.count[LEDGER_STORED] == 2,
       "and all are counted");

    ok(ledger_open(&l, path) == 0, "another over it");
    ledger_add(&l, LEDGER_SKIPPED, "z", "empty", "");
    ledger_abort(&l);
    ok(strstr(content(path), "cat/a") != NULL, "aborted, it leaves the old one");
    unlink(path);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (ledger_open(&l, path) == 0)
            ledger_add(&l, LEDGER_SKIPPED, "z", "empty", "");
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    ok(child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && rmdir(dir) == 0 &&
           mkdir(dir, 0700) == 0,
       "killed, it leaves nothing");
    ok(ledger_open(&l, dir) == -EISDIR && ledger_open(&l, "") == -EINVAL, "no folder, no name: %s",
       fail_text());
    ok(ledger_open(&l, "/nowhere/l.tsv") == -ENOENT, "no such folder: %s", fail_text());

    log_level = LOG_QUIET;
    ok(ledger_open(&l, NULL) == 0, "a ledger without a file");
    ledger_add(&l, LEDGER_SKIPPED, "z", "empty", "");
    ok(ledger_commit(&l) == 0 && l.count[LEDGER_SKIPPED] == 1, "still counts");
    ok(rmdir(dir) == 0, "and nothing else is left behind");
    return done();
}
