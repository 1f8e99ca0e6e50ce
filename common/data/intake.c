/*
 * intake.c - see intake.h.
 */
#include "common/data/intake.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/data/image.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUALITY = 95, SIDE_MOST = UINT16_MAX }; /* SIDE_MOST: what a shard's size column holds */

static int unusable(struct intake *in, const char *reason)
{
    in->reason = reason;
    snprintf(in->detail, sizeof in->detail, "%s", fail_text());
    free(in->bytes);
    in->bytes = NULL;
    return 0;
}

/* Bytes of the file become what the shard stores. */
static int transform(struct intake *in, const struct image *im, const struct intake_rule *rule)
{
    struct image out = { 0 };
    int rc;
    if (rule->pixels > 0) {
        if ((rc = image_square(&out, im, rule->pixels)) < 0)
            return rc;
        free(in->bytes);
        in->bytes = out.rgb; /* taken over */
        in->n = out.h * out.w * 3;
    } else if (rule->short_side > 0 && MIN(im->h, im->w) > rule->short_side) {
        if ((rc = image_short_side(&out, im, rule->short_side)) < 0)
            return rc;
        free(in->bytes);
        rc = image_encode_jpeg(&out, QUALITY, &in->bytes, &in->n);
        free(out.rgb);
    } else {
        return 0;
    }
    in->h = out.h;
    in->w = out.w;
    return rc;
}

static int decode(struct intake *in, const struct intake_rule *rule, bool store)
{
    struct image im;
    struct image_info info;
    int rc = image_decode(&im, &info, in->bytes, in->n, rule->keep);
    in->h = info.h;
    in->w = info.w;
    in->orientation = info.orientation;
    in->truncated = info.truncated;
    snprintf(in->detail, sizeof in->detail, "%s", info.warning);
    if (rc == 0 && (im.h > SIDE_MOST || im.w > SIDE_MOST))
        rc = fail(-EFBIG, "%zu x %zu pixels; a side is at most %d", im.w, im.h, SIDE_MOST);
    if (rc == 0 && store)
        rc = transform(in, &im, rule);
    image_release(&im);
    image_big_end(&info);
    return rc;
}

int intake_read(struct intake *in, const struct source *s, size_t i, const struct intake_rule *rule,
                bool store)
{
    double start = log_seconds();
    *in = (struct intake){ 0 };
    int rc = source_read(s, i, &in->bytes, &in->n, &in->reason);
    in->reading = log_seconds() - start;
    if (rc != 0)
        return rc < 0 ? rc : unusable(in, in->reason);
    in->id = rows_hash(ROWS_HASH0, in->bytes, in->n);
    rc = decode(in, rule, store);
    in->decoding = log_seconds() - start - in->reading;
    if (rc == -ENOMEM)
        return fail(rc, "%s: %s", source_key(s, i), fail_text());
    return rc == 0        ? 0
           : rc == -EIO   ? unusable(in, "truncated")
           : rc == -EFBIG ? unusable(in, "too large")
                          : unusable(in, "damaged");
}

char *intake_recipe(const struct intake_rule *rule)
{
    const char *how = "accurate DCT, fancy upsampling, EXIF orientation applied";
    if (rule->pixels > 0)
        return mem_printf("{\"decoder\": \"%s\", \"decoding\": \"%s\", \"resize\": \"short side to "
                          "%zu, bicubic, antialiased; centre crop\"}",
                          image_jpeg_library(), how, rule->pixels);
    if (rule->short_side > 0)
        return mem_printf("{\"decoder\": \"%s\", \"decoding\": \"%s\", \"resize\": \"short side to "
                          "at most %zu, bicubic, antialiased\", \"encoding\": \"JPEG, quality %d, "
                          "4:4:4, where resized\"}",
                          image_jpeg_library(), how, rule->short_side, QUALITY);
    return mem_printf("{\"decoder\": \"%s\", \"bytes\": \"as found\"}", image_jpeg_library());
}
