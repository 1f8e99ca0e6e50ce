/*
 * sheet.h - a contact sheet of some queries beside their nearest labelled pictures.
 *
 * Which queries: of each class given, those whose content hash comes first in a fixed shuffle, the
 * classes taking turns. So the choice is spread over the input and over the classes, and is the
 * same whatever the order of the rows.
 */
#ifndef SEMPPL_SHEET_H
#define SEMPPL_SHEET_H

#include "common/data/shard.h"
#include "common/model/knn_vote.h"

enum { SHEET_ROWS = 12, SHEET_NEAR = 8 };

struct sheet_item {
    uint64_t order, id;
    int32_t label, truth; /* given (also when unsure); known, or -1 */
    bool unsure;
    double confidence;
    int32_t near[SHEET_NEAR]; /* in the bank, -1: none */
    float sim[SHEET_NEAR];
};

struct sheet {
    struct sheet_class {
        struct sheet_item *item; /* [SHEET_ROWS] by order */
        size_t n;
    } * of; /* [nclasses] */
    size_t nclasses;
    size_t offered;
    struct shard_set pictures;
    struct sheet_place *place; /* [pictures.nrows] by content hash */
};

/* images: operands of image shards that hold the pictures (those missing are left grey). */
int sheet_open(struct sheet *s, size_t nclasses, char **images, int nimages);
int sheet_offer(struct sheet *s, const struct sheet_item *item); /* item->order is filled here */
int sheet_write(struct sheet *s, const char *path, const struct knn_bank *bank,
                const struct classes *classes);
void sheet_close(struct sheet *s);
/* For use before the work: -EUSAGE (worded) unless the option's path ends as image_write() wants, a
 * failure of newfile_check() if it cannot be written. */
int sheet_check_path(const char *option, const char *path);

#endif
