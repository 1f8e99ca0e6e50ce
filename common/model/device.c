/*
 * device.c - see device.h.
 */
#include "common/model/device.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/prov.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const char *const device_words[] = { "auto", "cpu", "cuda", NULL };

/* The N of cuda[:N], or -1. */
static int cuda_index(const char *device)
{
    if (strncmp(device, "cuda", 4) != 0)
        return -1;
    const char *digits = device + 5;
    size_t n = device[4] == ':' ? strspn(digits, "0123456789") : 0;
    if (n == 0 || n > 4 || digits[n])
        return device[4] ? -1 : 0;
    return (int)strtol(digits, NULL, 10);
}

int device_check(const char *device)
{
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0 || cuda_index(device) >= 0)
        return 0;
    return fail(-EUSAGE, "--device wants auto, cpu, cuda or cuda:N, not '%s'", device);
}

static int open_cpu(struct kern **kn, struct pool *pool)
{
    int rc = kern_open(kn, pool);
    return rc < 0 ? fail(rc, "cannot open the CPU's kernels: %s", strerror(-rc)) : 0;
}

/* "cuda NVIDIA H200": which of several equal ones it was is no part of the work. */
static int note(const struct kern *kn)
{
    const char *text = kern_describe(kn);
    size_t backend = strcspn(text, ": ");
    const char *name = strncmp(text, "cuda", backend) == 0 ? text + strcspn(text, " ") : "";
    char *plain = mem_printf("%.*s%s", (int)backend, text, name);
    char *quoted = plain ? json_quote(plain, strlen(plain)) : NULL;
    int rc = quoted ? prov_note("device", quoted) : -ENOMEM;
    free(quoted);
    free(plain);
    return rc;
}

int device_open(struct kern **kn, struct pool *pool, const char *device)
{
    *kn = NULL;
    int rc = device_check(device);
    if (rc < 0)
        return rc;
    int index = cuda_index(device);
    bool any = strcmp(device, "auto") == 0;
    if (index >= 0 || any) {
        const char *why;
        rc = kern_open_cuda(kn, any ? 0 : index, pool, &why);
        if (rc < 0 && !any)
            return fail(-ENODEV, "--device %s: %s", device, why);
        if (rc == -ENODEV)
            log_debug("no CUDA device: %s", why);
        else if (rc < 0)
            log_warn("computing on the CPU: %s", why);
        else
            log_info("computing on %s", kern_describe(*kn));
    }
    if (!*kn && (rc = open_cpu(kn, pool)) < 0)
        return rc;
    if ((rc = note(*kn)) < 0) {
        kern_close(*kn);
        *kn = NULL;
    }
    return rc;
}

int device_close(struct kern *kn, int rc)
{
    const char *words = kn && rc < 0 ? kern_trouble(kn) : NULL;
    if (words)
        rc = fail(-ENODEV, "%s; %s failed: %s", fail_text(), kern_describe(kn), words);
    kern_close(kn);
    return rc;
}
