/*
 * intake.c - see intake.h.
 */
#include "common/data/intake.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/data/image.h"
#include "common/data/saliency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { QUALITY = 95, SIDE_MOST = UINT16_MAX }; /* SIDE_MOST: what a shard's size column holds */

static int unusable(struct intake *in, const char *reason)
{
    in->reason = reason;
    snprintf(in->detail, sizeof in->detail, "%s", fail_text());
    intake_release(in);
    return 0;
}

void intake_release(struct intake *in)
{
    free(in->bytes);
    free(in->mask);
    in->bytes = in->mask = NULL;
}

/* -- masks ---- */

/* The mask file of a key: its last ending is replaced by one of ours, the first that is there. The
 * caller's; NULL with rc 0 if there is none. */
static int find_mask(char **path, const char *folder, const char *key)
{
    static const char *const endings[] = { ".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG" };
    const char *name = strrchr(key, '/'), *dot = strrchr(name != NULL ? name : key, '.');
    int stem = (int)(dot != NULL ? (size_t)(dot - key) : strlen(key));
    struct stat st;
    *path = NULL;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        char *candidate = mem_printf("%s/%.*s%s", folder, stem, key, endings[i]);
        if (candidate == NULL)
            return -ENOMEM;
        if (stat(candidate, &st) == 0 && !S_ISDIR(st.st_mode)) {
            *path = candidate;
            return 0;
        }
        free(candidate);
    }
    return 0;
}

static int read_file(const char *path, uint8_t **bytes, size_t *n)
{
    struct source one;
    const char *reason;
    source_init(&one);
    int rc = source_add_operand(&one, path, false);
    if (rc == 0)
        rc = source_finish(&one);
    if (rc == 0 && (rc = source_read(&one, 0, bytes, n, &reason)) > 0)
        rc = fail(-EINVAL, "%s", reason);
    source_release(&one);
    return rc;
}

/* A picture's mask from its file, h x w; a fault of the file is the picture's to tell. */
static int load_mask(struct mask *m, struct intake *in, const struct image_info *info,
                     const char *folder, const char *key)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    char *path;
    int rc = find_mask(&path, folder, key);
    if (rc < 0 || path == NULL)
        return rc;
    rc = read_file(path, &bytes, &n);
    if (rc == 0)
        rc = mask_decode(m, bytes, n);
    if (rc == 0 && (m->h != info->h || m->w != info->w)) {
        rc = fail(-EINVAL, "it is %zu x %zu, the picture %zu x %zu", m->w, m->h, info->w, info->h);
        mask_release(m);
    }
    if (rc < 0 && rc != -ENOMEM) {
        snprintf(in->fault, sizeof in->fault, "%s: %s", path, fail_text());
        rc = 0;
    }
    free(bytes);
    free(path);
    return rc;
}

/* The mask goes where the picture went, and becomes what the shard stores of it. */
static int store_mask(struct intake *in, struct mask *m, const struct intake_rule *rule)
{
    int rc = 0;
    if (rule->pixels > 0)
        rc = mask_square(m, rule->pixels);
    else if (m->h != in->h || m->w != in->w)
        rc = mask_resize(m, in->h, in->w);
    if (rc < 0 || mask_cover(m) == 0)
        return rc;
    if (rule->pixels == 0)
        return mask_encode(m, &in->mask, &in->nmask);
    in->mask = m->plane; /* taken over */
    in->nmask = m->h * m->w;
    m->plane = NULL;
    return 0;
}

/* -- pictures ---- */

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

static int decode(struct intake *in, const char *key, const struct intake_rule *rule, bool store)
{
    struct image im;
    struct image_info info;
    struct mask mask = { 0 };
    int rc = image_decode(&im, &info, in->bytes, in->n, rule->keep);
    in->h = info.h;
    in->w = info.w;
    in->orientation = info.orientation;
    in->truncated = info.truncated;
    snprintf(in->detail, sizeof in->detail, "%s", info.warning);
    if (rc == 0 && (im.h > SIDE_MOST || im.w > SIDE_MOST))
        rc = fail(-EFBIG, "%zu x %zu pixels; a side is at most %d", im.w, im.h, SIDE_MOST);
    if (rc == 0 && store && rule->saliency && (rc = saliency_mask(&mask, &im)) > 0)
        rc = 0; /* there is one */
    if (rc == 0 && store)
        rc = transform(in, &im, rule);
    image_release(&im);
    image_big_end(&info);
    /* a large mask waits for its turn as a large picture does: this one's must be over */
    if (rc == 0 && store && rule->masks != NULL)
        rc = load_mask(&mask, in, &info, rule->masks, key);
    if (rc == 0 && mask.plane != NULL)
        rc = store_mask(in, &mask, rule);
    mask_release(&mask);
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
    rc = decode(in, source_key(s, i), rule, store);
    in->decoding = log_seconds() - start - in->reading;
    if (rc == -ENOMEM)
        return fail(rc, "%s: %s", source_key(s, i), fail_text());
    return rc == 0        ? 0
           : rc == -EIO   ? unusable(in, "truncated")
           : rc == -EFBIG ? unusable(in, "too large")
                          : unusable(in, "damaged");
}

/* Where masks come from, as one more member of the recipe. */
static const char *mask_recipe(const struct intake_rule *rule)
{
    return rule->saliency        ? ", \"masks\": \"" SALIENCY_METHOD "\""
           : rule->masks != NULL ? ", \"masks\": \"given\""
                                 : "";
}

char *intake_recipe(const struct intake_rule *rule)
{
    const char *how = "accurate DCT, fancy upsampling, EXIF orientation applied";
    const char *masks = mask_recipe(rule);
    if (rule->pixels > 0)
        return mem_printf("{\"decoder\": \"%s\", \"decoding\": \"%s\", \"resize\": \"short side to "
                          "%zu, bicubic, antialiased; centre crop\"%s}",
                          image_jpeg_library(), how, rule->pixels, masks);
    if (rule->short_side > 0)
        return mem_printf("{\"decoder\": \"%s\", \"decoding\": \"%s\", \"resize\": \"short side to "
                          "at most %zu, bicubic, antialiased\", \"encoding\": \"JPEG, quality %d, "
                          "4:4:4, where resized\"%s}",
                          image_jpeg_library(), how, rule->short_side, QUALITY, masks);
    return mem_printf("{\"decoder\": \"%s\", \"bytes\": \"as found\"%s}", image_jpeg_library(),
                      masks);
}
