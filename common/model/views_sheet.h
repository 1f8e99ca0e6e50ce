/*
 * views_sheet.h - some pictures of a step with all their crops, drawn as the networks see them.
 */
#ifndef SEMPPL_VIEWS_SHEET_H
#define SEMPPL_VIEWS_SHEET_H

#include "common/base/pool.h"
#include "common/data/shard.h"
#include "common/model/settings.h"

enum { VIEWS_SHEET_ROWS = 16 };

/*
 * Step k (steps done before it): up to VIEWS_SHEET_ROWS pictures, spread over its batch, to path
 * (.png, .jpg). A row is the picture itself, its large crops, its small ones; below each crop are
 * its draws.
 */
int views_sheet(const char *path, struct pool *pool, struct shard_set *data,
                const struct settings *set, int64_t k);

#endif
