/*
 * pickle_arrays.c - the arrays in a pickle, by their paths through its mappings and tuples.
 *
 * The path of an array is the keys that lead to it, with slashes between: a Haiku checkpoint has
 * experiment_state/online_params/res_net50/~/initial_conv/w. Classes that mean something here are
 * numpy's and JAX's arrays (dill wraps both) and mappings around one dictionary; all others are
 * named in the list's unknown, and what lies in them is walked through like a tuple.
 *
 * Layouts: numpy's ndarray.__reduce__ and __reduce_ex__(5); jax._src.array.Array.__reduce__, dill's
 * _create_array and _create_dtypemeta; haiku._src.data_structures.
 */
#include "common/base/fail.h"
#include "common/base/text.h"
#include "common/data/pickle.h"
#include "common/data/tensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MOST = 512, DEEPEST = 32, STEPS_MOST = 1 << 20, UNKNOWN_MOST = 100 };

struct walk {
    struct pickle p;
    struct tensors *t;
    char path[PATH_MOST];
    size_t steps;
};

/* -- what a value is ---- */

static const struct pickle_value *at(const struct pickle *p, uint32_t v)
{
    return &p->value[v];
}

static bool is_text(const struct pickle *p, uint32_t v, const char *text)
{
    const struct pickle_value *t = at(p, v);
    return (t->kind == PICKLE_TEXT || t->kind == PICKLE_BYTES) && t->len == strlen(text) &&
           memcmp(t->text, text, t->len) == 0;
}

static bool is_inside(const struct pickle_value *module, const char *package)
{
    size_t n = strlen(package);
    return module->len >= n && memcmp(module->text, package, n) == 0 &&
           (module->len == n || module->text[n] == '.');
}

/* Is v this name, in this package or a module inside it? */
static bool is_global(const struct pickle *p, uint32_t v, const char *package, const char *name)
{
    const struct pickle_value *g = at(p, v);
    return g->kind == PICKLE_GLOBAL && is_text(p, g->part[1], name) &&
           is_inside(at(p, g->part[0]), package);
}

/* Is v the result of calling it? */
static bool is_call(const struct pickle *p, uint32_t v, const char *package, const char *name)
{
    return at(p, v)->kind == PICKLE_OBJECT && is_global(p, at(p, v)->part[0], package, name);
}

/* The mapping that v is, or is made of; 0: it is none. */
static uint32_t mapping_of(const struct pickle *p, uint32_t v)
{
    static const char *const around[][2] = { { "haiku", "FlatMapping" },
                                             { "haiku", "FlatMap" },
                                             { "haiku", "frozendict" },
                                             { "jax", "FlatMapping" },
                                             { "types", "MappingProxyType" } };
    uint32_t inner;
    if (at(p, v)->kind == PICKLE_DICT)
        return v;
    if (is_call(p, v, "collections", "OrderedDict") || is_call(p, v, "collections", "defaultdict"))
        return v;
    for (size_t i = 0; i < ARRAY_LEN(around); i++)
        if (is_call(p, v, around[i][0], around[i][1]) &&
            pickle_items(p, at(p, v)->part[1], &inner, 1) == 1 && at(p, inner)->kind == PICKLE_DICT)
            return inner;
    return 0;
}

/* -- arrays ---- */

struct array {
    uint32_t shape, dtype, bytes; /* shape 0: a single number */
    bool fortran;
};

/* Does v say how an array came to be, and where are its parts? */
static bool array_parts(const struct pickle *p, uint32_t v, struct array *a)
{
    uint32_t arg[4] = { 0 }, state[5];
    uint32_t content = at(p, v)->part[2];
    *a = (struct array){ 0 };
    size_t n = pickle_items(p, at(p, v)->part[1], arg, 4);
    if (is_call(p, v, "numpy", "scalar") && n >= 2) {
        a->dtype = arg[0];
        a->bytes = arg[1];
        return true;
    }
    if (is_call(p, v, "numpy", "_frombuffer") && n == 4) { /* protocol 5 */
        *a = (struct array){ arg[2], arg[1], arg[0], is_text(p, arg[3], "F") };
        return true;
    }
    /* JAX and dill put numpy's way to an array into the arguments of theirs */
    bool wrapped = is_call(p, v, "jax", "_reconstruct_array") ||
                   is_call(p, v, "jax", "reconstruct_device_array") ||
                   is_call(p, v, "dill", "_create_array");
    if (wrapped && n >= 3 && is_global(p, arg[0], "numpy", "_reconstruct"))
        content = arg[2];
    else if (!is_call(p, v, "numpy", "_reconstruct"))
        return false;
    if (pickle_items(p, content, state, 5) != 5)
        return false;
    *a = (struct array){ state[1], state[2], state[4], at(p, state[3])->i != 0 };
    return true;
}

static bool set_dtype(const struct pickle *p, uint32_t v, struct tensor *item)
{
    static const struct {
        const char *name;
        enum tensor_type type;
    } known[] = { { "f2", TENSOR_F16 }, { "f4", TENSOR_F32 }, { "f8", TENSOR_F64 },
                  { "i4", TENSOR_I32 }, { "i8", TENSOR_I64 }, { "bfloat16", TENSOR_BF16 } };
    uint32_t arg, state[2], class = at(p, v)->part[0];
    bool dtype =
        is_call(p, v, "numpy", "dtype") ||
        (at(p, v)->kind == PICKLE_OBJECT && is_call(p, class, "dill", "_create_dtypemeta"));
    if (!dtype || pickle_items(p, at(p, v)->part[1], &arg, 1) != 1)
        return false;
    const struct pickle_value *name = at(p, arg);
    if (name->kind == PICKLE_GLOBAL) /* a class of ml_dtypes */
        name = at(p, name->part[1]);
    if (name->kind != PICKLE_TEXT && name->kind != PICKLE_BYTES)
        return false;
    bool big = pickle_items(p, at(p, v)->part[2], state, 2) == 2 && is_text(p, state[1], ">");
    snprintf(item->dtype, sizeof item->dtype, "%s%.*s", big ? ">" : "", (int)MIN(name->len, 12u),
             (const char *)name->text);
    text_tidy(item->dtype);
    item->type = TENSOR_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(item->dtype, known[i].name) == 0)
            item->type = known[i].type;
    return true;
}

static bool set_shape(const struct pickle *p, uint32_t v, struct tensor *item)
{
    uint32_t dim[TENSOR_MAX_DIMS];
    if (v != 0 && (at(p, v)->kind != PICKLE_TUPLE || at(p, v)->nitems > TENSOR_MAX_DIMS))
        return false;
    item->ndim = (int)pickle_items(p, v, dim, TENSOR_MAX_DIMS);
    for (int i = 0; i < item->ndim; i++) {
        if (at(p, dim[i])->kind != PICKLE_INT || at(p, dim[i])->i < 0)
            return false;
        item->dim[i] = (size_t)at(p, dim[i])->i;
    }
    return true;
}

/* Protocol 2 has no bytes: they are a text whose encoding as Latin-1 they are. */
static bool set_bytes(const struct pickle *p, uint32_t v, struct tensor *item)
{
    uint32_t arg[2];
    if (is_call(p, v, "_codecs", "encode")) {
        if (pickle_items(p, at(p, v)->part[1], arg, 2) != 2 || at(p, arg[0])->kind != PICKLE_TEXT ||
            (!is_text(p, arg[1], "latin1") && !is_text(p, arg[1], "latin-1")))
            return false;
        item->latin1 = true;
        v = arg[0];
    } else if (is_call(p, v, "__builtin__", "bytes")) { /* protocol 2 for none of them */
        item->at = p->bytes;
        return true;
    } else if (at(p, v)->kind != PICKLE_BYTES) {
        return false;
    }
    item->at = at(p, v)->text;
    item->nbytes = at(p, v)->len;
    return true;
}

/* As many bytes as the shape wants; of a text, at most two for one, they are counted on reading. */
static int check_bytes(const struct tensors *t, const struct tensor *item)
{
    size_t size = tensor_sizeof(item->type), want = item->count * size;
    bool good =
        item->latin1 ? item->nbytes >= want && item->nbytes / 2 <= want : item->nbytes == want;
    if (size == 0 || good)
        return 0;
    return fail(-EINVAL, "%s: %s has %s, its shape wants %zu", t->name, item->name,
                TEXT_COUNT(item->nbytes, "byte", "bytes"), want);
}

/* 1: v is an array, and has been listed. */
static int add_array(struct walk *w, uint32_t v)
{
    struct array a;
    struct tensor item = { 0 }, *to;
    if (!array_parts(&w->p, v, &a) || !set_dtype(&w->p, a.dtype, &item) ||
        !set_shape(&w->p, a.shape, &item) || !set_bytes(&w->p, a.bytes, &item))
        return 0;
    item.fortran = a.fortran && item.ndim > 1;
    int rc = tensors_add(w->t, w->path, &to);
    if (rc < 0)
        return rc;
    item.name = to->name;
    *to = item;
    rc = tensor_set_count(w->t, to);
    if (rc == 0)
        rc = check_bytes(w->t, to);
    return rc < 0 ? rc : 1;
}

/* -- the walk ---- */

static int note_unknown(struct walk *w, const struct pickle_value *object)
{
    const struct pickle_value *class = at(&w->p, object->part[0]);
    const struct pickle_value *module = at(&w->p, class->part[0]),
                              *name = at(&w->p, class->part[1]);
    if (class->kind != PICKLE_GLOBAL || is_inside(module, "numpy") || is_inside(module, "_codecs"))
        return 0; /* these two tell of numbers, if not of such that are listed */
    char *s = mem_printf("%.*s.%.*s", (int)MIN(module->len, 100u), (const char *)module->text,
                         (int)MIN(name->len, 100u), (const char *)name->text);
    struct tensors *t = w->t;
    if (!s)
        return -ENOMEM;
    text_tidy(s);
    size_t i = 0;
    while (i < t->nunknown && strcmp(t->unknown[i], s) != 0)
        i++;
    if (i < t->nunknown || i == UNKNOWN_MOST) {
        free(s);
        return 0;
    }
    if (mem_grow(&t->unknown, &t->unknown_room, i + 1, sizeof *t->unknown) < 0) {
        free(s);
        return -ENOMEM;
    }
    t->unknown[t->nunknown++] = s;
    return 0;
}

static int walk(struct walk *w, uint32_t v, size_t len, int depth);

/* One more word on the path, len bytes before. */
static int step(struct walk *w, uint32_t v, size_t len, int depth, const char *word, size_t n)
{
    size_t slash = len > 0;
    if (len + slash + n >= PATH_MOST || memchr(word, 0, n))
        return fail(-EINVAL, "%s: a name below %.*s is too long or holds a NUL", w->t->name,
                    (int)len, w->path);
    if (slash)
        w->path[len] = '/';
    memcpy(w->path + len + slash, word, n);
    return walk(w, v, len + slash + n, depth + 1);
}

/* The items of v: single ones by number, those of pairs by key. */
static int walk_items(struct walk *w, uint32_t v, size_t len, int depth)
{
    const struct pickle *p = &w->p;
    size_t i = 0;
    int rc = 0;
    for (uint32_t l = at(p, v)->first; l && rc >= 0; l = p->link[l].next) {
        char number[24];
        const struct pickle_value *key = NULL;
        if (at(p, v)->pairs) {
            key = at(p, p->link[l].value);
            l = p->link[l].next;
        }
        if (key && (key->kind == PICKLE_TEXT || key->kind == PICKLE_BYTES)) {
            rc = step(w, p->link[l].value, len, depth, (const char *)key->text, key->len);
            continue;
        }
        int n = snprintf(number, sizeof number, "%lld",
                         key && key->kind == PICKLE_INT ? (long long)key->i : (long long)i);
        rc = step(w, p->link[l].value, len, depth, number, (size_t)n);
        i++;
    }
    return rc;
}

/* What an object of a class that is not known was made of, and its state. */
static int walk_object(struct walk *w, uint32_t v, size_t len, int depth)
{
    const struct pickle_value *object = at(&w->p, v);
    int rc = note_unknown(w, object);
    if (rc >= 0)
        rc = walk_items(w, object->part[1], len, depth);
    if (rc >= 0)
        rc = walk_items(w, v, len, depth);
    return rc < 0 || object->part[2] == 0 ? rc : walk(w, object->part[2], len, depth + 1);
}

/* Lists the arrays below v, whose path has len bytes. */
static int walk(struct walk *w, uint32_t v, size_t len, int depth)
{
    w->path[len] = 0;
    if (depth > DEEPEST || ++w->steps > STEPS_MOST)
        return fail(-EINVAL, "%s: the pickle's values lie too deep or too often in each other",
                    w->t->name);
    uint32_t mapping = mapping_of(&w->p, v);
    if (mapping)
        return walk_items(w, mapping, len, depth);
    int rc = add_array(w, v);
    if (rc != 0)
        return MIN(rc, 0);
    switch (at(&w->p, v)->kind) {
    case PICKLE_TUPLE:
    case PICKLE_LIST:
        return walk_items(w, v, len, depth);
    case PICKLE_OBJECT:
        return walk_object(w, v, len, depth);
    default:
        return 0;
    }
}

int pickle_list(struct tensors *t)
{
    struct walk w = { .t = t };
    int rc = pickle_read(&w.p, t->name, t->bytes, t->size);
    if (rc == 0)
        rc = walk(&w, w.p.root, 0, 0);
    pickle_release(&w.p);
    return MIN(rc, 0);
}
