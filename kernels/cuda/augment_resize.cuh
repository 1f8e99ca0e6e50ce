/*
 * augment_resize.cuh - for augment.cu: a crop, resized to a view, column by column on the way down.
 */
#ifndef SEMPPL_AUGMENT_RESIZE_CUH
#define SEMPPL_AUGMENT_RESIZE_CUH

#include "kernels/cuda/augment_colour.cuh"

/* Keys' cubic, a = -0.5. */
__device__ static inline float keys(float x)
{
    x = fabsf(x);
    if (x <= 1)
        return (1.5f * x - 2.5f) * x * x + 1;
    return x < 2 ? ((-0.5f * x + 2.5f) * x - 4) * x + 2 : 0;
}

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

#endif
