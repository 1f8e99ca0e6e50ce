/*
 * device.h - where kernels run: --device of the programs that compute.
 *
 * cpu       the processor
 * cuda[:N]  CUDA device N (0), or a failure that says what is missing
 * auto      the first CUDA device if there is one that can be used, else the processor
 */
#ifndef SEMPPL_DEVICE_H
#define SEMPPL_DEVICE_H

#include "common/base/opt.h"
#include "kernels/kern.h"

extern const char *const device_words[]; /* for completions; NULL behind the last */
#define OPT_DEVICE(p)                                                                              \
    OPT_WORD(0, "device", p, "auto|cpu|cuda[:N]", device_words,                                    \
             "where to compute; auto: on a CUDA device if there is one")

/* Is it one of the above? -EUSAGE (worded) if not. */
int device_check(const char *device);

/*
 * A handle on the device, which is noted in this program's line of the history: "cpu", or "cuda"
 * and its name. -EUSAGE, -ENODEV or -ENOMEM (worded). With auto, a device that is there but does
 * not work is warned of.
 */
int device_open(struct kern **kn, struct pool *pool, const char *device);

/* Closes kn, NULL is fine. Returns rc, or, if that is due to a device that failed, -ENODEV with the
 * driver's words behind the sentence. */
int device_close(struct kern *kn, int rc);

#endif
