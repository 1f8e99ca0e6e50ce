/*
 * fail.c - one sentence a thread, and what an errno means as an exit status.
 */
#include "common/base/fail.h"
#include "common/base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[1024];

/* The arguments may point into the old sentence, so the new one is made beside it. A file's name
 * may hold line feeds and terminal escapes: a sentence stays one line of plain characters. */
static void set(const char *tail, const char *fmt, va_list ap)
{
    char text[sizeof sentence];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    if (n < 0)
        n = snprintf(text, sizeof text, "failure that cannot be printed");
    if (tail && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %s", tail);
    text_tidy(text);
    memcpy(sentence, text, sizeof sentence);
}

void fail_words(const char *fmt, ...)
{
    int err = errno;
    va_list ap;
    va_start(ap, fmt);
    set(NULL, fmt, ap);
    va_end(ap);
    errno = err;
}

int fail_words_errno(const char *fmt, ...)
{
    int err = errno > 0 ? errno : EIO; /* a failure is never 0 */
    char why[128];
    va_list ap;
    va_start(ap, fmt);
    set(strerror_r(err, why, sizeof why), fmt, ap);
    va_end(ap);
    return err == EFBIG ? -ENOSPC : -err; /* a limit on the size of files is a full disk too */
}

const char *fail_text(void)
{
    return sentence;
}

enum exit_status fail_status(int rc)
{
    if (rc >= 0)
        return EXIT_WELL;
    switch (-rc) {
    case EUSAGE:
        return EXIT_USAGE;
    case ENEGATIVE:
        return EXIT_NEGATIVE;
    case ESKIPPED:
        return EXIT_SKIPPED;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case ENODEV:
    case EMFILE:
    case EAGAIN:
        return EXIT_RESOURCE;
    case ENUMERIC:
        return EXIT_NUMERIC;
    case ESIGNAL:
    case EINTR:
        return EXIT_SIGNAL;
    default:
        return EXIT_INPUT;
    }
}
