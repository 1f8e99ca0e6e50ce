/*
 * test_device.c - handles of a device that is not the thread's current one: from another thread
 * than the one that opened it, and in turns with another device's. Of real devices there must be
 * two.
 */
#include "common/base/pool.h"
#include "kernels/kern.h"
#include "tests/t.h"
#include <pthread.h>
#include <stdlib.h>

enum { N = 64 };

/* A product on the device, with all that brings numbers there and back. */
static bool works(struct kern *kn)
{
    float a[N * N], c[N * N];
    for (int i = 0; i < N * N; i++) {
        a[i] = (float)(i % 7);
        c[i] = 1;
    }
    float *da = kern_alloc(kn, sizeof a), *dc = kern_alloc(kn, sizeof c);
    int rc = da && dc ? kern_put(kn, da, a, sizeof a) : -ENOMEM;
    rc = rc == 0 ? kern_gemm(kn, false, true, N, N, N, 1, da, da, 0, dc) : rc;
    rc = rc == 0 ? kern_bias_forward(kn, dc, da, N, N) : rc;
    rc = rc == 0 ? kern_get(kn, c, dc, sizeof c) : rc;
    double norm = 0;
    rc = rc == 0 ? kern_norm(kn, &norm, dc, (size_t)N * N) : rc;
    kern_free(kn, da);
    kern_free(kn, dc);
    double want = 0;
    for (int i = 0; i < N; i++)
        want += (double)a[i] * a[i];
    if (rc < 0)
        printf("# %s\n", kern_trouble(kn) ? kern_trouble(kn) : "no words");
    return rc == 0 && norm > 0 && (double)c[0] == want + (double)a[0];
}

static void *elsewhere(void *kn)
{
    return works(kn) ? kn : NULL;
}

int main(void)
{
    struct pool *pool;
    struct kern *one[2];
    const char *why;
    setenv("SEMPPL_SHIM_DEVICES", "2", 1); /* of the device of tests */
    if (pool_open(&pool, 1) < 0)
        return 1;
    if (kern_count_cuda(&why) < 2) {
        printf("1..0 # SKIP there are no two devices\n");
        return 0;
    }
    for (int i = 0; i < 2; i++)
        if (!ok(kern_open_cuda(&one[i], i, pool, &why) == 0, "device %d opens", i)) {
            printf("# %s\n", why);
            return 1;
        }
    for (int i = 0; i < 4; i++)
        ok(works(one[i & 1]), "device %d in turn", i & 1);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *good = NULL;
        pthread_create(&thread, NULL, elsewhere, one[i]);
        pthread_join(thread, &good);
        ok(good, "device %d from another thread", i);
    }
    struct kern *like;
    ok(kern_open_like(&like, one[1], pool) == 0 && works(like), "another handle of device 1");
    works(one[0]);
    kern_close(like);
    kern_close(one[1]);
    ok(works(one[0]), "device 0 after device 1 is closed");
    kern_close(one[0]);
    pool_close(pool);
    return done();
}
