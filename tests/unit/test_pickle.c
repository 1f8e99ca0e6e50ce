/*
 * test_pickle.c - pickles of protocols 2 to 5: arrays in all their clothes, and what is refused.
 * The files are made by tests/data/make_arrays.py; run from the top of the tree.
 */
#include "common/base/fail.h"
#include "common/data/pickle.h"
#include "common/data/tensors.h"
#include "tests/t.h"
#include <string.h>

static int open_data(struct tensors *t, const char *name)
{
    char path[512];
    const char *top = getenv("TOP");
    snprintf(path, sizeof path, "%s/tests/data/%s", top ? top : ".", name);
    return tensors_open(t, path);
}

/* Its numbers are (i + first) * step. */
static void numbers(const struct tensors *t, const char *name, size_t n, double first, double step)
{
    const struct tensor *item = tensors_find(t, name);
    float x[12] = { 0 };
    bool good = item && item->count == n && tensor_floats(t, item, n, x) == 0;
    for (size_t i = 0; i < n && good; i++)
        good = x[i] == (float)(((double)i + first) * step);
    ok(good, "%s: %s", t->name, name);
}

static void test_arrays(const char *name)
{
    static const char *const shared[] = { "flat/net/~/conv/w", "jax",       "dill",   "list/0",
                                          "list/1/1",          "ordered/a", "pair/0", "ordered/b" };
    struct tensors t;
    int64_t v = 0;
    float two[2];
    if (!ok(open_data(&t, name) == 0 && t.n == 20, "%s: twenty arrays: %s", name, fail_text()))
        return;
    numbers(&t, "types/f4", 12, -6, 0.125);
    numbers(&t, "types/f8", 12, -6, 0.125);
    numbers(&t, "types/f2", 4, -6, 0.125);
    numbers(&t, "fortran", 12, -6, 0.125);
    numbers(&t, "number", 1, 1, 2.5);
    numbers(&t, "empty", 0, 0, 0);
    numbers(&t, "thing/inside", 2, 4, 1);
    for (size_t i = 0; i < ARRAY_LEN(shared); i++)
        numbers(&t, shared[i], 3, 1, 1);
    const struct tensor *item = tensors_find(&t, "types/bf16");
    float x[3];
    ok(item && tensor_floats(&t, item, 3, x) == 0 && x[0] == 1 && x[1] == -0.5f && x[2] == 3,
       "%s: bfloat16", name);
    ok(tensor_int(tensors_find(&t, "types/i4"), &v) && v == 7 &&
           tensor_int(tensors_find(&t, "types/i8"), &v) && v == -1 &&
           !tensor_int(tensors_find(&t, "types/u1"), &v),
       "%s: integers", name);
    item = tensors_find(&t, "fortran");
    ok(item->ndim == 2 && item->dim[0] == 3 && item->dim[1] == 4 &&
           tensor_floats(&t, item, 2, two) == 0 && two[1] == -0.625f,
       "%s: the first numbers, in C's order", name);
    ok(tensor_floats(&t, tensors_find(&t, "big-endian"), 12, x) == -EINVAL &&
           strstr(fail_text(), "big-endian is of type >f4"),
       "%s: big-endian: %s", name, fail_text());
    ok(t.nunknown >= 2 && !strcmp(t.unknown[0], "lost.module.Thing") &&
           !strcmp(t.unknown[1], "lost.module.Pair"),
       "%s: unknown classes have names", name);
    tensors_release(&t);
}

/* -- refused ---- */

static void refused(const char *bytes, size_t n, const char *words)
{
    struct tensors t;
    int rc = tensors_memory(&t, "it", (const uint8_t *)bytes, n);
    ok((rc == -EINVAL || rc == -EIO) && strstr(fail_text(), words), "%s: %s", words, fail_text());
    if (rc == 0)
        tensors_release(&t);
}
#define REFUSED(bytes, words) refused("\x80\x02" bytes, sizeof bytes + 1, words)

static void test_refused(void)
{
    REFUSED("", "cut off");
    REFUSED("N", "cut off");
    REFUSED("X\xff\xff\xff\xff"
            "abc",
            "cut off");
    REFUSED("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
            "abc",
            "cut off");
    REFUSED("cnumpy\nndarray", "cut off");
    REFUSED(".", "damaged");
    REFUSED("(.", "damaged");
    REFUSED("0.", "damaged");
    REFUSED("h\x01.", "damaged");
    REFUSED("q\x01.", "damaged");
    REFUSED("Nr\xff\xff\xff\xff.", "1048576");
    REFUSED("t.", "damaged");
    REFUSED("(NN0\x87.", "damaged");
    REFUSED("NN\x93.", "damaged");
    REFUSED("NR.", "damaged");
    REFUSED("Nb.", "damaged");
    REFUSED("(Nd.", "damaged");
    REFUSED("}(Nu.", "damaged");
    REFUSED("]NNs.", "damaged");
    REFUSED("}Na.", "damaged");
    REFUSED("NNa.", "damaged");
    REFUSED("(Ne.", "damaged");
    REFUSED("2.", "damaged");
    REFUSED("1.", "damaged");
    REFUSED("P0\n.", "opcode 0x50");
    REFUSED("]q\x01h\x01"
            "a.",
            "too deep");
    REFUSED("\x8a\xff"
            "abc",
            "cut off");
    refused("\x80\x06N.", 4, "neither");
    refused("\x80\x01N.", 4, "neither");
}

/* Each list holds the one before twice: 2^40 ways through 40 lists. */
static void test_bounded(void)
{
    char bytes[400] = "\x80\x02]q";
    size_t n = 4;
    bytes[n++] = 0;
    for (char i = 1; i <= 30; i++) {
        memcpy(bytes + n,
               (char[]){ '0', ']', 'q', i, 'h', (char)(i - 1), 'a', 'h', (char)(i - 1), 'a' }, 10);
        n += 10;
    }
    bytes[n++] = '.';
    refused(bytes, n, "too often");
    /* marks: no time is lost with looking for one */
    size_t many = (size_t)PICKLE_MOST + 3;
    char *marks = malloc(many);
    memset(marks, '(', many);
    memcpy(marks, "\x80\x02", 2);
    refused(marks, many, "1048576 values");
    memset(marks + 2, 'N', many - 2);
    refused(marks, many, "1048576 values");
    free(marks);
}

/* A shape that the bytes do not have. */
static void test_shape(void)
{
    char head[] = "\x80\x02"
                  "cnumpy.core.numeric\n_frombuffer\n(C\x04"
                  "abcd"
                  "cnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<tb";
    struct {
        const char *shape;
        size_t n;
        const char *words;
    } cases[] = { { "K\x02\x85", 3, "has 4 bytes, its shape wants 8" },
                  { "\x8a\x08\0\0\0\0\0\0\0\x40K\x40\x86", 13, "too large" },
                  { "K\x00\x85", 3, "has 4 bytes, its shape wants 0" } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char bytes[300];
        size_t n = sizeof head - 1;
        memcpy(bytes, head, n);
        memcpy(bytes + n, cases[i].shape, cases[i].n);
        n += cases[i].n;
        memcpy(bytes + n, "X\x01\0\0\0CtR.", 9);
        refused(bytes, n + 9, cases[i].words);
    }
}

int main(void)
{
    test_arrays("arrays-p2.pkl");
    test_arrays("arrays-p3.pkl");
    test_arrays("arrays-p4.pkl");
    test_arrays("arrays-p5.pkl");
    test_refused();
    test_bounded();
    test_shape();
    return done();
}
