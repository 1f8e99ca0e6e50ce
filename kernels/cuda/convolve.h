/*
 * convolve.h - private to the CUDA plugin: a convolution on its way from the slots of kern.h to a
 * library's engine.
 *
 * conv.c           the slots: what is one call there are here up to three steps
 * conv_form.c      the same convolution with channels that matrix units like
 * conv_plan.c      which engine: from memory, from a file, or by timing those that the library has
 * conv_file.c      the file of timings
 * conv_pack.cu     weights, thin inputs and gradients, there and back
 * conv_plain.cu    any convolution, slowly: for shapes that no engine takes
 * cudnn*.c         the library: cuDNN. For the device of tests tests/cuda/convolve.cu is in its
 * place
 */
#ifndef SEMPPL_CUDA_CONVOLVE_H
#define SEMPPL_CUDA_CONVOLVE_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -- what is asked of an engine ---- */

/*
 * Weights are [k][kh][kw][c] of cv.type here, and so are their gradients.
 *
 *                    out    a    b
 * CONVOLVE_FORWARD   y      x    w     then what kern_epilogue says of scale, if affine
 * CONVOLVE_DATA      dx     dy   w     plus old, if add
 * CONVOLVE_WEIGHTS   dw     x    dy
 */
enum convolve_pass { CONVOLVE_FORWARD, CONVOLVE_DATA, CONVOLVE_WEIGHTS };

struct convolve {
    enum convolve_pass pass;
    struct kern_conv cv;
    bool affine, residual, relu; /* forward */
    bool add;                    /* data */
    bool tf32;                   /* products of float32 may be TF32 (kern.h) */
};

struct convolve_arrays {
    void *out;
    const void *a, *b;
    const float *scale, *shift; /* affine */
    const void *old;            /* residual, which is not out, or what is added to, which may be */
};

/* -- conv_form.c ---- */

/*
 * The convolution that stands for another: channels are filled up to a multiple of 8, what is
 * padded lies in memory, and of a thin input with stride 2 blocks of 2 x 2 pixels are one pixel
 * each, with stride 1 (a 7x7 window over 3 channels becomes a 4x4 window over 16, of which 12 are
 * used). With s = step, windows and strides in units of blocks,
 *
 * x'[n][u][v][(a*s + b)*c + ch] = x[n][s*u + a - pad_top][s*v + b - pad_left][ch], 0 outside
 * w'[k][t][u][(a*s + b)*c + ch] = w[k][ch][s*t + a][s*u + b], likewise
 */
struct conv_form {
    struct kern_conv of; /* as the slot was called */
    struct kern_conv cv; /* as the engine sees it */
    unsigned step;
    bool copied; /* the input is; else only weights change places */
};
struct conv_form conv_form_of(const struct kern_conv *cv);

size_t conv_input_numbers(const struct kern_conv *cv); /* in x, y and w */
size_t conv_output_numbers(const struct kern_conv *cv);
size_t conv_weight_numbers(const struct kern_conv *cv);

/* -- conv_pack.cu, beside a slot ---- */

/* dw (OIHW float32) += from (as the engine wrote it). */
int conv_add_weights(struct kern *kn, const struct conv_form *f, float *dw, const void *from);
int conv_pack_input(struct kern *kn, const struct conv_form *f, void *to, const void *x);
/* The gradient of the input, = or += if add. */
int conv_unpack_input(struct kern *kn, const struct conv_form *f, void *dx, const void *from,
                      bool add);
/* to = a + b of n numbers; to may be a. */
int conv_sum(struct kern *kn, enum kern_type type, void *to, const void *a, const void *b,
             size_t n);
/* *differs = 1 if the two are not the same bits; a multiple of 2 bytes. */
int conv_compare(struct kern *kn, int *differs, const void *a, const void *b, size_t bytes);

/* -- conv_plain.cu ---- */

int conv_plain(struct kern *kn, const struct convolve *what, const struct convolve_arrays *at);

/* -- conv_plan.c ---- */

struct conv_plan;

/*
 * How to do what, found once for each shape; at: NULL stands for scratch, the rest is only looked
 * at for its alignment.
 */
int conv_plan_of(struct kern *kn, const struct convolve *what, const struct convolve_arrays *at,
                 struct conv_plan **plan);
/* Bytes that conv_plan_run() wants, aligned to 256. */
size_t conv_plan_scratch(const struct conv_plan *plan);
/*
 * If ways are still to be compared, does so first, with these arrays, unless a graph is being
 * captured: then the likeliest stays.
 */
int conv_plan_run(struct kern *kn, struct conv_plan *plan, const struct convolve_arrays *at,
                  void *scratch);
/* Forgets all plans; for the end of a handle. */
void cuda_conv_close(struct cuda *cu);

/* -- conv_file.c ---- */

/*
 * One line a convolution in the file convolutions.txt of the folder $SEMPPL_CACHE, else
 * $XDG_CACHE_HOME/semppl, else ~/.cache/semppl: key (device, library, what), engine, nanoseconds,
 * with tabs between. Lines that are damaged, or not of this key, are passed over. No file is no
 * error; with SEMPPL_CACHE empty there is none.
 */
enum { CONV_NAME = 512 };
bool conv_file_find(const char *key, char engine[CONV_NAME]);
void conv_file_put(const char *key, const char *engine, double ns);

/* -- the library: cudnn.c, tests/cuda/convolve.cu ---- */

struct engine;

/* 0: it is there. -ENOTSUP: it is not, and why, a sentence without an end. */
int engine_library_find(char *why, size_t room);
/* Its version, or why it is not there. */
void engine_library_report(char *text, size_t room);
/* The library's side of a handle, with a name and version that plans may depend on. */
int engine_library_open(struct kern *kn, void **library);
void engine_library_close(void *library);
const char *engine_library_version(const void *library);

/*
 * Engines that do what, best guess first, most of them at most: deterministic ones, float32 in
 * float32 unless tf32. Their workspace is at most ENGINE_WORKSPACE. A name: only the engine
 * that is called so. Returns their number, 0 if there is none, or a negative errno.
 *
 * An engine wants pointers that are multiples of 16 bytes.
 */
#define ENGINE_WORKSPACE ((size_t)512 << 20)
int engines_for(void *library, const struct convolve *what, const char *name, struct engine **list,
                int most);
const char *engine_name(const struct engine *e); /* printable, no white space */
size_t engine_workspace(const struct engine *e);
int engine_run(void *library, const struct engine *e, const struct convolve_arrays *at,
               void *workspace);
void engine_free(struct engine *e);

#ifdef __cplusplus
}
#endif

#endif
