/*
 * mask.c - see mask.h. Masks are resized as pictures are, in three equal colours: they are few, and
 * so lie where the pictures do.
 */
#include "common/data/mask.h"
#include "common/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void mask_release(struct mask *m)
{
    free(m->plane);
    *m = (struct mask){ 0 };
}

/* The picture becomes the mask, in its memory. */
static void from_image(struct mask *m, struct image *im)
{
    uint8_t *plane = im->rgb;
    for (size_t i = 0; i < im->h * im->w; i++) {
        unsigned sum = im->rgb[3 * i] + im->rgb[3 * i + 1] + im->rgb[3 * i + 2];
        plane[i] = sum >= 3 * MASK_FOREGROUND ? 255 : 0;
    }
    *m = (struct mask){ im->h, im->w, plane };
    *im = (struct image){ 0 };
}

static int to_image(struct image *im, const struct mask *m)
{
    *im = (struct image){ m->h, m->w, mem_alloc(m->h * m->w, 3, "a mask") };
    if (im->rgb == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < 3 * m->h * m->w; i++)
        im->rgb[i] = m->plane[i / 3];
    return 0;
}

int mask_decode(struct mask *m, const uint8_t *bytes, size_t n)
{
    struct image im;
    int rc = image_decode_grey(&m->plane, &m->h, &m->w, bytes, n);
    if (rc != -ENOTSUP)
        return rc;
    rc = image_decode(&im, NULL, bytes, n, false);
    if (rc == 0)
        from_image(m, &im);
    return rc;
}

int mask_encode(const struct mask *m, uint8_t **out, size_t *n)
{
    uint8_t *plane = mem_alloc(m->h, m->w, "a mask");
    if (plane == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < m->h * m->w; i++)
        plane[i] = m->plane[i] >= MASK_FOREGROUND;
    int rc = image_encode_bits(plane, m->h, m->w, out, n);
    free(plane);
    return rc;
}

double mask_cover(const struct mask *m)
{
    size_t n = 0, all = m->h * m->w, i = 0;
    for (uint64_t eight; i + 8 <= all; i += 8) { /* foreground has the upper bit */
        memcpy(&eight, m->plane + i, sizeof eight);
        n += (size_t)__builtin_popcountll(eight & 0x8080808080808080u);
    }
    for (; i < all; i++)
        n += m->plane[i] >= MASK_FOREGROUND;
    return all > 0 ? (double)n / (double)all : 0;
}

/* The mask becomes what was made of its picture, if that went well. */
static int become(struct mask *m, struct image *in, struct image *out, int rc)
{
    image_release(in);
    if (rc < 0)
        return rc;
    mask_release(m);
    from_image(m, out);
    return 0;
}

int mask_resize(struct mask *m, size_t h, size_t w)
{
    struct image in, out;
    int rc = to_image(&in, m);
    return become(m, &in, &out, rc < 0 ? rc : image_resize(&out, &in, h, w));
}

int mask_square(struct mask *m, size_t px)
{
    struct image in, out;
    int rc = to_image(&in, m);
    return become(m, &in, &out, rc < 0 ? rc : image_square(&out, &in, px));
}
