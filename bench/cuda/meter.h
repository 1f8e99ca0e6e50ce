/*
 * meter.h - a handle whose calls are counted: what each asks of the plugin's kernels, and how long
 * it takes.
 *
 * A kernel takes as long as its bytes at the rate of a copy or its operations at that of a large
 * product, whichever is longer, and a piece of work of a recording takes a while however little it
 * is. The sum of these is a floor: nothing is read twice, nothing found in a cache.
 */
#ifndef SEMPPL_BENCH_METER_H
#define SEMPPL_BENCH_METER_H

#include "kernels/ops.h"

enum meter_kind {
    METER_FORWARD, /* convolutions, and batch norm's sums behind them */
    METER_DATA,
    METER_WEIGHTS,
    METER_NORM,
    METER_NORM_BACK,
    METER_POOL,
    METER_DENSE, /* heads */
    METER_UPDATE,
    METER_PACK,
    METER_REST,
    METER_KINDS
};
extern const char *const meter_names[METER_KINDS];

struct meter_sum {
    double calls, nodes, bytes, work; /* nodes: pieces of work of a recording */
    double floor;
    double recorded, seconds; /* nodes that a recording has, of timed calls */
};

struct meter {
    double copy, product, node; /* bytes and operations a second; seconds of a node */
    int times; /* each call is done so often, as one recording, to be timed; 0: never */
    struct meter_sum sum[METER_KINDS];
    struct kern_ops ops; /* the handle's own */
};

/* From now on, in m, whose ceilings and times are set: the calls of networks without average pools
 * of 2 x 2 or selective kernels. One handle at a time. What is timed was done before. */
void meter_on(struct kern *kn, struct meter *m);
void meter_off(struct kern *kn, struct meter *m);

#endif
