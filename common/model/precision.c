/*
 * precision.c - see precision.h.
 */
#include "common/model/precision.h"
#include "common/base/log.h"
#include "common/base/prov.h"

const char *const precision_names[] = { "auto", "f32", "bf16", NULL };

int precision_choose(enum kern_type *type, enum precision p, const struct kern *kn)
{
    bool fast = kern_fast_bf16(kn);
    *type = p == PRECISION_BF16 || (p == PRECISION_AUTO && fast) ? KERN_BF16 : KERN_F32;
    if (*type == KERN_BF16 && !fast)
        log_warn("%s has no matrix units for bfloat16: --precision f32 is many times faster",
                 kern_describe(kn));
    return prov_note("precision", *type == KERN_BF16 ? "\"bf16\"" : "\"f32\"");
}
