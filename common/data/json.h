/*
 * json.h - a scanner of JSON text (RFC 8259): the caller says what may come next.
 *
 * The text ends with a NUL. Each function skips white space, takes what it is named for and goes
 * behind it; false if something else stands there, and then the place is of no use any more. Values
 * nest at most 64 deep.
 */
#ifndef SEMPPL_JSON_H
#define SEMPPL_JSON_H

#include "common/base/base.h"

struct json {
    const char *at;
};

bool json_is(struct json *j, char c); /* false: still before what stands there */
bool json_end(struct json *j);        /* nothing but white space is left */
/* A string: its bytes, escapes as they stand. */
bool json_string(struct json *j, const char **text, size_t *n);
bool json_count(struct json *j, size_t *v); /* a whole number from 0 on, digits only */
/* Any value; *v is set if it is a number. */
bool json_value(struct json *j, double *v);

/* The text of a string that json_string() took, without its escapes: the caller's, free(). -EINVAL
 * (not worded) if one is no character, or NUL; -ENOMEM (worded). */
int json_unquote(const char *text, size_t n, char **out);

#endif
