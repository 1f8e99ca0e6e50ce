/*
 * jsonl.h - numbers out of JSON lines: the log of semppl-train-step; and what is such a line.
 */
#ifndef SEMPPL_JSONL_H
#define SEMPPL_JSONL_H

#include "common/base/base.h"

/* value [nkeys][n]: value[k * n + i] is key k of line i; NaN where absent, null, or no number. */
struct jsonl {
    size_t n;
    double *value;
};

/*
 * Reads all lines (empty ones aside) of path; each must be one JSON object. -EINVAL (worded with
 * the line's number) if one is not, or was cut off.
 */
int jsonl_read(struct jsonl *j, const char *path, const char *const *key, size_t nkeys);
void jsonl_release(struct jsonl *j);

/* Is text one JSON object, on one line? */
bool jsonl_object(const char *text);

#endif
