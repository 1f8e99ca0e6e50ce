/*
 * test_ablation.c - the settings of queue, votes and losses in the whole step: each does there what
 * it says. Their parts have tests of their own: test_objective, test_vote, test_sampler.
 */
#include "tests/unit/step_data.h"

/* The third step with one setting changed: st, to be closed with its state by drop(). */
static void third(struct step *st, struct state *s, struct step_metrics *m, int batch,
                  const char *assignment)
{
    struct settings changed = set;
    changed.batch = batch;
    ok(settings_set(&changed, assignment) == 0, "%s", assignment);
    state_new(s, &changed);
    step_open(st, s, kn, pool, &data);
    for (int i = 0; i < 3; i++)
        if (step_run(st, m) < 0)
            ok(false, "a step: %s", fail_text());
}

static void drop(struct step *st, struct state *s)
{
    step_close(st);
    state_release(s);
}

/* Images with a semantic positive. */
static size_t anchors(const struct step *st)
{
    size_t n = 0;
    for (size_t b = 0; b < st->n; b++)
        n += queue_has(&st->queue, st->label[b]);
    return n;
}

/* Of the places without a given label: how many go by no class, and how many by the truth. */
static void classes(const struct step *st, size_t *none, size_t *right, size_t *all)
{
    *none = *right = *all = 0;
    for (size_t b = 0; b < st->n; b++)
        if (st->batch->sample[b].label < 0) {
            ++*all;
            *none += st->label[b] < 0;
            *right += st->label[b] == st->truth[b];
        }
}

/* Where the classes of unlabelled pictures come from. */
static void pseudo(void)
{
    struct state s;
    struct step st;
    struct step_metrics m;
    size_t none, right, all;
    third(&st, &s, &m, 6, "pseudo_labels=votes");
    classes(&st, &none, &right, &all);
    ok(all == 3 && none == 0 && anchors(&st) > 3, "they are anchors by their votes");
    drop(&st, &s);
    third(&st, &s, &m, 6, "pseudo_labels=oracle");
    classes(&st, &none, &right, &all);
    ok(right == all && anchors(&st) == st.n, "or by the truth");
    drop(&st, &s);
    third(&st, &s, &m, 6, "pseudo_labels=none");
    classes(&st, &none, &right, &all);
    ok(none == all && anchors(&st) == 3, "or not at all");
    ok(isfinite(m.vote_share) && isfinite(m.pseudo_accuracy), "the votes are counted all the same");
    drop(&st, &s);
    third(&st, &s, &m, 6, "vote_start=3");
    classes(&st, &none, &right, &all);
    ok(none == all, "not before vote_start");
    step_run(&st, &m);
    classes(&st, &none, &right, &all);
    ok(none == 0, "but from then on");
    drop(&st, &s);
    third(&st, &s, &m, 6, "vote_threshold=1");
    classes(&st, &none, &right, &all);
    bool unanimous = true;
    for (size_t b = 0; b < st.n; b++)
        unanimous &= st.batch->sample[b].label >= 0 || st.label[b] < 0 || st.vote[b].share == 1;
    ok(unanimous, "threshold 1: only votes of one voice");
    drop(&st, &s);
}

/* before, the batch at hand votes; after, only those before it. Both enter the queue. */
static void order(void)
{
    static const char *const orders[] = { "enqueue=before", "enqueue=after" };
    for (int after = 0; after < 2; after++) {
        struct settings changed = set;
        struct state s;
        struct step st;
        struct step_metrics m;
        settings_set(&changed, orders[after]);
        state_new(&s, &changed);
        step_open(&st, &s, kn, pool, &data);
        step_run(&st, &m);
        ok(isnan(m.vote_share) == after && m.queue_fill == 3.0 / 16, "%s: the first step's votes",
           orders[after]);
        ok(anchors(&st) == (after ? 3 : 6), "and positives");
        drop(&st, &s);
    }
}

/* What is left changes the loss, or it is ignored; the first one is the default. */
static void felt(void)
{
    static const char *const assignments[] = { "tau=0.2",           "vote_query=projection",
                                               "vote_views=one",    "labelled_again=no",
                                               "exclude_class=yes", "loss_orientation=target",
                                               "invariance=S",      "invariance=R",
                                               "invariance=T" };
    double loss[ARRAY_LEN(assignments)];
    for (size_t i = 0; i < ARRAY_LEN(assignments); i++) {
        struct state s;
        struct step st;
        struct step_metrics m;
        third(&st, &s, &m, 20, assignments[i]);
        loss[i] = m.loss;
        ok(isfinite(m.loss) && (i == 0 || m.loss != loss[0]), "it is felt");
        drop(&st, &s);
    }
}

int main(void)
{
    step_begin();
    set.invariance = INV_NONE;
    set.small_crops = 0;
    pseudo();
    order();
    felt();
    step_end();
    return done();
}
