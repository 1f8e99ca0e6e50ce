/*
 * fuzz_ckpt.c - any bytes as a checkpoint: read whole, or refused.
 */
#include "common/data/ckpt.h"
#include "tests/fuzz/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void make_checkpoint(void)
{
    struct ckpt c = { 0 };

    for (size_t i = 0; i < 12; i++) {
        char name[40];
        snprintf(name, sizeof(name), "online/encoder/layer%zu.weight", i);
        edit_must(ckpt_add(&c, name, H5_F32, 2, (size_t[]){ 3, i + 1 }) != NULL);
        snprintf(name, sizeof(name), "setting%zu", i);
        edit_must(ckpt_put_int(&c, name, (int64_t)i) == 0);
    }
    edit_must(ckpt_add(&c, "counters/step", H5_I64, 0, NULL) != NULL);
    edit_must(ckpt_put_string(&c, "encoder", "resnet18") == 0 &&
              ckpt_put_double(&c, "tau", 0.2) == 0 && classes_add(&c.classes, "cat") == 0 &&
              history_add(&c.history, "{}") == 0 && ckpt_write(&c, edit_path[1]) == 0);
    ckpt_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct edit_base base[EDIT_FILES];
    struct ckpt c;

    if (!base[0].bytes) {
        edit_names();
        make_checkpoint();
        edit_init(base);
    }
    if (n < 1)
        return 0;
    if (ckpt_read(&c, edit_file(base, bytes, n)) == 0) {
        edit_must(ckpt_compare(&c, &c) == 0);
        ckpt_release(&c);
    }
    return 0;
}
