/*
 * test_recording.c - steps that are recorded and replayed leave the same bits as steps done call by
 * call, also when a run goes on from a checkpoint, and only what repeats is recorded.
 */
#include "tests/unit/step_data.h"

static struct kern *device;

struct trial {
    struct state s;
    struct step st;
    struct step_metrics m;
};

static void begin(struct trial *t, const struct settings *of, bool unrecorded)
{
    *t = (struct trial){ 0 };
    if (state_new(&t->s, of) < 0 || step_open(&t->st, &t->s, device, pool, &data) < 0) {
        printf("Bail out! %s\n", fail_text());
        exit(1);
    }
    t->st.end = 20;
    t->st.unrecorded = unrecorded;
}

static bool steps(struct trial *t, int n)
{
    int rc = 0;
    for (int i = 0; i < n && rc == 0; i++)
        rc = step_run(&t->st, &t->m);
    if (rc == 0)
        rc = step_save(&t->st);
    if (rc < 0)
        printf("# %s\n", fail_text());
    return rc == 0;
}

static void end(struct trial *t)
{
    step_close(&t->st);
    state_release(&t->s);
}

static bool same_bits(const struct state *a, const struct state *b)
{
    size_t vectors = a->capacity * (size_t)a->set.dim * (size_t)a->set.large_crops;
    return memcmp(a->theta, b->theta, a->nparam * sizeof(float)) == 0 &&
           memcmp(a->momentum, b->momentum, a->nparam * sizeof(float)) == 0 &&
           memcmp(a->xi, b->xi, a->ntarget * sizeof(float)) == 0 &&
           memcmp(a->running, b->running, a->nrunning * sizeof(float)) == 0 &&
           memcmp(a->running_target, b->running_target, a->nrunning_target * sizeof(float)) == 0 &&
           memcmp(a->queue, b->queue, vectors * sizeof(float)) == 0 &&
           memcmp(a->queue_label, b->queue_label, a->capacity * sizeof *a->queue_label) == 0 &&
           memcmp(a->queue_id, b->queue_id, a->capacity * sizeof *a->queue_id) == 0 &&
           a->queue_head == b->queue_head && a->step == b->step && a->updates == b->updates;
}

/* The queue is full after two steps, the third is done call by call, the next two are recorded. */
static void recorded(const struct settings *of, const char *name)
{
    struct trial by_call, replayed;
    begin(&by_call, of, true);
    begin(&replayed, of, false);
    ok(steps(&by_call, 7) && steps(&replayed, 7), "%s: seven steps", name);
    ok(!by_call.st.recording[0] && replayed.st.recording[0] && replayed.st.recording[1] &&
           replayed.st.following,
       "recorded for both of the loader's batches");
    ok(replayed.m.loss == by_call.m.loss && replayed.m.grad_norm == by_call.m.grad_norm,
       "with the same loss and gradient");
    ok(same_bits(&replayed.s, &by_call.s), "and the same bits in the end");
    /* A gradient that is asked for and not used leaves no trace. */
    ok(step_gradient(&replayed.st, &replayed.m) == 0 && step_save(&replayed.st) == 0 &&
           same_bits(&replayed.s, &by_call.s),
       "a replayed gradient is taken back");
    ok(steps(&by_call, 1) && steps(&replayed, 1) && same_bits(&replayed.s, &by_call.s),
       "and the next step is what it was to be");
    end(&by_call);
    end(&replayed);
}

static void left_alone(const struct settings *of)
{
    struct trial t;
    struct settings changed = *of;
    changed.exclude_class = 1;
    begin(&t, &changed, false);
    ok(steps(&t, 5) && !t.st.recording[0] && !t.st.recording[1],
       "negatives that the host draws by labels are not recorded");
    end(&t);
    changed = *of;
    changed.queue = 512;
    begin(&t, &changed, false);
    ok(steps(&t, 5) && !t.st.recording[0] && !t.st.recording[1], "nor is a queue that fills");
    end(&t);
}

int main(void)
{
    const char *why;
    step_begin();
    if (kern_open_cuda(&device, 0, pool, &why) < 0) {
        printf("Bail out! %s\n", why);
        return 1;
    }
    set.queue = 6; /* three labelled pictures a step */
    recorded(&set, "all terms");
    struct settings after = set;
    after.enqueue = ENQUEUE_AFTER;
    after.micro_batch = 3;
    after.vote_rule = VOTE_DRAW;
    recorded(&after, "in parts, votes before the batch enters, drawn");
    left_alone(&set);
    kern_close(device);
    step_end();
    return done();
}
