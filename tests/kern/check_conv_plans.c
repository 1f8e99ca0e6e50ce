/*
 * check_conv_plans.c - the file in which a CUDA device's convolutions keep which engine was the
 * fastest: it is made, read, mended and done without.
 */
#include "tests/kern/check.h"
#include "tests/unit/files.h"

enum { N = 2, SIDE = 6, C = 16, K = 16, X = N * SIDE * SIDE * C, W = K * C * 9 };

static const char path[] = "cache/convolutions.txt";

struct result {
    float y[X], affine[X], dx[X], dw[W];
};

static float x[X], dy[X], w[W];

static void draw(void)
{
    memcpy(x, check_normal(X), sizeof x);
    memcpy(dy, check_normal(X), sizeof dy);
    memcpy(w, check_normal(W), sizeof w);
}

/* Every pass, with a handle of its own, which knows what is in the file. The last few results
 * stay. */
static struct result *run_with(bool tf32)
{
    static struct result kept[16];
    static int turn;
    struct kern_conv cv = { KERN_F32, N, SIDE, SIDE, C, K, 3, 3, 1, 1, 1, SIDE, SIDE };
    struct kern *kn = check_open("cuda", 1);
    struct result *r = &kept[turn++ % 16];
    *r = (struct result){ 0 };
    void *packed = check_bytes(kern_conv_packed(kn, &cv));
    struct kern_epilogue affine = { .scale = w, .shift = w + K, .residual = dy, .relu = true };
    int rc = kern_tf32(kn, tf32);
    rc |= kern_conv_pack(kn, &(struct kern_conv_weights){ cv, packed, w }, 1);
    rc |= kern_conv_forward(kn, &cv, r->y, x, packed, NULL);
    rc |= kern_conv_forward(kn, &cv, r->affine, x, packed, &affine);
    rc |= kern_conv_backward_data(kn, &cv, r->dx, dy, packed, true);
    rc |= kern_conv_backward_weights(kn, &cv, r->dw, x, dy);
    if (rc)
        printf("# a pass returned %d\n", rc);
    check_close(kn);
    return r;
}

static struct result *run(void)
{
    return run_with(false);
}

static char *contents(void)
{
    static char text[2][65536];
    static int turn;
    FILE *f = fopen(path, "r");
    char *to = text[turn = !turn];
    size_t n = f ? fread(to, 1, sizeof text[0] - 1, f) : 0;
    if (f)
        fclose(f);
    to[n] = '\0';
    return to;
}

static void replace(const char *text)
{
    FILE *f = fopen(path, "w");
    files_must(f && fputs(text, f) >= 0 && fclose(f) == 0, path);
}

static int count(const char *text, char c)
{
    int n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

/* A line's engine and time become those given; returns the new text. */
static const char *edited(const char *text, const char *pass, const char *engine, const char *ns)
{
    static char to[65536];
    char *end = to;
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n") + 1;
        const char *tab = line;
        for (int i = 0; i < 3; i++)
            tab = strchr(tab, '\t') ? strchr(tab, '\t') + 1 : tab;
        bool mine = *line != '#' && strstr(line, pass) && strstr(line, pass) < line + n;
        end += mine ? sprintf(end, "%.*s%s\t%s\n", (int)(tab - line), line, engine, ns)
                    : sprintf(end, "%.*s", (int)n, line);
        line += n;
    }
    return to;
}

static bool same(const struct result *a, const struct result *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* From engines that were timed anew, and may be others. */
static bool alike(const struct result *a, const struct result *b)
{
    const float *x = a->y, *y = b->y;
    for (size_t i = 0; i < sizeof *a / sizeof *x; i++)
        if (!(fabsf(x[i] - y[i]) <= 1e-4f))
            return false;
    return true;
}

/* What was found at the first call holds at the second, but for a rounding: a sum in place. */
static void check_again(enum kern_type type)
{
    struct kern_conv cv = { type, N, SIDE, SIDE, 32, K, 3, 3, 1, 1, 1, SIDE, SIDE };
    struct kern *kn = check_open("cuda", 1);
    size_t nx = (size_t)N * SIDE * SIDE * cv.c;
    void *packed = check_bytes(kern_conv_packed(kn, &cv)), *dx[2];
    void *dy = check_typed(type, check_normal(X), X);
    float *before = check_normal(nx);
    int rc = kern_conv_pack(
        kn, &(struct kern_conv_weights){ cv, packed, check_normal((size_t)K * cv.c * 9) }, 1);
    for (int i = 0; i < 2; i++) {
        dx[i] = check_typed(type, before, nx);
        rc |= kern_conv_backward_data(kn, &cv, dx[i], dy, packed, true);
    }
    ok(rc == 0, "a gradient is added twice");
    float *first = check_floats(type, dx[0], nx), *second = check_floats(type, dx[1], nx);
    check_near_as(type, second, first, nx,
                  type == KERN_F32 ? 1e-4 : check_most(first, nx) * check_half_unit(type),
                  "to the same numbers");
    check_close(kn);
}

/* What was measured with TF32 is not used without, nor the other way round. */
static void check_tf32_apart(void)
{
    struct result *plain = run(), *fast = run_with(true);
    const char *text = contents();
    ok(strstr(text, "\tforward f32 ") && strstr(text, "\tforward tf32 ") &&
           strstr(text, "\tdata+add tf32 ") && strstr(text, "\tweights tf32 "),
       "the file knows float32 and TF32");
    ok(same(run(), plain), "float32 is what it was");
    ok(same(run_with(true), fast), "and TF32");
    check_near((float *)fast, (float *)plain, sizeof *fast / sizeof(float), 0.2,
               "which are not far from each other");
    struct kern *kn = check_open("cuda", 1);
    if (check_tf32_always(kn)) {
        ok(!alike(fast, plain), "but are not the same");
        memcpy(x, check_tf32(x, X), sizeof x);
        memcpy(dy, check_tf32(dy, X), sizeof dy);
        memcpy(w, check_tf32(w, W), sizeof w);
        struct result *want = run();
        check_near(fast->y, want->y, X, 1e-4, "outputs of rounded factors");
        check_near(fast->dx, want->dx, X, 1e-4, "gradients of inputs of rounded factors");
        check_near(fast->dw, want->dw, W, 1e-4, "gradients of weights of rounded factors");
    }
    check_close(kn);
}

/* Of the device of tests, the second engine is the first that works. */
static void check_few(const struct result *want)
{
    replace("");
    setenv("SEMPPL_ENGINES", "2", 1);
    ok(alike(run(), want), "few engines are tried: the same numbers");
    struct kern *kn = check_open("cuda", 1);
    ok(!check_tf32_always(kn) || !strstr(contents(), "through"), "and no other one is chosen");
    check_close(kn);
    unsetenv("SEMPPL_ENGINES");
}

/* Off the boundaries that engines want. */
static void check_unaligned(void)
{
    struct kern_conv cv = { KERN_F32, N, SIDE, SIDE, C, K, 3, 3, 1, 1, 1, SIDE, SIDE };
    struct kern *kn = check_open("cuda", 1);
    void *packed = check_bytes(kern_conv_packed(kn, &cv));
    float *x = check_normal(X), *off = check_buf(X + 1), *y[2] = { check_buf(X), check_buf(X) };
    memcpy(off, x, X * sizeof *x); /* 4 bytes below a boundary, as the buffer ends at one */
    int rc = kern_conv_pack(kn, &(struct kern_conv_weights){ cv, packed, check_normal(W) }, 1);
    rc |= kern_conv_forward(kn, &cv, y[0], x, packed, NULL);
    rc |= kern_conv_forward(kn, &cv, y[1], off, packed, NULL);
    ok(rc == 0, "an input that is not aligned");
    check_near(y[1], y[0], X, 1e-4, "gives the same numbers");
    check_close(kn);
}

int main(void)
{
    check_init();
    if (strcmp(check_best_isa(), "cuda") != 0) {
        printf("1..0 # SKIP there is no device\n");
        return 0;
    }
    draw();
    files_enter();
    setenv("SEMPPL_CACHE", "", 1);
    struct result *first = run(), *timed;
    char cache[256];
    snprintf(cache, sizeof cache, "%s/cache", files_dir);
    ok(access("cache", F_OK) != 0, "without a folder nothing is written");

    setenv("SEMPPL_CACHE", cache, 1);
    timed = run();
    ok(alike(timed, first), "with one, the same numbers");
    char *text = contents();
    int lines = count(text, '\n');
    ok(lines >= 4 && *text == '#', "a file of %d lines", lines);
    ok(count(text, '\t') == 4 * (lines - 1), "of five fields each");

    /* what was measured is believed: a line that is used stays, one that is not is written anew */
    char *forward = strstr(text, "\tforward ");
    ok(forward != NULL, "it has the forward pass");
    if (!forward)
        return done();
    char engine[512];
    sscanf(strchr(forward + 1, '\t') + 1, "%511[^\t]", engine);
    char known[65536];
    snprintf(known, sizeof known, "%s", edited(text, "\tforward ", engine, "7"));
    replace(known);
    ok(same(run(), timed), "a second run: the same bits");
    ok(strcmp(contents(), known) == 0, "and the file stays as it is");

    replace(edited(known, "\tforward ", "nonsense", "7"));
    ok(alike(run(), first), "an engine that does not exist: the same numbers");
    ok(!strstr(contents(), "nonsense") && count(contents(), '\n') == lines, "and it is replaced");

    replace(edited(known, "\tforward ", engine, "fast"));
    ok(alike(run(), first), "a time that is no number: the same numbers");
    ok(!strstr(contents(), "fast") && count(contents(), '\n') == lines, "and it is replaced");

    char damaged[65536];
    snprintf(damaged, sizeof damaged, "another device\tcuDNN\tforward\t1:2=3\t5\n\x01\xff\t\n%.60s",
             known);
    replace(damaged);
    ok(alike(run(), first), "a file cut off: the same numbers");
    ok(strstr(contents(), "another device\tcuDNN\tforward\t1:2=3\t5\n") != NULL,
       "another device's line is kept");
    ok(strstr(contents(), "\tforward ") != NULL, "and ours are back");
    check_few(first);

    setenv("SEMPPL_CACHE", "/proc/none", 1);
    ok(alike(run(), first), "a folder that cannot be made: the same numbers");
    setenv("SEMPPL_CACHE", "relative", 1);
    ok(alike(run(), first) && access("relative", F_OK) != 0, "a relative one is not used");
    unsetenv("SEMPPL_CACHE");
    setenv("XDG_CACHE_HOME", cache, 1);
    ok(alike(run(), first) && access("cache/semppl/convolutions.txt", F_OK) == 0,
       "$XDG_CACHE_HOME/semppl");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", files_dir, 1);
    ok(alike(run(), first) && access(".cache/semppl/convolutions.txt", F_OK) == 0,
       "~/.cache/semppl");
    setenv("SEMPPL_CACHE", cache, 1);
    check_tf32_apart();
    setenv("SEMPPL_CACHE", "", 1);
    check_again(KERN_F32);
    check_again(KERN_BF16);
    check_again(KERN_F16);
    check_unaligned();
    check_release();
    return done();
}
