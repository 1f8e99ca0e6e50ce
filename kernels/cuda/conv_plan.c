/*
 * conv_plan.c - which engine does a convolution: the one that was the fastest the last time it was
 * asked for, on the same kind of device with the same library, else the fastest now.
 *
 * A run has some tens to hundreds of different convolutions, each planned at its first call and
 * found in a list from then on. A handle that meets a convolution again for another number of
 * images (the last batch) takes the same engine without trying.
 */
#include "kernels/cuda/convolve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 12, WARM = 2, TIMED = 5, WORDS = 15 };

struct key {
    size_t word[WORDS]; /* n first */
};

struct conv_plan {
    struct key key;
    struct engine *engine[TRIES]; /* to be compared, unless settled */
    int n;
    bool settled;
    struct conv_plan *next;
};

struct conv_plans {
    void *library;
    char where[384]; /* device and library, as in the file */
    struct conv_plan *first;
};

static struct conv_plan plain = { .settled = true };

/* -- what plans are found by ---- */

static struct key key_of(const struct convolve *what, bool tf32)
{
    const struct kern_conv *cv = &what->cv;
    return (struct key){ { cv->n, cv->h, cv->w, cv->c, cv->k, cv->kh, cv->kw, cv->stride,
                           cv->pad_top, cv->pad_left, cv->oh, cv->ow, cv->type,
                           (size_t)what->pass * 16 + what->affine * 8 + what->residual * 4 +
                               what->relu * 2 + what->add,
                           tf32 } };
}

/* The same in words, behind where. */
static void name_of(char *to, size_t room, const char *where, const struct convolve *what,
                    bool tf32)
{
    static const char *const passes[] = { "forward", "data", "weights" };
    const struct kern_conv *cv = &what->cv;
    snprintf(to, room,
             "%s\t%s%s%s%s%s %s n %zu x %zux%zux%zu w %zux%zux%zu/%zu pad %zu,%zu y %zux%zu", where,
             passes[what->pass], what->affine ? "+affine" : "", what->residual ? "+residual" : "",
             what->relu ? "+relu" : "", what->add ? "+add" : "",
             cv->type == KERN_BF16 ? "bf16"
             : tf32                ? "tf32"
                                   : "f32",
             cv->n, cv->h, cv->w, cv->c, cv->k, cv->kh, cv->kw, cv->stride, cv->pad_top,
             cv->pad_left, cv->oh, cv->ow);
}

static const struct conv_plan *sibling(const struct conv_plans *ps, const struct key *key)
{
    for (const struct conv_plan *p = ps->first; p; p = p->next)
        if (p->settled &&
            memcmp(p->key.word + 1, key->word + 1, sizeof key->word - sizeof(size_t)) == 0)
            return p;
    return NULL;
}

/* -- plans ---- */

static int open_plans(struct kern *kn)
{
    struct cuda *cu = cuda_of(kn);
    struct cudaDeviceProp prop;
    int rc = cuda_error(cudaGetDeviceProperties(&prop, cu->index));
    struct conv_plans *ps = rc == 0 ? calloc(1, sizeof *ps) : NULL;
    if (!ps)
        return rc < 0 ? rc : -ENOMEM;
    rc = engine_library_open(kn, &ps->library);
    if (rc < 0) {
        free(ps);
        return rc;
    }
    snprintf(ps->where, sizeof ps->where, "%.200s (%d)\t%s", prop.name, cu->multiprocessors,
             engine_library_version(ps->library));
    cu->conv = ps;
    return 0;
}

/* Leaves one engine, or none (-1). */
static void keep(struct conv_plan *p, int best)
{
    for (int i = 0; i < p->n; i++)
        if (i != best)
            engine_free(p->engine[i]);
    if (best >= 0)
        p->engine[0] = p->engine[best];
    p->n = best >= 0;
    p->settled = true;
}

void cuda_conv_close(struct cuda *cu)
{
    struct conv_plans *ps = cu->conv;
    if (!ps)
        return;
    for (struct conv_plan *p = ps->first, *next; p; p = next) {
        next = p->next;
        keep(p, -1);
        free(p);
    }
    engine_library_close(ps->library);
    free(ps);
    cu->conv = NULL;
}

/* Fills in the engines of a new plan: one that is known to be right, or those to choose from. */
static int look_up(struct conv_plans *ps, struct conv_plan *p, const struct convolve *what,
                   bool tf32)
{
    char name[1024], engine[CONV_NAME] = "";
    const struct conv_plan *like = sibling(ps, &p->key);
    name_of(name, sizeof name, ps->where, what, tf32);
    if (like && like->n == 0) {
        p->settled = true;
        return 0;
    }
    if (like)
        snprintf(engine, sizeof engine, "%s", engine_name(like->engine[0]));
    else if (!conv_file_find(name, engine))
        engine[0] = '\0';
    if (engine[0]) {
        int n = engines_for(ps->library, what, engine, p->engine, 1);
        if (n != 0) {
            p->n = MAX(n, 0);
            p->settled = true;
            return MIN(n, 0);
        }
    }
    int n = engines_for(ps->library, what, NULL, p->engine, TRIES);
    p->n = MAX(n, 0);
    p->settled = n == 0;
    return MIN(n, 0);
}

static bool aligned(const struct convolve_arrays *at)
{
    uintptr_t all = (uintptr_t)at->out | (uintptr_t)at->a | (uintptr_t)at->b | (uintptr_t)at->old |
                    (uintptr_t)at->scale | (uintptr_t)at->shift;
    return all % 16 == 0;
}

int conv_plan_of(struct kern *kn, const struct convolve *what, const struct convolve_arrays *at,
                 struct conv_plan **plan)
{
    struct cuda *cu = cuda_of(kn);
    int rc = cu->conv ? 0 : open_plans(kn);
    if (rc < 0)
        return rc;
    *plan = &plain;
    if (!aligned(at))
        return 0;
    struct conv_plans *ps = cu->conv;
    struct key key = key_of(what, cu->tf32);
    for (struct conv_plan *p = ps->first; p; p = p->next)
        if (memcmp(&p->key, &key, sizeof key) == 0) {
            *plan = p;
            return 0;
        }
    struct conv_plan *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->key = key;
    rc = look_up(ps, p, what, cu->tf32);
    if (rc < 0) {
        free(p);
        return rc;
    }
    p->next = ps->first;
    ps->first = p;
    *plan = p;
    return 0;
}

bool conv_plan_served(const struct conv_plan *plan)
{
    return plan->n > 0;
}

/* -- running ---- */

static size_t whole(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static size_t workspace(const struct conv_plan *p)
{
    size_t most = 0;
    for (int i = 0; i < p->n; i++)
        most = MAX(most, engine_workspace(p->engine[i]));
    return whole(most);
}

static size_t out_bytes(const struct convolve *what)
{
    const struct kern_conv *cv = &what->cv;
    size_t n = what->pass == CONVOLVE_FORWARD ? conv_output_numbers(cv)
               : what->pass == CONVOLVE_DATA  ? conv_input_numbers(cv)
                                              : conv_weight_numbers(cv);
    return n * (cv->type == KERN_F32 ? sizeof(float) : sizeof(uint16_t));
}

size_t conv_plan_scratch(const struct convolve *what, const struct conv_plan *plan)
{
    bool trial = !plan->settled && (what->add || what->residual);
    return workspace(plan) + (trial ? whole(out_bytes(what)) + 256 : 0);
}

/* Nanoseconds of a run, negative if the engine does not. */
static double measure(struct kern *kn, const struct engine *e, const struct convolve_arrays *at,
                      void *scratch, cudaEvent_t from, cudaEvent_t to)
{
    struct cuda *cu = cuda_of(kn);
    float ms = -1;
    int rc = 0;
    for (int i = 0; i < WARM && rc == 0; i++)
        rc = engine_run(cu->conv->library, e, at, scratch);
    if (rc == 0)
        rc = cuda_error(cudaEventRecord(from, cu->stream));
    for (int i = 0; i < TIMED && rc == 0; i++)
        rc = engine_run(cu->conv->library, e, at, scratch);
    if (rc == 0)
        rc = cuda_error(cudaEventRecord(to, cu->stream));
    if (rc == 0)
        rc = cuda_error(cudaEventSynchronize(to));
    if (rc == 0)
        rc = cuda_error(cudaEventElapsedTime(&ms, from, to));
    return rc == 0 ? (double)ms * 1e6 / TIMED : -1;
}

/* The fastest engine, -1: none works. */
static int fastest(struct kern *kn, const struct conv_plan *p, const struct convolve_arrays *at,
                   void *scratch, double *ns)
{
    cudaEvent_t from, to;
    int best = -1;
    if (cuda_error(cudaEventCreate(&from)) < 0)
        return best;
    if (cuda_error(cudaEventCreate(&to)) == 0) {
        for (int i = 0; i < p->n; i++) {
            double t = measure(kn, p->engine[i], at, scratch, from, to);
            if (t >= 0 && (best < 0 || t < *ns)) {
                best = i;
                *ns = t;
            }
        }
        cudaEventDestroy(to);
    }
    cudaEventDestroy(from);
    return best;
}

/*
 * Runs the plan's engine to trial and in place, and looks for differences: that an engine may read
 * what it adds from where it writes is plausible of its kind, but nowhere promised. What is right
 * is in place afterwards, whatever the engine does. 0: it may.
 */
static int try_in_place(struct kern *kn, const struct convolve *what, const struct conv_plan *p,
                        const struct convolve_arrays *at, void *trial, void *scratch)
{
    struct cuda *cu = cuda_of(kn);
    size_t bytes = out_bytes(what);
    int *flag = (int *)((uint8_t *)trial + whole(bytes)), differs = 1;
    struct convolve_arrays apart = *at;
    apart.out = trial;
    int rc = engine_run(cu->conv->library, p->engine[0], &apart, scratch);
    if (rc == 0)
        rc = engine_run(cu->conv->library, p->engine[0], at, scratch);
    if (rc == 0)
        rc = cuda_zero(kn, flag, sizeof *flag);
    if (rc == 0)
        rc = conv_compare(kn, flag, at->out, trial, bytes);
    if (rc == 0)
        rc = cuda_get(kn, &differs, flag, sizeof *flag);
    if (rc == 0 && differs)
        rc = cuda_error(
            cudaMemcpyAsync(at->out, trial, bytes, cudaMemcpyDeviceToDevice, cu->stream));
    return rc < 0 ? rc : differs;
}

/* Chooses; *done: and what was asked is computed. */
static int settle(struct kern *kn, const struct convolve *what, struct conv_plan *p,
                  const struct convolve_arrays *at, uint8_t *scratch, bool *done)
{
    struct cuda *cu = cuda_of(kn);
    enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    int rc = cuda_error(cudaStreamIsCapturing(cu->stream, &capture));
    if (rc < 0)
        return rc;
    if (capture != cudaStreamCaptureStatusNone) {
        keep(p, 0);
        return 0;
    }
    rc = cuda_error(cudaDeviceSynchronize()); /* the other stream would be timed too */
    if (rc < 0)
        return rc;
    uint8_t *trial = scratch + workspace(p);
    struct convolve_arrays apart = *at;
    if (at->old)
        apart.out = trial;
    double ns = 0;
    int best = fastest(kn, p, &apart, scratch, &ns);
    if (best < 0)
        return -EIO;
    keep(p, best);
    if (at->old == at->out) {
        rc = try_in_place(kn, what, p, at, trial, scratch);
        if (rc < 0)
            return rc;
        *done = true;
        if (rc > 0) {
            keep(p, -1);
            return 0;
        }
    }
    char name[1024];
    name_of(name, sizeof name, cu->conv->where, what, cu->tf32);
    conv_file_put(name, engine_name(p->engine[0]), ns);
    return 0;
}

int conv_plan_run(struct kern *kn, const struct convolve *what, struct conv_plan *plan,
                  const struct convolve_arrays *at, void *scratch)
{
    bool done = false;
    int rc = plan->settled ? 0 : settle(kn, what, plan, at, scratch, &done);
    if (rc < 0 || done)
        return rc;
    if (plan->n == 0)
        return conv_plain(kn, what, at);
    return engine_run(cuda_of(kn)->conv->library, plan->engine[0], at, scratch);
}
