/*
 * selftest.c - what works on this machine, a line each.
 */
#include "common/model/selftest.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "kernels/isa.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct selftest {
    FILE *f;
    struct pool *pool;
    struct kern *ref;
    int bad; /* of what is there */
};

/* -- one family ---------------------------------------------------------------------------- */

static void trial_close(struct trial *t)
{
    for (int i = 0; i < t->ndev; i++)
        kern_free(t->kn, t->dev[i]);
    free(t->out);
}

static void trial_run(struct trial *t, struct kern *kn, const struct selftest_case *c,
                      enum kern_type type)
{
    *t = (struct trial){ .kn = kn, .type = type };
    c->run(t);
}

/* Numbers that are below an array's usual size are allowed the difference of one that has it. */
static double usual(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum / (double)n);
}

/* The greatest difference in an array, as a multiple of what is allowed; infinite for a NaN. */
static double array_worst(const struct trial *ref, const struct trial *got, int a)
{
    const float *want = ref->out + ref->array[a].first, *is = got->out + got->array[a].first;
    size_t n = ref->array[a].n;
    double size = usual(want, n), most = ref->array[a].most, worst = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)is[i] - want[i]);
        squares += d * d;
        double share = d == 0 ? 0 : d / (most * fmax(fabs((double)want[i]), size));
        if (!(share <= worst))
            worst = isnan(share) ? INFINITY : share;
    }
    if (!ref->array[a].together)
        return worst;
    double all = sqrt(squares / (double)n) / (most * size);
    return isnan(all) ? INFINITY : all;
}

/* Compares, and words what is wrong in text; "" if nothing is. */
static double compare(const struct trial *ref, const struct trial *got, char *text, size_t room)
{
    double worst = 0;
    *text = '\0';
    for (int a = 0; a < ref->narrays; a++) {
        double here = array_worst(ref, got, a);
        if (here > 1 && here > worst)
            snprintf(text, room, "%s: %.3g times the difference that is allowed",
                     ref->array[a].name, here);
        worst = fmax(worst, here);
    }
    return worst;
}

/* true: as defined */
static bool check_case(struct selftest *s, struct kern *kn, const struct selftest_case *c,
                       enum kern_type type)
{
    static const char *const names[] = { "float32", "bfloat16", "float16" };
    struct trial ref, got;
    const char *device = kern_describe(kn), *name = names[type];
    char wrong[160];
    trial_run(&ref, s->ref, c, type);
    trial_run(&got, kn, c, type);
    bool good = ref.rc == 0 && got.rc == 0;
    if (!good) {
        const char *words = kern_trouble(kn);
        fprintf(s->f, "%s: %s in %s FAILS: %s\n", device, c->name, name,
                words ? words : strerror(ref.rc < 0 ? -ref.rc : -got.rc));
    } else {
        double worst = compare(&ref, &got, wrong, sizeof wrong);
        good = worst <= 1;
        if (!good)
            fprintf(s->f, "%s: %s in %s is WRONG, %s\n", device, c->name, name, wrong);
        else
            log_debug("%s: %s in %s differs by %.3g of what is allowed", device, c->name, name,
                      worst);
    }
    trial_close(&ref);
    trial_close(&got);
    return good;
}

static void check_device(struct selftest *s, struct kern *kn)
{
    double start = log_seconds();
    int good = 0, all = 0;
    for (const struct selftest_case *c = selftest_cases; c->name; c++)
        for (enum kern_type type = KERN_F32; type <= (c->typed ? KERN_F16 : KERN_F32); type++) {
            if (!kern_has(kn, type))
                continue;
            good += check_case(s, kn, c, type);
            all++;
        }
    fprintf(s->f, "%s: %d of %d checks of kernels are as defined, %.1f s\n", kern_describe(kn),
            good, all, log_seconds() - start);
    s->bad += good != all;
}

/* -- the machine --------------------------------------------------------------------------- */

static void check_cpu(struct selftest *s)
{
    unsigned isa = isa_detect();
    struct kern *kn;
    fprintf(s->f, "instruction sets: generic%s%s%s%s\n", isa & ISA_AVX2 ? " avx2" : "",
            isa & ISA_AVX512 ? " avx512" : "", isa & ISA_AVX512BF16 ? " avx512bf16" : "",
            isa & ISA_AMX ? " amx" : "");
    fprintf(s->f, "threads: %d\n", pool_threads(s->pool));
    if (kern_open(&kn, s->pool) < 0) {
        fprintf(s->f, "cpu: no memory for a handle\n");
        s->bad++;
        return;
    }
    check_device(s, kn);
    kern_close(kn);
}

static void check_cuda(struct selftest *s)
{
    char text[4096];
    const char *why;
    int rc = kern_report_cuda(text, sizeof text, &why);
    fputs(text, s->f);
    if (rc < 0)
        fprintf(s->f, "plugin: %s, %s\n", rc == -ENODEV ? "none" : "not usable", why);
    int n = rc < 0 ? rc : kern_count_cuda(&why);
    s->bad += n < 0 && n != -ENODEV;
    for (int i = 0; i < n; i++) {
        struct kern *kn;
        if (kern_open_cuda(&kn, i, s->pool, &why) < 0) {
            fprintf(s->f, "cuda:%d: not usable, %s\n", i, why);
            s->bad++;
            continue;
        }
        check_device(s, kn);
        kern_close(kn);
    }
}

int selftest(struct pool *pool, FILE *f)
{
    struct selftest s = { .f = f, .pool = pool };
    if (kern_open_ref(&s.ref, pool) < 0)
        return fail(-ENOMEM, "no memory for a handle");
    check_cpu(&s);
    check_cuda(&s);
    kern_close(s.ref);
    return s.bad ? fail(-ENEGATIVE, "something on this machine does not work") : 0;
}
