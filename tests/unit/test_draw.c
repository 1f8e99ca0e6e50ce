/*
 * test_draw.c - the canvas: coverage, cutting off, text, and the three kinds of picture.
 */
#include "common/base/fail.h"
#include "common/data/draw.h"
#include "common/data/draw_font.h"
#include "tests/t.h"
#include <string.h>

static unsigned pixel(const struct image *im, size_t x, size_t y)
{
    const uint8_t *p = im->rgb + 3 * (y * im->w + x);
    return (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
}

static size_t count_not(const struct image *im, unsigned colour)
{
    size_t n = 0;
    for (size_t i = 0; i < im->w * im->h; i++)
        n += pixel(im, i % im->w, i / im->w) != colour;
    return n;
}

static void test_shapes(void)
{
    struct image im;
    ok(draw_init(&im, 20, 10, 0x102030) == 0 && count_not(&im, 0x102030) == 0, "a canvas");
    draw_rect(&im, 2, 3, 4, 2, 0xff0000);
    ok(count_not(&im, 0x102030) == 8 && pixel(&im, 2, 3) == 0xff0000 &&
           pixel(&im, 5, 4) == 0xff0000,
       "a rectangle covers its pixels and no others");
    draw_rect(&im, 10.5, 3, 1, 1, 0xffffff);
    ok(pixel(&im, 10, 3) == pixel(&im, 11, 3) &&
           pixel(&im, 10, 3) == draw_mix(0x102030, 0xffffff, 0.5),
       "one between two pixels covers half of each");
    draw_rect(&im, -5, -5, 6, 6, 0x00ff00);
    draw_rect(&im, 18, 8, 100, 100, 0x0000ff);
    draw_rect(&im, 50, 50, 3, 3, 0x0000ff);
    ok(pixel(&im, 0, 0) == 0x00ff00 && pixel(&im, 1, 1) == 0x102030 &&
           pixel(&im, 19, 9) == 0x0000ff,
       "what is outside is cut off");
    draw_line(&im, -10, 6.5, 100, 6.5, 1, 0xffffff);
    ok(pixel(&im, 0, 6) == 0xffffff && pixel(&im, 19, 6) == 0xffffff &&
           pixel(&im, 9, 8) == 0x102030,
       "a line crosses it");
    image_release(&im);
    ok(draw_init(&im, 12, 12, 0) == 0, "a square");
    draw_frame(&im, 1, 1, 10, 10, 2, 0xffffff);
    ok(count_not(&im, 0) == 100 - 36 && pixel(&im, 5, 5) == 0 && pixel(&im, 2, 5) == 0xffffff,
       "a frame is hollow");
    image_release(&im);
    ok(draw_mix(0x000000, 0xffffff, 2) == 0xffffff && draw_mix(0x204060, 0, 0) == 0x204060,
       "colours mix from one end to the other");
}

static void test_text(void)
{
    struct image im, up;
    char buf[64];
    bool all = true, different = true;
    struct font_glyph g, other;
    for (unsigned c = 33; c < 127; c++) {
        font_glyph(&g, c);
        all = all && g.n > 0 && g.n <= FONT_MAX_SEGMENTS && g.advance > 1;
        for (int s = 0; s < g.n; s++)
            all = all && g.seg[s][0] >= 0 && g.seg[s][2] <= g.advance && g.seg[s][1] >= -4 &&
                  g.seg[s][1] <= FONT_ASCENT;
        for (unsigned d = 33; d < c; d++) {
            font_glyph(&other, d);
            different = different && (other.n != g.n ||
                                      memcmp(other.seg, g.seg, (size_t)g.n * sizeof g.seg[0]) != 0);
        }
    }
    ok(all, "every character has strokes within its line");
    ok(different, "and its own ones");
    near(draw_text_width(30, "ab"), draw_text_width(30, "a") + draw_text_width(30, "b"), 1e-9,
         "widths add up");
    near(draw_text_width(30, "abc"), 2 * draw_text_width(15, "abc"), 1e-9, "and scale");
    ok(draw_text_width(20, "\xc3\xa9") == draw_text_width(20, "\xff"),
       "a character that is not ASCII is one box, whatever its bytes");
    draw_init(&im, 100, 30, 0xffffff);
    draw_text(&im, 4, 4, 20, 0, "Text");
    size_t right = 0;
    for (size_t i = 0; i < 100 * 30; i++)
        if (pixel(&im, i % 100, i / 100) != 0xffffff)
            right = MAX(right, i % 100);
    ok(count_not(&im, 0xffffff) > 80 && (double)right <= 4 + draw_text_width(20, "Text"),
       "text stays within its width");
    draw_init(&up, 30, 100, 0xffffff);
    draw_text_up(&up, 4, 96, 20, 0, "Text");
    near((double)count_not(&up, 0xffffff), (double)count_not(&im, 0xffffff), 20,
         "upwards it is the same");
    image_release(&im);
    image_release(&up);
    ok(!strcmp(draw_text_fit(buf, sizeof buf, 15, 1000, "short", false), "short"),
       "what fits is kept");
    const char *cut = draw_text_fit(buf, sizeof buf, 15, 60, "a rather long class name", false);
    ok(!strncmp(cut, "a r", 3) && !strcmp(cut + strlen(cut) - 2, "..") &&
           draw_text_width(15, cut) <= 60,
       "what does not is cut: %s", cut);
    cut = draw_text_fit(buf, sizeof buf, 15, 60, "folder/of/0001.jpg", true);
    ok(!strncmp(cut, "..", 2) && !strcmp(cut + strlen(cut) - 4, ".jpg"), "or at its start: %s",
       cut);
    cut = draw_text_fit(buf, 9, 15, 1e9, "longer than the buffer", false);
    ok(!strcmp(cut, "longer.."), "or to the buffer: %s", cut);
    cut = draw_text_fit(buf, 9, 15, 1e9, "abcde\xc3\xa9gh", false);
    ok(!strcmp(cut, "abcde.."), "never within a character: %s", cut);
}

/* How many columns it takes a drawn curve to climb from 0 to 1 within one step. */
static size_t climb(bool exact)
{
    double x[801], y[801];
    for (size_t i = 0; i < ARRAY_LEN(x); i++) {
        x[i] = (double)i;
        y[i] = i >= 400;
    }
    struct chart_line line = { "y", y, 0x0000ff };
    struct chart chart = { "panel", &line, 1, false, exact };
    struct image im;
    size_t top = SIZE_MAX, bottom = 0, columns = 0;
    draw_charts(&im, "title", "step", &chart, 1, x, ARRAY_LEN(x));
    size_t from = im.w / 4, to = im.w / 4 * 3; /* where the legend is not */
    for (size_t i = from; i < to; i++)
        for (size_t j = 0; j < im.h; j++)
            if (pixel(&im, i, j) == 0x0000ff) {
                top = MIN(top, j);
                bottom = MAX(bottom, j);
            }
    for (size_t i = from; i < to; i++) {
        bool between = false;
        for (size_t j = top + 5; j + 5 < bottom; j++)
            between = between || pixel(&im, i, j) == 0x0000ff;
        columns += between;
    }
    image_release(&im);
    return columns;
}

static void test_pictures(void)
{
    struct image im, red;
    draw_init(&red, 4, 2, 0xff0000);
    draw_init(&im, 20, 20, 0);
    ok(draw_picture(&im, 5, 5, 10, 10, &red) == 0 && count_not(&im, 0) == 50 &&
           pixel(&im, 5, 7) == 0xff0000 && pixel(&im, 5, 6) == 0,
       "a picture is scaled into its box, centred, its proportions kept");
    image_release(&im);

    double x[3] = { 1, 2, 3 }, y[3] = { NAN, 5, 4 }, none[3] = { NAN, NAN, NAN };
    struct chart_line line[] = { { "y", y, 0x0000ff }, { "none", none, 0x00ff00 } };
    struct chart chart = { "panel", line, 2, false, false };
    ok(draw_charts(&im, "title", "step", &chart, 1, x, 3) == 0, "a chart with gaps");
    size_t blue = 0;
    for (size_t i = 0; i < im.w * im.h; i++)
        blue += pixel(&im, i % im.w, i / im.w) == 0x0000ff;
    ok(blue > 300, "shows its curve (%zu pixels)", blue);
    image_release(&im);
    ok(draw_charts(&im, "title", "step", &chart, 1, x, 1) == 0, "one point is no trouble");
    image_release(&im);
    ok(draw_charts(&im, "title", "step", &chart, 1, x, 0) == -EINVAL && fail_text()[0],
       "no point is refused");

    size_t smooth = climb(false), exact = climb(true);
    ok(smooth > 15 && exact > 0 && exact < 5, "a curve is smoothed, unless exact (%zu, %zu)",
       smooth, exact);

    char *names[] = { (char *)"cat", (char *)"dog" };
    uint64_t count[] = { 9, 1, 0, 10 };
    ok(draw_confusion(&im, "two", names, count, 2) == 0 && count_not(&im, DRAW_WHITE) > 1000,
       "a confusion matrix");
    image_release(&im);
    char *many[100];
    static uint64_t counts[100 * 100];
    for (int i = 0; i < 100; i++)
        many[i] = names[0];
    ok(draw_confusion(&im, "hundred", many, counts, 100) == 0 && im.w >= 1600,
       "one of 100 classes");
    image_release(&im);

    struct sheet_cell cell[2] = { { &red, { (char *)"cat", NULL }, SHEET_BAD },
                                  { NULL, { NULL, NULL }, SHEET_PLAIN } };
    ok(draw_sheet(&im, "sheet", "others", cell, 1, 2) == 0, "a contact sheet");
    size_t bad = 0, inside = 0;
    for (size_t i = 0; i < im.w * im.h; i++) {
        bad += pixel(&im, i % im.w, i / im.w) == DRAW_BAD;
        inside += pixel(&im, i % im.w, i / im.w) == 0xff0000;
    }
    ok(bad > 1000 && inside > 5000, "frames what is wrong, and shows the picture");
    image_release(&im);
    ok(draw_sheet(&im, "empty", "", cell, 0, 2) == 0, "an empty one");
    image_release(&im);
    image_release(&red);
}

int main(void)
{
    test_shapes();
    test_text();
    test_pictures();
    return done();
}
