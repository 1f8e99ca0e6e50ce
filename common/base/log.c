/*
 * log.c - words on stderr, whole lines at a time, and a progress line that gets out of their way.
 */
#include "common/base/log.h"
#include "common/base/prov.h"
#include "common/base/text.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int log_level = LOG_NORMAL;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool line_shown; /* a progress line stands on the terminal */

/* One write a line, so that the lines of several programs of a pipe do not mix. */
static void put(const char *before, const char *fmt, va_list ap)
{
    char line[2048];
    const char *wipe = "";
    pthread_mutex_lock(&lock);
    if (line_shown)
        wipe = "\r\033[K";
    line_shown = false;
    int n = snprintf(line, sizeof line - 1, "%s%s: %s", wipe, prov_program(), before);
    vsnprintf(line + n, sizeof line - 1 - (size_t)n, fmt, ap);
    text_tidy(line + strlen(wipe)); /* names of files may hold anything */
    size_t len = strlen(line);
    line[len++] = '\n';
    fwrite(line, 1, len, stderr);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

#define LOG_LINE(least, before)                                                                    \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        if (log_level >= (least))                                                                  \
            put(before, fmt, ap);                                                                  \
        va_end(ap);                                                                                \
    } while (0)

void log_warn(const char *fmt, ...)
{
    LOG_LINE(LOG_NORMAL, "warning: ");
}

void log_info(const char *fmt, ...)
{
    LOG_LINE(LOG_NORMAL, "");
}

void log_debug(const char *fmt, ...)
{
    LOG_LINE(LOG_VERBOSE, "");
}

double log_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* -- Progress ---- */

static bool on_terminal(void)
{
    return isatty(STDERR_FILENO);
}

void progress_start(struct progress *p, const char *what, uint64_t total)
{
    double now = log_seconds();
    *p = (struct progress){ .what = what, .total = total, .start = now, .shown = now, .next = 1 };
}

static void span(char *buf, size_t size, double seconds)
{
    unsigned long s = (unsigned long)(seconds + 0.5);
    if (s < 60)
        snprintf(buf, size, "%lu s", s);
    else if (s < 3600)
        snprintf(buf, size, "%lu:%02lu min", s / 60, s % 60);
    else
        snprintf(buf, size, "%lu:%02lu h", s / 3600, s / 60 % 60);
}

static int describe(const struct progress *p, char *buf, size_t size, double now)
{
    char left[32], of[64] = "", eta[64] = "";
    double rate = (double)p->done / MAX(now - p->start, 1e-9);
    if (p->total)
        snprintf(of, sizeof of, " of %llu", (unsigned long long)p->total);
    if (p->total > p->done && p->done) {
        span(left, sizeof left, (double)(p->total - p->done) / rate);
        snprintf(eta, sizeof eta, ", %s left", left);
    }
    return snprintf(buf, size, "%s: %llu%s, %.*f a second%s", p->what, (unsigned long long)p->done,
                    of, rate < 10 ? 2 : 0, rate, eta);
}

void progress_add(struct progress *p, uint64_t n)
{
    p->done += n;
    if (log_level < LOG_NORMAL)
        return;
    bool terminal = on_terminal();
    if (!terminal && p->done < p->next)
        return;
    double now = log_seconds();
    char text[256];
    if (terminal && now - p->shown >= 0.1) {
        int len = describe(p, text, sizeof text, now);
        pthread_mutex_lock(&lock);
        fprintf(stderr, "\r\033[K%.*s", MIN(len, 79), text);
        fflush(stderr);
        line_shown = true;
        pthread_mutex_unlock(&lock);
        p->shown = now;
    } else if (!terminal) {
        while (p->next <= p->done)
            p->next = p->next > UINT64_MAX / 2 ? UINT64_MAX : 2 * p->next;
        if (now - p->start >= 1 && describe(p, text, sizeof text, now) > 0)
            log_info("%s", text);
    }
}

void progress_end(struct progress *p)
{
    p->shown = log_seconds();
    pthread_mutex_lock(&lock);
    if (line_shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    line_shown = false;
    pthread_mutex_unlock(&lock);
}
