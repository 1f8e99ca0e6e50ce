/*
 * draw.c - rectangles, lines, text and pictures on a canvas.
 *
 * Everything is filled by coverage: a pixel's share of a rectangle, or its distance from a line,
 * so that edges are smooth at any position.
 */
#include "common/data/draw.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/draw_font.h"
#include <math.h>
#include <string.h>

int draw_init(struct image *im, size_t w, size_t h, unsigned colour)
{
    size_t n;
    *im = (struct image){ 0 };
    int rc = mem_product(&n, w, h);
    if (rc < 0)
        return rc;
    im->rgb = mem_alloc(n, 3, "a canvas");
    if (!im->rgb)
        return -ENOMEM;
    im->w = w;
    im->h = h;
    for (size_t i = 0; i < n; i++) {
        im->rgb[3 * i] = (uint8_t)(colour >> 16);
        im->rgb[3 * i + 1] = (uint8_t)(colour >> 8);
        im->rgb[3 * i + 2] = (uint8_t)colour;
    }
    return 0;
}

unsigned draw_mix(unsigned a, unsigned b, double at)
{
    unsigned out = 0;
    at = fmin(fmax(at, 0), 1);
    for (int shift = 0; shift < 24; shift += 8) {
        double x = a >> shift & 255, y = b >> shift & 255;
        out |= (unsigned)lrint(x + (y - x) * at) << shift;
    }
    return out;
}

static void blend(struct image *im, size_t x, size_t y, unsigned colour, double cover)
{
    uint8_t *p = im->rgb + 3 * (y * im->w + x);
    unsigned under = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
    unsigned c = draw_mix(under, colour, cover);
    p[0] = (uint8_t)(c >> 16);
    p[1] = (uint8_t)(c >> 8);
    p[2] = (uint8_t)c;
}

/* Pixels that [lo, hi] touches, cut to a side of n: first <= i < end. */
static void span(double lo, double hi, size_t n, size_t *first, size_t *end)
{
    lo = fmin(fmax(floor(lo), 0), (double)n);
    hi = fmin(fmax(ceil(hi), 0), (double)n);
    *first = (size_t)lo;
    *end = (size_t)hi;
}

static double overlap(double lo, double hi, size_t at)
{
    return fmax(0, fmin(hi, (double)at + 1) - fmax(lo, (double)at));
}

void draw_rect(struct image *im, double x, double y, double w, double h, unsigned colour)
{
    size_t x0, x1, y0, y1;
    span(x, x + w, im->w, &x0, &x1);
    span(y, y + h, im->h, &y0, &y1);
    for (size_t j = y0; j < y1; j++)
        for (size_t i = x0; i < x1; i++)
            blend(im, i, j, colour, overlap(x, x + w, i) * overlap(y, y + h, j));
}

void draw_frame(struct image *im, double x, double y, double w, double h, double width,
                unsigned colour)
{
    draw_rect(im, x, y, w, width, colour);
    draw_rect(im, x, y + h - width, w, width, colour);
    draw_rect(im, x, y + width, width, h - 2 * width, colour);
    draw_rect(im, x + w - width, y + width, width, h - 2 * width, colour);
}

/* Distance of a point from a line between two others. */
static double distance(double px, double py, double x0, double y0, double x1, double y1)
{
    double dx = x1 - x0, dy = y1 - y0, len2 = dx * dx + dy * dy;
    double t = len2 > 0 ? ((px - x0) * dx + (py - y0) * dy) / len2 : 0;
    t = fmin(fmax(t, 0), 1);
    return hypot(px - x0 - t * dx, py - y0 - t * dy);
}

void draw_line(struct image *im, double x0, double y0, double x1, double y1, double width,
               unsigned colour)
{
    double r = width / 2;
    size_t i0, i1, j0, j1;
    span(fmin(x0, x1) - r - 1, fmax(x0, x1) + r + 1, im->w, &i0, &i1);
    span(fmin(y0, y1) - r - 1, fmax(y0, y1) + r + 1, im->h, &j0, &j1);
    for (size_t j = j0; j < j1; j++)
        for (size_t i = i0; i < i1; i++) {
            double far = distance((double)i + 0.5, (double)j + 0.5, x0, y0, x1, y1);
            double cover = fmin(fmax(r + 0.5 - far, 0), 1);
            if (cover > 0)
                blend(im, i, j, colour, cover);
        }
}

/* The next character of UTF-8 text; bytes that are none of it count one by one, as 0xfffd. */
static unsigned next_char(const char **text)
{
    const uint8_t *p = (const uint8_t *)*text;
    unsigned c = *p++;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    for (int i = 0; i < more && (*p & 0xc0) == 0x80; i++)
        p++;
    *text = (const char *)p;
    return c < 0x80 ? c : 0xfffd;
}

/* Where text goes: a unit of the font in pixels, and the directions of writing. */
struct pen {
    struct image *im;
    double x, y, unit; /* the left end of the base line */
    bool up;
    unsigned colour;
};

/*
 * A glyph is drawn as one shape: the pixel takes the nearest of its strokes, so that crossings are
 * not darker.
 */
static void draw_glyph(const struct pen *pen, const struct font_glyph *g)
{
    double r = FONT_STROKE / 2 * pen->unit, box[4] = { 1e9, 1e9, -1e9, -1e9 };
    double at[FONT_MAX_SEGMENTS][4];
    if (g->n == 0)
        return;
    for (int s = 0; s < g->n; s++)
        for (int e = 0; e < 2; e++) {
            double u = g->seg[s][2 * e] * pen->unit, v = g->seg[s][2 * e + 1] * pen->unit;
            double x = pen->up ? pen->x - v : pen->x + u, y = pen->up ? pen->y - u : pen->y - v;
            at[s][2 * e] = x;
            at[s][2 * e + 1] = y;
            box[0] = fmin(box[0], x);
            box[1] = fmin(box[1], y);
            box[2] = fmax(box[2], x);
            box[3] = fmax(box[3], y);
        }
    size_t i0, i1, j0, j1;
    span(box[0] - r - 1, box[2] + r + 1, pen->im->w, &i0, &i1);
    span(box[1] - r - 1, box[3] + r + 1, pen->im->h, &j0, &j1);
    for (size_t j = j0; j < j1; j++)
        for (size_t i = i0; i < i1; i++) {
            double far = 1e9;
            for (int s = 0; s < g->n; s++)
                far = fmin(far, distance((double)i + 0.5, (double)j + 0.5, at[s][0], at[s][1],
                                         at[s][2], at[s][3]));
            double cover = fmin(fmax(r + 0.5 - far, 0), 1);
            if (cover > 0)
                blend(pen->im, i, j, pen->colour, cover);
        }
}

static void write_text(struct pen pen, const char *text)
{
    while (*text) {
        struct font_glyph g;
        font_glyph(&g, next_char(&text));
        draw_glyph(&pen, &g);
        if (pen.up)
            pen.y -= g.advance * pen.unit;
        else
            pen.x += g.advance * pen.unit;
    }
}

void draw_text(struct image *im, double x, double y, double size, unsigned colour, const char *text)
{
    double unit = size / FONT_LINE;
    struct pen pen = {
        im, x + unit * FONT_STROKE / 2, round(y + FONT_ASCENT * unit), unit, false, colour
    };
    write_text(pen, text);
}

void draw_text_up(struct image *im, double x, double y, double size, unsigned colour,
                  const char *text)
{
    double unit = size / FONT_LINE;
    struct pen pen = { im,    round(x + FONT_ASCENT * unit), y - unit * FONT_STROKE / 2, unit, true,
                       colour };
    write_text(pen, text);
}

double draw_text_width(double size, const char *text)
{
    double w = 0;
    while (*text) {
        struct font_glyph g;
        font_glyph(&g, next_char(&text));
        w += g.advance;
    }
    return w * size / FONT_LINE;
}

const char *draw_text_fit(char *buf, size_t n, double size, double width, const char *text,
                          bool tail)
{
    size_t len = strlen(text);
    if (len < n && draw_text_width(size, text) <= width)
        return memcpy(buf, text, len + 1);
    size_t keep = MIN(len, n - 3);
    for (;; keep--) {
        const char *from = tail ? text + len - keep : text;
        /* never begin or end within a character */
        bool whole = ((uint8_t)text[tail ? len - keep : keep] & 0xc0) != 0x80;
        size_t head = tail ? 2 : 0;
        memcpy(buf + head, from, keep);
        memcpy(tail ? buf : buf + keep, "..", 2);
        buf[keep + 2] = 0;
        if (keep == 0 || (whole && draw_text_width(size, buf) <= width))
            return buf;
    }
}

int draw_picture(struct image *im, size_t x, size_t y, size_t w, size_t h, const struct image *pic)
{
    struct image fit;
    double s = fmin((double)w / (double)pic->w, (double)h / (double)pic->h);
    size_t fw = MAX((size_t)1, (size_t)lrint((double)pic->w * s));
    size_t fh = MAX((size_t)1, (size_t)lrint((double)pic->h * s));
    fw = MIN(fw, w);
    fh = MIN(fh, h);
    int rc = image_resize(&fit, pic, fh, fw);
    if (rc < 0)
        return rc;
    x += (w - fw) / 2;
    y += (h - fh) / 2;
    for (size_t j = 0; j < fh && y + j < im->h; j++)
        for (size_t i = 0; i < fw && x + i < im->w; i++)
            memcpy(im->rgb + 3 * ((y + j) * im->w + x + i), fit.rgb + 3 * (j * fw + i), 3);
    image_release(&fit);
    return 0;
}
