/*
 * tiles.h - the tile unit in plain C, so that the *_amx.c of kernels/cpu run, and are tested, where
 * there is none. They are compiled once more with instead.h, and linked before the library, whose
 * own are then not taken.
 *
 * A thread has eight tiles of up to 16 rows of 64 bytes. Source of every rule and of the order of
 * sums: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18, and
 * volume 2, LDTILECFG, TILELOADD, TILESTORED and TDPBF16PS. What faults there, ends the program
 * here, with a sentence; so does what no kernel means to do: to use tiles that are not configured,
 * or to store rows that overlap.
 */
#ifndef SEMPPL_TESTS_TILES_H
#define SEMPPL_TESTS_TILES_H

#include <stdbool.h>
#include <stddef.h>

/* config: 64 bytes as LDTILECFG reads them. All tiles become zeros. */
void tiles_configure(const void *config);
void tiles_release(void); /* none is configured any more */
void tiles_zero(int tile);
/* Rows stride bytes apart. */
void tiles_load(int tile, const void *from, ptrdiff_t stride);
void tiles_store(int tile, void *to, ptrdiff_t stride);
/*
 * TDPBF16PS: c [m][n] += sum over k of a [m][k][0] b [k][n][0] and a [m][k][1] b [k][n][1]. Each of
 * the two is summed from 0 on by fused multiply-adds in the order of k, then they are added, then
 * c. Denormals, in and out, are 0; rounding is to nearest even.
 */
void tiles_multiply(int c, int a, int b);

bool tiles_used(void); /* has this process multiplied any? */

#endif
