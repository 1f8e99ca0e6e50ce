/*
 * dump.h - everything of one step as HDF5, so that another program can do the step again: what was
 * drawn, what the networks were given, and what came of it. semppl-train-step(1) lists the
 * datasets; the state before and after the step is in the checkpoints around it.
 */
#ifndef SEMPPL_DUMP_H
#define SEMPPL_DUMP_H

#include "common/model/step.h"

#define DUMP_FORMAT "semppl-step"
#define DUMP_VERSION 1

/* Of the last step_run(), whose metrics are m, and before another. path as in h5out_open(). */
int dump_write(const struct step *st, const struct step_metrics *m, const char *path);

#endif
