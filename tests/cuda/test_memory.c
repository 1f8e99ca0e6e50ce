/*
 * test_memory.c - a step takes as much of a device's memory as is worked out before it is opened.
 *
 * Others on the device must neither take nor give back memory meanwhile.
 */
#include "tests/unit/step_data.h"

static struct kern *device;

/* The device of tests has what was asked for; of a real one every array is whole pages of 2 MiB, or
 * a part of one. Its steps are so large that this is little. */
static bool real;

/* Of arrays it is known; of what kernels take a limit, mostly of workspaces that tests have not. */
static void check(const char *name, enum kern_type type, const struct settings *of)
{
    struct state s;
    struct step st;
    struct step_metrics m;
    uint64_t before = kern_available(device);
    ok(state_new(&s, of) == 0, "%s: %s", name, fail_text());
    state_precision(&s, type);
    struct step_need need = step_memory(&s, device);
    int rc = step_open(&st, &s, device, pool, &data);
    double opened = (double)(before - kern_available(device)), told = (double)need.arrays;
    for (int k = 0; k < 3 && rc == 0; k++)
        rc = step_run(&st, &m);
    double used = (double)(before - kern_available(device));
    ok(rc == 0, "three steps: %s", fail_text());
    printf("# %.0f bytes of arrays, %.0f told; in the end %.0f, %.0f told\n", opened, told, used,
           told + (double)need.kernels);
    near(opened, told, real ? 0.1 * told + (32 << 20) : 0.005 * told + (1 << 16),
         "the arrays are as large as was told");
    ok(used > opened && used <= told + (double)need.kernels, "and kernels take no more");
    step_close(&st);
    state_release(&s);
}

int main(void)
{
    const char *why;
    struct settings large;
    step_begin();
    if (kern_open_cuda(&device, 0, pool, &why) < 0) {
        printf("Bail out! %s\n", why);
        return 1;
    }
    real = !strstr(kern_describe(device), "fibers");
    large = set;
    large.batch = real ? 192 : 12;
    large.large_side = real ? 64 : 20;
    large.width = real ? 1 : large.width;
    large.queue = real ? 0 : large.queue; /* twenty batches */
    large.optimizer = OPTIMIZER_ADAMW;
    check("float32", KERN_F32, &large);
    check("bfloat16", KERN_BF16, &large);
    large.micro_batch = large.batch / 2;
    check("in parts", KERN_F16, &large);
    kern_close(device);
    step_end();
    return done();
}
