/*
 * step.h - one step of SemPPL training: views, online and target network, queue, vote, losses,
 * gradient, update.
 *
 * With micro_batch m, m pictures of one view are in a network at a time, and batch norm's
 * statistics are those of m pictures; the loss is still that of the whole batch. No activation is
 * kept until the backward pass: it does the forward pass of its m pictures again. m = batch is
 * the same computation as micro_batch 0, in less memory and more time: to the last bit, unless
 * views pass at once (below).
 *
 * On a device whose memory is apart from the host's, the large views pass through the networks at
 * once, and so do the small ones, where that fits into its memory: the same computation in fewer
 * and larger calls. Batch norm's statistics are those of each view all the same.
 *
 * A step is opened from a state and the data; its numbers then live in the memory of the kernel
 * library's device until step_save() brings them back. Everything is allocated when it is opened,
 * but for decoded pictures. The batch, all draws and the schedules are functions of the seed and of
 * the number of steps done, so a run may be cut into pieces anywhere.
 */
#ifndef SEMPPL_STEP_H
#define SEMPPL_STEP_H

#include "common/model/loader.h"
#include "common/model/objective.h"
#include "common/model/optim.h"
#include "common/model/schedule.h"
#include "common/model/vote.h"

enum step_part { STEP_ENCODER, STEP_PROJECTOR, STEP_PREDICTOR, STEP_PARTS };

/* What a step says about itself; NAN: undefined. */
struct step_metrics {
    int64_t step; /* steps done, this one included */
    double loss, loss_augm, loss_sempos, loss_inv;
    double lr, ema;
    double grad_norm;
    double queue_fill;      /* part of the slots */
    double pseudo_accuracy; /* of the votes of images without a given label, where truth is known */
    double vote_share;      /* of the winning label, mean */
    double spread;       /* mean deviation of the unit predictions of view 0 over the batch, times
                            sqrt(dim): 1 spread evenly, 0 collapsed */
    double images_per_s; /* source pictures */
    double t_data;       /* seconds that the step waited for its pictures */
    double t_forward, t_backward, t_update; /* seconds; a device is waited for in t_backward */
};

struct step {
    struct state *state;
    struct kern *kn;
    struct shard_set *data;
    int64_t end; /* steps done when the run will end: pictures are prepared ahead up to there. The
                    caller's; 0 after step_open(): never ahead */
    struct schedule schedule;
    struct sampler sampler;
    struct loader loader;
    struct queue queue;
    struct voter voter;
    struct objective objective;
    struct optim optim;
    size_t n, dim, nlarge, nviews;
    size_t m;       /* pictures that pass through a network at once; n, or micro_batch */
    bool recompute; /* micro_batch is given */
    bool together;  /* views of a size are in the networks at once */

    struct net_weights online[STEP_PARTS], target[STEP_PREDICTOR];
    struct net twin[STEP_PREDICTOR]; /* of the target's passes, if they run beside the others */
    /* each view's own, or those of the first view of its size: with recompute each view's in turn,
     * together those of all */
    struct net_pass *pass[CROPS][STEP_PARTS], *target_pass[STEP_PREDICTOR];
    /* running statistics after the last update, and as this step leaves them; device */
    float *running, *running_next, *running_target, *running_target_next;

    /* the batch, and what is known of its rows */
    const struct batch *batch; /* the loader's */
    int32_t *label;            /* given, else as pseudo_labels says */
    int32_t *truth;            /* for statistics, and for pseudo_labels oracle */
    struct vote *vote;         /* of those without a given label, be it for the record only */
    int32_t *labelled;         /* places whose label is given */
    size_t nlabelled;

    /* unit predictions of the online views and their gradients, unit projections of the target
     * views; [n][dim], and [n] for the lengths; device; those of view 0 begin the memory of all */
    float *o[CROPS], *o_length[CROPS], *do_[CROPS];
    float *t[CROPS_LARGE], *t_length;
    float *dz, *dh; /* gradients of the projections and features of what passes at once */
    float *host;    /* [n][dim] */

    /* what the kernels read of a step besides pictures: steps done before it, ids and labels [n],
     * weights of batch statistics [nlarge][n / m], online and target; device */
    int64_t *step_dev;
    uint64_t *id_dev;
    int32_t *label_dev;
    float *stat_online, *stat_target, *stat_host;
    struct kern_recording *recording[2]; /* of the computation, for each of the loader's batches */
    struct kern_recording *following;    /* of what comes after an update */
    bool warm, unrecorded; /* it was done once, call by call; the device does not record it */
};

/*
 * The state's settings, classes, rows and length of the schedule are checked against the data, or
 * fixed by it at the first step. All arguments stay the caller's and must outlive the step. -EINVAL
 * (worded) if this is not the data that the run began with; -ENOMEM (worded with the memory that is
 * needed, before any is taken).
 */
int step_open(struct step *st, struct state *s, struct kern *kn, struct pool *pool,
              struct shard_set *data);
void step_close(struct step *st); /* does not save */

int step_load(struct step *st); /* state to device; step_open() does it once */
int step_pack(struct step *st); /* packed weights follow the parameters; load and update do it */
int step_save(struct step *st); /* device to state, as of the last update */

/*
 * The gradient of the loss of the next step, times the state's loss_scale, into optim.grad, as a
 * function of the last update's state: it may be asked for again. -ENUMERIC (worded with step and
 * pictures) if loss or gradient is not finite; the state is then still the last update's.
 */
int step_gradient(struct step *st, struct step_metrics *m);
int step_update(struct step *st, struct step_metrics *m); /* by the gradient asked for last */

int step_run(struct step *st, struct step_metrics *m); /* both */

/*
 * About the bytes of the memory of kn's device (on the CPU: of the machine) that a step takes: what
 * step_open() allocates there, and then the most that its kernels take for themselves. On a device
 * the host's memory is not counted: beside the state, some pictures.
 */
struct step_need {
    uint64_t arrays, kernels;
};
struct step_need step_memory(const struct state *s, struct kern *kn);

#endif
