/*
 * draw_sheet.c - the contact sheet: pictures in the first column, others beside each.
 */
#include "common/data/draw.h"
#include <math.h>

enum { SIDE = 120, GAP = 14, CAPTION = 40, HEAD = 84, PAD = 28, BREAK = 26, FRAME = 4, TEXT = 16 };

static unsigned mark_colour(int mark)
{
    return mark == SHEET_GOOD     ? DRAW_GOOD
           : mark == SHEET_BAD    ? DRAW_BAD
           : mark == SHEET_UNSURE ? DRAW_ORANGE
                                  : DRAW_GRID;
}

static int draw_cell(struct image *im, size_t x, size_t y, const struct sheet_cell *c)
{
    int rc = 0;
    double fx = (double)x, fy = (double)y;
    draw_rect(im, fx, fy, SIDE, SIDE, DRAW_PAPER);
    if (c->pic)
        rc = draw_picture(im, x + FRAME, y + FRAME, SIDE - 2 * FRAME, SIDE - 2 * FRAME, c->pic);
    else
        draw_text(im, fx + 14, fy + SIDE / 2.0 - 10, TEXT, DRAW_MUTED, "no picture");
    draw_frame(im, fx, fy, SIDE, SIDE, c->mark == SHEET_PLAIN ? 1 : FRAME, mark_colour(c->mark));
    for (int i = 0; i < 2 && rc >= 0; i++) {
        char buf[128];
        if (!c->line[i])
            continue;
        draw_text_fit(buf, sizeof buf, TEXT, SIDE, c->line[i], false);
        draw_text(im, fx, fy + SIDE + 3 + 18 * i, TEXT, i ? DRAW_MUTED : DRAW_INK, buf);
    }
    return rc;
}

/* What the frames mean, at the right of the head. */
static void legend(struct image *im, double x, double y)
{
    static const struct {
        int mark;
        const char *text;
    } item[] = { { SHEET_GOOD, "right" }, { SHEET_BAD, "wrong" }, { SHEET_UNSURE, "unsure" } };
    for (size_t i = ARRAY_LEN(item); i-- > 0;) {
        x -= draw_text_width(TEXT, item[i].text);
        draw_text(im, x, y, TEXT, DRAW_MUTED, item[i].text);
        draw_frame(im, x - 22, y, 15, 15, 3, mark_colour(item[i].mark));
        x -= 40;
    }
}

int draw_sheet(struct image *im, const char *title, const char *others,
               const struct sheet_cell *cell, size_t nrows, size_t ncols)
{
    bool marks = false;
    for (size_t i = 0; i < nrows * ncols; i++)
        marks |= cell[i].mark != SHEET_PLAIN;
    size_t w = 2 * PAD + ncols * (SIDE + GAP) - GAP + (ncols > 1 ? BREAK : 0);
    size_t h = HEAD + nrows * (SIDE + CAPTION + GAP) + PAD - GAP;
    w = MAX(w, (size_t)480);
    int rc = draw_init(im, w, h, DRAW_WHITE);
    if (rc < 0)
        return rc;
    char buf[256];
    draw_text_fit(buf, sizeof buf, 24, (double)w - 2 * PAD, title, false);
    draw_text(im, PAD, 14, 24, DRAW_INK, buf);
    draw_text(im, PAD, 54, TEXT, DRAW_MUTED, "picture");
    if (ncols > 1)
        draw_text(im, PAD + SIDE + GAP + BREAK, 54, TEXT, DRAW_MUTED, others);
    if (marks)
        legend(im, (double)w - PAD, 54);
    if (ncols > 1 && nrows > 0)
        draw_rect(im, PAD + SIDE + (GAP + BREAK) / 2.0 - 1, HEAD, 1, (double)(h - HEAD - PAD),
                  DRAW_GRID);
    for (size_t r = 0; r < nrows && rc >= 0; r++)
        for (size_t c = 0; c < ncols && rc >= 0; c++)
            rc = draw_cell(im, PAD + c * (SIDE + GAP) + (c ? BREAK : 0),
                           HEAD + r * (SIDE + CAPTION + GAP), &cell[r * ncols + c]);
    if (rc < 0)
        image_release(im);
    return rc;
}
