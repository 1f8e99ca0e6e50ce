/*
 * draw-shapes.c - labelled pictures for the demo: ten shapes in random colour, texture, pose and
 * clutter.
 *
 *     draw-shapes FOLDER COUNT SEED
 *
 * writes COUNT pictures of 32 x 32 a class as FOLDER/CLASS/NNNNN.jpg. Colour and texture say
 * nothing about the class, shapes are turned a little, scaled, shifted and half-hidden by clutter:
 * hard for raw pixels, easy for an eye.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/fail.h"
#include "common/base/rng.h"
#include "common/data/image.h"

enum { SIDE = 32, SAMPLES = 3, CLUTTER = 3 };

struct colour {
    float rgb[3];
};

/* A texture: stripes, checks or a gradient between two near colours. */
struct texture {
    int kind;
    struct colour a, b;
    float cosine, sine, period;
};

struct blob { /* clutter: a small ellipse or bar */
    float x, y, cosine, sine, length, width;
    bool bar;
    struct colour colour;
};

struct scene {
    float x, y, cosine, sine, scale; /* pose of the shape */
    struct texture shape, ground;
    struct blob blob[CLUTTER];
    int nblobs;
    float noise;
};

/* The shapes, about the origin, within radius 1. */
static bool disc(float x, float y)
{
    return x * x + y * y < 0.64f;
}
static bool ring(float x, float y)
{
    float r = x * x + y * y;
    return r < 0.81f && r > 0.25f;
}
static bool square(float x, float y)
{
    return fabsf(x) < 0.68f && fabsf(y) < 0.68f;
}
static bool triangle(float x, float y)
{
    return y > -0.5f && y < 1 - 1.7321f * fabsf(x);
}
static bool cross(float x, float y)
{
    return (fabsf(x) < 0.26f && fabsf(y) < 0.9f) || (fabsf(y) < 0.26f && fabsf(x) < 0.9f);
}
static bool bar(float x, float y)
{
    return fabsf(x) < 0.24f && fabsf(y) < 0.97f;
}
static bool crescent(float x, float y)
{
    return x * x + y * y < 0.81f && (x - 0.45f) * (x - 0.45f) + y * y > 0.5f;
}
static bool star(float x, float y)
{
    float turn = atan2f(y, x) * 5 / 6.2831853f;
    float within = fabsf(turn - rintf(turn)) * 2; /* 0 on a ray, 1 between two */
    return sqrtf(x * x + y * y) < 0.97f - 0.62f * within;
}
static bool angle(float x, float y)
{
    return (x > -0.7f && x < -0.2f && fabsf(y) < 0.8f) ||
           (y > -0.8f && y < -0.3f && x > -0.7f && x < 0.7f);
}
static bool pair(float x, float y)
{
    float left = (x - 0.5f) * (x - 0.5f), right = (x + 0.5f) * (x + 0.5f);
    return left + y * y < 0.17f || right + y * y < 0.17f;
}

static const struct {
    const char *name;
    bool (*inside)(float x, float y);
} classes[] = { { "angle", angle },      { "bar", bar },       { "crescent", crescent },
                { "cross", cross },      { "disc", disc },     { "pair", pair },
                { "ring", ring },        { "square", square }, { "star", star },
                { "triangle", triangle } };

static struct colour draw_colour(struct rng *r)
{
    struct colour c;
    for (int ch = 0; ch < 3; ch++)
        c.rgb[ch] = rng_float(r);
    return c;
}

static float distance(struct colour a, struct colour b)
{
    float sum = 0;
    for (int ch = 0; ch < 3; ch++)
        sum += (a.rgb[ch] - b.rgb[ch]) * (a.rgb[ch] - b.rgb[ch]);
    return sqrtf(sum);
}

static struct texture draw_texture(struct rng *r, struct colour base)
{
    float turn = rng_range(r, 0, 6.2831853f);
    struct texture t = {
        .kind = (int)rng_below(r, 3), .a = base, .b = base, .cosine = cosf(turn), .sine = sinf(turn)
    };
    t.period = rng_range(r, 3, 9);
    for (int ch = 0; ch < 3; ch++)
        t.b.rgb[ch] += rng_range(r, -0.15f, 0.15f);
    return t;
}

static struct scene draw_scene(struct rng *r)
{
    struct scene s = { 0 };
    float turn = rng_range(r, -0.5f, 0.5f);
    struct colour ground = draw_colour(r), shape;
    do
        shape = draw_colour(r);
    while (distance(shape, ground) < 0.6f);
    s.cosine = cosf(turn);
    s.sine = sinf(turn);
    s.scale = rng_range(r, 10, 14);
    s.x = SIDE / 2.0f + rng_range(r, -3, 3);
    s.y = SIDE / 2.0f + rng_range(r, -3, 3);
    s.ground = draw_texture(r, ground);
    s.shape = draw_texture(r, shape);
    s.nblobs = (int)rng_below(r, CLUTTER + 1);
    for (int i = 0; i < s.nblobs; i++) {
        struct blob *b = &s.blob[i];
        turn = rng_range(r, 0, 6.2831853f);
        b->cosine = cosf(turn);
        b->sine = sinf(turn);
        b->x = rng_range(r, 0, SIDE);
        b->y = rng_range(r, 0, SIDE);
        b->length = rng_range(r, 2, 6);
        b->width = rng_range(r, 0.7f, 2);
        b->bar = rng_below(r, 2);
        b->colour = draw_colour(r);
    }
    s.noise = rng_range(r, 0.01f, 0.04f);
    return s;
}

static struct colour texture_at(const struct texture *t, float x, float y)
{
    float u = x * t->cosine + y * t->sine, v = y * t->cosine - x * t->sine, mix;
    if (t->kind == 0)
        mix = 0.5f + 0.5f * sinf(6.2831853f * u / t->period);
    else if (t->kind == 1)
        mix = sinf(6.2831853f * u / t->period) * sinf(6.2831853f * v / t->period) > 0;
    else
        mix = 0.5f + u / (2 * SIDE);
    struct colour c;
    for (int ch = 0; ch < 3; ch++)
        c.rgb[ch] = t->a.rgb[ch] + mix * (t->b.rgb[ch] - t->a.rgb[ch]);
    return c;
}

static bool in_blob(const struct blob *b, float x, float y)
{
    float u = ((x - b->x) * b->cosine + (y - b->y) * b->sine) / b->length;
    float v = ((y - b->y) * b->cosine - (x - b->x) * b->sine) / b->width;
    return b->bar ? fabsf(u) < 1 && fabsf(v) < 1 : u * u + v * v < 1;
}

static struct colour scene_at(const struct scene *s, size_t class, float x, float y)
{
    for (int i = 0; i < s->nblobs; i++)
        if (in_blob(&s->blob[i], x, y))
            return s->blob[i].colour;
    float u = ((x - s->x) * s->cosine + (y - s->y) * s->sine) / s->scale;
    float v = ((y - s->y) * s->cosine - (x - s->x) * s->sine) / s->scale;
    return texture_at(classes[class].inside(u, v) ? &s->shape : &s->ground, x, y);
}

static void paint(uint8_t *rgb, const struct scene *s, size_t class, struct rng *r)
{
    for (int p = 0; p < SIDE * SIDE; p++) {
        float sum[3] = { 0, 0, 0 };
        for (int i = 0; i < SAMPLES * SAMPLES; i++) {
            float x = (float)(p % SIDE) + ((float)(i % SAMPLES) + 0.5f) / SAMPLES;
            float y = (float)(p / SIDE) + ((float)(i / SAMPLES) + 0.5f) / SAMPLES;
            struct colour c = scene_at(s, class, x, y);
            for (int ch = 0; ch < 3; ch++)
                sum[ch] += c.rgb[ch] / (SAMPLES * SAMPLES);
        }
        for (int ch = 0; ch < 3; ch++) {
            float v = sum[ch] + s->noise * rng_range(r, -1.7f, 1.7f);
            rgb[p * 3 + ch] = (uint8_t)(255 * fminf(fmaxf(v, 0), 1) + 0.5f);
        }
    }
}

static int make_folder(const char *path)
{
    return mkdir(path, 0777) < 0 && errno != EEXIST ? fail_errno("%s", path) : 0;
}

static int draw(const char *folder, unsigned long count, uint64_t seed)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    char path[4096];
    int rc = make_folder(folder);
    for (size_t class = 0; rc == 0 && class < ARRAY_LEN(classes); class ++) {
        snprintf(path, sizeof(path), "%s/%s", folder, classes[class].name);
        rc = make_folder(path);
        for (unsigned long i = 0; rc == 0 && i < count; i++) {
            struct rng r;
            rng_init(&r, seed, RNG_TEST, i, class, 0);
            struct scene s = draw_scene(&r);
            paint(rgb, &s, class, &r);
            snprintf(path, sizeof(path), "%s/%s/%05lu.jpg", folder, classes[class].name, i);
            rc = image_write(&(struct image){ SIDE, SIDE, rgb }, path);
        }
    }
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: draw-shapes FOLDER COUNT SEED\n", stderr);
        return EXIT_USAGE;
    }
    int rc = draw(argv[1], strtoul(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    if (rc < 0)
        fprintf(stderr, "draw-shapes: %s\n", fail_text());
    return (int)fail_status(rc);
}
