/*
 * plugin.h - what the CUDA plugin exports, and how handle.c finds it.
 *
 * libsemppl-cuda.so has one visible symbol, a function that returns this struct. It is looked for
 * in the file named by SEMPPL_CUDA, a path with at least one slash, or, if that is not set, beside
 * the program and then in ../lib/semppl from there: never in the current folder or where the
 * dynamic linker looks. A plugin of another build is refused before any of it but that function is
 * used.
 */
#ifndef SEMPPL_PLUGIN_H
#define SEMPPL_PLUGIN_H

#include "kernels/ops.h"

#define KERN_PLUGIN_FILE "libsemppl-cuda.so"
#define KERN_PLUGIN_SYMBOL "semppl_cuda_plugin"

struct kern_plugin {
    unsigned abi;                    /* KERN_ABI of its build; stays first, whatever follows */
    unsigned table_size, state_size; /* sizeof struct kern_ops, struct kern */
    /*
     * Devices that can be used, or a negative errno and why, a sentence without an end: -ENODEV if
     * there is no driver or no device.
     */
    int (*count)(char *why, size_t room);
    /* Fills kn->ops, description, fast_bf16 and device_state. */
    int (*open)(struct kern *kn, int index, char *why, size_t room);
    void (*close)(struct kern *kn);
    /* The driver's words for the first failure of a device in this process, or NULL. */
    const char *(*trouble)(void);
    /* Lines "name: value" on the driver, libraries and devices. */
    void (*report)(char *text, size_t room);
    int (*measure)(struct kern *kn, double *copy, double *product); /* kern_measure() */
};

typedef const struct kern_plugin *kern_plugin_get(void);

/*
 * The plugin, loaded once and never unloaded: its threads may still run. -ENODEV if there is none,
 * -ELIBBAD if what is there cannot be used; *why then says what is missing or wrong, a text that
 * stays valid.
 */
int plugin_load(const struct kern_plugin **plugin, const char **why);
const char *plugin_path(void); /* of the file, after plugin_load() */

#endif
