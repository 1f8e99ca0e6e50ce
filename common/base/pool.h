/*
 * pool.h - a pool of threads that runs numbered tasks.
 *
 * Tasks are handed out in order to whichever worker is free. A result that depends only on a task's
 * number, and sums made in the order of the tasks, are therefore the same for any number of
 * threads: the project's determinism rests on this, so nothing may depend on the worker except its
 * scratch memory.
 */
#ifndef SEMPPL_POOL_H
#define SEMPPL_POOL_H

#include "common/base/base.h"

struct pool;

/* threads 0: one for each CPU this process may use. The calling thread is worker 0. */
int pool_open(struct pool **pool, int threads);
void pool_close(struct pool *pool); /* NULL is fine */
int pool_threads(const struct pool *pool);

/*
 * Runs task(arg, i, worker) for i = 0 .. n-1 and waits for all; worker is below n and
 * pool_threads(). After a failure no further tasks start; returns the failure of the lowest failed
 * i, with its fail_text() brought to the caller. Not re-entrant: a task must not call pool_run on
 * its own pool. Idle workers spin about a microsecond, then sleep. No more are woken than there are
 * tasks, and none is waited for that had no processor in time.
 */
int pool_run(struct pool *pool, size_t n, int (*task)(void *arg, size_t i, int worker), void *arg);

#endif
