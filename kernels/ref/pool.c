/*
 * pool.c - the definition of max-pooling, and of the mean over the plane and over 2 x 2 windows.
 */
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

/* Index of the first maximum of a window, channel j. Every window has a cell inside. */
static size_t first_max(const struct kern_maxpool *mp, const void *x, size_t i, size_t p, size_t q,
                        size_t j)
{
    size_t best = SIZE_MAX;
    float most = -INFINITY;
    for (size_t r = 0; r < mp->side; r++)
        for (size_t s = 0; s < mp->side; s++) {
            size_t y = p * mp->stride + r - mp->pad_top, z = q * mp->stride + s - mp->pad_left;
            if (y >= mp->h || z >= mp->w) /* outside; before the edge wraps to something large */
                continue;
            size_t at = ((i * mp->h + y) * mp->w + z) * mp->c + j;
            float v = kern_load(mp->type, x, at);
            if (best == SIZE_MAX || v > most) {
                best = at;
                most = v;
            }
        }
    return best;
}

int ref_maxpool_forward(struct kern *kn UNUSED, const struct kern_maxpool *mp, void *y,
                        const void *x)
{
    size_t at = 0;
    for (size_t i = 0; i < mp->n; i++)
        for (size_t p = 0; p < mp->oh; p++)
            for (size_t q = 0; q < mp->ow; q++)
                for (size_t j = 0; j < mp->c; j++, at++)
                    kern_store(mp->type, y, at,
                               kern_load(mp->type, x, first_max(mp, x, i, p, q, j)));
    return 0;
}

int ref_maxpool_backward(struct kern *kn UNUSED, const struct kern_maxpool *mp, void *dx,
                         const void *dy, const void *x, const void *y UNUSED)
{
    size_t at = 0;
    memset(dx, 0, mp->n * mp->h * mp->w * mp->c * kern_sizeof(mp->type));
    for (size_t i = 0; i < mp->n; i++)
        for (size_t p = 0; p < mp->oh; p++)
            for (size_t q = 0; q < mp->ow; q++)
                for (size_t j = 0; j < mp->c; j++, at++) {
                    size_t to = first_max(mp, x, i, p, q, j);
                    kern_store(mp->type, dx, to,
                               kern_load(mp->type, dx, to) + kern_load(mp->type, dy, at));
                }
    return 0;
}

int ref_avgpool_forward(struct kern *kn UNUSED, enum kern_type type, float *y, const void *x,
                        size_t n, size_t cells, size_t c)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < c; j++) {
            double sum = 0;
            for (size_t p = 0; p < cells; p++)
                sum += kern_load(type, x, (i * cells + p) * c + j);
            y[i * c + j] = (float)(sum / (double)cells);
        }
    return 0;
}

int ref_avgpool_backward(struct kern *kn UNUSED, enum kern_type type, void *dx, const float *dy,
                         size_t n, size_t cells, size_t c)
{
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < cells; p++)
            for (size_t j = 0; j < c; j++)
                kern_store(type, dx, (i * cells + p) * c + j,
                           (float)((double)dy[i * c + j] / (double)cells));
    return 0;
}

/* Cells of a 2 x 2 window from cell at on that the mean divides by, along an axis of size cells. */
static size_t counted(const struct kern_avgpool2 *ap, size_t at, size_t size)
{
    return ap->stride == 2 ? 2 : MIN((size_t)2, size - at);
}

int ref_avgpool2_forward(struct kern *kn UNUSED, const struct kern_avgpool2 *ap, void *y,
                         const void *x)
{
    size_t at = 0;
    for (size_t i = 0; i < ap->n; i++)
        for (size_t p = 0; p < ap->h; p += ap->stride)
            for (size_t q = 0; q < ap->w; q += ap->stride)
                for (size_t j = 0; j < ap->c; j++, at++) {
                    double sum = 0;
                    for (size_t r = p; r < MIN(p + 2, ap->h); r++)
                        for (size_t s = q; s < MIN(q + 2, ap->w); s++)
                            sum +=
                                kern_load(ap->type, x, ((i * ap->h + r) * ap->w + s) * ap->c + j);
                    sum /= (double)(counted(ap, p, ap->h) * counted(ap, q, ap->w));
                    kern_store(ap->type, y, at, (float)sum);
                }
    return 0;
}

/* Element of y where the window from cell p, q on has its first channel. */
static size_t window_at(const struct kern_avgpool2 *ap, size_t i, size_t p, size_t q)
{
    size_t oh = (ap->h + ap->stride - 1) / ap->stride, ow = (ap->w + ap->stride - 1) / ap->stride;
    return ((i * oh + p / ap->stride) * ow + q / ap->stride) * ap->c;
}

int ref_avgpool2_backward(struct kern *kn UNUSED, const struct kern_avgpool2 *ap, void *dx,
                          const void *dy)
{
    size_t at = 0;
    for (size_t i = 0; i < ap->n; i++)
        for (size_t r = 0; r < ap->h; r++)
            for (size_t s = 0; s < ap->w; s++)
                for (size_t j = 0; j < ap->c; j++, at++) {
                    double sum = 0;
                    for (size_t p = r - (r > 0); p <= r; p++) /* where windows that hold it begin */
                        for (size_t q = s - (s > 0); q <= s; q++)
                            if (p % ap->stride == 0 && q % ap->stride == 0)
                                sum += kern_load(ap->type, dy, window_at(ap, i, p, q) + j) /
                                       (double)(counted(ap, p, ap->h) * counted(ap, q, ap->w));
                    kern_store(ap->type, dx, at, (float)sum);
                }
    return 0;
}
