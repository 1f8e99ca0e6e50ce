/*
 * source_list.h - private to common/data/source*.c: how the list of inputs grows.
 */
#ifndef SEMPPL_SOURCE_LIST_H
#define SEMPPL_SOURCE_LIST_H

#include "common/data/source.h"
#include <sys/stat.h>

/* Takes file (its path too, whatever happens). A NULL path is -ENOMEM. */
int source_list(struct source *s, const struct source_file *file);
/* Is this component of a name left out? */
bool source_hidden(const char *name);
/* Fills size, or the reason if it is not a regular file. */
void source_stat(struct source_file *file, const struct stat *st);
/* Fills the reason from an errno. */
void source_reason(struct source_file *file, int err);

#endif
