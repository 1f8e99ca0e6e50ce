/*
 * loader.c - the pictures of the next step, prepared while this one runs.
 */
#include "common/model/loader.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { NICE = 10 }; /* a tenth of a CPU that the step wants too */

/* -- the thread ---------------------------------------------------------------------------- */

static int open_workers(struct loader *l)
{
    int rc = pool_open(&l->pool, l->threads);
    if (rc < 0)
        return rc;
    if ((rc = kern_open_like(&l->kn, l->like, l->pool)) < 0)
        return fail(rc, "cannot open %s for preparing pictures", kern_describe(l->like));
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = views_open(&l->batch[i].views, l->kn, l->pool, l->data, l->set, l->type);
    return rc;
}

static int prepare(struct loader *l, struct batch *b)
{
    sampler_batch(l->sampler, b->k, b->sample);
    for (size_t i = 0; i < l->sampler->batch; i++) {
        size_t row;
        const struct shard *s = shard_set_find(l->data, b->sample[i].row, &row);
        b->id[i] = s->rows.id[row];
    }
    return views_load(&b->views, b->k, b->sample, b->id);
}

/* Busy from the start, with opening its workers, which inherit its priority. */
static void *work(void *arg)
{
    struct loader *l = arg;
    setpriority(PRIO_PROCESS, 0, NICE); /* on Linux of this thread alone */
    int rc = open_workers(l);
    pthread_mutex_lock(&l->lock);
    for (;;) {
        l->rc = rc;
        snprintf(l->why, sizeof l->why, "%s", fail_text());
        l->busy = false;
        pthread_cond_broadcast(&l->turn);
        while (!l->busy && !l->stop)
            pthread_cond_wait(&l->turn, &l->lock);
        if (!l->busy)
            break;
        pthread_mutex_unlock(&l->lock);
        rc = prepare(l, &l->batch[!l->at_hand]);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int start(struct loader *l)
{
    sigset_t all, old; /* signals are for the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    l->busy = true;
    int err = pthread_create(&l->thread, NULL, work, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    l->started = err == 0;
    return err ? fail(-err, "cannot start a thread: %s", strerror(err)) : 0;
}

/* -- the step's side ----------------------------------------------------------------------- */

/* The end of what the thread is at. */
static int await(struct loader *l)
{
    pthread_mutex_lock(&l->lock);
    while (l->busy)
        pthread_cond_wait(&l->turn, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return l->rc < 0 ? fail(l->rc, "%s", l->why) : 0;
}

void loader_begin(struct loader *l, int64_t k)
{
    struct batch *next = &l->batch[!l->at_hand];
    pthread_mutex_lock(&l->lock);
    if (!l->busy && next->k != k) {
        next->k = k;
        l->busy = true;
        pthread_cond_broadcast(&l->turn);
    }
    pthread_mutex_unlock(&l->lock);
}

int loader_get(struct loader *l, int64_t k, const struct batch **out)
{
    if (l->batch[l->at_hand].k != k) {
        struct batch *next = &l->batch[!l->at_hand];
        int rc = await(l);
        if (next->k != k) {
            loader_begin(l, k);
            rc = await(l);
        }
        if (rc < 0) {
            next->k = -1;
            return rc;
        }
        l->at_hand = !l->at_hand;
    }
    *out = &l->batch[l->at_hand];
    return 0;
}

int loader_open(struct loader *l, const struct kern *like, int threads, struct shard_set *data,
                const struct sampler *sampler, const struct settings *set, enum kern_type type)
{
    *l = (struct loader){
        .data = data, .sampler = sampler, .set = set, .type = type, .like = like, .threads = threads
    };
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->turn, NULL);
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        struct batch *b = &l->batch[i];
        b->k = -1;
        b->sample = mem_alloc(sampler->batch, sizeof *b->sample, "a batch");
        b->id = mem_alloc(sampler->batch, sizeof *b->id, "a batch");
        if (!b->sample || !b->id)
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = start(l);
    if (rc == 0)
        rc = await(l);
    if (rc < 0)
        loader_close(l);
    return rc;
}

void loader_close(struct loader *l)
{
    if (!l->data)
        return;
    if (l->started) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_broadcast(&l->turn);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    for (int i = 0; i < 2; i++) {
        struct batch *b = &l->batch[i];
        views_close(&b->views);
        free(b->sample);
        free(b->id);
    }
    kern_close(l->kn);
    pool_close(l->pool);
    pthread_cond_destroy(&l->turn);
    pthread_mutex_destroy(&l->lock);
    *l = (struct loader){ 0 };
}

uint64_t loader_bytes(const struct settings *set, enum kern_type type)
{
    return 2 * (uint64_t)views_bytes(set, type);
}
