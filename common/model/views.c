/*
 * views.c - from the rows of a batch to the networks' inputs.
 */
#include "common/model/views.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include <math.h>
#include <stdlib.h>

/* Of set A or B, or of neither: the mean of both. */
static double of_set(const struct settings *set, double a, double b, bool is_b)
{
    return set->view_sets == SETS_AVERAGED ? (a + b) / 2 : is_b ? b : a;
}

static struct view_recipe recipe_of(const struct settings *set, bool small, bool b)
{
    return (struct view_recipe){
        .area_min = (float)(small ? set->small_area_min : set->large_area_min),
        .area_max = (float)(small ? set->small_area_max : set->large_area_max),
        .lean_min = (float)log(set->aspect_min),
        .lean_max = (float)log(set->aspect_max),
        .flip = (float)set->flip,
        .jitter = (float)set->jitter,
        .brightness = (float)set->brightness,
        .contrast = (float)set->contrast,
        .saturation = (float)set->saturation,
        .hue = (float)set->hue,
        .grey = (float)set->grey,
        .blur = (float)of_set(set, set->blur_a, set->blur_b, b),
        .solarise = (float)of_set(set, set->solarise_a, set->solarise_b, b),
        .sigma_min = (float)set->sigma_min,
        .sigma_max = (float)set->sigma_max,
        .mask = small ? 0 : (float)set->mask_probability,
    };
}

static size_t side_of(const struct views *v, size_t view)
{
    return view < v->large ? v->large_side : v->small_side;
}

/* Bytes of one picture. */
static size_t input_bytes(const struct views *v, size_t view)
{
    return side_of(v, view) * side_of(v, view) * 3 * kern_sizeof(v->type);
}

/* From one view of its size to the next. */
static size_t view_bytes(const struct views *v, size_t view)
{
    return (v->n * input_bytes(v, view) + 63) / 64 * 64;
}

static void shape(struct views *v, const struct settings *set)
{
    v->n = (size_t)set->batch;
    v->large = (size_t)set->large_crops;
    v->small = (size_t)set->small_crops;
    v->large_side = (size_t)set->large_side;
    v->small_side = (size_t)set->small_side;
}

size_t views_bytes(const struct settings *set, enum kern_type type)
{
    struct views v = { .type = type };
    size_t bytes = 0;
    shape(&v, set);
    for (size_t view = 0; view < v.large + v.small; view++)
        bytes += view_bytes(&v, view);
    return bytes;
}

bool views_adjoin(const struct settings *set, enum kern_type type)
{
    struct views v = { .type = type };
    shape(&v, set);
    bool small = v.small == 0 || view_bytes(&v, v.large) == v.n * input_bytes(&v, v.large);
    return small && view_bytes(&v, 0) == v.n * input_bytes(&v, 0);
}

/* Room for the inputs of views first .. first+count-1, of one size. */
static int open_inputs(struct views *v, size_t first, size_t count)
{
    uint8_t *x = kern_alloc(v->kn, count * view_bytes(v, first));
    if (!x)
        return fail(-ENOMEM, "no memory for the views of %zu pictures", v->n);
    for (size_t view = first; view < first + count; view++) {
        v->side[view] = side_of(v, view);
        v->x[view] = x + (view - first) * view_bytes(v, first);
    }
    return 0;
}

int views_open(struct views *v, struct kern *kn, struct pool *pool, struct shard_set *data,
               const struct settings *set, enum kern_type type)
{
    *v = (struct views){ .kn = kn,
                         .pool = pool,
                         .data = data,
                         .seed = set->seed,
                         .mask_least = set->mask_least,
                         .type = type };
    shape(v, set);
    for (int small = 0; small < 2; small++)
        for (int b = 0; b < 2; b++)
            v->recipe[small][b] = recipe_of(set, small, b);
    const double mean[3] = { set->mean_r, set->mean_g, set->mean_b };
    const double dev[3] = { set->dev_r, set->dev_g, set->dev_b };
    for (int c = 0; c < 3; c++) {
        v->mean[c] = (float)mean[c];
        v->dev[c] = (float)dev[c];
    }
    size_t each = v->large + v->small;
    v->side = mem_alloc(each, sizeof *v->side, "views");
    v->x = mem_alloc(each, sizeof *v->x, "views");
    v->out = mem_alloc(each, sizeof *v->out, "views");
    v->draw = mem_alloc(each, sizeof *v->draw, "draws");
    v->view = mem_alloc(each, VIEWS_AT_ONCE * sizeof *v->view, "draws");
    int rc = v->side && v->x && v->out && v->draw && v->view ? 0 : -ENOMEM;
    if (rc == 0)
        rc = open_inputs(v, 0, v->large);
    if (rc == 0 && v->small > 0)
        rc = open_inputs(v, v->large, v->small);
    if (rc < 0)
        views_close(v);
    return rc;
}

void views_close(struct views *v)
{
    if (v->x)
        kern_free(v->kn, v->x[0]);
    if (v->x && v->small > 0)
        kern_free(v->kn, v->x[v->large]);
    free(v->side);
    free(v->x);
    free(v->out);
    free(v->draw);
    free(v->view);
    *v = (struct views){ 0 };
}

/* The number of a view among all streams' for the draws: 64 views of each, then the next 64. */
static unsigned draw_number(size_t view, unsigned stream)
{
    return (unsigned)(view % 64 + 128 * (view / 64)) + 64 * stream;
}

void views_draw(const struct views *v, int64_t k, size_t view, const struct sample *batch,
                const uint64_t *id, size_t count, struct view_draw *out)
{
    bool small = view >= v->large;
    size_t among = small ? view - v->large : view;
    const struct view_recipe *recipe = &v->recipe[small][among % 2];
    for (size_t i = 0; i < count; i++) {
        size_t row;
        const struct shard *s = shard_set_find(v->data, batch[i].row, &row);
        struct rng r;
        rng_init(&r, v->seed, RNG_VIEW, (uint64_t)k, id[i] ^ batch[i].turn,
                 draw_number(view, batch[i].stream));
        augment_draw(&out[i], recipe, s->size[row][0], s->size[row][1], &r);
    }
}

/* A draw as the kernels know it. */
static struct kern_view view_of(const struct view_draw *d)
{
    return (struct kern_view){ .masked = d->mask,
                               .fill = d->fill,
                               .top = d->top,
                               .left = d->left,
                               .height = d->height,
                               .width = d->width,
                               .flip = d->flip,
                               .jitter = d->jitter,
                               .order = { d->order[0], d->order[1], d->order[2], d->order[3] },
                               .brightness = d->brightness,
                               .contrast = d->contrast,
                               .saturation = d->saturation,
                               .hue = d->hue,
                               .grey = d->grey,
                               .sigma = d->sigma,
                               .solarise = d->solarise };
}

struct decode {
    struct views *v;
    const struct sample *batch;
};

/* A picture, as far as the box around its crops, and its mask, if one of them is to have it. */
static int decode_task(void *arg, size_t i, int worker UNUSED)
{
    struct decode *d = arg;
    struct views *v = d->v;
    size_t row, each = v->large + v->small;
    size_t top = SIZE_MAX, left = SIZE_MAX, bottom = 0, right = 0;
    bool mask = false;
    const struct shard *s = shard_set_find(v->data, d->batch[i].row, &row);
    for (size_t view = 0; view < each; view++) {
        const struct view_draw *at = &v->draw[view][i];
        top = MIN(top, at->top);
        left = MIN(left, at->left);
        bottom = MAX(bottom, at->top + at->height);
        right = MAX(right, at->left + at->width);
        mask |= at->mask;
        v->view[i * each + view] = view_of(at);
    }
    struct image_box box = { top, left, bottom - top, right - left };
    int rc = shard_row_box(s, row, &box, &v->picture[i]);
    if (rc == 0 && mask && (rc = shard_row_mask(s, row, &v->mask[i])) > 0)
        rc = 0;
    if (v->mask[i].plane && mask_cover(&v->mask[i]) < v->mask_least)
        mask_release(&v->mask[i]);
    const struct image *im = &v->picture[i];
    v->from[i] = (struct kern_picture){ im->rgb, v->mask[i].plane, im->h, im->w };
    return rc;
}

/* Pictures first .. first+count-1 of the batch through all views. */
static int load_some(struct views *v, int64_t k, const struct sample *batch, const uint64_t *id,
                     size_t first, size_t count)
{
    struct decode decode = { v, batch };
    for (size_t view = 0; view < v->large + v->small; view++)
        views_draw(v, k, view, batch, id, count, v->draw[view]);
    int rc = pool_run(v->pool, count, decode_task, &decode);
    const struct kern_views all = { .type = v->type,
                                    .n = count,
                                    .each = v->large + v->small,
                                    .picture = v->from,
                                    .view = v->view,
                                    .side = v->side,
                                    .out = v->out,
                                    .mean = { v->mean[0], v->mean[1], v->mean[2] },
                                    .dev = { v->dev[0], v->dev[1], v->dev[2] } };
    for (size_t view = 0; view < all.each; view++)
        v->out[view] = (uint8_t *)v->x[view] + first * input_bytes(v, view);
    if (rc == 0 && (rc = kern_augment(v->kn, &all)) < 0)
        fail(rc, "the device failed at making views");
    for (size_t i = 0; i < count; i++) {
        image_release(&v->picture[i]);
        mask_release(&v->mask[i]);
    }
    return rc;
}

int views_load(struct views *v, int64_t k, const struct sample *batch, const uint64_t *id)
{
    int rc = 0;
    for (size_t first = 0; first < v->n && rc == 0; first += VIEWS_AT_ONCE)
        rc = load_some(v, k, batch + first, id + first, first, MIN(v->n - first, VIEWS_AT_ONCE));
    if (rc == 0 && (rc = kern_sync(v->kn)) < 0)
        fail(rc, "the device failed at making the views of a batch");
    return rc;
}
