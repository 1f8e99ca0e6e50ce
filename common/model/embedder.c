/*
 * embedder.c - pictures of a batch are decoded on the pool, then go through the network together.
 */
#include "common/model/embedder.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/data/augment.h"
#include "common/model/stage.h"
#include "common/model/state.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a batch: rows, bytes of the widest activation, bytes of decoded pictures; on the CPU as its
 * caches like it, elsewhere GROWN times that, which many more cores want. */
enum { MOST_ROWS = 128, FEWEST_ROWS = 8, GROWN = 8 };
static const size_t tensor_room = (size_t)48 << 20, picture_room = (size_t)96 << 20;

static size_t grown(const struct kern *kn, size_t room)
{
    return kern_apart(kn) ? GROWN * room : room;
}

struct embedder {
    struct kern *kn;
    struct pool *pool;
    enum embedder_layer layer;
    enum kern_type type; /* of the input */
    struct settings set;
    struct net nets[2]; /* encoder, projector */
    struct stage encoder, projector;
    struct embed_kind kind;
    struct history history;
    size_t width, rows; /* of a vector; of a batch at most */
    size_t h, w;        /* pixels without a checkpoint: of every picture, 0 before the first */
    bool whole;         /* pixels without a checkpoint */
    void *input;        /* [rows][side][side][3] on the device */
    struct image *pic;  /* [rows] */
    struct kern_picture *from;
    struct kern_view *view;
    double decode_s, compute_s;
};

/* One network of s to the device; net is the list of its layers. */
static int take(struct embedder *e, struct stage *st, const struct net *net, const struct state *s,
                enum embedder_net which)
{
    bool target = which == EMBEDDER_TARGET;
    const float *param = target ? s->xi : s->theta;
    const float *running = target ? s->running_target : s->running;
    e->width = net_outputs(net);
    return stage_open(st, e->kn, net, param + state_param_offset(s, net->part),
                      running + state_running_offset(s, net->part), e->rows);
}

static int open_network(struct embedder *e, struct state *s, const char *name,
                        enum embedder_net which)
{
    if ((which == EMBEDDER_TARGET ? s->updates_target : s->updates) == 0)
        log_debug("%s: the %s network was never trained; batch norm works with mean 0, variance 1",
                  name, which == EMBEDDER_TARGET ? "target" : "online");
    size_t rows = grown(e->kn, tensor_room) / MAX(net_widest(&s->large), (size_t)1);
    e->set = s->set;
    e->rows = MIN(MAX(rows, (size_t)FEWEST_ROWS), grown(e->kn, MOST_ROWS));
    e->nets[0] = s->large;
    e->nets[1] = s->projector;
    int rc = take(e, &e->encoder, &e->nets[0], s, which);
    if (rc >= 0 && e->layer == EMBEDDER_PROJECTION)
        rc = take(e, &e->projector, &e->nets[1], s, which);
    s->large = s->projector = (struct net){ 0 }; /* they are e's now */
    return rc;
}

/* The checkpoint is let go before the network's memory is taken, the rest of the state after. */
static int open_checkpoint(struct embedder *e, const char *path, enum embedder_net which)
{
    static const char *const nothing[] = { NULL };
    bool target = which == EMBEDDER_TARGET, pixels = e->layer == EMBEDDER_PIXELS;
    struct ckpt c = { 0 };
    struct state s = { 0 };
    int rc = ckpt_read_groups(&c, path, pixels ? nothing : state_network_groups(target));
    if (rc >= 0)
        rc = history_merge(&e->history, &c.history);
    if (rc >= 0)
        rc = prov_input(path, c.checksum);
    if (rc >= 0)
        rc = pixels ? settings_from_ckpt(&e->set, &c) : state_network_from_ckpt(&s, &c, target);
    if (rc >= 0 && !pixels) {
        state_precision(&s, e->type);
        snprintf(e->kind.net, sizeof e->kind.net, "%s", target ? "target" : "online");
        rc = ckpt_hash(&c, target ? "target/" : "online/", e->kind.checkpoint);
    }
    ckpt_release(&c);
    if (rc >= 0 && !pixels)
        rc = open_network(e, &s, path, which);
    state_release(&s);
    return rc;
}

int embedder_open(struct embedder **out, struct kern *kn, struct pool *pool, const char *ckpt,
                  enum embedder_layer layer, enum embedder_net net, enum kern_type type)
{
    static const char *const layers[] = { "features", "projection", "pixels" };
    struct embedder *e = mem_alloc(1, sizeof *e, "the embedder");
    *out = NULL;
    if (!e)
        return -ENOMEM;
    e->kn = kn;
    e->pool = pool;
    e->layer = layer;
    e->type = layer == EMBEDDER_PIXELS ? KERN_F32 : type;
    e->rows = MOST_ROWS;
    e->whole = !ckpt;
    snprintf(e->kind.layer, sizeof e->kind.layer, "%s", layers[layer]);
    settings_preset(&e->set, 0);
    int rc = ckpt ? open_checkpoint(e, ckpt, net) : 0;
    size_t side = e->whole ? 0 : (size_t)e->set.large_side;
    if (layer == EMBEDDER_PIXELS) {
        e->width = 3 * side * side;
        if (side)
            e->rows = MIN(MAX(tensor_room / (e->width * sizeof(float)), (size_t)FEWEST_ROWS),
                          (size_t)MOST_ROWS);
    }
    if (rc >= 0 && (!(e->input = kern_alloc(kn, MAX(e->rows * side * side * 3, (size_t)1) *
                                                    kern_sizeof(e->type))) ||
                    !(e->pic = mem_alloc(e->rows, sizeof *e->pic, "pictures")) ||
                    !(e->from = mem_alloc(e->rows, sizeof *e->from, "pictures")) ||
                    !(e->view = mem_alloc(e->rows, sizeof *e->view, "views"))))
        rc = fail(-ENOMEM, "no memory for a batch of %zu pictures", e->rows);
    if (rc < 0) {
        embedder_close(e);
        return rc;
    }
    *out = e;
    return 0;
}

void embedder_close(struct embedder *e)
{
    if (!e)
        return;
    stage_close(&e->projector, e->kn);
    stage_close(&e->encoder, e->kn);
    net_release(&e->nets[0]);
    net_release(&e->nets[1]);
    history_release(&e->history);
    kern_free(e->kn, e->input);
    free(e->pic);
    free(e->from);
    free(e->view);
    free(e);
}

const struct embed_kind *embedder_kind(const struct embedder *e)
{
    return &e->kind;
}

const struct history *embedder_history(const struct embedder *e)
{
    return &e->history;
}

size_t embedder_width(const struct embedder *e)
{
    return e->width;
}

int embedder_look(struct embedder *e, const struct shard *s)
{
    if (!e->whole || e->h || s->rows.n == 0)
        return 0;
    size_t h = s->size[0][0], w = s->size[0][1], n;
    int rc = mem_product(&n, h * w, 3);
    if (rc < 0)
        return rc;
    if (n == 0 || n / 3 > IMAGE_MAX_PIXELS)
        return fail(-EINVAL, "%s: a picture of %zu x %zu pixels", s->in.name, w, h);
    e->h = h;
    e->w = w;
    e->width = n;
    return 0;
}

size_t embedder_batch(const struct embedder *e, const struct shard *s, size_t first)
{
    size_t n = 0, bytes = 0,
           room = e->whole ? tensor_room / sizeof(float) : grown(e->kn, picture_room);
    while (n < e->rows && first + n < s->rows.n) {
        bytes += (size_t)s->size[first + n][0] * s->size[first + n][1] * 3;
        if (n > 0 && bytes > room)
            break;
        n++;
    }
    return n;
}

struct decoding {
    const struct shard *s;
    struct embedder *e;
    size_t first;
};

static int decode_one(void *arg, size_t i, int worker UNUSED)
{
    struct decoding *d = arg;
    struct embedder *e = d->e;
    struct image *im = &e->pic[i];
    struct view_draw v;
    if (e->whole)
        return shard_row_image(d->s, d->first + i, im);
    const uint16_t *size = d->s->size[d->first + i];
    augment_centre(&v, size[0], size[1], e->set.eval_crop);
    struct image_box box = { v.top, v.left, v.height, v.width };
    int rc = shard_row_box(d->s, d->first + i, &box, im);
    if (rc < 0)
        return rc;
    e->from[i] = (struct kern_picture){ .rgb = im->rgb, .h = im->h, .w = im->w };
    e->view[i] =
        (struct kern_view){ .top = v.top, .left = v.left, .height = v.height, .width = v.width };
    return 0;
}

/* A whole picture as (value / 255 - mean) / deviation. */
static int copy_pixels(struct embedder *e, const struct shard *s, size_t row,
                       const struct image *im, float *x)
{
    const double mean[3] = { e->set.mean_r, e->set.mean_g, e->set.mean_b };
    const double dev[3] = { e->set.dev_r, e->set.dev_g, e->set.dev_b };
    size_t len;
    const char *key = rows_key(&s->rows, row, &len);
    if (im->h != e->h || im->w != e->w)
        return fail(-EINVAL,
                    "%s: %.*s is %zu x %zu pixels, the first picture %zu x %zu; pixels of "
                    "different sizes need -c CHECKPOINT, which says how to crop",
                    s->in.name, (int)len, key, im->w, im->h, e->w, e->h);
    for (size_t i = 0; i < e->width; i++)
        x[i] = (float)((im->rgb[i] / 255.0 - mean[i % 3]) / dev[i % 3]);
    return 0;
}

static int through_network(struct embedder *e, size_t n, float *x)
{
    const size_t side = (size_t)e->set.large_side;
    const float *out = e->input;
    void *const input = e->input;
    const struct kern_views v = {
        .type = e->type,
        .n = n,
        .each = 1,
        .picture = e->from,
        .view = e->view,
        .side = &side,
        .out = &input,
        .mean = { (float)e->set.mean_r, (float)e->set.mean_g, (float)e->set.mean_b },
        .dev = { (float)e->set.dev_r, (float)e->set.dev_g, (float)e->set.dev_b },
    };
    int rc = kern_augment(e->kn, &v);
    if (rc < 0)
        return fail(rc, "cannot resize a batch of pictures: %s", strerror(-rc));
    if (e->encoder.net && (rc = net_infer_run(e->encoder.infer, e->input, n, &out)) < 0)
        return rc;
    if (e->projector.net && (rc = net_infer_run(e->projector.infer, out, n, &out)) < 0)
        return rc;
    if ((rc = kern_get(e->kn, x, out, n * e->width * sizeof(float))) < 0)
        return fail(rc, "cannot copy embeddings from the device");
    return 0;
}

static int check_rows(const struct embedder *e, const struct shard *s, size_t first, size_t n,
                      const float *x)
{
    for (size_t i = 0; i < n; i++) {
        bool zero = true, finite = true;
        for (size_t j = 0; j < e->width; j++) {
            float v = x[i * e->width + j];
            zero = zero && v == 0;
            finite = finite && isfinite(v);
        }
        size_t len;
        const char *key = rows_key(&s->rows, first + i, &len);
        if (!finite || zero)
            return fail(-ENUMERIC, "%s: the embedding of %.*s is %s", s->in.name, (int)len, key,
                        finite ? "all zero" : "not finite");
    }
    return 0;
}

int embedder_run(struct embedder *e, const struct shard *s, size_t first, size_t n, float *x)
{
    struct decoding d = { s, e, first };
    double start = log_seconds();
    int rc = pool_run(e->pool, n, decode_one, &d);
    double middle = log_seconds();
    e->decode_s += middle - start;
    if (rc >= 0 && e->whole)
        for (size_t i = 0; i < n && rc >= 0; i++)
            rc = copy_pixels(e, s, first + i, &e->pic[i], x + i * e->width);
    else if (rc >= 0)
        rc = through_network(e, n, x);
    if (rc >= 0)
        rc = check_rows(e, s, first, n, x);
    for (size_t i = 0; i < n; i++) {
        image_release(&e->pic[i]);
        e->pic[i] = (struct image){ 0 };
    }
    e->compute_s += log_seconds() - middle;
    return rc;
}

void embedder_times(const struct embedder *e, double *decode, double *compute)
{
    *decode = e->decode_s;
    *compute = e->compute_s;
}
