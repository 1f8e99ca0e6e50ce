/*
 * plan_cudnn.c - cuDNN plans every convolution of the networks without a device, from a description
 * of one: each pass has engines that kernels/cuda/cudnn.c allows, within their workspace.
 *
 * h200.json describes an NVIDIA H200. Its keys are those that cuDNN 9.19 asks for, its numbers
 * those of NVIDIA's data sheet and of the CUDA programming guide for compute capability 9.0, not
 * read from a card.
 *
 * Fused steps are compiled when they are planned, which needs a driver to load them: with the stub
 * of the toolkit in its place, "compiled, but not loaded" is all that can be seen, and enough.
 */
#include "common/model/encoder.h"
#include "common/model/net_exec.h"
#include "kernels/cuda/cudnn_graph.h"
#include "tests/t.h"
#include <dlfcn.h>
#include <string.h>

enum { MOST = 4096, TRIES = 12 };

void cuda_make_current(int index UNUSED) {} /* nothing is run here */

/* -- the convolutions, each once ---- */

static struct kern_conv convs[MOST];
static int nconvs;

static bool same(const struct kern_conv *a, const struct kern_conv *b)
{
    return a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c && a->k == b->k &&
           a->kh == b->kh && a->kw == b->kw && a->stride == b->stride && a->pad_top == b->pad_top &&
           a->pad_left == b->pad_left && a->oh == b->oh && a->ow == b->ow;
}

static void add(struct kern_conv cv)
{
    cv = conv_form_of(&cv).cv;
    for (int i = 0; i < nconvs; i++)
        if (same(&convs[i], &cv))
            return;
    if (nconvs < MOST)
        convs[nconvs++] = cv;
}

static void add_network(int encoder, bool sk, int preset, size_t side)
{
    struct settings s;
    struct net net;
    settings_preset(&s, preset);
    s.encoder = encoder;
    s.sk = sk;
    for (s.padding = PAD_TORCH; s.padding <= PAD_SAME; s.padding++) {
        if (!ok(encoder_build(&net, &s, side) == 0, "encoder %d at %zu", encoder, side))
            return;
        for (int i = 0; i < net.nnodes; i++)
            if (net.node[i].kind == NODE_CONV)
                add(net_conv(&net, &net.node[i], 256));
        net_release(&net);
    }
}

/* -- what is planned ---- */

static const struct pattern {
    const char *name;
    struct convolve what;
    bool late; /* compiled when it is planned */
} patterns[] = {
    { "forward", { .pass = CONVOLVE_FORWARD }, false },
    { "data", { .pass = CONVOLVE_DATA }, false },
    { "weights", { .pass = CONVOLVE_WEIGHTS }, false },
    { "scale and shift", { .pass = CONVOLVE_FORWARD, .affine = true }, true },
    { "scale, shift, ReLU", { .pass = CONVOLVE_FORWARD, .affine = true, .relu = true }, true },
    { "scale, shift, residual, ReLU",
      { .pass = CONVOLVE_FORWARD, .affine = true, .residual = true, .relu = true },
      true },
    { "data, added", { .pass = CONVOLVE_DATA, .add = true }, true },
};

static const char *conv_name(const struct kern_conv *cv)
{
    static char name[128];
    snprintf(name, sizeof name, "%zux%zu/%zu %zu->%zu @ %zux%zu pad %zu,%zu", cv->kh, cv->kw,
             cv->stride, cv->c, cv->k, cv->h, cv->w, cv->pad_top, cv->pad_left);
    return name;
}

struct range {
    int least, most;
};

static void widen(struct range *r, int n)
{
    r->least = MIN(r->least, n);
    r->most = MAX(r->most, n);
}

/* Is the engine of that name found again, and the same? */
static bool found_again(void *library, const struct convolve *what, const struct engine *e)
{
    struct engine *again = NULL;
    int n = engines_for(library, what, engine_name(e), &again, 1);
    bool good = n == 1 && strcmp(engine_name(again), engine_name(e)) == 0 &&
                engine_workspace(again) == engine_workspace(e);
    if (n == 1)
        engine_free(again);
    return good;
}

/* Patterns that are compiled are only asked for: heuristics know which there are. */
static void plan(void *library, const struct pattern *p, enum kern_type type, bool tf32,
                 const char *as)
{
    struct range made = { 999, 0 };
    const struct cudnn_refused *r = cudnn_refused(library);
    const struct cudnn_refused start = *r;
    size_t most = 0;
    int without = 0, lost = 0, asked = 0;
    for (int i = 0; i < nconvs; i += p->late ? 8 : 1) {
        struct convolve what = p->what;
        struct engine *list[TRIES];
        what.cv = convs[i];
        what.cv.type = type;
        what.tf32 = tf32;
        const struct cudnn_refused before = *r;
        int n = engines_for(library, &what, NULL, p->late ? NULL : list, TRIES);
        int found = p->late ? (r->offered - before.offered) - (r->notes - before.notes) : n;
        asked++;
        widen(&made, found);
        if (found <= 0 && without++ == 0)
            printf("# no engine for %s\n", conv_name(&what.cv));
        if (n > 0 && i % 8 == 0)
            lost += !found_again(library, &what, list[n - 1]);
        for (int j = 0; j < n; j++) {
            most = MAX(most, engine_workspace(list[j]));
            engine_free(list[j]);
        }
    }
    printf(
        "# %s, %s: %d shapes, %d to %d engines; passed over %d for their notes, %d as too large, "
        "%d not finalised; workspace up to %.0f MB\n",
        p->name, as, asked, made.least, made.most, r->notes - start.notes, r->large - start.large,
        r->finalise - start.finalise, (double)most / 1e6);
    ok(without == 0, "%s, %s: an engine for every convolution", p->name, as);
    if (p->late)
        return;
    ok(most <= ENGINE_WORKSPACE, "%s, %s: within the workspace", p->name, as);
    ok(lost == 0, "%s, %s: engines are found again by their names", p->name, as);
}

/* One fused pattern, compiled. */
static void compile(void *library, const struct pattern *p)
{
    struct convolve what = p->what;
    struct engine *e;
    what.cv = (struct kern_conv){ KERN_BF16, 256, 14, 14, 256, 1024, 1, 1, 1, 0, 0, 14, 14 };
    const struct cudnn_refused *r = cudnn_refused(library);
    int unloaded = r->unloaded;
    int n = engines_for(library, &what, NULL, &e, 1);
    if (n == 1)
        engine_free(e);
    ok(n == 1 || r->unloaded > unloaded, "%s, bf16: is compiled", p->name);
}

static char *read_whole(const char *path)
{
    static char text[8192];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = '\0';
    return text;
}

int main(void)
{
    static const size_t sides[] = { 224, 96 };
    void *library;
    if (cudnn_open() < 0) {
        printf("1..0 # SKIP %s\n", cuda_missing());
        return 0;
    }
    const char *json = read_whole("tests/cuda/h200.json");
    if (!ok(cudnn_describe(json, &library) == 0, "cuDNN knows a device by its description"))
        return done();
    printf("# %s\n", engine_library_version(library));
    for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
        for (int e = ENC_RESNET18; e <= ENC_RESNET200; e++)
            add_network(e, false, 0, sides[i]);
        add_network(ENC_RESNET50, true, 0, sides[i]);
    }
    add_network(ENC_RESNET18, false, 1, 32);
    ok(nconvs < MOST, "%d different convolutions", nconvs);
    bool driver =
        dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) || dlopen(CUDA_STUB, RTLD_NOW | RTLD_GLOBAL);
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        if (patterns[i].late && !driver)
            continue;
        plan(library, &patterns[i], KERN_BF16, false, "bf16");
        plan(library, &patterns[i], KERN_F16, false, "f16");
        plan(library, &patterns[i], KERN_F32, true, "tf32");
        if (!patterns[i].late)
            plan(library, &patterns[i], KERN_F32, false, "f32");
    }
    for (size_t i = 0; i < ARRAY_LEN(patterns) && driver; i++)
        if (patterns[i].late && patterns[i].what.relu + patterns[i].what.add)
            compile(library, &patterns[i]);
    engine_library_close(library);
    return done();
}
