/*
 * test_image.c - pictures in and out. Numbers are Pillow 9.4's (CMYK: to within 1) for the files of
 * tests/data, and for resizing; run from the top of the tree.
 */
#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/data/image.h"
#include "tests/t.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

struct bytes {
    uint8_t data[8192];
    size_t n;
};

static struct bytes load(const char *name)
{
    struct bytes b = { 0 };
    char path[200];
    const char *top = getenv("TOP");
    snprintf(path, sizeof path, "%s/tests/data/%s", top != NULL ? top : ".", name);
    FILE *f = fopen(path, "rb");
    if (f != NULL) {
        b.n = fread(b.data, 1, sizeof b.data, f);
        fclose(f);
    }
    ok(b.n > 0, "%s is there", name);
    return b;
}

static int decode(struct image *im, struct image_info *info, const struct bytes *b, bool keep)
{
    /* a copy of the exact size, so that sanitizers see a step beyond it */
    uint8_t *copy = malloc(b->n > 0 ? b->n : 1);
    memcpy(copy, b->data, b->n);
    int rc = image_decode(im, info, copy, b->n, keep);
    free(copy);
    return rc;
}

static long sum(const struct image *im)
{
    long s = 0;
    for (size_t i = 0; i < im->h * im->w * 3; i++)
        s += im->rgb[i];
    return s;
}

static long weighted_sum(const struct image *im)
{
    long s = 0;
    for (size_t i = 0; i < im->h * im->w * 3; i++)
        s += (long)(i % 251 + 1) * im->rgb[i];
    return s;
}

static const uint8_t *at(const struct image *im, size_t y, size_t x)
{
    return im->rgb + (y * im->w + x) * 3;
}

static bool is(const uint8_t *p, int r, int g, int b, int tol)
{
    return abs(p[0] - r) <= tol && abs(p[1] - g) <= tol && abs(p[2] - b) <= tol;
}

static void test_formats(void)
{
    static const struct {
        const char *name;
        size_t h, w;
        int orientation, tol;
        uint8_t first[3], right[3], middle[3]; /* (1, 1), (1, w - 2), (h / 2, w / 2) */
        long sum;
    } want[] = {
        { "rgb.jpg", 16, 24, 1, 0, { 12, 11, 6 }, { 244, 15, 48 }, { 132, 136, 99 }, 133101 },
        { "progressive.jpg",
          16,
          24,
          1,
          0,
          { 12, 11, 6 },
          { 244, 15, 48 },
          { 132, 136, 99 },
          133101 },
        { "subsampled.jpg",
          16,
          24,
          1,
          0,
          { 8, 12, 11 },
          { 244, 16, 49 },
          { 137, 134, 99 },
          132947 },
        { "grey.jpg", 16, 24, 1, 0, { 11, 11, 11 }, { 87, 87, 87 }, { 131, 131, 131 }, 141321 },
        { "cmyk.jpg", 16, 24, 1, 1, { 9, 11, 7 }, { 244, 16, 49 }, { 133, 136, 100 }, 133001 },
        { "turned6.jpg", 24, 16, 6, 0, { 11, 241, 155 }, { 12, 11, 6 }, { 134, 118, 102 }, 133101 },
        { "turned3.jpg",
          16,
          24,
          3,
          0,
          { 244, 239, 49 },
          { 11, 241, 155 },
          { 122, 118, 106 },
          133101 },
        { "junk.jpg", 16, 24, 1, 0, { 12, 11, 6 }, { 244, 15, 48 }, { 132, 136, 99 }, 133101 },
        { "noend.jpg", 16, 24, 1, 0, { 12, 11, 6 }, { 244, 15, 48 }, { 132, 136, 99 }, 133101 },
        { "palette.png", 16, 24, 1, 0, { 33, 10, 42 }, { 221, 17, 60 }, { 149, 145, 93 }, 135172 },
        { "rgb.png", 16, 24, 1, 0, { 10, 10, 10 }, { 243, 17, 50 }, { 133, 136, 100 }, 133012 },
    };
    for (size_t t = 0; t < ARRAY_LEN(want); t++) {
        struct bytes b = load(want[t].name);
        struct image im;
        struct image_info info;
        int rc = decode(&im, &info, &b, false), tol = want[t].tol;
        if (!ok(rc == 0 && im.h == want[t].h && im.w == want[t].w, "%s decodes: %s", want[t].name,
                rc < 0 ? fail_text() : ""))
            continue;
        ok(info.h == im.h && info.w == im.w && info.orientation == want[t].orientation &&
               !info.truncated,
           "%s is described", want[t].name);
        const uint8_t *p = want[t].first, *q = want[t].right, *m = want[t].middle;
        ok(is(at(&im, 1, 1), p[0], p[1], p[2], tol) &&
               is(at(&im, 1, im.w - 2), q[0], q[1], q[2], tol) &&
               is(at(&im, im.h / 2, im.w / 2), m[0], m[1], m[2], tol),
           "%s has Pillow's pixels", want[t].name);
        near((double)sum(&im), (double)want[t].sum, tol * 0.5 * (double)(im.h * im.w * 3),
             "%s has Pillow's sum", want[t].name);
        image_release(&im);
    }
}

static void test_exact_png(void)
{
    struct image im;
    struct bytes b = load("rgb16.png");
    ok(decode(&im, NULL, &b, false) == 0 && is(at(&im, 0, 0), 0, 128, 255, 0) &&
           is(at(&im, 0, 1), 2, 1, 1, 0),
       "16 bits are scaled and rounded");
    image_release(&im);
    b = load("alpha.png");
    ok(decode(&im, NULL, &b, false) == 0 && is(at(&im, 0, 0), 0, 0, 0, 0) &&
           is(at(&im, 0, 1), 255, 255, 255, 0) && is(at(&im, 0, 2), 127, 127, 127, 0) &&
           is(at(&im, 0, 3), 255, 255, 255, 0),
       "alpha is laid over white");
    image_release(&im);
    b = load("interlaced.png");
    bool good = decode(&im, NULL, &b, false) == 0 && im.h == 3 && im.w == 3;
    for (size_t i = 0; good && i < 9; i++)
        good = im.rgb[3 * i] == (i % 2 ? 0 : 255);
    ok(good, "Adam7 and 1 bit");
    image_release(&im);
}

static void test_damage(void)
{
    static const char *const names[] = { "truncated.jpg", "truncated.png" };
    struct image im;
    struct image_info info;
    for (size_t t = 0; t < 2; t++) {
        struct bytes b = load(names[t]);
        ok(decode(&im, &info, &b, false) == -EIO && im.rgb == NULL &&
               strstr(fail_text(), "ends early"),
           "%s is refused: %s", names[t], fail_text());
        ok(decode(&im, &info, &b, true) == 0 && info.truncated && im.h == 16 && im.w == 24 &&
               is(at(&im, 1, 1), 11, 11, 8, 3),
           "%s is kept as far as it goes, and flagged", names[t]);
        image_release(&im);
    }
    struct bytes b = load("junk.jpg");
    ok(decode(&im, &info, &b, false) == 0 && strstr(info.warning, "extraneous") != NULL,
       "an oddity is noted: %s", info.warning);
    image_release(&im);
    b = load("rgb.png");
    for (size_t cut = 4; cut <= 12; cut += 8) { /* in its last chunk, and all of it */
        struct bytes short_of = b;
        short_of.n -= cut;
        ok(decode(&im, &info, &short_of, false) == 0 && !info.truncated &&
               strstr(info.warning, "end mark") != NULL,
           "so is a PNG's missing end: %s", info.warning);
        image_release(&im);
    }
    b.data[b.n - 13] ^= 1;
    ok(decode(&im, &info, &b, false) == -EIO, "but pixels that fail their check are refused: %s",
       fail_text());
    b = load("rgb.jpg");
    ok(decode(&im, &info, &b, false) == 0 && info.warning[0] == '\0', "a sound one has no note");
    image_release(&im);
    b.n = 300;
    ok(decode(&im, NULL, &b, true) == -EIO, "a header cut short cannot be kept: %s", fail_text());
    b.n = 0;
    ok(decode(&im, NULL, &b, false) == -EINVAL, "nothing is not a picture");
    ok(image_sniff((const uint8_t *)"GIF89a", 6) == IMAGE_NONE, "nor is a GIF");
}

static size_t find(const struct bytes *b, uint8_t marker, size_t from)
{
    for (size_t i = from; i + 1 < b->n; i++)
        if (b->data[i] == 0xff && b->data[i + 1] == marker)
            return i;
    return 0;
}

/* A PNG that claims this size, and has the rows of another. */
static struct bytes png_of(uint32_t w, uint32_t h)
{
    struct bytes b = load("rgb.png");
    for (int i = 0; i < 4; i++) {
        b.data[16 + i] = (uint8_t)(w >> (24 - 8 * i));
        b.data[20 + i] = (uint8_t)(h >> (24 - 8 * i));
    }
    uint32_t crc = (uint32_t)crc32(0, b.data + 12, 17);
    for (int i = 0; i < 4; i++)
        b.data[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    return b;
}

struct big {
    struct bytes b;
    atomic_int decoded;
};

static void *decode_big(void *arg)
{
    struct big *big = arg;
    struct image im;
    struct image_info info;
    if (decode(&im, &info, &big->b, true) == 0 && info.big)
        atomic_fetch_add(&big->decoded, 1);
    image_release(&im);
    image_big_end(&info);
    return NULL;
}

/* A second picture above 2^26 pixels waits until the first is done with. */
static void test_big(void)
{
    struct big big = { .b = png_of(8192, 8193) };
    struct image im;
    struct image_info info;
    pthread_t thread;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    bool good = decode(&im, &info, &big.b, true) == 0 && info.big;
    clock_gettime(CLOCK_MONOTONIC, &end);
    long us = (long)(end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000;
    pthread_create(&thread, NULL, decode_big, &big);
    usleep((useconds_t)(3 * us));
    ok(good && atomic_load(&big.decoded) == 0, "a big picture keeps others waiting");
    image_release(&im);
    image_big_end(&info);
    pthread_join(thread, NULL);
    ok(atomic_load(&big.decoded) == 1, "until it is done with");
    good = decode(&im, NULL, &big.b, true) == 0;
    image_release(&im);
    ok(good && decode(&im, NULL, &big.b, true) == 0, "without info nobody waits");
    image_release(&im);
}

static void test_bombs(void)
{
    struct image im;
    struct bytes b = load("rgb.jpg");
    size_t sof = find(&b, 0xc0, 0);
    memset(b.data + sof + 5, 0xf0, 4); /* 61680 x 61680 */
    ok(decode(&im, NULL, &b, true) == -EFBIG, "too many pixels: %s", fail_text());
    b = png_of(1 << 20, 1 << 20);
    ok(decode(&im, NULL, &b, true) == -EFBIG, "in a PNG too: %s", fail_text());
    b = load("progressive.jpg");
    size_t last = 0, next = 0;
    while ((next = find(&b, 0xda, next + 1)) > 0)
        last = next;
    size_t scan = b.n - 2 - last, n = b.n - 2;
    uint8_t *bomb = malloc(n + 600 * scan + 2);
    memcpy(bomb, b.data, n);
    for (int i = 0; i < 600; i++, n += scan)
        memcpy(bomb + n, b.data + last, scan);
    bomb[n] = 0xff; /* the end */
    bomb[n + 1] = 0xd9;
    ok(last > 0 && image_decode(&im, NULL, bomb, n + 2, true) == -EFBIG, "too many scans: %s",
       fail_text());
    free(bomb);
}

static struct image flat(size_t h, size_t w)
{
    struct image im = { .h = h, .w = w, .rgb = malloc(h * w * 3) };
    for (size_t i = 0; i < h * w * 3; i++)
        im.rgb[i] = (uint8_t)(i / 3 % w); /* the column */
    return im;
}

/* The picture of many tiles, with turned6.jpg's EXIF. */
static struct bytes large_turned(void)
{
    struct bytes b = load("turned6.jpg");
    struct image im = flat(150, 131);
    size_t exif = find(&b, 0xe1, 0), n = 2 + (size_t)(b.data[exif + 2] << 8 | b.data[exif + 3]);
    size_t len;
    uint8_t *bytes;
    for (size_t i = 0; i < im.h * im.w; i++)
        im.rgb[3 * i] = (uint8_t)(i / im.w);
    if (image_encode_jpeg(&im, 80, &bytes, &len) == 0 && 2 + n + len <= sizeof b.data) {
        memmove(b.data + 2, b.data + exif, n);
        memcpy(b.data + 2 + n, bytes + 2, len - 2);
        b.n = n + len;
        free(bytes);
    }
    image_release(&im);
    return b;
}

/* Each orientation against its words: a transposition for 5 to 8, then mirrors. */
static void test_orientations(struct bytes b)
{
    struct image up, im;
    struct image_info info;
    size_t value =
        find(&b, 0xe1, 0) + 2 + 2 + 6 + 8 + 2 + 8; /* marker, length, Exif, TIFF, count */
    ok(b.data[value] == 6, "the orientation stands where it should");
    b.data[value] = 1;
    ok(decode(&up, &info, &b, false) == 0 && info.orientation == 1, "1 leaves it alone");
    for (int o = 2; o <= 8; o++) {
        b.data[value] = (uint8_t)o;
        bool good = decode(&im, &info, &b, false) == 0 && info.orientation == o;
        bool transposed = o >= 5;
        bool mirror_x = o == 2 || o == 3 || o == 6 || o == 7,
             mirror_y = o == 3 || o == 4 || o == 7 || o == 8;
        good = good && im.h == (transposed ? up.w : up.h) && im.w == (transposed ? up.h : up.w);
        for (size_t y = 0; good && y < im.h; y++)
            for (size_t x = 0; good && x < im.w; x++) {
                size_t v = mirror_y ? im.h - 1 - y : y, u = mirror_x ? im.w - 1 - x : x;
                good = memcmp(at(&im, y, x), transposed ? at(&up, u, v) : at(&up, v, u), 3) == 0;
            }
        ok(good, "orientation %d", o);
        image_release(&im);
    }
    b.data[value] = 9;
    ok(decode(&im, &info, &b, false) == 0 && info.orientation == 1, "9 means nothing");
    image_release(&im);
    image_release(&up);
}

/* Bytes changed at random in every file: any answer is right, as long as there is one. */
static void test_fuzz(void)
{
    static const char *const names[] = { "turned6.jpg", "progressive.jpg", "cmyk.jpg",
                                         "palette.png", "interlaced.png" };
    struct rng r;
    size_t decoded = 0, refused = 0;
    for (size_t t = 0; t < ARRAY_LEN(names); t++) {
        struct bytes whole = load(names[t]);
        for (uint64_t round = 0; round < 100; round++) {
            struct bytes b = whole;
            struct image im;
            rng_init(&r, t_seed(), RNG_TEST, round, t, 0);
            for (uint32_t k = rng_below(&r, 6); k > 0; k--)
                b.data[rng_below(&r, (uint32_t)b.n)] = (uint8_t)rng_u32(&r);
            if (rng_below(&r, 4) == 0)
                b.n = rng_below(&r, (uint32_t)b.n);
            if (decode(&im, NULL, &b, round % 2) == 0)
                decoded++;
            else
                refused++;
            image_release(&im);
        }
    }
    ok(decoded > 50 && refused > 50, "%zu damaged files decoded, %zu refused", decoded, refused);
}

static void test_resize(void)
{
    static const struct {
        size_t w, h;
        uint8_t first[3], middle[3], last[3];
        long sum, weighted;
    } want[] = {
        /* tall.jpg by Image.resize((w, h), Image.BICUBIC) */
        { 13, 7, { 8, 18, 93 }, { 127, 127, 62 }, { 247, 237, 0 }, 29014, 3726789 },
        { 7, 13, { 12, 11, 41 }, { 127, 127, 62 }, { 239, 246, 0 }, 29002, 3757516 },
        { 3, 90, { 38, 5, 71 }, { 126, 128, 60 }, { 212, 254, 6 }, 85931, 10499431 },
        { 41, 61, { 6, 12, 12 }, { 127, 128, 61 }, { 254, 254, 0 }, 797401, 100736128 },
    };
    struct bytes b = load("tall.jpg");
    struct image im, out;
    ok(decode(&im, NULL, &b, false) == 0 && im.h == 60 && im.w == 40, "tall.jpg decodes");
    for (size_t t = 0; t < ARRAY_LEN(want); t++) {
        const uint8_t *p = want[t].first, *q = want[t].middle, *z = want[t].last;
        size_t h = want[t].h, w = want[t].w;
        ok(image_resize(&out, &im, h, w) == 0 && out.h == h && out.w == w, "%zu x %zu", w, h);
        ok(is(at(&out, 0, 0), p[0], p[1], p[2], 1) &&
               is(at(&out, h / 2, w / 2), q[0], q[1], q[2], 1) &&
               is(at(&out, h - 1, w - 1), z[0], z[1], z[2], 1),
           "to %zu x %zu: Pillow's pixels", w, h);
        ok(sum(&out) == want[t].sum && weighted_sum(&out) == want[t].weighted,
           "to %zu x %zu: bit for bit", w, h);
        image_release(&out);
    }
    image_release(&im);
}

static void test_sides(void)
{
    static const struct {
        size_t h, w, px;
        size_t to_h, to_w;
    } want[] = {
        { 60, 40, 20, 30, 20 }, { 40, 61, 20, 20, 31 }, /* 30.5 goes up */
        { 10, 20, 20, 10, 20 }, { 20, 10, 10, 20, 10 }, { 3, 1000, 1, 1, 333 },
    };
    struct image out;
    for (size_t t = 0; t < ARRAY_LEN(want); t++) {
        struct image im = flat(want[t].h, want[t].w);
        ok(image_short_side(&out, &im, want[t].px) == 0 && out.h == want[t].to_h &&
               out.w == want[t].to_w,
           "%zu x %zu to short side %zu: %zu x %zu", im.h, im.w, want[t].px, want[t].to_h,
           want[t].to_w);
        image_release(&out);
        image_release(&im);
    }
    struct image im = flat(8, 15);
    bool good = image_square(&out, &im, 8) == 0 && out.h == 8 && out.w == 8;
    ok(good && out.rgb[0] == 4 && out.rgb[7 * 3] == 11, "a square is the middle: columns 4 to 11");
    image_release(&out);
    ok(image_square(&out, &im, 32) == 0 && out.h == 32 && out.w == 32, "a square may grow");
    image_release(&out);
    image_release(&im);
    im = flat(1, 60000);
    ok(image_square(&out, &im, 4096) == 0 && out.h == 4096 && out.w == 4096,
       "of a strip only the square is made: the rest would have 10^12 pixels");
    image_release(&out);
    image_release(&im);
}

/* What image_square() makes is the middle of the whole, bit for bit. */
static void test_squares(void)
{
    static const size_t want[][3] = {
        { 60, 41, 20 }, { 41, 60, 20 }, { 7, 90, 16 }, { 90, 7, 16 }, { 33, 12, 12 }, { 5, 5, 9 },
    };
    for (size_t t = 0; t < ARRAY_LEN(want); t++) {
        size_t h = want[t][0], w = want[t][1], px = want[t][2], least = MIN(h, w);
        size_t all_h = (2 * h * px + least) / (2 * least);
        size_t all_w = (2 * w * px + least) / (2 * least);
        struct image im = flat(h, w), all, out;
        for (size_t i = 0; i < h * w * 3; i++)
            im.rgb[i] = (uint8_t)(i * i % 251);
        bool good = image_resize(&all, &im, all_h, all_w) == 0 && image_square(&out, &im, px) == 0;
        for (size_t y = 0; good && y < px; y++)
            good = memcmp(at(&out, y, 0), at(&all, y + (all_h - px + 1) / 2, (all_w - px + 1) / 2),
                          px * 3) == 0;
        ok(good, "%zu x %zu to a square of %zu", w, h, px);
        image_release(&im);
        image_release(&all);
        image_release(&out);
    }
}

static void test_out(void)
{
    struct bytes b = load("rgb.jpg");
    struct image im, back;
    uint8_t *bytes;
    size_t n;
    char dir[] = "/tmp/test_image.XXXXXX", path[64];
    decode(&im, NULL, &b, false);
    ok(image_encode_png(&im, &bytes, &n) == 0 && image_decode(&back, NULL, bytes, n, false) == 0 &&
           memcmp(im.rgb, back.rgb, im.h * im.w * 3) == 0,
       "PNG there and back, exactly");
    free(bytes);
    image_release(&back);
    ok(image_encode_jpeg(&im, 95, &bytes, &n) == 0 &&
           image_decode(&back, NULL, bytes, n, false) == 0,
       "JPEG there and back");
    int worst = 0;
    for (size_t i = 0; i < im.h * im.w * 3; i++)
        worst = MAX(worst, abs(im.rgb[i] - back.rgb[i]));
    ok(worst > 0 && worst <= 12, "to within %d levels", worst);
    size_t sof = 0;
    while (sof + 20 < n && !(bytes[sof] == 0xff && bytes[sof + 1] == 0xc0))
        sof++;
    ok(bytes[sof + 11] == 0x11 && bytes[sof + 14] == 0x11, "as 4:4:4");
    free(bytes);
    image_release(&back);
    if (mkdtemp(dir) == NULL)
        return;
    snprintf(path, sizeof path, "%s/x.png", dir);
    ok(image_write(&im, path) == 0 && access(path, R_OK) == 0, "to a file");
    unlink(path);
    snprintf(path, sizeof path, "%s/x.gif", dir);
    ok(image_write(&im, path) == -EUSAGE, "not as a GIF: %s", fail_text());
    snprintf(path, sizeof path, "%s/no/x.jpg", dir);
    ok(image_write(&im, path) == -ENOENT, "not into nowhere: %s", fail_text());
    ok(rmdir(dir) == 0, "and nothing is left behind");
    image_release(&im);
}

int main(void)
{
    test_formats();
    test_exact_png();
    test_damage();
    test_bombs();
    test_big();
    test_orientations(load("turned6.jpg"));
    test_orientations(large_turned());
    test_fuzz();
    test_resize();
    test_sides();
    test_squares();
    test_out();
    return done();
}
