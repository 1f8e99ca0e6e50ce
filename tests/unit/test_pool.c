/*
 * test_pool.c - every task runs once, whatever the threads, and the lowest failure is reported.
 */
#include "common/base/fail.h"
#include "common/base/pool.h"
#include "tests/t.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 64 };

struct work {
    atomic_int *ran;    /* [n] times that each task ran */
    atomic_int *inside; /* [threads] tasks that a worker is in */
    int threads;
    atomic_bool bad;
    size_t fail_at, fail_also;
    atomic_size_t started;
    atomic_bool also; /* fail_also has come */
};

static int count_task(void *arg, size_t i, int worker)
{
    struct work *w = arg;
    if (worker < 0 || worker >= w->threads || atomic_fetch_add(&w->inside[worker], 1) != 0)
        w->bad = true;
    atomic_fetch_add(&w->ran[i], 1);
    atomic_fetch_add(&w->started, 1);
    if (i % 7 == 0)
        sched_yield();
    if (worker >= 0 && worker < w->threads)
        atomic_fetch_sub(&w->inside[worker], 1);
    /* The lower failure comes later where it can. */
    for (int k = 0; i == w->fail_at && k < 20; k++) {
        usleep(w->also ? 50 : 1);
        if (w->also)
            break;
    }
    if (i == w->fail_also)
        w->also = true;
    if (i == w->fail_at || i == w->fail_also)
        return fail(-EIO, "task %zu", i);
    return (int)i; /* not negative: no failure */
}

static void check_runs(int threads)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 63, 64, 1000 };
    struct pool *pool;
    ok(pool_open(&pool, threads) == 0 && pool_threads(pool) == threads, "a pool of %d", threads);
    bool good = true;
    for (int round = 0; round < 20; round++)
        for (size_t t = 0; t < ARRAY_LEN(sizes); t++) {
            size_t n = sizes[t];
            atomic_int *ran = calloc(n + 1, sizeof *ran), inside[MOST] = { 0 };
            int most = (int)MIN(n, (size_t)threads); /* no more workers than tasks */
            struct work w = { ran, inside, most, false, SIZE_MAX, SIZE_MAX, 0, false };
            good = good && pool_run(pool, n, count_task, &w) == 0 && !w.bad;
            for (size_t i = 0; i < n; i++)
                good = good && ran[i] == 1;
            free(ran);
        }
    ok(good, "%d threads: every task runs once, a worker in one at a time", threads);

    good = true;
    int early = 0; /* not always: a thread may be held up between its failure and the word of it */
    for (int round = 0; round < 50; round++) {
        atomic_int ran[1000] = { 0 }, inside[MOST] = { 0 };
        struct work w = { ran, inside, threads, false, 500, 501 + (size_t)round % 5, 0, false };
        fail(-EIO, "an old sentence");
        int rc = pool_run(pool, 1000, count_task, &w);
        good = good && rc == -EIO && strcmp(fail_text(), "task 500") == 0;
        for (size_t i = 0; i <= 500; i++)
            good = good && ran[i] == 1;
        early += w.started < 1000;
    }
    ok(good, "%d threads: the lowest failure, with its sentence", threads);
    ok(early > 0, "%d threads: a failure ends the run early, %d times of 50", threads, early);
    pool_close(pool);
}

/* Plain memory, written by tasks and read by the caller: the pool orders the two. */
static int write_task(void *arg, size_t i, int worker)
{
    (void)worker;
    ((double *)arg)[i] += (double)i;
    return 0;
}

static void check_order(void)
{
    struct pool *pool;
    double sums[257] = { 0 };
    bool good = pool_open(&pool, 4) == 0;
    for (int round = 1; round <= 500 && good; round++) {
        good = pool_run(pool, 257, write_task, sums) == 0;
        for (size_t i = 0; i < 257; i++)
            good = good && sums[i] == (double)i * round;
    }
    ok(good, "what tasks wrote is seen after the run, and by the next run");
    pool_close(pool);
}

static int signal_task(void *arg, size_t i, int worker)
{
    (void)i;
    sigset_t mask;
    usleep(200); /* so that every worker takes part */
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (worker > 0 && !sigismember(&mask, SIGTERM))
        *(atomic_bool *)arg = false;
    return 0;
}

int main(void)
{
    static const int counts[] = { 1, 2, 3, 8, MOST };
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        check_runs(counts[i]);
    check_order();
    struct pool *pool;
    ok(pool_open(&pool, 0) == 0 && pool_threads(pool) >= 1, "threads for all CPUs");
    pool_close(pool);
    pool_close(NULL);
    atomic_bool blocked = true;
    pool_open(&pool, 4);
    pool_run(pool, 50, signal_task, &blocked);
    pool_close(pool);
    ok(blocked, "workers leave signals to the main thread");
    return done();
}
