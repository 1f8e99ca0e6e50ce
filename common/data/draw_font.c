/*
 * draw_font.c - the characters, drawn for this project as strokes on a grid.
 *
 * A glyph is words of points, two base-36 digits each: x, and y with the base line at 3, the height
 * of small letters at 9 and of capitals at c (12). L is a chain of straight lines; S a smooth curve
 * (quadratic B-spline) from its first to its last point, drawn towards those between; O a closed
 * one; D a dot.
 */
#include "common/data/draw_font.h"
#include <string.h>

enum { BASE = 3, STEPS = 5 };

static const char *const font[95] = {
    "",                                      /* space */
    "L0c06 D03",                             /* ! */
    "L0c0a L2c2a",                           /* " */
    "L132c L435c L0666 L0969",               /* # */
    "S5a5c0c0857530305 L2d22",               /* $ */
    "O0c2c2909 O46666343 L5c13",             /* % */
    "S640a0c4c4a05034367",                   /* & */
    "L0c0a",                                 /* ' */
    "S2d0a0522",                             /* ( */
    "S0d2a2502",                             /* ) */
    "L2c26 L0b47 L4b07",                     /* * */
    "L3a34 L0767",                           /* + */
    "L1401",                                 /* , */
    "L0747",                                 /* - */
    "D03",                                   /* . */
    "L024d",                                 /* / */
    "O0c5c5303",                             /* 0 */
    "L0a2c23",                               /* 1 */
    "S0a0c5c5803 L0353",                     /* 2 */
    "S0b0c5c5828 S2858530305",               /* 3 */
    "L434c0666",                             /* 4 */
    "L5c0c08 S0859530305",                   /* 5 */
    "O08585303 S050c4c",                     /* 6 */
    "L0c5c23",                               /* 7 */
    "O0c5c5808 O08585303",                   /* 8 */
    "O0c5c5707 S5a5313",                     /* 9 */
    "D03 D08",                               /* : */
    "L1401 D18",                             /* ; */
    "L5a0754",                               /* < */
    "L0959 L0555",                           /* = */
    "L0a5704",                               /* > */
    "S0a0c5c5926 D23",                       /* ? */
    "O39696535 S6964949c0c0373",             /* @ */
    "L033c63 L1656",                         /* A */
    "L030c S0c5c5808 S08686303",             /* B */
    "S6a6c0c036365",                         /* C */
    "L030c S0c6c6303",                       /* D */
    "L5c0c0353 L0848",                       /* E */
    "L5c0c03 L0848",                         /* F */
    "S6a6c0c036367 L6737",                   /* G */
    "L030c L636c L0868",                     /* H */
    "L030c",                                 /* I */
    "L4c46 S46430305",                       /* J */
    "L030c L5c07 L1853",                     /* K */
    "L0c0353",                               /* L */
    "L030c458c83",                           /* M */
    "L030c636c",                             /* N */
    "O0c7c7303",                             /* O */
    "L030c S0c6c6707",                       /* P */
    "O0c7c7303 L4572",                       /* Q */
    "L030c S0c6c6707 L3763",                 /* R */
    "S5a5c0c0857530305",                     /* S */
    "L0c6c L3c33",                           /* T */
    "L0c06 S06036366 L666c",                 /* U */
    "L0c336c",                               /* V */
    "L0c234a638c",                           /* W */
    "L0c63 L036c",                           /* X */
    "L0c386c L3833",                         /* Y */
    "L0c6c0363",                             /* Z */
    "L2d0d0222",                             /* [ */
    "L0d42",                                 /* \ */
    "L0d2d2202",                             /* ] */
    "L092c49",                               /* ^ */
    "L0252",                                 /* _ */
    "L0c1a",                                 /* ` */
    "O09595303 L5953",                       /* a */
    "L0c03 O09595303",                       /* b */
    "S484909034344",                         /* c */
    "L5c53 O09595303",                       /* d */
    "L0656 S565909035354",                   /* e */
    "S3c1c19 L1913 L0939",                   /* f */
    "O09595303 L5952 S52500001",             /* g */
    "L0c03 S07095956 L5653",                 /* h */
    "L0903 D0c",                             /* i */
    "L2922 S222000 D2c",                     /* j */
    "L0c03 L4905 L1643",                     /* k */
    "L0c05 S050323",                         /* l */
    "L0903 S07094946 L4643 S47498986 L8683", /* m */
    "L0903 S07095956 L5653",                 /* n */
    "O09595303",                             /* o */
    "L0900 O09595303",                       /* p */
    "L5950 O09595303",                       /* q */
    "L0903 S060939",                         /* r */
    "S4849090646430304",                     /* s */
    "L1b15 S151333 L0939",                   /* t */
    "L0906 S06035356 L5953",                 /* u */
    "L092349",                               /* v */
    "L0923486389",                           /* w */
    "L0943 L0349",                           /* x */
    "L0923 L4910",                           /* y */
    "L09490343",                             /* z */
    "S3d1d1807 S07161232",                   /* { */
    "L0d02",                                 /* | */
    "S0d2d2837 S37262202",                   /* } */
    "S06194558",                             /* ~ */
};

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'z' ? c - 'a' + 10 : -1;
}

static void line(struct font_glyph *g, double x0, double y0, double x1, double y1)
{
    if (g->n < FONT_MAX_SEGMENTS) {
        double *s = g->seg[g->n++];
        s[0] = x0;
        s[1] = y0;
        s[2] = x1;
        s[3] = y1;
    }
}

/* The parabola from a to c that is drawn towards b. */
static void bend(struct font_glyph *g, const double a[2], const double b[2], const double c[2])
{
    double x = a[0], y = a[1];
    for (int i = 1; i <= STEPS; i++) {
        double t = (double)i / STEPS, u = 1 - t;
        double nx = u * u * a[0] + 2 * u * t * b[0] + t * t * c[0];
        double ny = u * u * a[1] + 2 * u * t * b[1] + t * t * c[1];
        line(g, x, y, nx, ny);
        x = nx;
        y = ny;
    }
}

static void middle(double out[2], const double a[2], const double b[2])
{
    out[0] = (a[0] + b[0]) / 2;
    out[1] = (a[1] + b[1]) / 2;
}

static void stroke(struct font_glyph *g, char kind, double p[][2], int n)
{
    if (kind == 'D')
        line(g, p[0][0], p[0][1] + 0.2, p[0][0], p[0][1] + 0.2);
    for (int i = 0; kind == 'L' && i + 1 < n; i++)
        line(g, p[i][0], p[i][1], p[i + 1][0], p[i + 1][1]);
    for (int i = 0; kind == 'O' && i < n; i++) {
        double from[2], to[2];
        middle(from, p[(i + n - 1) % n], p[i]);
        middle(to, p[i], p[(i + 1) % n]);
        bend(g, from, p[i], to);
    }
    for (int i = 1; kind == 'S' && i + 1 < n; i++) {
        double from[2] = { p[0][0], p[0][1] }, to[2] = { p[n - 1][0], p[n - 1][1] };
        if (i > 1)
            middle(from, p[i - 1], p[i]);
        if (i + 2 < n)
            middle(to, p[i], p[i + 1]);
        bend(g, from, p[i], to);
    }
}

void font_glyph(struct font_glyph *g, unsigned c)
{
    const char *s = c >= 32 && c < 127 ? font[c - 32] : "L050a6a6505";
    double right = 1;
    g->n = 0;
    while (*s) {
        char kind = *s++;
        double p[16][2] = { { 0 } };
        int n = 0;
        for (; digit(s[0]) >= 0 && digit(s[1]) >= 0 && n < 16; s += 2, n++) {
            p[n][0] = digit(s[0]);
            p[n][1] = digit(s[1]) - BASE;
            right = p[n][0] > right ? p[n][0] : right;
        }
        stroke(g, kind, p, n);
        s += *s == ' ';
    }
    g->advance = c == ' ' ? 4 : right + 2.4;
}
