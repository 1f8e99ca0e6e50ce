/*
 * fuzz_image.c - any bytes as a picture: decoded, resized and encoded again, or refused; what a
 * box shows is what the whole picture shows there.
 */
#include "common/data/image.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    for (int keep = 0; keep < 2; keep++) {
        struct image im, small;
        struct image_info info;
        uint8_t *out;
        size_t len;
        if (image_decode(&im, &info, bytes, n, keep) < 0)
            continue;
        if (info.h != im.h || info.w != im.w || info.orientation < 1 || info.orientation > 8)
            abort();
        struct image_box box = { im.h / 3, im.w / 2, 1, 1 };
        struct image part;
        if (keep && im.h * im.w < 1 << 20) {
            size_t at = (box.top * im.w + box.left) * 3;
            if (image_decode_box(&part, bytes, n, &box) < 0 ||
                memcmp(im.rgb + at, part.rgb + at, 3) != 0)
                abort();
            image_release(&part);
        }
        if (im.h * im.w < 1 << 20 && image_square(&small, &im, 16) == 0) {
            if (image_encode_jpeg(&small, 95, &out, &len) == 0)
                free(out);
            image_release(&small);
        }
        image_release(&im);
        image_big_end(&info);
    }
    return 0;
}
