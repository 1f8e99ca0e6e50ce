/*
 * text.h - what a terminal shows of a text, and what it would obey.
 *
 * Names of files and classes are any bytes but NUL. Among them may be control characters, those of
 * ASCII and those that take two bytes in UTF-8 (U+0080 to U+009F: some terminals begin an escape
 * sequence with U+009B), and bytes that are no UTF-8 at all, which a terminal takes as it likes.
 */
#ifndef SEMPPL_TEXT_H
#define SEMPPL_TEXT_H

#include "common/base/base.h"

struct text_char {
    unsigned code; /* of Unicode; of a byte that is not UTF-8, the byte */
    size_t length; /* in bytes, at least 1 */
    bool utf8;
    bool control; /* below U+0020, U+007F to U+009F */
};

/* The character at the beginning of n > 0 bytes. */
struct text_char text_char(const char *s, size_t n);

/*
 * "1 row", "0 rows", "2 rows", for an argument of printf() and the like: the text lives as long as
 * the block that it is in.
 */
#define TEXT_COUNT(n, one, many) text_count((char[64]){ 0 }, n, one, many)
const char *text_count(char text[64], uint64_t n, const char *one, const char *many);

/* In place: a '?' for each control character and each byte that is not UTF-8. */
void text_tidy(char *s);

#endif
