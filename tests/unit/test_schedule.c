/*
 * test_schedule.c - lengths, learning rate and target coefficient against published configurations
 * (BYOL: batch 4096, 10 epochs of warm-up, 1,281,167 pictures).
 */
#include "common/model/schedule.h"
#include "tests/t.h"

enum { IMAGENET = 1281167 };

static struct schedule of(double epochs)
{
    struct settings set;
    struct schedule s;
    settings_preset(&set, 0);
    set.epochs = epochs;
    set.base_lr = 0.3;
    set.base_ema = 0.996;
    schedule_init(&s, &set, IMAGENET);
    return s;
}

int main(void)
{
    struct schedule s = of(300);
    ok(s.total == 93835, "300 epochs are 93835 steps");
    ok(s.warmup == 3127, "10 epochs of warm-up are 3127");
    near(schedule_lr(&s, 0), 0, 0, "lr(0)");
    near(schedule_lr(&s, 1), 0.001535, 5e-7, "lr(1)");
    near(schedule_lr(&s, 1000), 1.535018, 5e-7, "lr(1000)");
    near(schedule_lr(&s, 3127), 4.8, 1e-12, "lr(3127)");
    near(schedule_lr(&s, 46917), 2.529939, 5e-7, "lr(46917)");
    near(schedule_lr(&s, 93835), 0, 1e-12, "lr(93835)");
    near(schedule_ema(&s, 0), 0.996, 1e-12, "ema(0)");
    near(schedule_ema(&s, 23458), 0.9965858, 5e-8, "ema(23458)");
    near(schedule_ema(&s, 46917), 0.998, 5e-8, "ema(46917)");
    near(schedule_ema(&s, 93835), 1, 1e-12, "ema(93835)");
    near(schedule_ema(&s, 100000), 1, 1e-12, "beyond the end it stays");

    s = of(100);
    ok(s.total == 31278, "100 epochs are 31278 steps");
    near(schedule_lr(&s, 15639), 2.816638, 5e-7, "lr(15639) of 100 epochs");
    ok(of(1000).total == 312784, "1000 epochs are 312784 steps");

    struct settings set;
    settings_preset(&set, 0); /* the linear evaluation of SemPPL's code: batch 1024, no warm-up */
    set.base_lr = 0.3;
    set.batch = 1024;
    set.epochs = 100;
    set.warmup = 0;
    schedule_init(&s, &set, IMAGENET);
    ok(s.total == 125113, "100 epochs of batch 1024 are 125113 steps");
    near(schedule_lr(&s, 0), 1.2, 1e-12, "lr(0) without a warm-up");
    near(schedule_lr(&s, 62556), 0.600008, 5e-7, "lr(62556)");

    settings_preset(&set, 0);
    set.steps = 5;
    schedule_init(&s, &set, IMAGENET);
    ok(s.total == 5 && s.warmup == 4, "a warm-up is shorter than the schedule");
    set.warmup = 0;
    schedule_init(&s, &set, 1);
    near(schedule_lr(&s, 0), s.peak, 1e-12, "no warm-up starts at the peak");
    set.steps = 0;
    set.epochs = 0.5;
    schedule_init(&s, &set, 2);
    ok(s.total == 1, "a schedule has at least one step");

    s = of(300);
    s.lr_curve = s.ema_curve = CURVE_CONSTANT;
    near(schedule_lr(&s, 1000), 1.535018, 5e-7, "a constant rate warms up too");
    ok(schedule_lr(&s, 3127) == s.peak && schedule_lr(&s, 93835) == s.peak, "and stays");
    ok(schedule_ema(&s, 0) == 0.996 && schedule_ema(&s, 93835) == 0.996, "a constant coefficient");
    settings_preset(&set, 0);
    set.lr_schedule = CURVE_CONSTANT;
    schedule_init(&s, &set, IMAGENET);
    ok(s.lr_curve == CURVE_CONSTANT && s.ema_curve == CURVE_COSINE, "each has its own curve");
    return done();
}
