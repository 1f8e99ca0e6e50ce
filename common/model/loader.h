/*
 * loader.h - the pictures of the next step, prepared while this one runs.
 *
 * A thread reads, decodes and augments them, with as many workers as the step has, all at a low
 * priority: they take what the step leaves of the CPUs, and all of it while the step waits. What is
 * prepared is a function of the step's number alone, so it does not matter whether it was ahead.
 */
#ifndef SEMPPL_LOADER_H
#define SEMPPL_LOADER_H

#include "common/model/views.h"
#include <pthread.h>

/* The rows of a step's batch and the networks' inputs. */
struct batch {
    int64_t k;             /* steps before it; -1: none */
    struct sample *sample; /* [n] */
    uint64_t *id;          /* [n] of the pictures */
    struct views views;
};

struct loader {
    struct shard_set *data;
    const struct sampler *sampler;
    const struct settings *set;
    enum kern_type type;
    const struct kern *like; /* until loader_open() returns */
    int threads;
    struct pool *pool;
    struct kern *kn;

    struct batch batch[2];
    int at_hand; /* the one that the step has; the other is the thread's while it is busy */

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t turn; /* busy or stop has changed */
    bool started, busy, stop;
    int rc; /* of the last batch, with its sentence */
    char why[1024];
};

/* Inputs are made on the device of like, by a handle of the thread's own. like, data, sampler and
 * set stay the caller's; the last three must outlive the loader. */
int loader_open(struct loader *l, const struct kern *like, int threads, struct shard_set *data,
                const struct sampler *sampler, const struct settings *set, enum kern_type type);
void loader_close(struct loader *l);
uint64_t loader_bytes(const struct settings *set, enum kern_type type); /* of all inputs */

/* Step k is next: its batch is prepared from now on, unless the thread is still at another, where
 * the batch before the one at hand was: nobody may be at work on that any more. */
void loader_begin(struct loader *l, int64_t k);
/* The batch of step k, at hand until another is asked for; waits for it, and prepares it first if
 * that was not begun. A failure of the thread is that of the step it was for. */
int loader_get(struct loader *l, int64_t k, const struct batch **out);

#endif
