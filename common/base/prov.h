/*
 * prov.h - provenance: what made a file.
 *
 * A history is a list of lines, oldest first, one JSON object each:
 *   {"program": "semppl-embed", "version": "0.1.0", "command": ["semppl-embed", "-c", "1.h5"],
 *    "inputs": [{"name": "train.h5", "checksum": "0a1b2c3d"}]}
 * Programs add keys of their own (seed, set). No times and no machine names, so the same work makes
 * the same bytes.
 */
#ifndef SEMPPL_PROV_H
#define SEMPPL_PROV_H

#include "common/base/base.h"
#include <stdio.h>

#define SEMPPL_VERSION "0.1.0"

struct history {
    char **line; /* owned */
    size_t n, room;
};

/* opt_main() calls it, with the words that can have an influence on results: not -j, -q, -v. The
 * words stay the caller's and must live as long as the process's history is written. */
void prov_command(const char *program, int argc, char **argv);
const char *prov_program(void);

int history_add(struct history *h, const char *line); /* a copy, unless the line is there already */
int history_merge(struct history *h,
                  const struct history *from);      /* the lines of from that h lacks, in order */
void history_put(FILE *f, const struct history *h); /* as a JSON array */
void history_release(struct history *h);

/* Inputs read so far by this process: each is named once in the line of history_self(). Like
 * prov_note(), not for several threads at once. */
int prov_input(const char *name, uint32_t checksum);
/* A further key of this process's line; value is JSON text. */
int prov_note(const char *key, const char *value_json);
/* Adds this process's own line. */
int history_self(struct history *h);

/* s as a JSON string, quotes included; control characters and bytes that are not UTF-8 become
 * \u00XX. The caller's, free(). */
char *json_quote(const char *s, size_t n);
/* Writes before, and then s like that; 0 or -ENOMEM. */
int json_put(FILE *f, const char *before, const char *s);

/* What was compiled in and found, for --version: "PROGRAM (semppl-tools) VERSION", then one
 * "name: value" line each, on stdout. */
void prov_print_version(void);

#endif
