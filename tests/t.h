/*
 * t.h - a test in TAP, in thirty lines. Seeds come from T_SEED in the environment (default 1);
 * failures print it.
 */
#ifndef SEMPPL_T_H
#define SEMPPL_T_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int t_count, t_failed;

static inline unsigned long t_seed(void)
{
    const char *s = getenv("T_SEED");
    return s ? strtoul(s, NULL, 10) : 1;
}

/* One test point; what is a printf format of its name. */
#define ok(good, ...) t_ok((good), __FILE__, __LINE__, __VA_ARGS__)
/* |got - want| <= tol, both printed on failure; NaN fails. */
#define near(got, want, tol, ...) t_near((got), (want), (tol), __FILE__, __LINE__, __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static inline bool t_ok(bool good, const char *file, int line,
                                                              const char *what, ...)
{
    __builtin_va_list ap;
    printf("%sok %d - ", good ? "" : "not ", ++t_count);
    __builtin_va_start(ap, what);
    vprintf(what, ap);
    __builtin_va_end(ap);
    printf("\n");
    if (!good) {
        t_failed++;
        printf("# at %s:%d, T_SEED=%lu\n", file, line, t_seed());
    }
    fflush(stdout);
    return good;
}

#define t_near(got, want, tol, file, line, ...)                                                    \
    do {                                                                                           \
        double t_g = (got), t_w = (want), t_t = (tol);                                             \
        if (!t_ok(fabs(t_g - t_w) <= t_t, file, line, __VA_ARGS__))                                \
            printf("# got %.9g, want %.9g, tolerance %.3g\n", t_g, t_w, t_t);                      \
    } while (0)

static inline int done(void)
{
    printf("1..%d\n", t_count);
    return t_failed ? 1 : 0;
}

#endif
