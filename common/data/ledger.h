/*
 * ledger.h - the account of what a run did not simply store: a TSV of key, status, reason, detail.
 *
 * status is "skipped" (not in the shard), "kept" (stored, but only the sound part of it) or
 * "stored" (stored, with something to be said: a duplicate, an oddity). reason is one of a few
 * fixed words, detail a sentence. Keys and details are escaped by rows_print_key(). Without a file
 * the first few skipped rows are named on stderr, and all are counted.
 */
#ifndef SEMPPL_LEDGER_H
#define SEMPPL_LEDGER_H

#include "common/data/outfile.h"

enum ledger_status { LEDGER_SKIPPED, LEDGER_KEPT, LEDGER_STORED };

struct ledger {
    struct outfile out; /* out.file NULL: no file wanted */
    size_t count[3];    /* rows of each status */
};

int ledger_open(struct ledger *l, const char *path); /* path NULL: no file */
void ledger_add(struct ledger *l, enum ledger_status status, const char *key, const char *reason,
                const char *detail);
int ledger_sync(struct ledger *l);   /* to disk, before the shard gets its name */
int ledger_commit(struct ledger *l); /* the file appears */
void ledger_abort(struct ledger *l); /* or never does; fine on a zeroed or committed one */

#endif
