/*
 * presets.c - settings by name: a column of the table, and assignments over it.
 *
 * BYOL's schedules are those of its released configurations (Grill et al., arXiv 2006.07733):
 * epochs, learning rate, weight decay and the target's first coefficient for batches of 4096, ten
 * epochs of them warm-up, as in the table. SemPPL's ablations are recalled to be of 100 epochs.
 */
#include "common/model/settings.h"
#include <assert.h>

/* clang-format off */
#define PRESETS(P)                                                                                 \
    P("imagenet", 0, "SemPPL as far as it is known: ResNet-50, batch 4096, 300 epochs", NULL)      \
    P("cifar", 1, "pictures of 32 pixels on a CPU: ResNet-18, two crops, 6 epochs", NULL)          \
    P("semppl-100", 0, "SemPPL's ablations: imagenet in 100 epochs", "epochs=100")                 \
    P("semppl-300", 0, "the same as imagenet", NULL)                                           \
    P("byol-40", 0, "imagenet on BYOL's schedule of 40 epochs",                                    \
      "epochs=40", "base_lr=0.45", "base_ema=0.97")                                                \
    P("byol-100", 0, "imagenet on BYOL's schedule of 100 epochs",                                  \
      "epochs=100", "base_lr=0.45", "base_ema=0.99")                                               \
    P("byol-300", 0, "imagenet on BYOL's schedule of 300 epochs", "base_ema=0.99")                 \
    P("byol-1000", 0, "imagenet on BYOL's schedule of 1000 epochs",                                \
      "epochs=1000", "base_lr=0.2", "weight_decay=1.5e-6")                                         \
    P("cifar-200", 1, "pictures of 32 pixels with all crops and terms, no blur, 200 epochs",       \
      "hidden=1024", "large_crops=4", "small_crops=2", "blur_a=0", "blur_b=0", "epochs=200",       \
      "warmup=10", "base_lr=2", "contrast_weight=0.3", "invariance=S")
/* clang-format on */

#define NAME(name, column, meaning, ...) name,
#define MEANING(name, column, meaning, ...) meaning,
#define ROW(name, column, meaning, ...) { column, { __VA_ARGS__ } },

const char *const settings_presets[] = { PRESETS(NAME) NULL };
const char *const settings_preset_meanings[] = { PRESETS(MEANING) NULL };

static const struct {
    int column;
    const char *assignment[12]; /* up to the first NULL */
} presets[] = { PRESETS(ROW) };

void settings_preset(struct settings *s, int preset)
{
    settings_column(s, presets[preset].column);
    for (int i = 0; presets[preset].assignment[i]; i++)
        if (settings_assign(s, presets[preset].assignment[i]) < 0)
            assert(!"an assignment of the table above");
}
