/*
 * fuzz_image.c - any bytes as a picture: decoded, resized and encoded again, or refused.
 */
#include "common/data/image.h"
#include <stdlib.h>

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
