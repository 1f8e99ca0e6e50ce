/*
 * augment_pack.cuh - for augment.cu: the host's side of a piece, pictures on their way to the
 * device with the jobs of their views.
 */
#ifndef SEMPPL_AUGMENT_PACK_CUH
#define SEMPPL_AUGMENT_PACK_CUH

#include "kernels/cuda/augment_job.cuh"
#include <string.h>

/* The box around a picture's crops, and where it lies in the piece behind the jobs. */
struct box {
    size_t top, left, height, width;
    bool mask; /* a view asks for it */
    size_t rgb_pitch, mask_pitch, rgb_at, mask_at, end;
};

/* The views of one size, OUTPUTS at most, for which kernels are launched together. */
struct group {
    size_t first, count, side;      /* of each picture's views */
    int job, jobs;                  /* in the piece */
    int blurred, jittered, jitters; /* jobs with blur; before those with jitter; those */
};

/* Pictures first .. first+count-1 of a call on their way. */
struct piece {
    const struct kern_views *of;
    size_t first, count;
    struct box *box;     /* [count] */
    struct group *group; /* [ngroups] */
    size_t ngroups;
    size_t pixels, bytes; /* where pixels begin behind the jobs; all */
    struct picture_buffer *buffer;
    unsigned char *host; /* its memory */
};

static size_t up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static const struct kern_view *views_of(const struct piece *p, size_t picture)
{
    return p->of->view + (p->first + picture) * p->of->each;
}

static bool has_blur(const struct kern_view *v, size_t side)
{
    return v->sigma > 0 && side >= KERN_BLUR_PART;
}

/* Of a picture's `each` views; it begins at byte `at`. */
static struct box make_box(const struct kern_picture *of, const struct kern_view *view, size_t each,
                           size_t at)
{
    struct box b = {};
    size_t bottom = 0, right = 0;
    b.top = b.left = SIZE_MAX;
    for (const struct kern_view *v = view; v < view + each; v++) {
        b.top = MIN(b.top, v->top);
        b.left = MIN(b.left, v->left);
        bottom = MAX(bottom, v->top + v->height);
        right = MAX(right, v->left + v->width);
        b.mask |= v->masked && of->mask;
    }
    b.height = bottom - b.top;
    b.width = right - b.left;
    b.rgb_pitch = up(b.width * 3, 4);
    b.mask_pitch = up(b.width, 4);
    b.rgb_at = at;
    b.mask_at = up(at + b.height * b.rgb_pitch, 16);
    b.end = b.mask ? up(b.mask_at + b.height * b.mask_pitch, 16) : b.mask_at;
    return b;
}

/* Neighbours of one size: fills group [each], returns how many there are. */
static size_t make_groups(struct group *group, const struct kern_views *v)
{
    size_t n = 0;
    for (size_t j = 0; j < v->each; j++) {
        struct group *last = n ? &group[n - 1] : NULL;
        if (last && last->side == v->side[j] && last->count < OUTPUTS) {
            last->count++;
            continue;
        }
        group[n] = {};
        group[n].first = j;
        group[n].count = 1;
        group[n++].side = v->side[j];
    }
    return n;
}

/* Bytes of a blurred view on its way. */
static size_t plane_bytes(size_t side)
{
    return side * side * 3 * sizeof(float);
}

/* How many pictures from the first on go together, and where their pixels lie. */
static void plan(struct piece *p)
{
    const struct kern_views *v = p->of;
    size_t pixels = 0, blurred = 0, most = MAX(MOST_VIEWS / v->each, (size_t)1);
    most = MIN(most, v->n - p->first);
    for (p->count = 0; p->count < most; p->count++) {
        const struct kern_view *view = views_of(p, p->count);
        struct box b = make_box(&v->picture[p->first + p->count], view, v->each, pixels);
        for (size_t j = 0; j < v->each; j++)
            blurred += has_blur(&view[j], v->side[j]) ? plane_bytes(v->side[j]) : 0;
        if (p->count &&
            (b.end + (p->count + 1) * v->each * sizeof(struct job) > PIECE || blurred > PLANES))
            break;
        p->box[p->count] = b;
        pixels = b.end;
    }
    p->pixels = up(p->count * v->each * sizeof(struct job), 16);
    p->bytes = p->pixels + pixels + 16; /* the last taps may be read as whole words */
}

static struct job make_job(const struct piece *p, size_t picture, size_t j, size_t output)
{
    const struct kern_view *v = &views_of(p, picture)[j];
    const struct box *b = &p->box[picture];
    size_t top = v->top - b->top, left = v->left - b->left, side = p->of->side[j];
    bool masked = v->masked && p->of->picture[p->first + picture].mask;
    struct job job = {};
    job.rgb = p->pixels + b->rgb_at + top * b->rgb_pitch + left * 3;
    job.mask = masked ? p->pixels + b->mask_at + top * b->mask_pitch + left : 0;
    job.rgb_pitch = b->rgb_pitch;
    job.mask_pitch = b->mask_pitch;
    job.picture = p->first + picture;
    job.output = (int)output;
    job.down = (double)v->height / (double)side;
    job.across = (double)v->width / (double)side;
    job.height = (int)v->height;
    job.width = (int)v->width;
    job.fill = 255 * v->fill;
    for (int i = 0; i < 4; i++)
        job.order |= v->order[i] << 2 * i;
    job.brightness = v->brightness;
    job.contrast = v->contrast;
    job.saturation = v->saturation;
    job.hue = v->hue;
    job.sigma = v->sigma;
    job.flip = v->flip;
    job.jitter = v->jitter;
    job.grey = v->grey;
    job.solarise = v->solarise;
    return job;
}

/* The group's jobs from number n on, by what they need, so that kernels for some of them have
 * neighbours: blur, blur and jitter, jitter, neither. Returns the number behind. */
static int make_jobs(const struct piece *p, struct group *g, int n)
{
    struct job *jobs = (struct job *)p->host;
    g->job = n;
    g->blurred = g->jittered = g->jitters = 0;
    for (int kind = 0; kind < 4; kind++) {
        bool blurs = kind < 2, jitters = kind == 1 || kind == 2;
        int before = n;
        for (size_t i = 0; i < p->count; i++)
            for (size_t k = 0; k < g->count; k++) {
                const struct kern_view *v = &views_of(p, i)[g->first + k];
                if (has_blur(v, g->side) == blurs && v->jitter == jitters)
                    jobs[n++] = make_job(p, i, g->first + k, k);
            }
        g->blurred += blurs ? n - before : 0;
        g->jitters += jitters ? n - before : 0;
        g->jittered = kind == 0 ? n - g->job : g->jittered;
    }
    g->jobs = n - g->job;
    return n;
}

static int pack_box(void *arg, size_t i, int)
{
    const struct piece *p = (const struct piece *)arg;
    const struct box *b = &p->box[i];
    const struct kern_picture *of = &p->of->picture[p->first + i];
    size_t from = b->top * of->w + b->left;
    unsigned char *rgb = p->host + p->pixels + b->rgb_at;
    unsigned char *mask = p->host + p->pixels + b->mask_at;
    for (size_t y = 0; y < b->height; y++)
        memcpy(rgb + y * b->rgb_pitch, of->rgb + (from + y * of->w) * 3, b->width * 3);
    for (size_t y = 0; b->mask && y < b->height; y++)
        memcpy(mask + y * b->mask_pitch, of->mask + from + y * of->w, b->width);
    return 0;
}

#endif
