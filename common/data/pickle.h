/*
 * pickle.h - what a Python pickle (protocol 2 to 5) says, as a tree of values. Nothing of it is
 * run: a class is its name, an object the name with its arguments and its state.
 *
 * Source: the opcodes' description in CPython's pickletools.py. Bytes and texts stay in the file.
 * Memory is bounded by PICKLE_MOST values, whatever the file says. The tree may share branches, and
 * may hold itself: who walks it counts his steps.
 */
#ifndef SEMPPL_PICKLE_H
#define SEMPPL_PICKLE_H

#include "common/base/base.h"

enum { PICKLE_MOST = 1 << 20 };

enum pickle_kind {
    PICKLE_NONE, /* also what has no use here: floating-point numbers, long integers */
    PICKLE_INT,  /* and bool */
    PICKLE_TEXT, /* UTF-8 */
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST, /* and set */
    PICKLE_DICT,
    PICKLE_GLOBAL, /* a name in a module */
    PICKLE_OBJECT, /* the result of calling one */
};

struct pickle_value {
    enum pickle_kind kind;
    bool pairs;           /* its items are keys and values in turn, else single */
    uint32_t nitems;      /* of tuple, list, dict, object */
    uint32_t first, last; /* links to them */
    uint32_t part[3]; /* GLOBAL: module, name (TEXT). OBJECT: callable, arguments, state. 0: none */
    int64_t i;
    const uint8_t *text; /* TEXT, BYTES */
    size_t len;
};

struct pickle_link {
    uint32_t value, next; /* next 0: none */
};

struct pickle {
    const char *name; /* of the file, for messages; the caller's */
    const uint8_t *bytes;
    size_t size;
    struct pickle_value *value; /* [0] is a NONE that stands for nothing */
    struct pickle_link *link;
    size_t nvalues, values_room, nlinks, links_room;
    uint32_t root;
};

/* -EINVAL or -EIO (worded) if it is damaged, cut off, or has what no checkpoint has. */
int pickle_read(struct pickle *p, const char *name, const uint8_t *bytes, size_t size);
void pickle_release(struct pickle *p);

/* The first n items of a value, fewer if it has not as many; how many. */
size_t pickle_items(const struct pickle *p, uint32_t v, uint32_t *item, size_t n);

#endif
