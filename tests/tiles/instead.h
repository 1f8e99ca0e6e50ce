/*
 * instead.h - the imitated tile unit (tiles.h) in the place of the compiler's intrinsics: included
 * before all else (-include) where the *_amx.c of kernels/cpu are compiled for it.
 */
#ifndef SEMPPL_TESTS_TILES_INSTEAD_H
#define SEMPPL_TESTS_TILES_INSTEAD_H

#include "tests/tiles/tiles.h"
#include <immintrin.h>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_dpbf16ps

#define _tile_loadconfig(config) tiles_configure(config)
#define _tile_release() tiles_release()
#define _tile_zero(tile) tiles_zero(tile)
#define _tile_loadd(tile, from, stride) tiles_load(tile, from, (ptrdiff_t)(stride))
#define _tile_stream_loadd(tile, from, stride) tiles_load(tile, from, (ptrdiff_t)(stride))
#define _tile_stored(tile, to, stride) tiles_store(tile, to, (ptrdiff_t)(stride))
#define _tile_dpbf16ps(c, a, b) tiles_multiply(c, a, b)

#endif
