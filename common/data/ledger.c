/*
 * ledger.c - see ledger.h.
 */
#include "common/data/ledger.h"
#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/data/rows.h"

#include <stdlib.h>
#include <string.h>

enum { NAMED_MOST = 10 }; /* skipped rows named on stderr when there is no file to name them in */

int ledger_open(struct ledger *l, const char *path)
{
    *l = (struct ledger){ 0 };
    if (path == NULL)
        return 0;
    int rc = outfile_open(&l->out, path);
    if (rc == 0)
        fputs("key\tstatus\treason\tdetail\n", l->out.file);
    return rc;
}

/* A key may hold a newline or an escape sequence: a terminal gets it escaped as well. */
static void name_on_stderr(const struct ledger *l, const char *key, const char *reason,
                           const char *detail)
{
    char *text = NULL;
    size_t n = 0;
    if (l->count[LEDGER_SKIPPED] > NAMED_MOST && log_level < LOG_VERBOSE) {
        if (l->count[LEDGER_SKIPPED] == NAMED_MOST + 1)
            log_warn("further files are skipped; --ledger FILE names them all");
        return;
    }
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return;
    rows_print_key(f, key, strlen(key));
    fprintf(f, ": %s", reason);
    if (*detail != '\0') {
        fputs(": ", f);
        rows_print_key(f, detail, strlen(detail));
    }
    if (fclose(f) == 0)
        log_warn("skipped %s", text);
    free(text);
}

void ledger_add(struct ledger *l, enum ledger_status status, const char *key, const char *reason,
                const char *detail)
{
    static const char *const words[] = { "skipped", "kept", "stored" };
    l->count[status]++;
    if (l->out.file != NULL) {
        rows_print_key(l->out.file, key, strlen(key));
        fprintf(l->out.file, "\t%s\t%s\t", words[status], reason);
        rows_print_key(l->out.file, detail, strlen(detail));
        putc('\n', l->out.file);
    } else if (status == LEDGER_SKIPPED) {
        name_on_stderr(l, key, reason, detail);
    }
}

int ledger_sync(struct ledger *l)
{
    return l->out.file != NULL ? outfile_sync(&l->out) : 0;
}

int ledger_commit(struct ledger *l)
{
    return l->out.file != NULL ? outfile_commit(&l->out) : 0;
}

void ledger_abort(struct ledger *l)
{
    outfile_abort(&l->out);
}
