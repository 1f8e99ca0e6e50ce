/*
 * plugin.h - what the CUDA plugin exports, and how kern.c finds it.
 *
 * libsemppl-cuda.so has one visible symbol, a function that returns this struct. It is looked for,
 * never in the current folder: the file named by SEMPPL_CUDA, then beside the program, then in
 * ../lib/semppl from there.
 */
#ifndef SEMPPL_PLUGIN_H
#define SEMPPL_PLUGIN_H

#include "kernels/ops.h"

#define KERN_PLUGIN_FILE "libsemppl-cuda.so"
#define KERN_PLUGIN_SYMBOL "semppl_cuda_plugin"

struct kern_plugin {
    unsigned abi;      /* KERN_ABI of its build */
    size_t table_size; /* sizeof(struct kern_ops) */
    /* Devices that can be used, or a negative errno and why, a sentence without an end. */
    int (*count)(char *why, size_t room);
    /* Fills kn->ops, description, fast_bf16 and device_state. */
    int (*open)(struct kern *kn, int index, char *why, size_t room);
    void (*close)(struct kern *kn);
};

typedef const struct kern_plugin *kern_plugin_get(void);

/*
 * The plugin, loaded once and never unloaded: its threads may still run. NULL: *why says what is
 * missing or wrong; the text stays valid.
 */
const struct kern_plugin *plugin_load(const char **why);

#endif
