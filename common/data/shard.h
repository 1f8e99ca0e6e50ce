/*
 * shard.h - image shards: one row a picture (format semppl-shard(5)).
 *
 * Encoded shards hold the pictures' JPEG or PNG bytes; decoded ones hold RGB of one size.
 */
#ifndef SEMPPL_SHARD_H
#define SEMPPL_SHARD_H

#include "common/base/prov.h"
#include "common/data/h5.h"
#include "common/data/mask.h"
#include "common/data/rows.h"

#define SHARD_FORMAT "semppl-shard"
#define SHARD_VERSION 1
#define SHARD_IMAGE_LIMIT                                                                          \
    ((size_t)64 << 20) /* bytes of one HDF5 image in a pipe, before its last row */

/* Where a dataset's bytes are: from here on in the file, or all of them in memory, if the file has
 * them in chunks. */
struct shard_bytes {
    uint64_t at;
    uint8_t *loaded; /* NULL: in the file */
};

struct shard {
    struct rows rows;
    bool decoded;
    size_t h, w;         /* decoded: of every picture */
    uint64_t *offset;    /* encoded: [n+1] into bytes */
    uint32_t *crc;       /* [n] CRC-32 (zlib) of the row's bytes or pixels */
    uint16_t (*size)[2]; /* [n] height, width as stored, after orientation */
    uint8_t
        *orientation;  /* [n] EXIF orientation found (already taken into account in size), 1..8 */
    uint32_t checksum; /* CRC-32 of the crc column: names the content in a history */
    struct history history;
    char *recipe; /* JSON: how the pixels were made; NULL if the file does not say */
    struct h5in in;
    struct shard_bytes pictures;
    bool masked;           /* has masks; then */
    uint64_t *mask_offset; /* encoded: [n+1] into their bytes */
    uint32_t *mask_crc;    /* [n] CRC-32 of the row's; NULL if the file does not say */
    struct shard_bytes masks;
};

int shard_next(struct stream *st, struct shard *s); /* 1, 0 at the end, or negative */
int shard_open(struct shard *s, const char *path);
void shard_close(struct shard *s);

/* Bytes of a row: encoded length, or h*w*3. */
size_t shard_row_bytes(const struct shard *s, size_t row);
/* The row's bytes, their CRC checked. Any thread. */
int shard_row_read(const struct shard *s, size_t row, void *out);
/* The row's picture, decoded; -EIO (worded) if its size is not the one recorded. Any thread.
 * Truncated pictures that prep kept are accepted. */
int shard_row_image(const struct shard *s, size_t row, struct image *im);
/* Likewise, but only the pixels inside box (of size[row]) are sure: see image_decode_box(). */
int shard_row_box(const struct shard *s, size_t row, const struct image_box *box, struct image *im);
/* 1 and the row's mask, of its picture's size and with some foreground; 0 if there is none;
 * negative (worded) if it is damaged. Any thread. */
int shard_row_mask(const struct shard *s, size_t row, struct mask *m);

/*
 * Several shards as one numbered set of rows, all kept open: what training and contact sheets read.
 * Their HDF5 handles are closed (in.file is -1), so that a shard costs one descriptor; those from a
 * pipe stay in memory.
 */
struct shard_set {
    struct shard *shard;
    size_t nshards, room;
    size_t *first; /* [nshards+1] number of the first row of each */
    struct classes classes;
    size_t nrows;
};
int shard_set_open(struct shard_set *set, char **operands, int n); /* the operands of a stream */
void shard_set_close(struct shard_set *set);
int shard_set_labels(int32_t **out, const struct shard_set *set); /* [nrows], the caller's */
struct shard *shard_set_find(struct shard_set *set, size_t row, size_t *row_in_shard);

/* -- writing ---- */

struct shard_row {
    const char *key;
    size_t keylen;
    uint64_t id;
    int32_t label, truth; /* -1: none */
    size_t h, w;
    int orientation;
    const uint8_t *bytes; /* encoded bytes, or h*w*3 pixels */
    size_t nbytes;
    const uint8_t *mask; /* of mask_encode(), or h*w bytes; NULL: none */
    size_t nmask;
};

struct shard_writer;
/*
 * path: "-" (images of at most min(limit, SHARD_IMAGE_LIMIT) bytes on standard output), a name with
 * one %d or %0Nd (%05d ...; numbers from 0; -EUSAGE, worded, for anything else behind a %) for
 * shards of at most limit bytes, or a plain name for one file of any size (rows are spooled beside
 * it, in an unlinked file). A row that is larger than limit gets a file of its own; limit 0: none.
 * side > 0: decoded side x side, 0: encoded. truth: whether the truth column is written. classes is
 * copied. attributes: recipe is a JSON text stored as the root attribute "recipe" (how the pixels
 * were made), or NULL. h stays the caller's and is read whenever a file is finished, so it may
 * grow; NULL: no history. A numbered name that is a picture is not replaced: -EUSAGE, worded, when
 * it is its turn.
 */
int shard_writer_open(struct shard_writer **w, const char *path, uint64_t limit, size_t side,
                      bool truth, const struct classes *classes, const char *recipe,
                      const struct history *h);
/* Whether file is one that path names, or would name but for zeros before the number. */
bool shard_writer_names(const char *path, const char *file);
int shard_writer_add(struct shard_writer *w, const struct shard_row *row);
/* Commits what is open (an empty set still makes one valid, empty file) and frees; *nfiles may be
 * NULL. */
int shard_writer_close(struct shard_writer *w, size_t *nfiles);
void shard_writer_abort(struct shard_writer *w);

#endif
