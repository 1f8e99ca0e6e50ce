/*
 * draw_chart.c - curves over common x, panel below panel.
 */
#include "common/base/fail.h"
#include "common/data/draw.h"
#include <math.h>
#include <stdio.h>

enum {
    WIDTH = 960,
    HEAD = 52,   /* of the page: its title */
    PANEL = 240, /* a panel's plot */
    TITLE = 54,  /* above each plot */
    FOOT = 56,   /* below the last one: numbers and name of x */
    LEFT = 76,
    RIGHT = 28,
    TEXT = 17,
};

struct axis {
    double lo, hi, step;
};

/* Round numbers around [lo, hi], about n of them. */
static struct axis nice(double lo, double hi, int n)
{
    if (!(hi > lo)) {
        double pad = fmax(fabs(lo) * 0.1, 1e-6);
        lo -= pad;
        hi += pad;
    }
    double raw = (hi - lo) / n, ten = pow(10, floor(log10(raw))), part = raw / ten;
    struct axis a = { .step = ten * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10) };
    a.lo = floor(lo / a.step + 1e-9) * a.step;
    a.hi = ceil(hi / a.step - 1e-9) * a.step;
    return a;
}

static double place(const struct axis *a, double v)
{
    return (v - a->lo) / (a->hi - a->lo);
}

static void tick_text(char *buf, size_t n, double v, double step)
{
    if (fabs(v) < step * 1e-6)
        v = 0;
    snprintf(buf, n, "%.6g", v);
}

/* Mean of the numbers within half of i, on one side only at the ends; NaN at NaN. */
static double smooth(const double *y, size_t n, size_t i, size_t half)
{
    double sum = 0;
    size_t count = 0;
    if (!isfinite(y[i]))
        return NAN;
    for (size_t j = i - MIN(half, i); j <= MIN(i + half, n - 1); j++)
        if (isfinite(y[j])) {
            sum += y[j];
            count++;
        }
    return sum / (double)count;
}

static struct axis y_axis(const struct chart *c, size_t n)
{
    double lo = INFINITY, hi = -INFINITY;
    for (size_t l = 0; l < c->nlines; l++)
        for (size_t i = 0; i < n; i++)
            if (isfinite(c->line[l].y[i])) {
                lo = fmin(lo, c->line[l].y[i]);
                hi = fmax(hi, c->line[l].y[i]);
            }
    if (lo > hi)
        lo = 0, hi = 1;
    return nice(c->from_zero ? fmin(lo, 0) : lo, hi, 4);
}

static void curve(struct image *im, const struct chart_line *line, const double *x, size_t n,
                  const struct axis *ax, const struct axis *ay, double top, size_t half, bool pale)
{
    double w = WIDTH - LEFT - RIGHT, px = 0, py = NAN;
    for (size_t i = 0; i < n; i++) {
        double cx = LEFT + w * place(ax, x[i]);
        double cy = top + PANEL * (1 - place(ay, smooth(line->y, n, i, half)));
        unsigned colour = pale ? draw_mix(DRAW_WHITE, line->colour, 0.3) : line->colour;
        bool alone = !isfinite(py) && (i + 1 == n || !isfinite(smooth(line->y, n, i + 1, half)));
        if (isfinite(cy) && isfinite(py))
            draw_line(im, px, py, cx, cy, pale ? 1 : 2, colour);
        else if (isfinite(cy) && alone)
            draw_line(im, cx, cy, cx, cy, 5, colour);
        px = cx;
        py = cy;
    }
}

static void panel(struct image *im, const struct chart *c, const double *x, size_t n,
                  const struct axis *ax, double top, bool last)
{
    struct axis ay = y_axis(c, n);
    double w = WIDTH - LEFT - RIGHT;
    char buf[32];
    draw_text(im, LEFT, top - 30, TEXT, DRAW_INK, c->title);
    double at = WIDTH - RIGHT;
    for (size_t l = c->nlines; l-- > 0;) {
        at -= draw_text_width(TEXT, c->line[l].name);
        draw_text(im, at, top - 30, TEXT, DRAW_MUTED, c->line[l].name);
        draw_line(im, at - 28, top - 20, at - 10, top - 20, 3, c->line[l].colour);
        at -= 48;
    }
    for (double v = ay.lo; v < ay.hi + ay.step / 2; v += ay.step) {
        double y = round(top + PANEL * (1 - place(&ay, v)));
        draw_rect(im, LEFT, y, w, 1, DRAW_GRID);
        tick_text(buf, sizeof buf, v, ay.step);
        draw_text(im, LEFT - 10 - draw_text_width(TEXT, buf), y - TEXT * 0.5, TEXT, DRAW_MUTED,
                  buf);
    }
    for (double v = ax->lo; v < ax->hi + ax->step / 2; v += ax->step) {
        double cx = round(LEFT + w * place(ax, v));
        draw_rect(im, cx, top, 1, PANEL, DRAW_GRID);
        if (last) {
            tick_text(buf, sizeof buf, v, ax->step);
            draw_text(im, cx - draw_text_width(TEXT, buf) / 2, top + PANEL + 6, TEXT, DRAW_MUTED,
                      buf);
        }
    }
    for (int front = 0; front < 2; front++)
        for (size_t l = 0; l < c->nlines; l++)
            curve(im, &c->line[l], x, n, ax, &ay, top, front && !c->exact ? n / 80 : 0, !front);
}

int draw_charts(struct image *im, const char *title, const char *xlabel, const struct chart *chart,
                size_t ncharts, const double *x, size_t n)
{
    *im = (struct image){ 0 };
    if (n == 0)
        return fail(-EINVAL, "no points to draw a curve through");
    int rc = draw_init(im, WIDTH, HEAD + ncharts * (TITLE + PANEL) + FOOT, DRAW_WHITE);
    if (rc < 0)
        return rc;
    double lo = x[0], hi = x[0];
    for (size_t i = 1; i < n; i++) {
        lo = fmin(lo, x[i]);
        hi = fmax(hi, x[i]);
    }
    struct axis ax = nice(lo, hi, 8);
    draw_text(im, LEFT, 14, 26, DRAW_INK, title);
    for (size_t i = 0; i < ncharts; i++)
        panel(im, &chart[i], x, n, &ax, HEAD + (double)i * (TITLE + PANEL) + TITLE,
              i + 1 == ncharts);
    draw_text(im, LEFT + (WIDTH - LEFT - RIGHT - draw_text_width(TEXT, xlabel)) / 2.0,
              (double)im->h - 28, TEXT, DRAW_INK, xlabel);
    return 0;
}
