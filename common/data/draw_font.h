/*
 * draw_font.h - the built-in font: each character as a few straight pieces of stroke.
 *
 * Units: capitals are 9 high, small letters 6, descenders reach 3 below the base line; a line is
 * 15.
 */
#ifndef SEMPPL_DRAW_FONT_H
#define SEMPPL_DRAW_FONT_H

#include "common/base/base.h"

#define FONT_LINE 15.0
#define FONT_ASCENT 11.0 /* from the top of the line to the base line */
#define FONT_STROKE 1.25 /* width of a stroke */
#define FONT_MAX_SEGMENTS 96

struct font_glyph {
    int n;
    double seg[FONT_MAX_SEGMENTS][4]; /* x0 y0 x1 y1, y upwards from the base line */
    double advance;
};

/* c: ASCII; anything else is a box. */
void font_glyph(struct font_glyph *g, unsigned c);

#endif
