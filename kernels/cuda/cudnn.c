/*
 * cudnn.c - engines of cuDNN for convolutions, opened at run time.
 *
 * Which there are is what the heuristics return (mode A, then the fallbacks), in their order.
 * Passed over are those whose notes say that results may differ from run to run, or that they
 * compute in another way than asked for: by Fourier or Winograd transforms, with sums of reduced
 * precision, on inputs made narrower, and, unless TF32 is allowed, float32 on tensor cores.
 *
 * Fused steps (scale and shift, sums of gradients) are all compiled at run time, half a second
 * each, so that fewer of them are tried, and those without tensor cores not. Of a convolution alone
 * all of that kind are passed over.
 *
 * With CUDNN_LOGLEVEL_DBG=1 and CUDNN_LOGDEST_DBG=stderr in the environment cuDNN says why a call
 * failed, with 2 also why there is no engine.
 */
#include "kernels/cuda/cudnn_graph.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIGS = 64, KNOBS = 44, NOTES = CUDNN_NUMERICAL_NOTE_TYPE_COUNT, COMPILED = 3 };

/* The library's side of a handle. */
struct side {
    struct kern *kn; /* NULL: described */
    cudnnHandle_t handle;
    cudaStream_t stream;   /* of the handle */
    descriptor properties; /* of a device that is not there */
    char version[32];
    struct cudnn_refused refused;
};

struct engine {
    descriptor config, plan;
    char name[CONV_NAME];
    size_t workspace;
    bool affine, old;
};

/* -- the library ---- */

int engine_library_find(char *why, size_t room)
{
    int rc = cudnn_open();
    if (rc < 0)
        snprintf(why, room, "%s", cuda_missing());
    return rc;
}

void engine_library_report(char *text, size_t room)
{
    if (engine_library_find(text, room) < 0)
        return;
    size_t version = cudnn.cudnnGetVersion(); /* as CUDNN_VERSION since 9 */
    snprintf(text, room, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

static struct side *side_new(struct kern *kn)
{
    struct side *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->kn = kn;
    snprintf(s->version, sizeof s->version, "cuDNN %zu", cudnn.cudnnGetVersion());
    return s;
}

int engine_library_open(struct kern *kn, void **library)
{
    int rc = cudnn_open();
    struct side *s = rc < 0 ? NULL : side_new(kn);
    if (!s)
        return rc < 0 ? rc : -ENOMEM;
    cuda_of(kn); /* a handle of cuDNN is for the thread's current device */
    if (cudnn.cudnnCreate(&s->handle) != CUDNN_STATUS_SUCCESS) {
        free(s);
        return -EIO;
    }
    *library = s;
    return 0;
}

int cudnn_describe(const char *json, void **library)
{
    int rc = cudnn_open();
    struct side *s = rc < 0 ? NULL : side_new(NULL);
    if (!s)
        return rc < 0 ? rc : -ENOMEM;
    struct cudnn_graph g = { .failed = CUDNN_STATUS_SUCCESS };
    s->properties = cudnn_new(&g, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    cudnn_set(&g, s->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
              (int64_t)strlen(json), json);
    cudnn_finalise(&g, s->properties);
    *library = s;
    if (g.failed == CUDNN_STATUS_SUCCESS)
        return 0;
    engine_library_close(s);
    return -EINVAL;
}

void engine_library_close(void *library)
{
    struct side *s = library;
    if (s->properties)
        cudnn.cudnnBackendDestroyDescriptor(s->properties);
    if (s->handle)
        cudnn.cudnnDestroy(s->handle);
    free(s);
}

const char *engine_library_version(const void *library)
{
    return ((const struct side *)library)->version;
}

const struct cudnn_refused *cudnn_refused(const void *library)
{
    return &((const struct side *)library)->refused;
}

/* -- what an engine is like ---- */

static int64_t get(descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                   int64_t most, void *values)
{
    int64_t n = 0;
    return cudnn.cudnnBackendGetAttribute(d, name, type, most, &n, values) == CUDNN_STATUS_SUCCESS
               ? MIN(n, most)
               : 0;
}

/* The engine's number and knobs, as "62:2=13,14=4"; false: too long, or not told. */
static bool name_of(char name[CONV_NAME], descriptor config, descriptor engine)
{
    descriptor knob[KNOBS];
    int64_t index, value, n = 0;
    int nknobs = 0;
    bool good = get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index) == 1;
    while (nknobs < KNOBS &&
           cudnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                                              &knob[nknobs]) == CUDNN_STATUS_SUCCESS)
        nknobs++;
    if (good)
        n = get(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, nknobs,
                knob);
    int at = good ? snprintf(name, CONV_NAME, "%lld", (long long)index) : 0;
    for (int64_t i = 0; i < n && good; i++) {
        cudnnBackendKnobType_t type = 0;
        good =
            get(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type) == 1 &&
            get(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value) == 1;
        if (good)
            at += snprintf(name + at, (size_t)(CONV_NAME - at), "%c%d=%lld", i ? ',' : ':',
                           (int)type, (long long)value);
        good = good && at < CONV_NAME;
    }
    while (nknobs > 0)
        cudnn.cudnnBackendDestroyDescriptor(knob[--nknobs]);
    return good;
}

static bool compiled(descriptor engine)
{
    cudnnBackendBehaviorNote_t note[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t n = get(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                    CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, note);
    for (int64_t i = 0; i < n; i++)
        if (note[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            return true;
    return false;
}

/* Do its notes allow the engine? late: it is compiled at run time, which only speed is worth. */
static bool allowed(const struct convolve *what, descriptor engine, bool late)
{
    cudnnBackendNumericalNote_t note[NOTES];
    int64_t n =
        get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, NOTES, note);
    bool fast = false;
    for (int64_t i = 0; i < n; i++)
        switch (note[i]) {
        case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
            break;
        case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
            if (what->cv.type == KERN_F32 && !what->tf32)
                return false;
            fast = true;
            break;
        default:
            return false;
        }
    return fast || !late;
}

/* -- from heuristics to plans ---- */

struct search {
    struct side *side;
    const struct convolve *what;
    const char *name; /* or NULL: any */
    struct engine **list;
    int n, most, compiled;
};

void engine_free(struct engine *e)
{
    if (e->plan)
        cudnn.cudnnBackendDestroyDescriptor(e->plan);
    if (e->config)
        cudnn.cudnnBackendDestroyDescriptor(e->config);
    free(e);
}

/* Makes the plan of e->config. */
static cudnnStatus_t finalise(struct side *s, struct engine *e)
{
    struct cudnn_graph g = { .failed = CUDNN_STATUS_SUCCESS };
    e->plan = cudnn_new(&g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    cudnn_set(&g, e->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
              1, &e->config);
    if (s->handle)
        cudnn_set(&g, e->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->handle);
    else
        cudnn_set(&g, e->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                  1, &s->properties);
    cudnn_finalise(&g, e->plan);
    return g.failed;
}

static bool known(const struct search *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->list[i]->name, name) == 0)
            return true;
    return false;
}

/* One configuration, which becomes the engine's if it is taken. */
static bool consider(struct search *f, descriptor config, descriptor engine)
{
    struct side *s = f->side;
    char name[CONV_NAME];
    bool late = compiled(engine), fused = f->what->affine || f->what->add;
    s->refused.offered++;
    if (!allowed(f->what, engine, late)) {
        s->refused.notes++;
        return false;
    }
    if (!f->list)
        return false;
    if (!name_of(name, config, engine) || (f->name && strcmp(name, f->name) != 0) ||
        known(f, name) || (late && (!fused || f->compiled == COMPILED)))
        return false;
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return false;
    e->config = config;
    e->affine = f->what->affine;
    e->old = f->what->residual || f->what->add;
    memcpy(e->name, name, sizeof name);
    cudnnStatus_t st = finalise(s, e);
    int64_t workspace = 0;
    bool good = st == CUDNN_STATUS_SUCCESS && get(e->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                  CUDNN_TYPE_INT64, 1, &workspace) == 1;
    f->compiled += late;
    s->refused.finalise += !good;
    s->refused.unloaded += late && st == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER;
    if (good && (size_t)workspace > ENGINE_WORKSPACE) {
        s->refused.large++;
        good = false;
    }
    if (!good) {
        e->config = NULL;
        engine_free(e);
        return false;
    }
    e->workspace = (size_t)workspace;
    f->list[f->n++] = e;
    return true;
}

/* Those that the heuristics of one mode return. */
static cudnnStatus_t search(struct search *f, const struct cudnn_graph *of,
                            cudnnBackendHeurMode_t mode)
{
    struct side *s = f->side;
    descriptor config[CONFIGS], engine = NULL;
    int made = 0;
    struct cudnn_graph g = { .failed = CUDNN_STATUS_SUCCESS };
    descriptor heuristics = cudnn_new(&g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    cudnn_set(&g, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR,
              1, &of->whole);
    cudnn_set(&g, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (s->properties)
        cudnn_set(&g, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                  1, &s->properties);
    cudnn_finalise(&g, heuristics);
    while (g.failed == CUDNN_STATUS_SUCCESS && made < CONFIGS &&
           cudnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[made]) ==
               CUDNN_STATUS_SUCCESS)
        made++;
    int64_t n = made ? get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                           made, config)
                     : 0;
    for (int64_t i = 0; i < n && f->n < f->most; i++) {
        if (cudnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) !=
            CUDNN_STATUS_SUCCESS)
            break;
        if (get(config[i], CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                &engine) == 1 &&
            consider(f, config[i], engine))
            config[i] = NULL;
        cudnn.cudnnBackendDestroyDescriptor(engine);
    }
    while (made > 0)
        if (config[--made])
            cudnn.cudnnBackendDestroyDescriptor(config[made]);
    cudnn_release(&g);
    return g.failed;
}

/* Is it only that cuDNN does not do this? */
static bool refusal(cudnnStatus_t st)
{
    return (st >= CUDNN_STATUS_BAD_PARAM && st < CUDNN_STATUS_NOT_SUPPORTED + 1000);
}

int engines_for(void *library, const struct convolve *what, const char *name, struct engine **list,
                int most)
{
    struct side *s = library;
    struct cudnn_graph g;
    struct search f = { .side = s, .what = what, .name = name, .list = list, .most = most };
    cudnnStatus_t st = cudnn_graph_of(&g, s->handle, what);
    if (st == CUDNN_STATUS_SUCCESS)
        st = search(&f, &g, CUDNN_HEUR_MODE_A);
    if ((st == CUDNN_STATUS_SUCCESS || refusal(st)) && g.failed == CUDNN_STATUS_SUCCESS &&
        f.n < most)
        st = search(&f, &g, CUDNN_HEUR_MODE_FALLBACK);
    cudnn_release(&g);
    return f.n > 0 || st == CUDNN_STATUS_SUCCESS || refusal(st) ? f.n : -EIO;
}

const char *engine_name(const struct engine *e)
{
    return e->name;
}

size_t engine_workspace(const struct engine *e)
{
    return e->workspace;
}

/* -- running ---- */

int engine_run(void *library, const struct engine *e, const struct convolve_arrays *at,
               void *workspace)
{
    struct side *s = library;
    cudaStream_t stream = cuda_of(s->kn)->stream;
    int64_t id[TENSOR_VIRTUAL];
    const void *pointer[TENSOR_VIRTUAL];
    int n = 0;
#define TENSOR(which, where) (id[n] = (which), pointer[n++] = (where))
    TENSOR(TENSOR_OUT, at->out);
    TENSOR(TENSOR_A, at->a);
    TENSOR(TENSOR_B, at->b);
    if (e->affine) {
        TENSOR(TENSOR_SCALE, at->scale);
        TENSOR(TENSOR_SHIFT, at->shift);
    }
    if (e->old)
        TENSOR(TENSOR_OLD, at->old);
#undef TENSOR
    struct cudnn_graph g = { .failed = CUDNN_STATUS_SUCCESS };
    if (s->stream != stream)
        g.failed = cudnn.cudnnSetStream(s->handle, stream);
    s->stream = g.failed == CUDNN_STATUS_SUCCESS ? stream : NULL;
    descriptor pack = cudnn_new(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    cudnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, id);
    cudnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointer);
    cudnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    cudnn_finalise(&g, pack);
    if (g.failed == CUDNN_STATUS_SUCCESS)
        g.failed = cudnn.cudnnBackendExecute(s->handle, e->plan, pack);
    cudnn_release(&g);
    return g.failed == CUDNN_STATUS_SUCCESS ? 0 : -EIO;
}
