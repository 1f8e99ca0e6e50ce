/*
 * augment_job.cuh - for augment.cu: what its kernels are told of a view, and how work is cut up.
 */
#ifndef SEMPPL_AUGMENT_JOB_CUH
#define SEMPPL_AUGMENT_JOB_CUH

#include "kernels/cuda/cuda.h"

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

#endif
