/*
 * pool.c - worker threads that spin for about a microsecond between runs, then sleep.
 *
 * A run is a number in `run`, raised by the caller. Every worker notices it, takes tasks from
 * `next` until none is left, and counts itself out of `busy`; the caller does the same as worker 0
 * and waits until nobody is busy. The mutex and the conditions serve only those who sleep.
 */
#include "common/base/pool.h"
#include "common/base/cgroup.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPINS = 32 }; /* pauses of some 10 to 50 ns each */

struct pool {
    int threads, started; /* workers that there are, the caller included; threads to join */
    struct worker {
        struct pool *pool;
        pthread_t thread;
        int number;
    } * worker;
    pthread_mutex_t lock;
    pthread_cond_t raised, finished;
    atomic_uint run;
    atomic_int busy;
    bool stop;

    /* the run, written before `run` is raised */
    int (*task)(void *arg, size_t i, int worker);
    void *arg;
    size_t n;
    atomic_size_t next;

    /* its lowest failure, under lock */
    size_t failed;
    int rc;
    char why[1024];
};

/*
 * OpenBLAS asks this function of its own how many threads it is to have, and starts them before
 * main(): here is the answer that it gets in our programs. The pool calls it with tiles of work, so
 * its threads would never have any, but take address space, of which it ends or hangs for want
 * (ulimit -v). Where a version of it does not ask, it has its threads, and no more is lost.
 */
int openblas_num_threads_env(void);
int openblas_num_threads_env(void)
{
    return 1;
}

static void spin_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static void note_failure(struct pool *p, size_t i, int rc)
{
    /* Tasks start in order: whatever starts from now on is higher than this one. */
    atomic_store(&p->next, p->n);
    pthread_mutex_lock(&p->lock);
    if (i < p->failed) {
        p->failed = i;
        p->rc = rc;
        snprintf(p->why, sizeof p->why, "%s", fail_text());
    }
    pthread_mutex_unlock(&p->lock);
}

static void take_tasks(struct pool *p, int worker)
{
    for (;;) {
        size_t i = atomic_load(&p->next);
        do
            if (i >= p->n)
                return;
        while (!atomic_compare_exchange_weak(&p->next, &i, i + 1));
        int rc = p->task(p->arg, i, worker);
        if (rc < 0)
            note_failure(p, i, rc);
    }
}

static void *work(void *self)
{
    struct worker *w = self;
    struct pool *p = w->pool;
    for (unsigned seen = 0;; seen++) {
        for (int i = 0; i < SPINS && atomic_load(&p->run) == seen; i++)
            spin_once();
        if (atomic_load(&p->run) == seen) {
            pthread_mutex_lock(&p->lock);
            while (atomic_load(&p->run) == seen)
                pthread_cond_wait(&p->raised, &p->lock);
            pthread_mutex_unlock(&p->lock);
        }
        if (p->stop)
            return NULL;
        take_tasks(p, w->number);
        if (atomic_fetch_sub(&p->busy, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->finished);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

/* CPUs that the process may run on, and whose time it may use. */
static int usable_cpus(void)
{
    int n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    double cpus = cgroup_limits().cpus;
    return MAX(cpus < n ? (int)(cpus + 0.5) : n, 1);
}

int pool_open(struct pool **pool, int threads)
{
    *pool = NULL;
    if (threads <= 0)
        threads = usable_cpus();
    struct pool *p = mem_alloc(1, sizeof *p, "the thread pool");
    struct worker *w = mem_alloc((size_t)threads, sizeof *w, "the thread pool");
    if (!p || !w) {
        free(p);
        free(w);
        return -ENOMEM;
    }
    p->threads = threads;
    p->worker = w;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->raised, NULL);
    pthread_cond_init(&p->finished, NULL);

    /* Signals are for the main thread, whose system calls expect them. */
    int err = 0;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 1; i < threads && err == 0; i++) {
        w[i] = (struct worker){ .pool = p, .number = i };
        err = pthread_create(&w[i].thread, NULL, work, &w[i]);
        p->started += err == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) {
        pool_close(p);
        return fail(-err, "cannot start %d threads: %s", threads, strerror(err));
    }
    *pool = p;
    return 0;
}

static void raise_run(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->run, 1);
    pthread_cond_broadcast(&p->raised);
    pthread_mutex_unlock(&p->lock);
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    p->stop = true;
    raise_run(p);
    for (int i = 1; i <= p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->raised);
    pthread_cond_destroy(&p->finished);
    pthread_mutex_destroy(&p->lock);
    free(p->worker);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}

int pool_run(struct pool *p, size_t n, int (*task)(void *arg, size_t i, int worker), void *arg)
{
    if (p->threads == 1 || n <= 1) {
        for (size_t i = 0; i < n; i++) {
            int rc = task(arg, i, 0);
            if (rc < 0)
                return rc;
        }
        return 0;
    }
    p->task = task;
    p->arg = arg;
    p->n = n;
    p->failed = SIZE_MAX;
    p->rc = 0;
    atomic_store(&p->next, 0);
    atomic_store(&p->busy, p->threads - 1);
    raise_run(p);
    take_tasks(p, 0);

    for (int i = 0; i < SPINS && atomic_load(&p->busy); i++)
        spin_once();
    /* Also when nobody is busy any more: the last worker may still hold the lock. */
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->busy))
        pthread_cond_wait(&p->finished, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return p->rc < 0 ? fail(p->rc, "%s", p->why) : 0;
}
