/*
 * pool.c - worker threads that spin for about a microsecond between runs, then sleep.
 *
 * A run is open from the moment that its tasks may be taken until the caller, who takes them too as
 * worker 0, finds none left. A worker that is woken counts itself in, and out when it finds none
 * either; the caller waits for those who are in. One that wakes only now finds the run closed and
 * goes back to sleep: nobody waits for a thread that has no processor. No more workers are woken
 * than there are tasks, and by one another, so that many are awake after a few steps.
 */
#include "common/base/pool.h"
#include "common/base/cgroup.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPINS = 32, LINE = 64 }; /* pauses of some 10 to 50 ns each; bytes */

struct worker {
    _Alignas(LINE) struct pool *pool;
    pthread_t thread;
    int number;
    sem_t woken;
    atomic_bool called; /* and not up yet */
};

struct pool {
    int threads, started; /* workers that there are, the caller included; threads to join */
    struct worker *worker;
    atomic_bool stop;

    /* the run, written before it is open */
    int (*task)(void *arg, size_t i, int worker);
    void *arg;
    size_t n;
    int wanted; /* workers, the caller included */

    _Alignas(LINE) atomic_bool open;
    _Alignas(LINE) atomic_size_t next;
    _Alignas(LINE) atomic_int calls; /* the next worker to be called */
    _Alignas(LINE) atomic_int inside;
    atomic_bool waiting; /* the caller, for nobody to be inside */
    sem_t empty;

    /* the run's lowest failure */
    pthread_mutex_t lock;
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

/* Until it is posted: awake at first, then asleep. */
static void wait_for(sem_t *sem)
{
    for (int i = 0; i < SPINS; i++) {
        if (sem_trywait(sem) == 0)
            return;
        spin_once();
    }
    while (sem_wait(sem) < 0)
        ; /* a signal came */
}

static void call(struct pool *p, int worker)
{
    if (!atomic_exchange(&p->worker[worker].called, true))
        sem_post(&p->worker[worker].woken);
}

/* Two more workers: everybody who is up does that, so soon all are, whoever sleeps on. */
static void call_two(struct pool *p)
{
    for (int i = 0; i < 2 && atomic_load(&p->calls) < p->wanted; i++) {
        int worker = atomic_fetch_add(&p->calls, 1);
        if (worker < p->wanted)
            call(p, worker);
    }
}

static void *work(void *self)
{
    struct worker *w = self;
    struct pool *p = w->pool;
    for (;;) {
        wait_for(&w->woken);
        atomic_store(&w->called, false);
        if (atomic_load(&p->stop))
            return NULL;
        atomic_fetch_add(&p->inside, 1);
        if (atomic_load(&p->open) && w->number < p->wanted) {
            call_two(p);
            take_tasks(p, w->number);
        }
        if (atomic_fetch_sub(&p->inside, 1) == 1 && atomic_exchange(&p->waiting, false))
            sem_post(&p->empty);
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
    sem_init(&p->empty, 0, 0);

    /* Signals are for the main thread, whose system calls expect them. */
    int err = 0;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 1; i < threads && err == 0; i++) {
        w[i].pool = p;
        w[i].number = i;
        sem_init(&w[i].woken, 0, 0);
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

void pool_close(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, true);
    for (int i = 1; i <= p->started; i++)
        call(p, i);
    for (int i = 1; i <= p->started; i++) {
        pthread_join(p->worker[i].thread, NULL);
        sem_destroy(&p->worker[i].woken);
    }
    sem_destroy(&p->empty);
    pthread_mutex_destroy(&p->lock);
    free(p->worker);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}

/* Returns when no worker is inside. */
static void wait_until_empty(struct pool *p)
{
    for (int i = 0; i < SPINS && atomic_load(&p->inside) > 0; i++)
        spin_once();
    while (atomic_load(&p->inside) > 0) {
        atomic_store(&p->waiting, true);
        /* whoever sees that takes it back, and posts; if all were out before, nobody will */
        if (atomic_load(&p->inside) > 0 || !atomic_exchange(&p->waiting, false))
            wait_for(&p->empty);
    }
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
    p->wanted = (int)MIN(n, (size_t)p->threads);
    p->failed = SIZE_MAX;
    p->rc = 0;
    atomic_store(&p->next, 0);
    atomic_store(&p->calls, 1); /* the caller is up */
    atomic_store(&p->open, true);
    call_two(p);
    take_tasks(p, 0);
    atomic_store(&p->open, false);
    wait_until_empty(p);
    return p->rc < 0 ? fail(p->rc, "%s", p->why) : 0;
}
