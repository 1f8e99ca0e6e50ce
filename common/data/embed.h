/*
 * embed.h - embedding shards: one vector a picture (format semppl-embedding(5)).
 */
#ifndef SEMPPL_EMBED_H
#define SEMPPL_EMBED_H

#include "common/base/mem.h"
#include "common/base/prov.h"
#include "common/data/h5.h"
#include "common/data/rows.h"

#define EMBED_FORMAT "semppl-embedding"
#define EMBED_VERSION 1
#define EMBED_IMAGE_LIMIT ((size_t)64 << 20)

/* What the vectors are: two shards with different words cannot be compared, and are refused. */
struct embed_kind {
    char layer[16];      /* "features", "projection", "pixels" */
    char net[16];        /* "online", "target", or "" for pixels */
    char checkpoint[17]; /* hex hash of the checkpoint, "" for pixels */
    bool normalised;     /* rows have unit length */
};

struct embed {
    struct rows rows;
    size_t d;
    float *x; /* [n][d]; only of embed_all */
    struct embed_kind kind;
    uint32_t checksum; /* CRC-32 of all columns and x: names the content in a history */
    struct history history;
    char *name; /* of the file, for messages */
};

void embed_release(struct embed *e);

/* Rows [first, first+n) of a file and their vectors x [n][d]; e->x is not there. */
typedef int embed_visit(void *arg, const struct embed *e, size_t first, size_t n, const float *x);
/* The file is through, and e->checksum of all of it. */
typedef int embed_end(void *arg, const struct embed *e);
/*
 * The files of the operands (stream.h), one after another: visit gets the rows in order, in blocks
 * of an eighth of mem, so that a file of any length takes little memory, then end is called. Each
 * file must have vectors of with's kind and width, and its classes (by name); otherwise -EINVAL, as
 * if there is none at all. -ENUMERIC for a row that is not finite or all zero. All is worded. A
 * file that turns out to be damaged fails after the visits, before end.
 */
int embed_stream(char **operands, int n, uint64_t mem, struct embed *with, embed_visit *visit,
                 embed_end *end, void *arg);

/*
 * All files of the operands as one: rows in order, classes met by name, kinds equal. x lives in a
 * spool: in memory up to mem bytes, in an unlinked temporary file beyond; it is never in memory
 * twice. Failures are those of embed_stream(). e.name is the first file's, e.checksum covers the
 * checksums of all.
 */
struct embed_all {
    struct embed e; /* x points into the spool */
    struct spool spool;
    size_t files;
};
int embed_read_all(struct embed_all *a, char **operands, int n, uint64_t mem);
/* The same, of which only the rows with a label are kept. */
int embed_read_labelled(struct embed_all *a, char **operands, int n, uint64_t mem);
void embed_all_release(struct embed_all *a);

struct embed_writer;
/*
 * path "-": images of at most EMBED_IMAGE_LIMIT bytes; else one file, spooled beside the target
 * when it is large. h stays the caller's and is read whenever a file is finished, so it may grow;
 * NULL: no history.
 */
int embed_writer_open(struct embed_writer **w, const char *path, size_t d,
                      const struct embed_kind *kind, const struct history *h);
/* Rows [first, first+count) of src with their vectors x [count][d]. Classes must meet those of
 * earlier calls by name; a file has truth once a row of it comes with truth. */
int embed_writer_add(struct embed_writer *w, const struct rows *src, size_t first, size_t count,
                     const float *x);
/* Commits what is open (no rows still make one valid, empty file) and frees. */
int embed_writer_close(struct embed_writer *w);
void embed_writer_abort(struct embed_writer *w);

#endif
