/*
 * intake.h - from a file to what an image shard stores of it, or the reason why not.
 */
#ifndef SEMPPL_INTAKE_H
#define SEMPPL_INTAKE_H

#include "common/data/source.h"

struct intake_rule {
    size_t pixels;     /* > 0: RGB of a square of this side */
    size_t short_side; /* > 0: larger pictures are shrunk to it and encoded as JPEG */
    bool keep;         /* truncated pictures are taken as far as they go */
    const char *masks; /* folder of masks, whose names are the keys with the ending .png or .jpg */
    bool saliency;     /* masks are computed, see saliency.h */
};

struct intake {
    uint8_t *bytes;  /* to be stored, intake_release(); NULL with a reason */
    size_t n, h, w;  /* bytes; the picture's size as shown */
    uint64_t id;     /* of the original file's bytes */
    int orientation; /* EXIF, as found */
    bool truncated;  /* kept all the same */
    uint8_t *mask;   /* to be stored, likewise; NULL: none */
    size_t nmask;
    char fault[400];          /* why a mask that is there cannot be used, or "" */
    const char *reason;       /* a fixed word why it is not to be stored, or NULL */
    char detail[200];         /* more about the reason; without one an oddity, or "" */
    double reading, decoding; /* seconds */
};

/*
 * Reads and decodes file i; store: also makes the bytes to be stored, else they are the file's. A
 * bad file is a reason, not a failure; -ENOMEM is one. Any thread.
 */
int intake_read(struct intake *in, const struct source *s, size_t i, const struct intake_rule *rule,
                bool store);

void intake_release(struct intake *in); /* bytes and mask */

/* How the pixels are made, as JSON for the attribute "recipe" of a shard. The caller's, free(). */
char *intake_recipe(const struct intake_rule *rule);

#endif
