/*
 * fuzz_stream.c - any bytes as a stream of HDF5 files: split, or refused; and the little that every
 * format asks of a file.
 */
#include "common/data/h5.h"
#include "tests/fuzz/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int visit(void *arg, const char *name, enum h5_attr_kind kind, int64_t i UNUSED,
                 double d UNUSED, const char *s)
{
    size_t *sum = arg;

    *sum += strlen(name) + (kind == H5_ATTR_STRING ? strlen(s) : 0);
    return 0;
}

static void make_file(void)
{
    struct history h = { 0 };
    struct h5out o;

    edit_must(history_add(&h, "{\"program\": \"x\"}") == 0 && h5out_open(&o, edit_path[1]) == 0 &&
              h5_write(&o, "v", H5_U16, 1, (size_t[]){ 3 }, (uint16_t[]){ 1, 2, 3 }) == 0 &&
              h5_put_string(&o, "", "text", "words") == 0 && h5_put_int(&o, "", "i", 1) == 0 &&
              h5out_commit(&o, "fuzz", 1, &h) == 0);
    history_release(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct edit_base base[EDIT_FILES];
    struct stream *st;
    struct h5in in;

    if (!base[0].bytes) {
        edit_names();
        make_file();
        edit_init(base);
        /* twice, so that there is something to split */
        for (int i = 0; i < EDIT_FILES; i++) {
            struct edit_base *b = &base[i];
            b->bytes = realloc(b->bytes, 2 * b->n);
            edit_must(b->bytes != NULL);
            memcpy(b->bytes + b->n, b->bytes, b->n);
            b->n *= 2;
        }
    }
    if (n < 1)
        return 0;
    char *path = (char *)edit_file(base, bytes, n);
    if (stream_open(&st, &path, 1) < 0)
        return 0;
    while (stream_next(st, &in) == 1) {
        struct history h = { 0 };
        size_t sum = 0, dim;
        (void)h5_check_format(&in, "fuzz", 1, &h);
        (void)h5_each_attr(&in, visit, &sum);
        if (h5_shape(&in, "v", H5_U16, 1, &dim) == 0) {
            uint16_t *v = malloc(dim * sizeof(*v) + 1);
            (void)h5_read(&in, "v", H5_U16, dim, v);
            free(v);
        }
        history_release(&h);
        h5in_close(&in);
    }
    stream_close(st);
    return 0;
}
