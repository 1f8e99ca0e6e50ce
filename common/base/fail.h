/*
 * fail.h - how a failure is worded, passed up, and turned into an exit status.
 *
 * Functions return 0 (or a count) or a negative errno. The one that finds the failure words it with
 * fail(), naming the file and the thing; the others pass the number up; opt_main() prints the
 * sentence once. The sentence is kept per thread; pool_run() brings the sentence of a failed task
 * to its caller.
 */
#ifndef SEMPPL_FAIL_H
#define SEMPPL_FAIL_H

#include "common/base/base.h"
#include <errno.h>

/* Exit statuses, the same in every program. */
enum exit_status {
    EXIT_WELL = 0,
    EXIT_NEGATIVE = 1, /* the answer is "no": a check failed, two files differ */
    EXIT_USAGE = 2,    /* the command line is wrong */
    EXIT_INPUT = 3,    /* input missing or damaged */
    EXIT_SKIPPED = 4,  /* done, but rows were skipped (only with --strict) */
    EXIT_RESOURCE = 5, /* no memory, no disk space, no device */
    EXIT_NUMERIC = 6,  /* a loss, gradient or embedding is not finite */
    EXIT_SIGNAL = 7,   /* stopped by a signal after saving */
};

/* Numbers above every errno, for the statuses that errno has no word for. Pass them negated, as
 * errnos. */
#define ENEGATIVE 1001
#define EUSAGE 1002
#define ESKIPPED 1004
#define ENUMERIC 1006
#define ESIGNAL 1007

/*
 * Words the failure of the calling thread and returns err (negative) unchanged:
 *     int fail(int err, const char *fmt, ...);
 * A macro, so that compilers and analysers see which number comes back.
 */
#define fail(err, ...) (fail_words(__VA_ARGS__), fail_number(err))

/*
 * Like fail(), with ": " and strerror(errno) behind the sentence; returns -errno, or -ENOSPC for
 * EFBIG:
 *     int fail_errno(const char *fmt, ...);
 */
#define fail_errno(...) fail_negative(fail_words_errno(__VA_ARGS__))

void fail_words(const char *fmt, ...) PRINTF(1, 2); /* leaves errno alone */
int fail_words_errno(const char *fmt, ...) PRINTF(1, 2);
static inline int fail_number(int err)
{
    return err;
}
static inline int fail_negative(int rc)
{
    if (rc >= 0)
        __builtin_unreachable();
    return rc;
}

/* The sentence of the calling thread, "" if none; valid until its next fail(). */
const char *fail_text(void);

/*
 * The exit status for a return value: >= 0 is EXIT_WELL; -EUSAGE 2; -ENEGATIVE 1; -ESKIPPED 4;
 * -ENOMEM, -ENOSPC, -EDQUOT, -ENODEV, -EMFILE, -EAGAIN 5; -ENUMERIC 6; -ESIGNAL and -EINTR 7;
 * anything else 3.
 */
enum exit_status fail_status(int rc);

#endif
