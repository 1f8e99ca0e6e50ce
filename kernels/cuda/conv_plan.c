/*
 * conv_plan.c - how a convolution is done: as it was the fastest the last time it was asked for, on
 * the same kind of device with the same library, else as it is the fastest now.
 *
 * One with something behind it (scale and shift, a sum) may be one engine, or the convolution alone
 * and then the step; both are timed, for the engines that do both are seldom the fastest ones. If
 * no engine does it either way, conv_plain() does.
 *
 * A run has some tens to hundreds of different convolutions, each planned at its first call and
 * found in a list from then on. A handle that meets a convolution again for another number of
 * images (the last batch) does it in the same way without trying.
 */
#include "kernels/cuda/convolve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 12, WARM = 2, TIMED = 5, WORDS = 16 };

struct key {
    size_t word[WORDS]; /* n first */
};

/* Ways: engines 0 .. n-1; n: bare, if there is one, then the step. Settled, the only one, if any.
 */
struct conv_plan {
    struct key key;
    struct convolve what;
    struct engine *engine[TRIES];
    int n;
    struct conv_plan *bare; /* for the convolution alone, which an engine does */
    bool settled;
    struct conv_plan *next;
};

struct conv_plans {
    void *library;
    char where[384]; /* device and library, as in the file */
    struct conv_plan *first;
};

static const char in_steps[] = "steps"; /* the name of bare */

/* -- what plans are found by ---- */

static struct key key_of(const struct convolve *what, bool aligned)
{
    const struct kern_conv *cv = &what->cv;
    return (struct key){ { cv->n, cv->h, cv->w, cv->c, cv->k, cv->kh, cv->kw, cv->stride,
                           cv->pad_top, cv->pad_left, cv->oh, cv->ow, cv->type,
                           (size_t)what->pass * 16 + what->affine * 8 + what->residual * 4 +
                               what->relu * 2 + what->add,
                           aligned, what->tf32 } };
}

/* The same in words, behind where. */
static void name_of(char *to, size_t room, const char *where, const struct convolve *what)
{
    static const char *const passes[] = { "forward", "data", "weights" };
    const struct kern_conv *cv = &what->cv;
    snprintf(to, room,
             "%s\t%s%s%s%s%s %s n %zu x %zux%zux%zu w %zux%zux%zu/%zu pad %zu,%zu y %zux%zu", where,
             passes[what->pass], what->affine ? "+affine" : "", what->residual ? "+residual" : "",
             what->relu ? "+relu" : "", what->add ? "+add" : "",
             cv->type == KERN_BF16  ? "bf16"
             : cv->type == KERN_F16 ? "f16"
             : what->tf32           ? "tf32"
                                    : "f32",
             cv->n, cv->h, cv->w, cv->c, cv->k, cv->kh, cv->kw, cv->stride, cv->pad_top,
             cv->pad_left, cv->oh, cv->ow);
}

static const struct conv_plan *sibling(const struct conv_plans *ps, const struct key *key)
{
    for (const struct conv_plan *p = ps->first; p; p = p->next)
        if (p->settled &&
            memcmp(p->key.word + 1, key->word + 1, sizeof key->word - sizeof key->word[0]) == 0)
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

/* Leaves one way. */
static void keep(struct conv_plan *p, int way)
{
    for (int i = 0; i < p->n; i++)
        if (i != way)
            engine_free(p->engine[i]);
    if (way < p->n) {
        p->engine[0] = p->engine[way];
        p->bare = NULL;
    }
    p->n = way < p->n;
    p->settled = true;
}

void cuda_conv_close(struct cuda *cu)
{
    struct conv_plans *ps = cu->conv;
    if (!ps)
        return;
    for (struct conv_plan *p = ps->first, *next; p; p = next) {
        next = p->next;
        for (int i = 0; i < p->n; i++)
            engine_free(p->engine[i]);
        free(p);
    }
    engine_library_close(ps->library);
    free(ps);
    cu->conv = NULL;
}

/* A way by its name; < 0: it is not there. */
static int recall(struct conv_plans *ps, struct conv_plan *p, const char *name)
{
    if (strcmp(name, in_steps) == 0)
        return p->bare ? 0 : -ENOENT;
    int n = engines_for(ps->library, &p->what, name, p->engine, 1);
    p->n = MAX(n, 0);
    return n == 1 ? 0 : -ENOENT;
}

static const char *way_name(const struct conv_plan *p)
{
    return p->n > 0 ? engine_name(p->engine[0]) : in_steps;
}

/* Engines that are compared, at most; fewer for those whom that takes too long. */
static int tries(void)
{
    const char *set = getenv("SEMPPL_ENGINES");
    int n = set ? atoi(set) : TRIES;
    return n >= 1 && n < TRIES ? n : TRIES;
}

/* Fills in the ways of a new plan: one that is known to be right, or those to choose from. */
static int look_up(struct conv_plans *ps, struct conv_plan *p)
{
    char key[1024], name[CONV_NAME];
    const struct conv_plan *like = sibling(ps, &p->key);
    name_of(key, sizeof key, ps->where, &p->what);
    bool known = like && (like->n > 0 || like->bare);
    if (known)
        snprintf(name, sizeof name, "%s", way_name(like));
    else
        known = !like && conv_file_find(key, name);
    p->settled = known && recall(ps, p, name) == 0;
    if (p->settled)
        return 0;
    int n = engines_for(ps->library, &p->what, NULL, p->engine, tries());
    p->n = MAX(n, 0);
    p->settled = p->n == 0;
    return MIN(n, 0);
}

static bool aligned(const struct convolve_arrays *at)
{
    uintptr_t all = (uintptr_t)at->out | (uintptr_t)at->a | (uintptr_t)at->b | (uintptr_t)at->old |
                    (uintptr_t)at->scale | (uintptr_t)at->shift;
    return all % 16 == 0;
}

static struct conv_plan *find(const struct conv_plans *ps, const struct key *key)
{
    for (struct conv_plan *p = ps->first; p; p = p->next)
        if (memcmp(&p->key, key, sizeof *key) == 0)
            return p;
    return NULL;
}

/* The convolution alone. */
static struct convolve bare_of(const struct convolve *what)
{
    return (struct convolve){ .pass = what->pass, .cv = what->cv, .tf32 = what->tf32 };
}

static int plan_of(struct cuda *cu, const struct convolve *what, bool fits, struct conv_plan **plan)
{
    struct conv_plans *ps = cu->conv;
    struct key key = key_of(what, fits);
    *plan = find(ps, &key);
    if (*plan)
        return 0;
    struct conv_plan *bare = NULL;
    int rc = 0;
    if (what->affine || what->add) {
        struct convolve alone = bare_of(what);
        rc = plan_of(cu, &alone, fits, &bare);
    }
    struct conv_plan *p = rc < 0 ? NULL : calloc(1, sizeof *p);
    if (!p)
        return rc < 0 ? rc : -ENOMEM;
    p->key = key;
    p->what = *what;
    p->settled = !fits;
    p->bare = bare && bare->n > 0 ? bare : NULL;
    rc = fits ? look_up(ps, p) : 0;
    if (rc < 0) {
        free(p);
        return rc;
    }
    p->next = ps->first;
    ps->first = p;
    *plan = p;
    return 0;
}

int conv_plan_of(struct kern *kn, const struct convolve *what, const struct convolve_arrays *at,
                 struct conv_plan **plan)
{
    struct cuda *cu = cuda_of(kn);
    int rc = cu->conv ? 0 : open_plans(kn);
    return rc < 0 ? rc : plan_of(cu, what, aligned(at), plan);
}

/* -- running ---- */

static size_t whole(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static size_t out_numbers(const struct convolve *what)
{
    switch (what->pass) {
    case CONVOLVE_FORWARD:
        return conv_output_numbers(&what->cv);
    case CONVOLVE_DATA:
        return conv_input_numbers(&what->cv);
    default:
        return conv_weight_numbers(&what->cv);
    }
}

static size_t out_bytes(const struct convolve *what)
{
    return out_numbers(what) * (what->cv.type == KERN_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* Of the ways of a plan: what their engines want, and for steps where the gradient lies first. */
static size_t ways_scratch(const struct conv_plan *p)
{
    size_t most = 0;
    for (int i = 0; i < p->n; i++)
        most = MAX(most, whole(engine_workspace(p->engine[i])));
    if (p->bare && !(p->settled && p->n > 0))
        most =
            MAX(most, conv_plan_scratch(p->bare) + (p->what.add ? whole(out_bytes(&p->what)) : 0));
    return most;
}

size_t conv_plan_scratch(const struct conv_plan *plan)
{
    bool trial = !plan->settled && (plan->what.add || plan->what.residual);
    return ways_scratch(plan) + (trial ? whole(out_bytes(&plan->what)) + 256 : 0);
}

static int run_in_steps(struct kern *kn, const struct conv_plan *p,
                        const struct convolve_arrays *at, uint8_t *scratch)
{
    const struct convolve *what = &p->what;
    const struct kern_conv *cv = &what->cv;
    struct convolve_arrays alone = { .out = at->out, .a = at->a, .b = at->b };
    size_t first = 0;
    if (what->add) {
        alone.out = scratch;
        first = whole(out_bytes(what));
    }
    int rc = conv_plan_run(kn, p->bare, &alone, scratch + first);
    if (rc < 0)
        return rc;
    if (what->add)
        return conv_sum(kn, cv->type, at->out, at->old, scratch, out_numbers(what));
    struct kern_bn_forward f = { .type = cv->type,
                                 .rows = cv->n * cv->oh * cv->ow,
                                 .c = cv->k,
                                 .relu = what->relu,
                                 .y = at->out,
                                 .x = at->out,
                                 .residual = at->old,
                                 .scale = at->scale,
                                 .shift = at->shift };
    return cuda_bn_forward(kn, &f);
}

static int run_way(struct kern *kn, const struct conv_plan *p, int way,
                   const struct convolve_arrays *at, void *scratch)
{
    if (way < p->n)
        return engine_run(cuda_of(kn)->conv->library, p->engine[way], at, scratch);
    return p->bare ? run_in_steps(kn, p, at, scratch) : conv_plain(kn, &p->what, at);
}

/* Nanoseconds of a run, negative if that is no way. */
static double measure(struct kern *kn, const struct conv_plan *p, int way,
                      const struct convolve_arrays *at, void *scratch, const cudaEvent_t event[2])
{
    cudaStream_t stream = cuda_of(kn)->stream;
    float ms = -1;
    int rc = 0;
    for (int i = 0; i < WARM && rc == 0; i++)
        rc = run_way(kn, p, way, at, scratch);
    if (rc == 0)
        rc = cuda_error(cudaEventRecord(event[0], stream));
    for (int i = 0; i < TIMED && rc == 0; i++)
        rc = run_way(kn, p, way, at, scratch);
    if (rc == 0)
        rc = cuda_error(cudaEventRecord(event[1], stream));
    if (rc == 0)
        rc = cuda_error(cudaEventSynchronize(event[1]));
    if (rc == 0)
        rc = cuda_error(cudaEventElapsedTime(&ms, event[0], event[1]));
    return rc == 0 ? (double)ms * 1e6 / TIMED : -1;
}

/* The fastest way, -1: none works. */
static int fastest(struct kern *kn, const struct conv_plan *p, const struct convolve_arrays *at,
                   void *scratch, double *ns)
{
    cudaEvent_t event[2];
    int best = -1;
    if (cuda_error(cudaEventCreate(&event[0])) < 0)
        return best;
    if (cuda_error(cudaEventCreate(&event[1])) == 0) {
        for (int i = 0; i < p->n + (p->bare != NULL); i++) {
            double t = measure(kn, p, i, at, scratch, event);
            if (t >= 0 && (best < 0 || t < *ns)) {
                best = i;
                *ns = t;
            }
        }
        cudaEventDestroy(event[1]);
    }
    cudaEventDestroy(event[0]);
    return best;
}

/*
 * Runs the plan's engine to trial and in place, and looks for differences: that an engine may read
 * what it adds from where it writes is plausible of its kind, but nowhere promised. What is right
 * is in place afterwards, whatever the engine does. 0: it may.
 */
static int try_in_place(struct kern *kn, const struct conv_plan *p,
                        const struct convolve_arrays *at, void *trial, void *scratch)
{
    cudaStream_t stream = cuda_of(kn)->stream;
    size_t bytes = out_bytes(&p->what);
    int *flag = (int *)((uint8_t *)trial + whole(bytes)), differs = 1;
    struct convolve_arrays apart = *at;
    apart.out = trial;
    int rc = run_way(kn, p, 0, &apart, scratch);
    if (rc == 0)
        rc = run_way(kn, p, 0, at, scratch);
    if (rc == 0)
        rc = cuda_zero(kn, flag, sizeof *flag);
    if (rc == 0)
        rc = conv_compare(kn, flag, at->out, trial, bytes);
    if (rc == 0)
        rc = cuda_get(kn, &differs, flag, sizeof *flag);
    if (rc == 0 && differs)
        rc = cuda_error(cudaMemcpyAsync(at->out, trial, bytes, cudaMemcpyDeviceToDevice, stream));
    return rc < 0 ? rc : differs;
}

/* Chooses; *done: and what was asked is computed. */
static int settle(struct kern *kn, struct conv_plan *p, const struct convolve_arrays *at,
                  uint8_t *scratch, bool *done)
{
    struct cuda *cu = cuda_of(kn);
    enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    int rc = cuda_error(cudaStreamIsCapturing(cu->stream, &capture));
    if (rc < 0)
        return rc;
    if (capture != cudaStreamCaptureStatusNone) {
        keep(p, p->bare ? p->n : 0); /* the step in place is not tried yet */
        return 0;
    }
    if (cu->parked.stream) /* what runs there would be timed too */
        rc = cuda_error(cudaStreamSynchronize(cu->parked.stream));
    if (rc < 0)
        return rc;
    uint8_t *trial = scratch + ways_scratch(p);
    struct convolve_arrays apart = *at;
    if (at->old)
        apart.out = trial;
    double ns = 0;
    int best = fastest(kn, p, &apart, scratch, &ns);
    if (best < 0)
        return -EIO;
    struct conv_plan *bare = p->bare;
    keep(p, best);
    if (p->n > 0 && at->old && at->old == at->out) {
        rc = try_in_place(kn, p, at, trial, scratch);
        if (rc < 0)
            return rc;
        *done = true;
        if (rc > 0) {
            keep(p, 1);
            p->bare = bare;
        }
    }
    if (p->n > 0 || p->bare) {
        char key[1024];
        name_of(key, sizeof key, cu->conv->where, &p->what);
        conv_file_put(key, way_name(p), ns);
    }
    return 0;
}

int conv_plan_run(struct kern *kn, struct conv_plan *plan, const struct convolve_arrays *at,
                  void *scratch)
{
    bool done = false;
    int rc = plan->settled ? 0 : settle(kn, plan, at, scratch, &done);
    return rc < 0 || done ? rc : run_way(kn, plan, 0, at, scratch);
}
