/*
 * augment_colour.cuh - for augment.cu: what jitter, greying, solarisation and normalising make of
 * one pixel. The formulas are those of cpu/augment_isa.c.
 */
#ifndef SEMPPL_AUGMENT_COLOUR_CUH
#define SEMPPL_AUGMENT_COLOUR_CUH

#include "kernels/cuda/augment_job.cuh"
#include "kernels/cuda/storage.cuh"

__device__ static inline float clip01(float x)
{
    return fminf(fmaxf(x, 0.0f), 1.0f);
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

#endif
