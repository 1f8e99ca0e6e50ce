/*
 * log.h - words for people, on stderr only.
 *
 * -q leaves errors, -v adds detail. Progress is a line that redraws itself on a terminal, and one
 * plain line for each doubling of the work elsewhere (none in the first second).
 */
#ifndef SEMPPL_LOG_H
#define SEMPPL_LOG_H

#include "common/base/base.h"

enum log_level { LOG_QUIET = -1, LOG_NORMAL = 0, LOG_VERBOSE = 1 };
extern int log_level; /* set by opt_main() from -q and -v, before any thread starts */

void log_warn(const char *fmt, ...) PRINTF(1, 2);  /* "semppl-knn: warning: ..." unless -q */
void log_info(const char *fmt, ...) PRINTF(1, 2);  /* "semppl-knn: ..." unless -q */
void log_debug(const char *fmt, ...) PRINTF(1, 2); /* only with -v */

double log_seconds(void); /* monotonic clock */

struct progress {
    const char *what;     /* "rows", "steps" */
    uint64_t done, total; /* total 0: unknown */
    double start, shown;
    uint64_t next; /* next doubling to print */
};

void progress_start(struct progress *p, const char *what, uint64_t total);
void progress_add(struct progress *p, uint64_t n);
void progress_end(struct progress *p); /* wipes the terminal's line */

#endif
