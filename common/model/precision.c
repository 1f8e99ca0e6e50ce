/*
 * precision.c - see precision.h.
 */
#include "common/model/precision.h"
#include "common/base/fail.h"
#include "common/base/prov.h"

const char *const precision_names[] = { "auto", "f32", "bf16", "f16", "tf32", NULL };

int precision_choose(enum kern_type *type, enum precision p, struct kern *kn)
{
    static const char *const notes[] = { "\"f32\"", "\"bf16\"", "\"f16\"" };
    bool tf32 = p == PRECISION_TF32, bf16 = p == PRECISION_AUTO && kern_fast_bf16(kn);
    *type = p == PRECISION_F16 ? KERN_F16 : p == PRECISION_BF16 || bf16 ? KERN_BF16 : KERN_F32;
    if (!kern_has(kn, *type) || (kern_tf32(kn, tf32) < 0 && tf32))
        return fail(-EUSAGE,
                    "--precision %s is for CUDA devices, and this is %s: give bf16 or f32, or "
                    "--device cuda",
                    precision_names[p], kern_describe(kn));
    return prov_note("precision", tf32 ? "\"tf32\"" : notes[*type]);
}
