/*
 * test_safetensors.c - safetensors: read, written, and what is refused. arrays.safetensors is made
 * by tests/data/make_arrays.py; run from the top of the tree.
 */
#include "common/base/fail.h"
#include "common/data/safetensors.h"
#include "tests/t.h"
#include "tests/unit/files.h"

static void test_read(void)
{
    char path[512];
    const char *top = getenv("TOP");
    struct tensors t;
    float x[12];
    int64_t v;
    snprintf(path, sizeof path, "%s/tests/data/arrays.safetensors", top ? top : ".");
    if (!ok(tensors_open(&t, path) == 0 && t.n == 7, "seven tensors: %s", fail_text()))
        return;
    for (int k = 0; k < 2; k++) {
        const char *name = k ? "f64" : "f32";
        const struct tensor *item = tensors_find(&t, name);
        bool good =
            item && item->ndim == 2 && item->dim[1] == 4 && tensor_floats(&t, item, 12, x) == 0;
        for (int i = 0; i < 12 && good; i++)
            good = x[i] == (float)(i - 6) / 8;
        ok(good, "%s", name);
    }
    const struct tensor *half = tensors_find(&t, "f\xc3\xbcnf \"16\"");
    ok(half && tensor_floats(&t, half, 4, x) == 0 && x[0] == -0.75f && x[3] == -0.375f,
       "F16, behind a name with escapes");
    ok(tensor_floats(&t, tensors_find(&t, "bf16"), 3, x) == 0 && x[1] == -0.5f && x[2] == 3,
       "BF16");
    ok(tensor_int(tensors_find(&t, "a.i64"), &v) && v == 9, "I64");
    ok(tensors_find(&t, "none")->count == 0 &&
           tensor_floats(&t, tensors_find(&t, "none"), 0, x) == 0,
       "no numbers");
    ok(tensor_floats(&t, tensors_find(&t, "bool"), 2, x) == -EINVAL, "%s", fail_text());
    ok(!tensor_int(tensors_find(&t, "f32"), &v) && !tensors_find(&t, "f3"), "none of this name");
    ok(!strcmp(tensors_note(&t, "made by"), "hand\n") && !tensors_note(&t, "made"), "metadata");
    tensors_release(&t);
}

/* Numbers of 16 bits are exact in float32. */
static void test_16_bits(void)
{
    static const struct {
        enum tensor_type type;
        uint16_t bits;
        float value;
    } cases[] = { { TENSOR_F16, 0x0000, 0 },
                  { TENSOR_F16, 0x0001, 0x1p-24f },
                  { TENSOR_F16, 0x03ff, 0x3ffp-24f },
                  { TENSOR_F16, 0x0400, 0x1p-14f },
                  { TENSOR_F16, 0x3c01, 1 + 0x1p-10f },
                  { TENSOR_F16, 0x7bff, 65504 },
                  { TENSOR_F16, 0xfc00, -INFINITY },
                  { TENSOR_F16, 0x8001, -0x1p-24f },
                  { TENSOR_BF16, 0x0001, 0x1p-133f },
                  { TENSOR_BF16, 0x0080, 0x1p-126f },
                  { TENSOR_BF16, 0xbf80, -1 },
                  { TENSOR_BF16, 0x7f7f, 0x1.fep127f },
                  { TENSOR_BF16, 0x7f80, INFINITY } };
    struct tensors t = { .name = (char *)(uintptr_t) "it" };
    struct tensor item = { .count = 1, .nbytes = 2 };
    float x;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        item.type = cases[i].type;
        item.at = (const uint8_t *)&cases[i].bits;
        x = -7;
        ok(tensor_floats(&t, &item, 1, &x) == 0 && x == cases[i].value, "%s %04x is %g",
           item.type == TENSOR_F16 ? "F16" : "BF16", cases[i].bits, (double)x);
    }
    item.at = (const uint8_t *)"\x81\x7f";
    ok(tensor_floats(&t, &item, 1, &x) == 0 && isnan(x), "no number");
}

static void test_write(void)
{
    struct tensors out = { 0 }, in;
    float x[6] = { 1, 2, 3, 4, 5, 6 }, y[6];
    int64_t seven = 7, v;
    struct tensor *t;
    files_must(tensors_add(&out, "count", &t) == 0, "count");
    strcpy(t->dtype, "I64");
    t->at = (const uint8_t *)&seven;
    t->nbytes = 8;
    files_must(tensors_add(&out, "a\"b", &t) == 0, "a\"b");
    strcpy(t->dtype, "F32");
    t->ndim = 2;
    t->dim[0] = 2;
    t->dim[1] = 3;
    t->at = (const uint8_t *)x;
    t->nbytes = sizeof x;
    tensors_add_note(&out, strdup("k"), strdup("\xe2\x82\xac\n"));
    ok(safetensors_write("a.st", &out) == 0, "written: %s", fail_text());
    ok(tensors_open(&in, "a.st") == 0, "read: %s", fail_text());
    t = (struct tensor *)(uintptr_t)tensors_find(&in, "a\"b");
    ok(in.n == 2 && t && t->dim[1] == 3 && tensor_floats(&in, t, 6, y) == 0 &&
           memcmp(x, y, sizeof x) == 0,
       "the same numbers");
    ok((uintptr_t)t->at % 4 == 0, "aligned");
    ok(tensor_int(tensors_find(&in, "count"), &v) && v == 7 &&
           !strcmp(tensors_note(&in, "k"), "\xe2\x82\xac\n"),
       "the rest too");
    tensors_release(&in);
    size_t n;
    uint8_t *bytes = files_read("a.st", &n);
    for (size_t k = 0; k < n; k += 7) {
        int rc = tensors_memory(&in, "cut", bytes, k);
        if (rc == 0)
            tensors_release(&in);
        if (rc >= 0)
            ok(false, "cut to %zu bytes", k);
    }
    free(bytes);
    tensors_release(&out);
    ok(safetensors_write("/nowhere/a.st", &out) == -ENOENT, "no such folder: %s", fail_text());
}

static void refused(const char *header, size_t ndata, const char *words)
{
    char bytes[2000] = { 0 };
    size_t n = strlen(header);
    struct tensors t;
    uint64_t length = n;
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, n);
    int rc = tensors_memory(&t, "it", (uint8_t *)bytes, 8 + n + ndata);
    ok(rc < 0 && strstr(fail_text(), words), "%s: %s", words, fail_text());
    if (rc == 0)
        tensors_release(&t);
}

#define ENTRY(shape, a, b)                                                                         \
    "{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" a "," b "]}"

static void test_refused(void)
{
    refused("{\"a\":" ENTRY("2", "0", "8") "}", 7, "beyond the end");
    refused("{\"a\":" ENTRY("2", "0", "8") "}", 9, "1 byte without a tensor");
    refused("{\"a\":" ENTRY("2", "1", "9") "}", 9, "gap");
    refused("{\"a\":" ENTRY("2", "8", "0") "}", 8, "beyond the end");
    refused("{\"a\":" ENTRY("3", "0", "8") "}", 8, "has 8 bytes, its shape wants 12");
    refused("{\"a\":" ENTRY("4611686018427387904,4", "0", "0") "}", 0, "too large");
    refused("{\"a\":" ENTRY("4611686018427387904", "0", "0") "}", 0, "too large");
    refused("{\"a\":" ENTRY("2", "0", "8") ",\"b\":" ENTRY("2", "4", "12") "}", 12, "overlap");
    refused("{\"a\":" ENTRY("2", "0", "8") ",\"a\":" ENTRY("2", "8", "16") "}", 16, "a twice");
    refused("{\"a\":" ENTRY("-2", "0", "8") "}", 8, "not JSON");
    refused("{\"a\":" ENTRY("1,1,1,1,1,1,1,1,1", "0", "4") "}", 4, "not JSON");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "not JSON");
    refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 8, "not JSON");
    refused("{\"__metadata__\":{\"a\":1}}", 0, "not JSON");
    refused("{\"\\ud800\":" ENTRY("2", "0", "8") "}", 8, "not JSON");
    refused("{\"a\":" ENTRY("2", "0", "8") "} x", 8, "not JSON");
    refused("{", 0, "not JSON");
    struct tensors t;
    ok(tensors_memory(&t, "it", (const uint8_t *)"\xff\0\0\0\0\0\0\0{}", 10) == -EIO, "%s",
       fail_text());
    ok(tensors_memory(&t, "it", (const uint8_t *)"PK\3\4....", 8) == -EINVAL, "%s", fail_text());
    ok(tensors_memory(&t, "it", (const uint8_t *)"\x89HDF\r\n\x1a\n", 8) == -EINVAL, "%s",
       fail_text());
    ok(tensors_memory(&t, "it", (const uint8_t *)"", 0) == -EINVAL, "%s", fail_text());
    ok(tensors_open(&t, "none") == -ENOENT && tensors_open(&t, ".") == -EISDIR, "%s", fail_text());
    ok(tensors_memory(&t, "it", (const uint8_t *)"\2\0\0\0\0\0\0\0{}", 10) == 0 && t.n == 0,
       "an empty one is fine");
    tensors_release(&t);
}

/* What is no file, and a file that comes to an end while it is in use. */
static void test_strange(void)
{
    static const uint8_t file[1 << 16] = "\x40\0\0\0\0\0\0\0"
                                         "{\"a\":{\"dtype\":\"F32\",\"shape\":[16366],"
                                         "\"data_offsets\":[0,65464]}}  ";
    static float x[16366];
    struct tensors t;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY), status;
    files_must(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0 &&
                   write(terminal, "\4", 1) == 1,
               "a terminal");
    ok(tensors_open(&t, ptsname(terminal)) == -EUSAGE, "%s", fail_text());
    close(terminal);
    files_write("cut.st", file, sizeof file);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        int rc = tensors_open(&t, "cut.st");
        rc = rc ? rc : truncate("cut.st", 1);
        rc = rc ? rc : tensor_floats(&t, t.item, t.item[0].count, x);
        _exit(99);
    }
    files_must(child > 0 && waitpid(child, &status, 0) == child, "a child");
    ok(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_INPUT, "cut off in use: status %#x",
       (unsigned)status);
}

int main(void)
{
    test_read(); /* before the folder changes */
    test_16_bits();
    files_enter();
    test_write();
    test_refused();
    test_strange();
    return done();
}
