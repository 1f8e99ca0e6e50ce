/*
 * augment.cu - views: pictures in host memory become the network's inputs on the device.
 *
 * A call is cut into pieces, whole pictures with all their views. Of a piece the boxes around the
 * pictures' crops are packed into page-locked memory by the handle's pool (two buffers in turns)
 * and go over in one copy, a table of jobs in front. Then, for the views of each size, up to four
 * launches follow on the stream:
 *
 *   means    sums of the picture as it stands before contrast, for views with jitter
 *   views    crop, resize, flip, jitter, grey; then to the output, or as floats to scratch if a
 *            blur is to come
 *   blur     down the columns, written with rows and columns exchanged; twice, the second time to
 *            the output
 *
 * Floor: 3 bytes a pixel of the box cross the host's bus, once whatever the number of views (at
 * most 560 KB of a picture of 500 x 375, some 10 us, which a handle of its own hides behind
 * another's work), and a job of 104 bytes a view. On the device every crop is read once or twice
 * and 3 side^2 numbers are written; blurred views add 4 passes over 12 side^2 bytes, part of which
 * stay in the L2 cache. A piece ends at 32 MB of pictures or 64 MB of blurred views, some 45
 * pictures of four crops of 224 x 224 and two of 96 x 96; such a one is 8 launches. The kernels'
 * time goes to instructions, by the machine code for sm_90 some 45 a number, 100 more with jitter
 * and 145 more with blur; a view of 224 x 224 with both is 44 million, 1.3 us of an H200 that never
 * waits. So the mapping saves instructions, not bytes: a thread has a column of the view and
 * marches down a band of rows. It keeps four rows of the crop, resized across, in registers; so a
 * row of the crop is read and resized across once for all rows of the view that it is a tap of,
 * whatever the sizes. Resizing again for the second kernel costs less than storing floats would.
 * The formulas of jitter are those of cpu/augment_isa.c.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/storage.cuh"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    BAND = 16,     /* rows of the view that a thread makes */
    COLUMNS = 256, /* most threads, a column each */
    WARPS = COLUMNS / 32,
#ifdef __CUDACC__
    PIECE = 32 << 20,     /* bytes uploaded at once, if no picture is larger */
    PLANES = 64 << 20,    /* bytes of scratch for unblurred views; twice */
    MOST_VIEWS = 1 << 15, /* of a piece: they are rows of the grid */
    OUTPUTS = 16,         /* views of a picture that launches take at once */
#else                     /* tests shall see more than one piece */
    PIECE = 64 << 10,
    PLANES = 128 << 10,
    MOST_VIEWS = 17,
    OUTPUTS = 3,
#endif
};

/* One view, as the kernels know it. */
struct job {
    size_t rgb, mask;             /* where the crop starts in the piece; mask 0: none */
    size_t rgb_pitch, mask_pitch; /* bytes from row to row, multiples of 4 */
    size_t picture;               /* its number in the output */
    int output;                   /* which */
    double down, across;          /* cells of the crop to one of the view */
    int height, width;            /* of the crop */
    float fill;                   /* 0 .. 255 */
    int order;                    /* of the jitter's steps, two bits each, the first lowest */
    float brightness, contrast, saturation, hue;
    float sigma;
    bool flip, jitter, grey, solarise;
};

struct scaling {
    float mean[3], inverse[3];
};

/* Of the views that a launch makes, each [n][side][side][3]; kernels have it in constant memory. */
template <typename T> struct outputs {
    T *at[OUTPUTS];
};

/* -- one pixel ---- */

__device__ static inline float clip01(float x)
{
    return fminf(fmaxf(x, 0.0f), 1.0f);
}

/* Keys' cubic, a = -0.5. */
__device__ static inline float keys(float x)
{
    x = fabsf(x);
    if (x <= 1)
        return (1.5f * x - 2.5f) * x * x + 1;
    return x < 2 ? ((-0.5f * x + 2.5f) * x - 4) * x + 2 : 0;
}

/* Colours that differ by less are a grey. Fast division, good to two units of the last place, is
 * not for such numbers. */
#define NOTHING 1e-30f

__device__ static inline void saturate(float px[3], float factor)
{
    float max = fmaxf(px[0], fmaxf(px[1], px[2])), min = fminf(px[0], fminf(px[1], px[2]));
    float range = max - min;
    float most = range > NOTHING ? __fdividef(max, range) : factor; /* 1/S: where S' reaches 1 */
    float ratio = fminf(factor, most);
    for (int ch = 0; ch < 3; ch++)
        px[ch] = clip01(max - (max - px[ch]) * ratio);
}

__device__ static inline float from_hsv(float n, float six, float value, float range)
{
    float k = n + six;
    k = k >= 6 ? k - 6 : k;
    return clip01(value - range * clip01(fminf(k, 4 - k)));
}

__device__ static inline void turn_hue(float px[3], float delta)
{
    float r = px[0], g = px[1], b = px[2];
    float max = fmaxf(r, fmaxf(g, b)), range = max - fminf(r, fminf(g, b));
    float part = max == r ? g - b : max == g ? b - r : r - g;
    float six = max == r ? 0.0f : max == g ? 2.0f : 4.0f;
    six += range > NOTHING ? __fdividef(part, range) : 0; /* -1 .. 5 */
    six += 6 * delta;
    six = six < 0 ? six + 6 : six;
    six = six >= 6 ? six - 6 : six;
    px[0] = from_hsv(5, six, max, range);
    px[1] = from_hsv(3, six, max, range);
    px[2] = from_hsv(1, six, max, range);
}

/* The steps in their order; without the means of the picture those before contrast. */
__device__ static inline void jitter(float px[3], const job &v, const float *mean)
{
    for (int i = 0; i < 4; i++) {
        int step = v.order >> 2 * i & 3;
        if (step == 0) {
            for (int ch = 0; ch < 3; ch++)
                px[ch] = clip01(px[ch] + v.brightness);
        } else if (step == 1) {
            if (!mean)
                return;
            for (int ch = 0; ch < 3; ch++)
                px[ch] = clip01(v.contrast * (px[ch] - mean[ch]) + mean[ch]);
        } else if (step == 2) {
            saturate(px, v.saturation);
        } else {
            turn_hue(px, v.hue);
        }
    }
}

__device__ static inline void grey(float px[3])
{
    px[0] = px[1] = px[2] = clip01(0.2989f * px[0] + 0.5870f * px[1] + 0.1140f * px[2]);
}

template <typename T>
__device__ static inline void finish(T *to, float x, bool solarise, float mean, float inverse)
{
    x = solarise && x >= 0.5f ? 1 - x : x;
    narrow(to, (clip01(x) - mean) * inverse);
}

/* -- resizing ---- */

/* A cell of the view on one axis: cells first .. first + 3 of the crop's; those beyond weigh 0. */
struct tap {
    int first;
    float weight[4];
};

/* At the borders the four cells move inside; those that are then too far away weigh 0 by keys(). */
__device__ static inline tap make_tap(int p, int n, double step, float scale)
{
    double at = (p + 0.5) * step - 0.5;
    tap t;
    float sum = 0;
    t.first = max(min((int)floor(at) - 1, n - 4), 0);
    for (int i = 0; i < 4; i++) {
        t.weight[i] = t.first + i < n ? keys((float)(at - (t.first + i))) : 0;
        sum += t.weight[i];
    }
    for (int i = 0; i < 4; i++)
        t.weight[i] *= scale / sum;
    return t;
}

/* Byte i of a word as a float: the low digits of 2^23, which saves a slow conversion. */
__device__ static inline float byte_of(unsigned w, int i)
{
#ifdef __CUDACC__
    return __uint_as_float(__byte_perm(w, 0x4b000000u, 0x7440 | i)) - 8388608.0f;
#else
    return (float)(w >> 8 * i & 255);
#endif
}

/* The word that begins shift bits into the low one of two. */
__device__ static inline unsigned between(unsigned low, unsigned high, int shift)
{
    return (unsigned)(((unsigned long long)high << 32 | low) >> shift);
}

/* A column of the view on its way down the crop. */
struct column {
    const unsigned char *rgb, *mask; /* the words of the first tap's bytes, in the first row */
    int rgb_shift, mask_shift;       /* the bits before them */
    float weight[4];
    float row[4][3]; /* the last four rows of the crop read, resized across */
    int next;        /* row of the crop */
};

__device__ static inline column make_column(const job &v, const unsigned char *piece, int x,
                                            int side)
{
    tap t = make_tap(v.flip ? side - 1 - x : x, v.width, v.across, 1);
    size_t rgb = v.rgb + (size_t)t.first * 3, mask = v.mask + (size_t)t.first;
    column c;
    c.rgb = piece + rgb / 4 * 4;
    c.mask = piece + mask / 4 * 4;
    c.rgb_shift = (int)(rgb % 4) * 8;
    c.mask_shift = (int)(mask % 4) * 8;
    for (int i = 0; i < 4; i++) {
        c.weight[i] = t.weight[i];
        for (int ch = 0; ch < 3; ch++)
            c.row[i][ch] = 0;
    }
    c.next = 0;
    return c;
}

/* The four taps are 12 bytes anywhere: four words have them. */
__device__ static inline void resize_across(float px[3], const column &c, const job &v, int row)
{
    const unsigned *at = reinterpret_cast<const unsigned *>(c.rgb + (size_t)row * v.rgb_pitch);
    unsigned a = at[0], b = at[1], d = at[2], e = at[3];
    unsigned word[3] = { between(a, b, c.rgb_shift), between(b, d, c.rgb_shift),
                         between(d, e, c.rgb_shift) };
    float weight[4], gone = 0;
    for (int t = 0; t < 4; t++)
        weight[t] = c.weight[t];
    if (v.mask) {
        at = reinterpret_cast<const unsigned *>(c.mask + (size_t)row * v.mask_pitch);
        unsigned on = between(at[0], at[1], c.mask_shift);
        for (int t = 0; t < 4; t++)
            if (!(on >> (8 * t + 7) & 1)) {
                gone += weight[t];
                weight[t] = 0;
            }
    }
    for (int ch = 0; ch < 3; ch++)
        px[ch] = gone * v.fill;
    for (int t = 0; t < 4; t++)
        for (int ch = 0; ch < 3; ch++) {
            int i = 3 * t + ch;
            px[ch] += weight[t] * byte_of(word[i / 4], i % 4);
        }
}

/* The column's pixel whose taps down are t, which is not above the last one's. */
__device__ static inline void next_pixel(float px[3], column *c, const job &v, const tap &t)
{
    for (c->next = max(c->next, t.first); c->next < t.first + 4; c->next++) {
        for (int i = 0; i < 3; i++)
            for (int ch = 0; ch < 3; ch++)
                c->row[i][ch] = c->row[i + 1][ch];
        resize_across(c->row[3], *c, v, min(c->next, v.height - 1));
    }
    for (int ch = 0; ch < 3; ch++)
        px[ch] = clip01(t.weight[0] * c->row[0][ch] + t.weight[1] * c->row[1][ch] +
                        t.weight[2] * c->row[2][ch] + t.weight[3] * c->row[3][ch]);
}

/* Where a block of the grids of means and views is: blocks of a band are neighbours. */
struct place {
    int x, y, rows;
};

__device__ static inline place find_place(int side)
{
    int across = (side + blockDim.x - 1) / blockDim.x;
    int y = blockIdx.x / across * BAND;
    return { (int)(blockIdx.x % across * blockDim.x + threadIdx.x), y, min(BAND, side - y) };
}

/* down[i] for the rows of the place; the block waits. */
__device__ static inline void make_taps(tap *down, const place &at, const job &v)
{
    for (int i = threadIdx.x; i < at.rows; i += blockDim.x)
        down[i] = make_tap(at.y + i, v.height, v.down, 1.0f / 255);
    __syncthreads();
}

/* -- the kernels ---- */

/* The block's sums of v, in every thread; once a kernel. */
__device__ static inline void block_sum(float v[3])
{
    __shared__ float part[WARPS][3];
    for (int ch = 0; ch < 3; ch++) {
        for (int step = 16; step > 0; step /= 2)
            v[ch] += __shfl_xor_sync(0xffffffffu, v[ch], step);
        if (threadIdx.x % 32 == 0)
            part[threadIdx.x / 32][ch] = v[ch];
        v[ch] = 0;
    }
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / 32; w++)
        for (int ch = 0; ch < 3; ch++)
            v[ch] += part[w][ch];
}

/* partial[view][block][ch]: sums of what contrast will see. */
__global__ static void __launch_bounds__(COLUMNS)
    means(float *partial, const unsigned char *__restrict__ piece, const job *__restrict__ jobs,
          int side)
{
    __shared__ tap down[BAND];
    const job &v = jobs[blockIdx.y];
    place at = find_place(side);
    make_taps(down, at, v);
    float sum[3] = { 0, 0, 0 };
    if (at.x < side) {
        column c = make_column(v, piece, at.x, side);
        for (int i = 0; i < at.rows; i++) {
            float px[3];
            next_pixel(px, &c, v, down[i]);
            jitter(px, v, NULL);
            for (int ch = 0; ch < 3; ch++)
                sum[ch] += px[ch];
        }
    }
    block_sum(sum);
    if (threadIdx.x < 3)
        partial[((size_t)blockIdx.y * gridDim.x + blockIdx.x) * 3 + threadIdx.x] = sum[threadIdx.x];
}

/* Jobs before number blurred go to unblurred [blurred][side][side][3], the others to out; partial
 * begins with job number jittered. */
template <typename T>
__global__ static void __launch_bounds__(COLUMNS)
    views(const __grid_constant__ outputs<T> out, float *__restrict__ unblurred,
          const float *__restrict__ partial, const unsigned char *__restrict__ piece,
          const job *__restrict__ jobs, int side, int blurred, int jittered, scaling of)
{
    __shared__ tap down[BAND];
    const job &v = jobs[blockIdx.y];
    place at = find_place(side);
    float mean[3] = { 0, 0, 0 };
    if (v.jitter) {
        partial += (size_t)(blockIdx.y - jittered) * gridDim.x * 3;
        for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x)
            for (int ch = 0; ch < 3; ch++)
                mean[ch] += partial[(size_t)i * 3 + ch];
        block_sum(mean);
        for (int ch = 0; ch < 3; ch++)
            mean[ch] /= (float)side * (float)side;
    }
    make_taps(down, at, v);
    if (at.x >= side)
        return;
    column c = make_column(v, piece, at.x, side);
    size_t plane = (size_t)side * side * 3, first = ((size_t)at.y * side + at.x) * 3;
    bool blur = (int)blockIdx.y < blurred;
    float *rough = blur ? unblurred + blockIdx.y * plane + first : NULL;
    T *fine = blur ? NULL : out.at[v.output] + v.picture * plane + first;
    for (int i = 0; i < at.rows; i++) {
        float px[3];
        next_pixel(px, &c, v, down[i]);
        if (v.jitter)
            jitter(px, v, mean);
        if (v.grey)
            grey(px);
        size_t row = (size_t)i * side * 3;
        for (int ch = 0; ch < 3; ch++)
            if (blur)
                rough[row + ch] = px[ch];
            else
                finish(fine + row + ch, px[ch], v.solarise, of.mean[ch], of.inverse[ch]);
    }
}

/*
 * One axis of the blur. A block takes TILE_X pixels of TILE_Y rows of in [side][side][3]; a thread
 * takes one number of a row and RUN rows, whose sums grow side by side, so that a number is read
 * once for RUN sums. Out has rows and columns exchanged, which shared memory does; so both axes are
 * this one, and radius and side have no bounds.
 */
enum { RUN = 16, RUNS = 4, TILE_X = 32, TILE_Y = RUN * RUNS, TILE_PITCH = TILE_Y * 3 + 3 };
/* a warp's writes, 3 TILE_PITCH apart every third, fall into different banks */
static_assert(TILE_PITCH % 32 == 3, "shared memory has 32 banks");

/* A number of a column on its way down; outside of the picture 0. */
struct reader {
    const float *column;
    size_t at, pitch;
    int y, side;
};

__device__ static inline float read_next(reader *r)
{
    float x = (unsigned)r->y < (unsigned)r->side ? r->column[r->at] : 0;
    r->y++;
    r->at += r->pitch;
    return x;
}

template <typename T, bool last>
__global__ static void __launch_bounds__(TILE_X * 3 * RUNS)
    blur(const __grid_constant__ outputs<T> out, const float *__restrict__ in,
         const job *__restrict__ jobs, int side, int radius, scaling of)
{
    DYNAMIC_SHARED(float, weight); /* [2 radius + 1], symmetric */
    __shared__ float tile[TILE_X][TILE_PITCH];
    const job &v = jobs[blockIdx.y];
    int thread = threadIdx.y * TILE_X * 3 + threadIdx.x;
    for (int i = thread; i <= 2 * radius; i += TILE_X * 3 * RUNS) {
        float r = (float)(i - radius);
        weight[i] = i == radius ? 1 : expf(-(r * r) / (2 * v.sigma * v.sigma));
    }
    __syncthreads();
    float sum = 0;
    for (int i = 0; i <= 2 * radius; i++)
        sum += weight[i];
    float inverse = 1 / sum;

    int tiles = (side + TILE_X - 1) / TILE_X;
    int x0 = blockIdx.x % tiles * TILE_X, y0 = blockIdx.x / tiles * TILE_Y;
    size_t pitch = (size_t)side * 3, plane = pitch * side;
    bool inside = x0 * 3 + (int)threadIdx.x < side * 3;
    int y = y0 + (int)threadIdx.y * RUN - radius;
    reader from = { in + blockIdx.y * plane + (inside ? x0 * 3 + threadIdx.x : 0),
                    (size_t)y * pitch, pitch, y, side };
    float window[RUN], total[RUN];
    for (int i = 0; i < RUN; i++) {
        window[i] = read_next(&from);
        total[i] = 0;
    }
#pragma unroll 4
    for (int r = 0; r <= 2 * radius; r++) {
        for (int i = 0; i < RUN; i++)
            total[i] += weight[r] * window[i];
        for (int i = 0; i + 1 < RUN; i++)
            window[i] = window[i + 1];
        window[RUN - 1] = read_next(&from);
    }
    int x = threadIdx.x / 3, ch = threadIdx.x % 3;
    for (int i = 0; i < RUN; i++)
        tile[x][(threadIdx.y * RUN + i) * 3 + ch] = total[i] * inverse;
    __syncthreads();

    /* the tile's columns are rows now */
    int i = thread % (TILE_Y * 3);
    T *first = last ? out.at[v.output] + v.picture * plane : out.at[0] + blockIdx.y * plane;
    first += (size_t)y0 * 3 + i;
    if (y0 * 3 + i >= side * 3)
        return;
    for (x = thread / (TILE_Y * 3); x < TILE_X && x0 + x < side; x += 2) {
        T *to = first + (x0 + x) * pitch;
        if (last)
            finish(to, tile[x][i], v.solarise, of.mean[i % 3], of.inverse[i % 3]);
        else
            narrow(to, tile[x][i]);
    }
}
static_assert(TILE_X * 3 * RUNS == 2 * TILE_Y * 3, "a block writes two rows at once");

/* -- packing ---- */

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

/* -- the slot ---- */

/* Gives the piece the buffer whose turn it is; waits until its last copy is done. */
static int next_buffer(struct cuda *cu, struct piece *p)
{
    struct picture_buffer *b = p->buffer = &cu->pictures[cu->pictures_turn ^= 1];
    cudaError_t err = cudaSuccess;
    if (!b->copied)
        err = cudaEventCreateWithFlags(&b->copied, cudaEventDisableTiming);
    if (err == cudaSuccess)
        err = cudaEventSynchronize(b->copied);
    if (err == cudaSuccess && b->bytes < p->bytes) {
        cudaFreeHost(b->host);
        b->host = NULL;
        size_t room = MAX(2 * b->bytes, (size_t)PIECE / 32);
        b->bytes = 0;
        while (room < p->bytes)
            room *= 2;
        err = cudaMallocHost(&b->host, room);
        b->bytes = err == cudaSuccess ? room : 0;
    }
    p->host = (unsigned char *)b->host;
    return cuda_error(err);
}

/* The grid of means and views for views of one size. */
struct columns_grid {
    size_t threads, blocks;
};

static columns_grid grid_of(size_t side)
{
    size_t chunks = up(side, COLUMNS) / COLUMNS;
    size_t threads = up(up(side, chunks) / chunks, 32);
    return { threads, up(side, threads) / threads * (up(side, BAND) / BAND) };
}

/* Where things lie on the device: the piece, sums of each block, blurred views before and between
 * the two axes. Groups have the last three in turns. Sizes are the most that any draws could need,
 * or scratch would grow now and then. */
struct layout {
    size_t partial, rough, turned, bytes;
};

static struct layout lay_out(const struct piece *p)
{
    struct layout at;
    const struct kern_views *v = p->of;
    size_t partials = 0, most = 0, planes = 0;
    for (const struct group *g = p->group; g < p->group + p->ngroups; g++) {
        size_t jobs = MIN(v->n * g->count, (size_t)MAX(MOST_VIEWS, OUTPUTS));
        partials = MAX(partials, jobs * grid_of(g->side).blocks * 3 * sizeof(float));
    }
    for (size_t j = 0; j < v->each; j++)
        most += v->side[j] >= KERN_BLUR_PART ? plane_bytes(v->side[j]) : 0;
    planes = MIN(v->n * most, MAX(most, (size_t)PLANES));
    at.partial = up(p->buffer->bytes, 256);
    at.rough = up(at.partial + partials, 256);
    at.turned = at.rough + up(planes, 256);
    at.bytes = at.turned + planes;
    return at;
}

template <typename T>
static int make_views(struct cuda *cu, const struct piece *p, const struct group *g,
                      unsigned char *dev, const struct layout &at, const scaling &of)
{
    const struct job *jobs = (const struct job *)dev + g->job;
    float *partial = (float *)(dev + at.partial), *rough = (float *)(dev + at.rough);
    columns_grid grid = grid_of(g->side);
    outputs<float> turned = { { (float *)(dev + at.turned) } };
    outputs<T> out = {};
    for (size_t k = 0; k < g->count; k++)
        out.at[k] = (T *)p->of->out[g->first + k];
    size_t side = g->side, tiles = up(side, TILE_X) / TILE_X * (up(side, TILE_Y) / TILE_Y);
    size_t radius = side / KERN_BLUR_PART, weights = (2 * radius + 1) * sizeof(float);
    dim3 tile(TILE_X * 3, RUNS);
    int rc = 0;
    if (g->jitters)
        rc = launch(cu->stream, means, dim3(grid.blocks, g->jitters), dim3(grid.threads), 0,
                    partial, dev, jobs + g->jittered, side);
    if (rc == 0)
        rc = launch(cu->stream, views<T>, dim3(grid.blocks, g->jobs), dim3(grid.threads), 0, out,
                    rough, partial, dev, jobs, side, g->blurred, g->jittered, of);
    if (rc == 0 && g->blurred)
        rc = launch(cu->stream, blur<float, false>, dim3(tiles, g->blurred), tile, weights, turned,
                    rough, jobs, side, radius, of);
    if (rc == 0 && g->blurred)
        rc = launch(cu->stream, blur<T, true>, dim3(tiles, g->blurred), tile, weights, out,
                    turned.at[0], jobs, side, radius, of);
    return rc;
}

/* A planned piece: packed, uploaded, its groups launched. */
static int make_piece(struct kern *kn, struct piece *p, const scaling &of)
{
    struct cuda *cu = cuda_of(kn);
    int rc = next_buffer(cu, p), n = 0;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < p->ngroups; i++)
        n = make_jobs(p, &p->group[i], n);
    kn->pool_run(kn->pool, p->count, pack_box, p);
    struct layout at = lay_out(p);
    unsigned char *dev = (unsigned char *)cuda_scratch(kn, at.bytes);
    if (!dev)
        return -ENOMEM;
    rc = cuda_error(cudaMemcpyAsync(dev, p->host, p->bytes, cudaMemcpyHostToDevice, cu->stream));
    if (rc == 0)
        rc = cuda_error(cudaEventRecord(p->buffer->copied, cu->stream));
    for (size_t i = 0; i < p->ngroups && rc == 0; i++)
        rc = with_type(p->of->type, [&](auto number) {
            return make_views<decltype(number)>(cu, p, &p->group[i], dev, at, of);
        });
    return rc;
}

/* The copy of a piece, whose buffer grows by doubling, its unblurred views and sums of them. */
size_t cuda_augment_scratch(void)
{
    return 2 * (size_t)PIECE + 2 * (size_t)PLANES + (size_t)PIECE / 4;
}

int cuda_augment(struct kern *kn, const struct kern_views *v)
{
    scaling of;
    for (int ch = 0; ch < 3; ch++) {
        of.mean[ch] = v->mean[ch];
        of.inverse[ch] = 1 / v->dev[ch];
    }
    for (size_t i = 0; i < v->n; i++)
        if (v->picture[i].h > INT_MAX || v->picture[i].w > INT_MAX)
            return -ENOTSUP;
    struct piece p = {};
    p.of = v;
    p.box = (struct box *)malloc(MIN(v->n, (size_t)MOST_VIEWS) * sizeof(*p.box));
    p.group = (struct group *)malloc(v->each * sizeof(*p.group));
    int rc = p.box && p.group ? 0 : -ENOMEM;
    p.ngroups = rc == 0 ? make_groups(p.group, v) : 0;
    for (; p.first < v->n && rc == 0; p.first += p.count) {
        plan(&p);
        rc = make_piece(kn, &p, of);
    }
    free(p.box);
    free(p.group);
    return rc;
}
