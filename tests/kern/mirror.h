/*
 * mirror.h - a device whose memory is apart, for callers that pass host memory.
 *
 * Tests of kernels make their arrays on the host. A mirrored handle takes them as they are: each
 * call has every array that it reads or writes copied to memory of the device made for it, with
 * what it held (so that what a kernel does not write shows), runs there, and has what it may write
 * copied back. Arrays that overlap do so on the device too, and lie as unaligned there. A kernel
 * that writes anywhere else, inputs and the bytes around an array included, ends the program.
 */
#ifndef SEMPPL_MIRROR_H
#define SEMPPL_MIRROR_H

#include "kernels/kern.h"

/* From now on all calls of kn, a device's, are as said above, those for memory too. */
void mirror(struct kern *kn);

#endif
