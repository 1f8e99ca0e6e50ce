/*
 * test_fail.c - sentences and exit statuses.
 */
#include "common/base/fail.h"
#include "tests/t.h"
#include <pthread.h>
#include <string.h>

static void *other_thread(void *arg)
{
    bool *empty = arg;
    *empty = fail_text()[0] == '\0';
    fail(-EIO, "of the other thread");
    return NULL;
}

static void check_status(void)
{
    static const struct {
        int rc;
        enum exit_status want;
    } all[] = {
        { 0, EXIT_WELL },           { 12, EXIT_WELL },           { -EUSAGE, EXIT_USAGE },
        { -ENEGATIVE, 1 },          { -ESKIPPED, EXIT_SKIPPED }, { -ENOMEM, EXIT_RESOURCE },
        { -ENOSPC, EXIT_RESOURCE }, { -EDQUOT, EXIT_RESOURCE },  { -ENODEV, EXIT_RESOURCE },
        { -EMFILE, EXIT_RESOURCE }, { -EAGAIN, EXIT_RESOURCE },  { -ENUMERIC, EXIT_NUMERIC },
        { -ESIGNAL, EXIT_SIGNAL },  { -EINTR, EXIT_SIGNAL },     { -EIO, EXIT_INPUT },
        { -ENOENT, EXIT_INPUT },    { -EINVAL, EXIT_INPUT },     { -EPIPE, EXIT_INPUT },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        ok(fail_status(all[i].rc) == all[i].want, "%d is status %d", all[i].rc, all[i].want);
}

int main(void)
{
    ok(fail_text()[0] == '\0', "no sentence at first");
    ok(fail(-EINVAL, "%s: %d rows", "a.h5", 7) == -EINVAL, "fail() returns its number");
    ok(strcmp(fail_text(), "a.h5: 7 rows") == 0, "and keeps the sentence");
    fail(-EIO, "net: %s", fail_text());
    ok(strcmp(fail_text(), "net: a.h5: 7 rows") == 0, "a sentence can hold the one before");
    errno = ENOENT;
    ok(fail_errno("%s", "b.h5") == -ENOENT, "fail_errno() returns -errno");
    ok(strcmp(fail_text(), "b.h5: No such file or directory") == 0, "and says why: %s",
       fail_text());
    errno = EFBIG;
    ok(fail_errno("b.h5") == -ENOSPC, "a file as large as may be is a full disk");
    errno = 0;
    ok(fail_errno("nothing") < 0, "fail_errno() is a failure even without errno");
    fail(-EIO, "a\nb\033[31m\x7f\xc3\xa9\xc2\x9b");
    ok(strcmp(fail_text(), "a?b?[31m?\xc3\xa9?") == 0, "one line without control characters");
    char big[5000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    errno = EIO;
    fail_errno("%s", big);
    ok(strlen(fail_text()) == 1023, "a long sentence is cut");

    bool empty = false;
    pthread_t thread;
    fail(-EIO, "mine");
    pthread_create(&thread, NULL, other_thread, &empty);
    pthread_join(thread, NULL);
    ok(empty && strcmp(fail_text(), "mine") == 0, "each thread has its own sentence");
    check_status();
    return done();
}
