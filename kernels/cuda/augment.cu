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
 */
#include "kernels/cuda/augment_blur.cuh"
#include "kernels/cuda/augment_pack.cuh"
#include "kernels/cuda/augment_resize.cuh"
#include <limits.h>
#include <stdlib.h>

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
