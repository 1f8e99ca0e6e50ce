/*
 * image_exif.c - the one thing that we want from EXIF: which way is up.
 *
 * Source: EXIF 2.32 / TIFF 6.0: a header with the byte order, then a directory of 12-byte entries;
 * tag 0x0112 of the first directory.
 */
#include "common/data/image_codec.h"

#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY = 12 };

static uint32_t number(const uint8_t *p, size_t bytes, bool big_endian)
{
    uint32_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | p[big_endian ? i : bytes - 1 - i];
    return v;
}

int image_exif_orientation(const uint8_t *tiff, size_t n)
{
    if (n < 8 || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0))
        return 1;
    bool big_endian = tiff[0] == 'M';
    size_t at = number(tiff + 4, 4, big_endian);
    if (at > n - 2)
        return 1;
    size_t entries = number(tiff + at, 2, big_endian);
    for (at += 2; entries > 0 && n - at >= ENTRY; at += ENTRY, entries--) {
        if (number(tiff + at, 2, big_endian) != TAG_ORIENTATION)
            continue;
        uint32_t type = number(tiff + at + 2, 2, big_endian);
        if (type != TYPE_SHORT && type != TYPE_LONG)
            return 1;
        uint32_t v = number(tiff + at + 8, type == TYPE_SHORT ? 2 : 4, big_endian);
        return v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}
