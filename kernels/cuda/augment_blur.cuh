/*
 * augment_blur.cuh - for augment.cu: the Gaussian blur, one axis a launch.
 */
#ifndef SEMPPL_AUGMENT_BLUR_CUH
#define SEMPPL_AUGMENT_BLUR_CUH

#include "kernels/cuda/augment_colour.cuh"

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

#endif
