/*
 * tail.c - see tail.h.
 */
#include "common/base/tail.h"
#include "common/base/fail.h"
#include <unistd.h>

static uint8_t kept;
static bool keeping;

static int put(const uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(STDOUT_FILENO, bytes + done, MIN(n - done, (size_t)1 << 30));
        if (k > 0)
            done += (size_t)k;
        else if (k == 0)
            return fail(-ENOSPC, "standard output: nothing more can be written");
        else if (errno != EINTR)
            return fail_errno("standard output");
    }
    return 0;
}

int tail_send(void)
{
    int rc = keeping ? put(&kept, 1) : 0;
    keeping = false;
    return rc;
}

int tail_write(const uint8_t *bytes, size_t n)
{
    int rc = tail_send();
    if (rc < 0 || n == 0 || (rc = put(bytes, n - 1)) < 0)
        return rc;
    kept = bytes[n - 1];
    keeping = true;
    return 0;
}
