/*
 * draw.h - a small canvas on struct image: rectangles, lines, text and scaled pictures, with smooth
 * edges.
 *
 * Colours are 0xRRGGBB. Coordinates are pixels from the top left corner, y downwards; what falls
 * outside the canvas is cut off. Text is UTF-8 in a built-in font of strokes (ASCII; other
 * characters and bytes show as a box), so that no font file is needed and any size looks the same.
 */
#ifndef SEMPPL_DRAW_H
#define SEMPPL_DRAW_H

#include "common/data/image.h"

enum draw_colour {
    DRAW_WHITE = 0xffffff,
    DRAW_INK = 0x1f2933,
    DRAW_MUTED = 0x6b7785,
    DRAW_GRID = 0xdde2e8,
    DRAW_PAPER = 0xf4f6f8,
    DRAW_GOOD = 0x2e9e5b,
    DRAW_BAD = 0xd64545,
    DRAW_BLUE = 0x2b6cb0,
    DRAW_ORANGE = 0xdd7a1e,
    DRAW_PURPLE = 0x7c52b8,
};

/* A canvas of one colour; release it with image_release(). */
int draw_init(struct image *im, size_t w, size_t h, unsigned colour);

void draw_rect(struct image *im, double x, double y, double w, double h, unsigned colour);
/* Four sides of the given width, inside the rectangle. */
void draw_frame(struct image *im, double x, double y, double w, double h, double width,
                unsigned colour);
/* A line with round ends. */
void draw_line(struct image *im, double x0, double y0, double x1, double y1, double width,
               unsigned colour);
/* The colour that lies between two, at = 0 .. 1. */
unsigned draw_mix(unsigned a, unsigned b, double at);

/*
 * Text whose line is size pixels high (capitals are 0.6 of it), its top left corner at (x, y).
 * draw_text_up() writes upwards, from (x, y) as the bottom left corner.
 */
void draw_text(struct image *im, double x, double y, double size, unsigned colour,
               const char *text);
void draw_text_up(struct image *im, double x, double y, double size, unsigned colour,
                  const char *text);
double draw_text_width(double size, const char *text);
/* text, or as much of its beginning as fits width with ".." behind it, in buf of n >= 8 bytes;
 * tail: keep its end instead. Returns buf. */
const char *draw_text_fit(char *buf, size_t n, double size, double width, const char *text,
                          bool tail);

/* pic scaled to fit the box, centred in it, its proportions kept. */
int draw_picture(struct image *im, size_t x, size_t y, size_t w, size_t h, const struct image *pic);

/* -- whole pictures (draw_chart.c, draw_matrix.c, draw_sheet.c) ---- */

struct chart_line {
    const char *name;
    const double *y; /* [n]; NaN where there is none */
    unsigned colour;
};

/* One panel of curves over common x. */
struct chart {
    const char *title;
    const struct chart_line *line;
    size_t nlines;
    bool from_zero; /* the y axis begins at 0 */
    bool exact;     /* no running mean: the numbers have no noise */
};

/*
 * Panels below each other, over the same x [n]. Each curve is drawn pale, and over it its running
 * mean over n/40 points, or itself if exact. -EINVAL (worded) if n is 0.
 */
int draw_charts(struct image *im, const char *title, const char *xlabel, const struct chart *chart,
                size_t ncharts, const double *x, size_t n);

/* count [n][n]: row = truth, column = predicted; name [n]. Cells are shaded by their share of the
 * row. */
int draw_confusion(struct image *im, const char *title, char *const *name, const uint64_t *count,
                   size_t n);

struct sheet_cell {
    const struct image *pic; /* NULL: not at hand */
    char *line[2];           /* captions, may be NULL */
    enum { SHEET_PLAIN, SHEET_GOOD, SHEET_BAD, SHEET_UNSURE } mark;
};

/* A contact sheet: rows of a picture followed by ncols - 1 others, which have a common heading;
 * cell [nrows][ncols]. What marks mean is told if there are any. */
int draw_sheet(struct image *im, const char *title, const char *others,
               const struct sheet_cell *cell, size_t nrows, size_t ncols);

#endif
