/*
 * semppl-embed - image shards in, one vector a picture out.
 *
 * Rows come out in the order they went in. To standard output every input shard gives its rows at
 * once, so memory is bounded by one shard; to a file all rows are one embedding shard.
 */
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/opt.h"
#include "common/base/text.h"
#include "common/data/embed.h"
#include "common/data/outfile.h"
#include "common/data/shard.h"
#include "common/model/device.h"
#include "common/model/embedder.h"
#include "common/model/precision.h"
#include <stdlib.h>
#include <string.h>

static const char *const layers[] = { "features", "projection", "pixels", NULL };
static const char *const nets[] = { "online", "target", NULL };

static struct {
    const char *ckpt, *out, *device;
    int layer, net, precision;
} o = { .layer = EMBEDDER_FEATURES, .net = EMBEDDER_ONLINE, .device = "auto" };

static const struct opt opts[] = {
    OPT_STR('c', "checkpoint", &o.ckpt, "FILE", "network to embed with"),
    OPT_CHOICE(0, "layer", &o.layer, layers, "what the vectors are"),
    OPT_CHOICE(0, "net", &o.net, nets, "which network of the checkpoint"),
    OPT_CHOICE(0, "precision", &o.precision, precision_names,
               "of activations; auto: bf16 where it is fast; f16 and tf32 are for CUDA devices"),
    OPT_DEVICE(&o.device),
    OPT_STR('o', "output", &o.out, "FILE", "embedding shard to write instead of standard output"),
    OPT_COMMON,
    OPT_END
};

/* What one run holds. */
struct job {
    struct embedder *e;
    struct embed_writer *w; /* to a file: one for all shards */
    struct history history; /* of all inputs so far, and of this run at the end */
    struct progress progress;
    float *x;
    size_t room, rows, shards;
};

static bool to_file(void)
{
    return o.out && strcmp(o.out, "-") != 0;
}

static int writer_open(struct job *j)
{
    return embed_writer_open(&j->w, o.out ? o.out : "-", embedder_width(j->e), embedder_kind(j->e),
                             &j->history);
}

static int embed_rows(struct job *j, const struct shard *s)
{
    int rc = 0;
    if (s->rows.n == 0) /* an empty shard is a shard: its classes and width are carried on */
        return embed_writer_add(j->w, &s->rows, 0, 0, NULL);
    for (size_t at = 0, n; at < s->rows.n && rc >= 0; at += n) {
        n = embedder_batch(j->e, s, at);
        if ((rc = mem_grow(&j->x, &j->room, n * embedder_width(j->e), sizeof *j->x)) < 0 ||
            (rc = embedder_run(j->e, s, at, n, j->x)) < 0)
            return rc;
        rc = embed_writer_add(j->w, &s->rows, at, n, j->x);
        progress_add(&j->progress, n);
    }
    j->rows += s->rows.n;
    return rc;
}

static int embed_shard(struct job *j, struct shard *s)
{
    int rc;
    if (!to_file()) { /* each output image tells of the shards that it was made of */
        history_release(&j->history);
        if ((rc = history_merge(&j->history, embedder_history(j->e))) < 0)
            return rc;
    }
    if ((rc = prov_input(s->in.name, s->checksum)) < 0 ||
        (rc = history_merge(&j->history, &s->history)) < 0 ||
        (!to_file() && (rc = history_self(&j->history)) < 0) || (rc = embedder_look(j->e, s)) < 0)
        return rc;
    if (embedder_width(j->e) == 0)
        return fail(-EINVAL, "%s: no picture, so the number of pixels is unknown", s->in.name);
    if (!j->w && (rc = writer_open(j)) < 0)
        return rc;
    if ((rc = embed_rows(j, s)) < 0)
        return rc;
    j->shards++;
    if (!to_file()) {
        rc = embed_writer_close(j->w);
        j->w = NULL;
    }
    return rc;
}

static int embed_all(struct job *j, char **operands, int n)
{
    struct stream *st = NULL;
    struct shard s = { 0 };
    int rc = stream_open(&st, operands, n);
    while (rc >= 0 && (rc = shard_next(st, &s)) > 0) {
        rc = embed_shard(j, &s);
        shard_close(&s);
    }
    stream_close(st);
    if (rc >= 0 && j->shards == 0)
        rc = fail(-EINVAL, "there is no image shard in the input");
    return rc;
}

static void say(const struct job *j, double start)
{
    double decode, compute, all = log_seconds() - start;
    embedder_times(j->e, &decode, &compute);
    log_info("%s in %.1f s, %.0f a second (%.0f %% decoding, %.0f %% computing)",
             TEXT_COUNT(j->rows, "picture", "pictures"), all, (double)j->rows / all,
             100 * decode / all, 100 * compute / all);
}

static int check_options(int n, char **operands)
{
    if (!o.ckpt && o.layer != EMBEDDER_PIXELS)
        return fail(-EUSAGE, "--layer %s needs a network: give -c CHECKPOINT", layers[o.layer]);
    if (o.ckpt && strcmp(o.ckpt, "-") == 0 && stream_stdin(operands, n) > 0)
        return fail(-EUSAGE, "standard input cannot be both the checkpoint and the pictures");
    int rc = outfile_spares(o.out, &o.ckpt, 1);
    return rc < 0 ? rc : outfile_spares(o.out, (const char *const *)operands, (size_t)n);
}

static int run(int n, char **operands)
{
    struct job j = { 0 };
    struct pool *pool = NULL;
    struct kern *kn = NULL;
    double start = log_seconds();
    int rc = check_options(n, operands);
    if (rc < 0 || (rc = pool_open(&pool, opt_common.threads)) < 0)
        return rc;
    /* Pixels are hardly worth the start of a device. */
    bool any = o.layer == EMBEDDER_PIXELS && !opt_given(&o.device);
    if ((rc = device_open(&kn, pool, any ? "cpu" : o.device)) < 0)
        goto out;
    enum kern_type type = KERN_F32;
    if ((o.layer != EMBEDDER_PIXELS &&
         (rc = precision_choose(&type, (enum precision)o.precision, kn)) < 0) ||
        (rc = embedder_open(&j.e, kn, pool, o.ckpt, (enum embedder_layer)o.layer,
                            (enum embedder_net)o.net, type)) < 0 ||
        (rc = history_merge(&j.history, embedder_history(j.e))) < 0)
        goto out;
    progress_start(&j.progress, "pictures", 0);
    rc = embed_all(&j, operands, n);
    progress_end(&j.progress);
    if (rc >= 0 && j.w && (rc = history_self(&j.history)) >= 0) {
        rc = embed_writer_close(j.w);
        j.w = NULL;
    }
    if (rc >= 0)
        say(&j, start);
out:
    if (j.w)
        embed_writer_abort(j.w);
    embedder_close(j.e);
    rc = device_close(kn, rc);
    pool_close(pool);
    history_release(&j.history);
    free(j.x);
    return rc;
}

static const struct opt_verb verbs[] = { { NULL, "[options] -c CHECKPOINT [SHARD...]",
                                           "vectors of pictures by a trained network", opts, run },
                                         { 0 } };

int main(int argc, char **argv)
{
    return opt_main("semppl-embed", verbs, argc, argv);
}
