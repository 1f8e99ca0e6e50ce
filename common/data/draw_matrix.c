/*
 * draw_matrix.c - the confusion matrix as a picture.
 *
 * A row is a true class; a cell's shade is its share of the row, blue on the diagonal, red beside
 * it. Up to LABELLED classes have names and percentages; beyond that cells shrink to a few pixels.
 */
#include "common/data/draw.h"
#include <math.h>
#include <stdio.h>

enum { TEXT = 17, HEAD = 56, PAD = 24, NAMES = 180, LABELLED = 40, LARGEST = 1600 };

static size_t cell_side(size_t n)
{
    if (n <= 12)
        return 58;
    if (n <= LABELLED)
        return 34;
    return MAX((size_t)1, LARGEST / n);
}

static void cell(struct image *im, double x, double y, double side, uint64_t count, uint64_t total,
                 bool diagonal)
{
    double share = total ? (double)count / (double)total : 0;
    unsigned full = diagonal ? DRAW_BLUE : DRAW_BAD;
    /* the square root lets rare mistakes show */
    draw_rect(im, x, y, side, side, draw_mix(DRAW_PAPER, full, sqrt(share) * 0.95));
    if (side < 30 || count == 0)
        return;
    char buf[16];
    double percent = 100 * share, size = side >= 50 ? TEXT : 13;
    snprintf(buf, sizeof buf, percent < 9.95 && side >= 50 ? "%.1f" : "%.0f", percent);
    draw_text(im, x + (side - draw_text_width(size, buf)) / 2, y + (side - size * 0.95) / 2, size,
              share > (diagonal ? 0.25 : 0.5) ? DRAW_WHITE : DRAW_INK, buf);
}

static double name_size(size_t side)
{
    return side >= 50 ? TEXT : 14;
}

/* Room for the longest name. */
static size_t name_room(char *const *name, size_t n, double size)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, draw_text_width(size, name[i]));
    return (size_t)ceil(fmin(most + 16, NAMES));
}

static void names(struct image *im, char *const *name, size_t n, double left, double top,
                  double side)
{
    char buf[256];
    double size = name_size((size_t)side);
    for (size_t i = 0; i < n; i++) {
        double at = ((double)i + 0.5) * side;
        draw_text_fit(buf, sizeof buf, size, NAMES - 14, name[i], false);
        draw_text(im, left - 10 - draw_text_width(size, buf), top + at - size * 0.48, size,
                  DRAW_INK, buf);
        draw_text_up(im, left + at - size * 0.48, top - 10, size, DRAW_INK, buf);
    }
}

int draw_confusion(struct image *im, const char *title, char *const *name, const uint64_t *count,
                   size_t n)
{
    bool labelled = n <= LABELLED;
    size_t side = cell_side(n), room = labelled ? name_room(name, n, name_size(side)) : 16;
    size_t left = PAD + room, top = HEAD + room;
    size_t w = left + n * side + PAD, h = top + n * side + PAD + 30;
    w = MAX(w, (size_t)ceil(draw_text_width(26, title)) + 2 * PAD);
    int rc = draw_init(im, w, h, DRAW_WHITE);
    if (rc < 0)
        return rc;
    draw_text(im, PAD, 14, 26, DRAW_INK, title);
    for (size_t r = 0; r < n; r++) {
        uint64_t total = 0;
        for (size_t c = 0; c < n; c++)
            total += count[r * n + c];
        for (size_t c = 0; c < n; c++) {
            double gap = side >= 4 ? 1 : 0;
            cell(im, (double)(left + c * side), (double)(top + r * side), (double)side - gap,
                 count[r * n + c], total, r == c);
        }
    }
    if (labelled)
        names(im, name, n, (double)left, (double)top, (double)side);
    draw_text(im, (double)left, (double)h - 38, TEXT, DRAW_MUTED,
              "rows: true class, columns: class given; percent of the row");
    return 0;
}
